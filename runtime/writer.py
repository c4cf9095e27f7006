"""The one writer that the runs of a worker share.

What they want written while a statement is under way goes together in the next one, so that
a hundred runs cost one commit, not a hundred (design, rule 2). Each change is fenced: it is
written only while its run still belongs to the attempt that wants it.

A batch is one SQL statement and so one transaction: no round trips inside, and prepared once
for each connection. Through the ORM the same took eight statements and five times as long
(docs/performance.md).
"""

import asyncio
import contextvars
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count
from typing import Any, TypeVar

import psycopg
from django.core.serializers.json import DjangoJSONEncoder
from django.db import InterfaceError, OperationalError, connection, connections
from django.utils import timezone

from runtime import errors, events, metrics, models

logger = logging.getLogger(__name__)

T = TypeVar("T")
Written = dict[events.Fence, list[events.Logged]]

# How long changes wait for a PostgreSQL that is away before their runs give up (and are
# taken up again from the log when it is back).
PATIENCE_SECONDS = 60.0
LARGEST_BATCH = 500
# Turns of the event loop that a batch waits for more: LangGraph stores what a node wrote and
# the checkpoint after it within three or four, and they are to be one transaction.
GATHER_TURNS = 4


@dataclass
class Change:
    """What belongs together, written in one transaction or not at all.

    `log` is what is told; `row` the columns of the run that change with it; `checkpoints` and
    `writes` are rows to store. `finished_task` is the node whose tokens are replaced or void.
    `last_word` may follow a change that could not be written; nothing else may.
    """

    fence: events.Fence
    log: Sequence[events.NewEvent] = ()
    row: Mapping[str, Any] = field(default_factory=dict)
    checkpoints: Sequence[models.Checkpoint] = ()
    writes: Sequence[models.CheckpointWrite] = ()
    finished_task: str = ""
    last_word: bool = False
    done: "asyncio.Future[None]" = field(init=False)


class Writer:
    """Writes the changes of many runs, in the order given, a batch per transaction."""

    def __init__(self) -> None:
        self._waiting: list[Change] = []
        # LangGraph goes on while it stores, so a failure must stop what comes after it.
        self._broken: dict[events.Fence, Exception] = {}
        self._pump: asyncio.Task[None] | None = None
        # Not asgiref's thread: that one is shared by the whole process, and a commit
        # there would make every other database call of the worker wait.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="writer")

    def write(self, change: Change) -> "asyncio.Future[None]":
        """Queue a change. The future resolves when it is committed.

        It raises errors.RunLost when the run is no longer this attempt's; then nothing of
        the change was written. Once a change could not be written, for whatever reason, the
        later ones of its attempt are refused for the same.
        """
        change.done = asyncio.get_running_loop().create_future()
        change.done.add_done_callback(_retrieve)
        self._waiting.append(change)
        if self._pump is None or self._pump.done():
            # For all runs, so not with the ids of the one that comes first.
            context = contextvars.Context()
            self._pump = asyncio.create_task(self._write_all(), context=context)
        return change.done

    async def _write_all(self) -> None:
        while self._waiting:
            for _ in range(GATHER_TURNS):
                await asyncio.sleep(0)
            batch = self._waiting[:LARGEST_BATCH]
            del self._waiting[:LARGEST_BATCH]
            await self._write_batch(batch)

    async def _write_batch(self, batch: list[Change]) -> None:
        batch = [change for change in batch if not self._refuse(change)]
        if not batch:
            return
        try:
            written = await self._commit(batch)
        except Exception as error:
            if len(batch) > 1 and not isinstance(error, OperationalError | InterfaceError):
                # One bad change must not take its neighbours with it.
                for change in batch:
                    await self._write_batch([change])
                return
            for change in batch:
                self._fail(change, error)
            return
        for change in batch:
            if change.fence in written:
                _resolve(change, None)
            else:
                self._fail(change, errors.RunLost(str(change.fence.run_id)))

    def _refuse(self, change: Change) -> bool:
        """Whether an earlier change of its attempt has failed; it is then answered."""
        error = None if change.last_word else self._broken.get(change.fence)
        if error is not None:
            _resolve(change, error)
        return error is not None

    def _fail(self, change: Change, error: Exception) -> None:
        self._broken[change.fence] = error
        _resolve(change, error)

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

    async def close(self) -> None:
        """Wait until all is written; the writer is of no use afterwards."""
        while self._pump is not None and not self._pump.done():
            await asyncio.wait([self._pump])
        await self._in_thread(connections.close_all)
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


# --- the transaction -------------------------------------------------------------------

# The columns of a run that a driving attempt changes, with their types.
_COLUMNS = {
    "status": "text",
    "ended_at": "timestamptz",
    "reason": "text",
    "approved": "boolean",
    "error_code": "text",
    "error_message": "text",
    "usage": "jsonb",
    "members": "jsonb",
    "handoff": "jsonb",
    "draft_cut": "boolean",
    "current_draft": "text",
    "critic_score": "float8",
    "iteration_count": "int",
}


def _assignment(column: str, kind: str) -> str:
    """Set a column from the change's `row` if that has it; else leave what is stored."""
    arrow = "->" if kind == "jsonb" else "->>"
    value = f"(fence.row {arrow} '{column}')::{kind}"
    return f"{column} = CASE WHEN fence.row ? '{column}' THEN {value} ELSE run.{column} END"


# `taken` is the fence: who is not in it writes nothing. Special writes (errors, interrupts)
# have a negative index and overwrite what was there; results never do.
_WRITE = f"""
WITH fence AS MATERIALIZED (
    SELECT * FROM unnest(%(run)s::uuid[], %(attempt)s::int[], %(n)s::int[], %(row)s::jsonb[])
        AS fence (run, attempt, n, row)
), taken AS (
    UPDATE runtime_run AS run SET last_seq = run.last_seq + fence.n,
        {", ".join(_assignment(column, kind) for column, kind in _COLUMNS.items())}
    FROM fence
    WHERE run.id = fence.run AND run.attempt = fence.attempt AND run.status = 'running'
    RETURNING run.id, run.attempt, run.last_seq - fence.n AS before
), told AS (
    INSERT INTO runtime_event (run_id, seq, kind, key, data, at)
    SELECT taken.id, taken.before + new.place, new.kind, new.key, new.data, %(at)s
    FROM unnest(%(e_run)s::uuid[], %(e_attempt)s::int[], %(e_place)s::int[],
                %(e_kind)s::text[], %(e_key)s::text[], %(e_data)s::jsonb[])
        AS new (run, attempt, place, kind, key, data)
    JOIN taken ON taken.id = new.run AND taken.attempt = new.attempt
), void AS (
    DELETE FROM runtime_event AS event
    WHERE event.run_id = ANY(%(d_run)s::uuid[]) AND event.kind = 'node.token'
      AND event.data ->> 'task' = ANY(%(d_task)s::text[])
      AND event.run_id IN (SELECT id FROM taken)
), checkpoints AS (
    INSERT INTO runtime_checkpoint
        (thread_id, ns, checkpoint_id, parent_id, encoding, state, metadata, created_at)
    SELECT new.thread, new.ns, new.id, new.parent, new.encoding, new.state, new.metadata, %(at)s
    FROM unnest(%(c_thread)s::text[], %(c_ns)s::text[], %(c_id)s::text[], %(c_parent)s::text[],
                %(c_encoding)s::text[], %(c_state)s::bytea[], %(c_metadata)s::jsonb[])
        AS new (thread, ns, id, parent, encoding, state, metadata)
    WHERE new.thread IN (SELECT id::text FROM taken)
    ON CONFLICT (thread_id, ns, checkpoint_id) DO UPDATE SET
        encoding = excluded.encoding, state = excluded.state, metadata = excluded.metadata
), writes AS (
    INSERT INTO runtime_checkpointwrite
        (thread_id, ns, checkpoint_id, task_id, task_path, idx, channel, encoding, value)
    SELECT new.* FROM unnest(%(w_thread)s::text[], %(w_ns)s::text[], %(w_id)s::text[],
                %(w_task)s::text[], %(w_path)s::text[], %(w_idx)s::int[], %(w_channel)s::text[],
                %(w_encoding)s::text[], %(w_value)s::bytea[])
        AS new (thread, ns, id, task, path, idx, channel, encoding, value)
    WHERE new.thread IN (SELECT id::text FROM taken)
    ON CONFLICT (thread_id, ns, checkpoint_id, task_id, idx) DO UPDATE SET
        channel = excluded.channel, encoding = excluded.encoding, value = excluded.value
        WHERE excluded.idx < 0
)
SELECT id, attempt, before FROM taken
"""  # noqa: S608 - made of constants


def _commit(batch: Sequence[Change], again: bool) -> Written:
    """Write a batch in one transaction; returns what was logged, by attempt that held.

    `again`: the batch was tried before and the answer to its commit was lost.
    """
    told = _told(batch)
    if again:
        told = _not_yet_told(told)
    at = timezone.now()
    with metrics.commit_seconds.time():
        before = _execute(_parameters(batch, told, at))
    written = {
        fence: [
            events.Logged(fence.run_id, first + place, new.kind, new.data, at)
            for place, new in enumerate(told[fence], 1)
        ]
        for fence, first in before.items()
    }
    # From here, before the event loop has work again: the doorbell's thread would wait for it.
    for fence, new in written.items():
        if new:
            events.ring(fence.run_id, new)
    return written


def _told(batch: Sequence[Change]) -> dict[events.Fence, list[events.NewEvent]]:
    """The events of each attempt, in order, less the tokens that the batch itself replaces."""
    finished = {(c.fence, c.finished_task) for c in batch if c.finished_task}
    told: dict[events.Fence, list[events.NewEvent]] = {}
    for change in batch:
        told.setdefault(change.fence, []).extend(
            event._replace(data=events.clean(event.data))
            for event in change.log
            if event.kind != "node.token" or (change.fence, event.data["task"]) not in finished
        )
    return told


def _not_yet_told(
    told: Mapping[events.Fence, list[events.NewEvent]],
) -> dict[events.Fence, list[events.NewEvent]]:
    """Less the events that the log has: the try before may have written them.

    All else of a change can be written twice. Whether the attempt still has its run, the
    fence says: also when it was somebody else who wrote an event of that key.
    """
    keys = [event.key for some in told.values() for event in some]
    runs = {fence.run_id for fence in told}
    found = models.Event.objects.filter(run_id__in=runs, key__in=keys)
    there = set(found.values_list("run_id", "key"))
    return {
        fence: [event for event in some if (fence.run_id, event.key) not in there]
        for fence, some in told.items()
    }


def _execute(parameters: dict[str, Any]) -> dict[events.Fence, int]:
    """Run the statement; the number before the first event, for each attempt that held."""
    connection.ensure_connection()
    if connection.connection.prepare_threshold is None:
        # Django asks for no prepared statements; planning this one takes as long as running
        # it, and its plan does not depend on the values.
        connection.connection.prepare_threshold = 0
        connection.connection.execute("SET plan_cache_mode = force_generic_plan")
    with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as cursor:
        cursor.execute(_WRITE, parameters, prepare=True)
        return {events.Fence(run, attempt): before for run, attempt, before in cursor}


def _parameters(
    batch: Sequence[Change], told: Mapping[events.Fence, list[events.NewEvent]], at: Any
) -> dict[str, Any]:
    rows: dict[events.Fence, dict[str, Any]] = {fence: {} for fence in told}
    for change in batch:
        rows[change.fence].update(change.row)
    fences = [
        (*fence, len(told[fence]), _json(events.clean(row)))
        for fence, row in sorted(rows.items())
    ]
    new = [
        (*fence, place, event.kind, event.key, _json(event.data))
        for fence, some in told.items()
        for place, event in zip(count(1), some, strict=False)
    ]
    done = [
        (change.fence.run_id, change.finished_task) for change in batch if change.finished_task
    ]
    points = [
        (
            c.thread_id,
            c.ns,
            c.checkpoint_id,
            c.parent_id,
            c.encoding,
            c.state,
            _json(c.metadata),
        )
        for change in batch
        for c in change.checkpoints
    ]
    writes = [
        (w.thread_id, w.ns, w.checkpoint_id, w.task_id, w.task_path, w.idx, w.channel,
         w.encoding, w.value)
        for change in batch
        for w in change.writes
    ]  # fmt: skip
    return {
        "at": at,
        **_columns("run attempt n row", fences),
        **_columns("e_run e_attempt e_place e_kind e_key e_data", new),
        **_columns("d_run d_task", done),
        **_columns("c_thread c_ns c_id c_parent c_encoding c_state c_metadata", points),
        **_columns(
            "w_thread w_ns w_id w_task w_path w_idx w_channel w_encoding w_value", writes
        ),
    }


def _columns(names: str, rows: Sequence[tuple[Any, ...]]) -> dict[str, list[Any]]:
    """The rows as one list for each column, as `unnest` takes them."""
    parts = names.split()
    return (
        dict(zip(parts, map(list, zip(*rows, strict=True)), strict=True))
        if rows
        else {name: [] for name in parts}
    )


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, cls=DjangoJSONEncoder)
