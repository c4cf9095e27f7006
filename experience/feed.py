"""One feed per process and run; each reader holds a cursor, not a queue.

The hub of a server process subscribes once to each run that somebody watches, keeps its
latest events, and wakes the readers. A reader sends what lies beyond its own cursor, from
memory or else from the log: replay and following are the same loop, so there is no seam
between them to lose an event in (design, rules 3 and 4).
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import UUID
from weakref import WeakKeyDictionary

from channels.db import database_sync_to_async as in_thread
from channels.layers import get_channel_layer
from django.db import InterfaceError, OperationalError

from runtime import doorbell, events

logger = logging.getLogger(__name__)

# What a feed keeps in memory. A reader that is further behind reads the log.
KEPT_EVENTS = 2_000
KEPT_BYTES = 1024 * 1024
PAGE = 200
# The guarantee behind the doorbell: no event is told later than this.
POLL_SECONDS = 1.0

Encoder = Callable[[events.Logged], tuple[str, ...]]


class Entry:
    """One event, encoded once for all readers of a protocol."""

    __slots__ = ("_encoded", "event")

    def __init__(self, event: events.Logged) -> None:
        self.event = event
        self._encoded: dict[Encoder, tuple[str, ...]] = {}

    def frames(self, encode: Encoder) -> tuple[str, ...]:
        if encode not in self._encoded:
            self._encoded[encode] = encode(self.event)
        return self._encoded[encode]

    @property
    def size(self) -> int:
        """About how many bytes it is, by its texts."""
        return 200 + sum(len(v) for v in self.event.data.values() if isinstance(v, str))


class Feed:
    """The latest events of one run, in this process."""

    def __init__(self, run_id: UUID) -> None:
        self.run_id = run_id
        self.readers = 0
        self.opened: asyncio.Task[None]
        self.head = 0  # the last seq that is known
        self._rung = 0  # the highest seq that a doorbell has told of
        self._base = 0  # everything after this one is in memory, or was dropped
        self._kept: deque[Entry] = deque()
        self._size = 0
        self._grown = asyncio.Event()
        self._catching_up: asyncio.Task[None] | None = None
        self._pages: dict[int, asyncio.Task[list[Entry]]] = {}

    async def load(self) -> None:
        """Begin with the end of the log, so that everybody who joins now shares one read."""
        heads = await in_thread(events.heads)([self.run_id])
        self.head = self._base = max(0, heads.get(self.run_id, 0) - PAGE)
        await self.catch_up()

    def take(self, seq: int, new: list[events.Logged]) -> bool:
        """Take what a doorbell brought if it follows on what is known.

        False: it does not, and the log has to be read (`catch_up`).
        """
        self._rung = max(self._rung, seq)
        for event in new:
            if event.seq == self.head + 1:
                self._add([event])
        return self.head >= seq

    def _add(self, new: list[events.Logged]) -> None:
        for event in new:
            self._drop_void(event)
            self._keep(Entry(event))
            self.head = event.seq
        grown, self._grown = self._grown, asyncio.Event()
        grown.set()

    def _keep(self, entry: Entry) -> None:
        self._kept.append(entry)
        self._size += entry.size
        while len(self._kept) > 1 and (
            len(self._kept) > KEPT_EVENTS or self._size > KEPT_BYTES
        ):
            gone = self._kept.popleft()
            self._size -= gone.size
            self._base = gone.event.seq

    def _drop_void(self, event: events.Logged) -> None:
        """Forget tokens as the log does: their text is void or replaced (rule 6)."""
        if event.kind not in _VOIDING:
            return
        task = event.data.get("task")
        kept = [
            entry
            for entry in self._kept
            if entry.event.kind != "node.token"
            or (task is not None and entry.event.data["task"] != task)
        ]
        self._kept = deque(kept)
        self._size = sum(entry.size for entry in kept)

    def catch_up_soon(self) -> "asyncio.Task[None]":
        """Read from the log what lies beyond what is known. Shared by all who ask."""
        if self._catching_up is None or self._catching_up.done():
            self._catching_up = asyncio.create_task(self.catch_up())
            self._catching_up.add_done_callback(_log_failure)
        return self._catching_up

    async def catch_up(self) -> None:
        while True:
            found = await in_thread(events.since)(self.run_id, self.head, limit=PAGE)
            # A ring may have brought some of them meanwhile.
            if new := [event for event in found if event.seq > self.head]:
                self._add(new)
            if not found or (len(found) < PAGE and self.head >= self._rung):
                return

    async def after(self, seq: int) -> list[Entry]:
        """What lies beyond `seq`, at least one event; waits for it if need be."""
        while True:
            if seq < self._base:
                if found := await self._page(seq):
                    return found
                seq = self._base
            if found := self._after_in_memory(seq):
                return found
            await self._grown.wait()

    def _after_in_memory(self, seq: int) -> list[Entry]:
        found: list[Entry] = []
        for entry in reversed(self._kept):
            if entry.event.seq <= seq:
                break
            found.append(entry)
        found.reverse()
        return found

    async def _page(self, seq: int) -> list[Entry]:
        """A page of the log, read once for all readers that stand at the same place."""
        if seq not in self._pages:
            self._pages[seq] = asyncio.create_task(self._read_page(seq))
            self._pages[seq].add_done_callback(lambda _task: self._pages.pop(seq, None))
            self._pages[seq].add_done_callback(_log_failure)
        return await asyncio.shield(self._pages[seq])

    async def _read_page(self, seq: int) -> list[Entry]:
        found = await in_thread(events.since)(self.run_id, seq, limit=PAGE)
        return [Entry(event) for event in found]


# What takes the place of tokens: of one task, or (without one) of all.
_VOIDING = (
    "node.completed",
    "node.failed",
    "node.retried",
    "node.stopped",
    "run.interrupted",
    "run.retried",
)


def _log_failure(task: "asyncio.Task[Any]") -> None:
    """The poll tries again, so a read that failed is a warning."""
    if not task.cancelled() and (error := task.exception()):
        logger.warning("the log was not read: %s", type(error).__name__)


class Hub:
    """The feeds of this process, their doorbell and their poll."""

    def __init__(self) -> None:
        self._feeds: dict[UUID, Feed] = {}
        self._channel = ""
        self._tasks: list[asyncio.Task[None]] = []

    @contextlib.asynccontextmanager
    async def watch(self, run_id: UUID) -> AsyncIterator[Feed]:
        """The run's feed, for as long as the caller reads it."""
        if not self._tasks:
            self._tasks = [
                asyncio.create_task(self._listen()),
                asyncio.create_task(self._poll()),
            ]
        feed = self._feeds.get(run_id)
        if feed is None:
            feed = self._feeds[run_id] = Feed(run_id)
            feed.opened = asyncio.create_task(self._begin(feed))
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

    async def close(self) -> None:
        """End listening and polling. For a process that watches for a while only."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5)
        self._tasks = []

    async def _begin(self, feed: Feed) -> None:
        # Listen before reading, so that nothing falls between.
        await self._subscribe(feed.run_id)
        await feed.load()

    async def _subscribe(self, run_id: UUID) -> None:
        if not self._channel:
            return  # no Redis yet: `_listen` subscribes to everything when it is there
        try:
            await get_channel_layer().group_add(doorbell.group(run_id), self._channel)
        except Exception as error:
            logger.warning("no doorbell for run %s: %s", run_id, type(error).__name__)

    async def _unsubscribe(self, run_id: UUID) -> None:
        if self._channel:
            with contextlib.suppress(Exception):
                layer = get_channel_layer()
                await layer.group_discard(doorbell.group(run_id), self._channel)
            if run_id in self._feeds:  # somebody came while we left
                await self._subscribe(run_id)

    async def _listen(self) -> None:
        """Receive the doorbell's messages and give each to its feed."""
        while True:
            try:
                layer = get_channel_layer()
                self._channel = await layer.new_channel()
                for run_id in list(self._feeds):
                    await self._subscribe(run_id)
                while True:
                    await self._hear(await layer.receive(self._channel))
            except Exception as error:
                logger.warning("the doorbell is away: %s", type(error).__name__)
            self._channel = ""
            await asyncio.sleep(POLL_SECONDS)

    async def _hear(self, message: dict[str, Any]) -> None:
        feed = self._feeds.get(UUID(message["run"]))
        if feed is not None and not feed.take(message["seq"], events.rung(message)):
            feed.catch_up_soon()

    async def _poll(self) -> None:
        """Look at the log itself at a steady pace: one query for all feeds."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            if not self._feeds:
                continue
            try:
                heads = await in_thread(events.heads)(list(self._feeds))
            except (OperationalError, InterfaceError) as error:
                logger.warning("the log cannot be read: %s", type(error).__name__)
                continue
            for run_id, head in heads.items():
                feed = self._feeds.get(run_id)
                if feed is not None and head > feed.head:
                    feed.catch_up_soon()


_hubs: "WeakKeyDictionary[asyncio.AbstractEventLoop, Hub]" = WeakKeyDictionary()


def hub() -> Hub:
    """This process's hub (one for each event loop, and a server has one loop)."""
    return _hubs.setdefault(asyncio.get_running_loop(), Hub())
