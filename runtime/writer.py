"""The one writer that the runs of a worker share.

What they want written while a transaction is under way goes together in the next one, so
that a hundred runs cost one commit, not a hundred (design, rule 2). Each change is fenced:
it is written only while its run still belongs to the attempt that wants it.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import UUID

from django.db import (
    InterfaceError,
    OperationalError,
    connections,
    transaction,
)
from django.db import models as db
from django.utils import timezone

from runtime import errors, events, models

logger = logging.getLogger(__name__)

T = TypeVar("T")
Written = dict[events.Fence, list[events.Logged]]

# How long changes wait for a PostgreSQL that is away before their runs give up (and are
# taken up again from the log when it is back).
PATIENCE_SECONDS = 60.0
LARGEST_BATCH = 500


@dataclass
class Change:
    """What belongs together, written in one transaction or not at all.

    `log` is what is told. `rows` are inserted; with `replace` they overwrite what has the
    same unique key. `finished_task` is the node whose tokens are replaced or void. `apply` is
    called in the transaction, for what is none of these.
    """

    fence: events.Fence
    log: Sequence[events.NewEvent] = ()
    rows: Sequence[db.Model] = ()
    replace: bool = False
    finished_task: str = ""
    apply: Callable[[], None] | None = None
    done: "asyncio.Future[None]" = field(init=False)


class Writer:
    """Writes the changes of many runs, in the order given, a batch per transaction."""

    def __init__(self) -> None:
        self._waiting: list[Change] = []
        self._pump: asyncio.Task[None] | None = None
        # Not asgiref's thread: that one is shared by the whole process, and a commit
        # there would make every other database call of the worker wait.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="writer")
        self._rings: set[asyncio.Task[None]] = set()

    def write(self, change: Change) -> "asyncio.Future[None]":
        """Queue a change. The future resolves when it is committed.

        It raises errors.RunLost when the run is no longer this attempt's; then nothing of
        the change was written.
        """
        change.done = asyncio.get_running_loop().create_future()
        change.done.add_done_callback(_retrieve)
        self._waiting.append(change)
        if self._pump is None or self._pump.done():
            self._pump = asyncio.create_task(self._write_all())
        return change.done

    async def _write_all(self) -> None:
        # Everybody who is about to run gets to add to the batch first.
        await asyncio.sleep(0)
        while self._waiting:
            while self._waiting:
                batch = self._waiting[:LARGEST_BATCH]
                del self._waiting[:LARGEST_BATCH]
                await self._write_batch(batch)
            # Idle, so give the connection back; somebody may want to write meanwhile.
            await self._in_thread(connections.close_all)

    async def _write_batch(self, batch: list[Change]) -> None:
        try:
            written = await self._commit(batch)
        except Exception as error:
            if len(batch) > 1 and not isinstance(error, OperationalError | InterfaceError):
                # One bad change must not take its neighbours with it.
                for change in batch:
                    await self._write_batch([change])
                return
            for change in batch:
                _resolve(change, error)
            return
        for change in batch:
            lost = change.fence not in written
            _resolve(change, errors.RunLost(str(change.fence.run_id)) if lost else None)
        for fence, new in written.items():
            if new:
                self._ring(fence.run_id, new)

    async def _commit(self, batch: list[Change]) -> Written:
        wait = 0.05
        loop = asyncio.get_running_loop()
        give_up = loop.time() + PATIENCE_SECONDS
        again = False
        while True:
            try:
                return await self._in_thread(_commit, batch, again)
            except (OperationalError, InterfaceError) as error:
                if loop.time() > give_up:
                    raise
                logger.warning("database away, writing again in %.2f s: %s", wait, error)
                await self._in_thread(connections.close_all)
            await asyncio.sleep(wait)
            wait, again = min(wait * 2, 1.0), True

    async def _in_thread(self, function: Callable[..., T], *args: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *args)

    def _ring(self, run_id: UUID, new: list[events.Logged]) -> None:
        task = asyncio.create_task(events.ring(run_id, new))
        self._rings.add(task)
        task.add_done_callback(self._rings.discard)

    async def close(self) -> None:
        """Wait until all is written and rung; the writer is of no use afterwards."""
        while self._pump is not None and not self._pump.done():
            await asyncio.wait([self._pump])
        if self._rings:
            await asyncio.wait(self._rings)
        self._thread.shutdown()


def _retrieve(done: "asyncio.Future[None]") -> None:
    """Mark a failure as seen: tokens are written without anybody waiting for them."""
    if not done.cancelled():
        done.exception()


def _resolve(change: Change, error: Exception | None) -> None:
    if change.done.done():
        return  # whoever waited was cancelled
    if error is None:
        change.done.set_result(None)
    else:
        change.done.set_exception(error)


def _commit(batch: Sequence[Change], again: bool) -> Written:
    """Write a batch in one transaction; returns what was logged, by attempt that held.

    `again`: the batch was tried before and the answer to its commit was lost.
    """
    with transaction.atomic():
        if again and any(_is_written(change) for change in batch):
            return {change.fence: [] for change in batch}  # one transaction: all of it was
        wanted: dict[events.Fence, list[events.NewEvent]] = {}
        for change in batch:
            wanted.setdefault(change.fence, []).extend(change.log)
        before = events.take({fence: len(new) for fence, new in wanted.items()})
        held = [change for change in batch if change.fence in before]
        written = _log({fence: wanted[fence] for fence in before}, before)
        _save(held)
        events.drop_tokens(
            (change.fence.run_id, change.finished_task)
            for change in held
            if change.finished_task
        )
        for change in held:
            if change.apply is not None:
                change.apply()
    return written


def _log(
    new: Mapping[events.Fence, list[events.NewEvent]], before: Mapping[events.Fence, int]
) -> Written:
    now = timezone.now()
    rows = {
        fence: events.rows_at(fence.run_id, before[fence], some, now)
        for fence, some in new.items()
    }
    models.Event.objects.bulk_create([row for some in rows.values() for row in some])
    return {fence: [events.logged(row) for row in some] for fence, some in rows.items()}


def _is_written(change: Change) -> bool:
    keys = [event.key for event in change.log]
    return (
        bool(keys)
        and models.Event.objects.filter(run_id=change.fence.run_id, key__in=keys).exists()
    )


def _save(changes: Sequence[Change]) -> None:
    """Insert the rows of all changes, one statement for each table and manner."""
    grouped: dict[tuple[type[db.Model], bool], list[db.Model]] = {}
    for change in changes:
        for row in change.rows:
            grouped.setdefault((type(row), change.replace), []).append(row)
    for (model, replace), rows in grouped.items():
        save_rows(model, rows, replace=replace)


def save_rows(model: type[db.Model], rows: Sequence[db.Model], *, replace: bool) -> None:
    """Insert rows; those whose unique key is taken are left, or with `replace` overwrite."""
    if not replace:
        model._default_manager.bulk_create(rows, ignore_conflicts=True)
        return
    (unique,) = (c for c in model._meta.constraints if isinstance(c, db.UniqueConstraint))
    names = [f.name for f in model._meta.concrete_fields if not f.primary_key]
    model._default_manager.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=list(unique.fields),
        update_fields=[name for name in names if name not in unique.fields],
    )
