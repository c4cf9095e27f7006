"""The latest events of one run, for all who read them in this process."""

import asyncio
import contextvars
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Iterator
from dataclasses import replace
from typing import Any, TypeVar
from uuid import UUID

from channels.db import database_sync_to_async as in_thread
from django.utils import timezone

from experience import metrics
from runtime import events

logger = logging.getLogger(__package__)

# What a feed keeps in memory. A reader that is further behind reads the log.
KEPT_EVENTS = 2_000
KEPT_BYTES = 1024 * 1024
PAGE = 200
# To how much the tokens are joined that a reader finds waiting: so little that who acknowledges
# every 32 frames, as the protocol has it, does so before the window is full.
JOINED_CHARS = 1_000

T = TypeVar("T")
Encoder = Callable[[events.Logged], tuple[str, ...]]

# What takes the place of tokens: of one task, or (without one) of all.
_VOIDING = (
    "node.completed",
    "node.failed",
    "node.retried",
    "node.stopped",
    "run.interrupted",
    "run.retried",
)


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


def joined(entries: Iterable[Entry]) -> Iterator[Entry]:
    """The entries, with tokens that continue each other joined to one: a reader that finds
    hundreds of them waiting is quicker to take a few.

    Such a one has the `seq` of its last token, so that whoever has it has all of them, and the
    time of its first. Only neighbours are joined: with another task's token between them a
    cursor would pass text that was not sent.
    """
    waiting: list[Entry] = []
    room = JOINED_CHARS
    for entry in entries:
        if waiting and not (room > 0 and _continues(waiting[0].event, entry.event)):
            yield _one_of(waiting)
            waiting, room = [], JOINED_CHARS
        waiting.append(entry)
        room -= len(entry.event.data.get("text") or "")
    if waiting:
        yield _one_of(waiting)


def _continues(token: events.Logged, event: events.Logged) -> bool:
    are_tokens = token.kind == event.kind == "node.token"
    return are_tokens and token.data["task"] == event.data["task"]


def _one_of(tokens: list[Entry]) -> Entry:
    if len(tokens) == 1:
        return tokens[0]  # encoded once for everybody
    first, last = tokens[0].event, tokens[-1].event
    text = "".join(token.event.data["text"] for token in tokens)
    return Entry(replace(first, seq=last.seq, data={**first.data, "text": text}))


class Feed:
    """The latest events of one run, in this process."""

    def __init__(self, run_id: UUID) -> None:
        self.run_id = run_id
        self._since = timezone.now()  # what is older was history when we came
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
                self._add([event], "doorbell")
        return self.head >= seq

    def _add(self, new: list[events.Logged], source: str) -> None:
        for event in new:
            if event.at >= self._since:
                metrics.took(event.at, source)
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
            self._catching_up = shared(self.catch_up())
            self._catching_up.add_done_callback(_log_failure)
        return self._catching_up

    async def catch_up(self) -> None:
        while True:
            found = await in_thread(events.since)(self.run_id, self.head, limit=PAGE)
            # A ring may have brought some of them meanwhile.
            if new := [event for event in found if event.seq > self.head]:
                self._add(new, "log")
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
            self._pages[seq] = shared(self._read_page(seq))
            self._pages[seq].add_done_callback(lambda _task: self._pages.pop(seq, None))
            self._pages[seq].add_done_callback(_log_failure)
        return await asyncio.shield(self._pages[seq])

    async def _read_page(self, seq: int) -> list[Entry]:
        found = await in_thread(events.since)(self.run_id, seq, limit=PAGE)
        return [Entry(event) for event in found]


def shared(work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
    """A task that serves all readers, and so has nothing of whoever caused it: neither its ids
    in the log, nor the thread of an HTTP request, which ends with that."""
    return asyncio.create_task(work, context=contextvars.Context())


def _log_failure(task: "asyncio.Task[Any]") -> None:
    """The poll tries again, so a read that failed is a warning."""
    if not task.cancelled() and (error := task.exception()):
        logger.warning("the log was not read: %s", type(error).__name__)
