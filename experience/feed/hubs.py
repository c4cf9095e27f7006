"""The hub of a process: it hears the doorbell and polls, for all who read."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID
from weakref import WeakKeyDictionary

from channels.db import database_sync_to_async as in_thread
from django.db import InterfaceError, OperationalError

from experience import models
from experience.feed import latest
from runtime import doorbell, events

logger = logging.getLogger(__package__)

# The guarantee behind the doorbell: no event is told later than this.
POLL_SECONDS = 1.0


class Head:
    """The number of a conversation's last message, as far as this process knows."""

    def __init__(self) -> None:
        self.readers = 0
        self.number = 0
        self._grown = asyncio.Event()

    def rise(self, number: int) -> None:
        if number > self.number:
            self.number = number
            grown, self._grown = self._grown, asyncio.Event()
            grown.set()

    async def reach(self, number: int) -> None:
        """Wait until there is a message of this number."""
        while self.number < number:
            await self._grown.wait()


class Hub:
    """The feeds of this process, their doorbell and their poll."""

    def __init__(self) -> None:
        self._feeds: dict[UUID, latest.Feed] = {}
        self._heads: dict[UUID, Head] = {}
        self._channel = ""
        self._tasks: list[asyncio.Task[None]] = []

    @contextlib.asynccontextmanager
    async def watch(self, run_id: UUID) -> AsyncIterator[latest.Feed]:
        """The run's feed, for as long as the caller reads it."""
        self._begin_to_listen()
        feed = self._feeds.get(run_id)
        if feed is None:
            feed = self._feeds[run_id] = latest.Feed(run_id)
            feed.opened = latest.shared(self._begin(feed))
        feed.readers += 1
        try:
            await asyncio.shield(feed.opened)
            yield feed
        finally:
            feed.readers -= 1
            if not feed.readers:
                self._feeds.pop(run_id, None)
                feed.opened.cancel()
                await self._unsubscribe(run_id)

    @contextlib.asynccontextmanager
    async def converse(self, conversation_id: UUID) -> AsyncIterator[Head]:
        """The head of a conversation, for as long as the caller follows it."""
        self._begin_to_listen()
        head = self._heads.setdefault(conversation_id, Head())
        head.readers += 1
        try:
            if head.readers == 1:
                # In a task of its own: redis-py uses `wait_for`, which may swallow the
                # cancellation of a reader that leaves at this very moment.
                await asyncio.shield(latest.shared(self._subscribe(conversation_id)))
            yield head
        finally:
            head.readers -= 1
            if not head.readers:
                self._heads.pop(conversation_id, None)
                await self._unsubscribe(conversation_id)

    def _begin_to_listen(self) -> None:
        if not self._tasks:
            self._tasks = [
                latest.shared(self._listen()),
                latest.shared(self._poll()),
            ]

    async def close(self) -> None:
        """End listening and polling. For a process that watches for a while only."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5)
        self._tasks = []

    async def _begin(self, feed: latest.Feed) -> None:
        # Listen before reading, so that nothing falls between.
        await self._subscribe(feed.run_id)
        await feed.load()

    async def _subscribe(self, source: UUID) -> None:
        """Listen for a run or a conversation."""
        if not self._channel:
            return  # no Redis yet: `_listen` subscribes to everything when it is there
        try:
            await doorbell.layer().group_add(doorbell.group(source), self._channel)
        except Exception as error:
            logger.warning("no doorbell for %s: %s", source, type(error).__name__)

    async def _unsubscribe(self, source: UUID) -> None:
        if self._channel:
            with contextlib.suppress(Exception):
                layer = doorbell.layer()
                await layer.group_discard(doorbell.group(source), self._channel)
            if source in self._feeds or source in self._heads:  # somebody came while we left
                await self._subscribe(source)

    async def _listen(self) -> None:
        """Receive the doorbell's messages and give each to its feed."""
        while True:
            try:
                layer = doorbell.layer()
                self._channel = await layer.new_channel()
                for source in [*self._feeds, *self._heads]:
                    await self._subscribe(source)
                while True:
                    await self._hear(await layer.receive(self._channel))
            except Exception as error:
                logger.warning("the doorbell is away: %s", type(error).__name__)
            self._channel = ""
            await asyncio.sleep(POLL_SECONDS)

    async def _hear(self, message: dict[str, Any]) -> None:
        source = UUID(message["run"])
        if (head := self._heads.get(source)) is not None:
            head.rise(message["seq"])
        feed = self._feeds.get(source)
        if feed is not None and not feed.take(message["seq"], events.rung(message)):
            feed.catch_up_soon()

    async def _poll(self) -> None:
        """Look at the log itself at a steady pace: a query for all feeds, one for all heads."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            try:
                await self._look()
            except (OperationalError, InterfaceError) as error:
                logger.warning("the log cannot be read: %s", type(error).__name__)

    async def _look(self) -> None:
        if self._feeds:
            heads = await in_thread(events.heads)(list(self._feeds))
            for run_id, seq in heads.items():
                feed = self._feeds.get(run_id)
                if feed is not None and seq > feed.head:
                    feed.catch_up_soon()
        if self._heads:
            numbers = await in_thread(_numbers)(list(self._heads))
            for conversation_id, number in numbers.items():
                if (head := self._heads.get(conversation_id)) is not None:
                    head.rise(number)


def _numbers(conversation_ids: list[UUID]) -> dict[UUID, int]:
    """The last message's number of each conversation."""
    found = models.Conversation.objects.filter(pk__in=conversation_ids)
    return dict(found.values_list("pk", "last_number"))


_hubs: "WeakKeyDictionary[asyncio.AbstractEventLoop, Hub]" = WeakKeyDictionary()


def hub() -> Hub:
    """This process's hub (one for each event loop, and a server has one loop)."""
    return _hubs.setdefault(asyncio.get_running_loop(), Hub())
