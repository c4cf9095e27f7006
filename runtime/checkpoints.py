"""LangGraph's checkpoints on the Django ORM.

`Saver` is a plain saver, sync and async. `RunSaver` is the one a run is driven with: its
writes go through the shared writer, fenced, and what LangGraph stores when a node has
finished commits together with that node's `node.completed` event (design, rule 1).
"""

import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any, cast

from asgiref.sync import sync_to_async
from django.db import models as db
from django.db import transaction
from django.db.models import QuerySet
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    PendingWrite,
    get_checkpoint_id,
    get_checkpoint_metadata,
)
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from runtime import events, models, writer

# Never pickle: a stored pickle runs code when it is loaded.
SERDE = JsonPlusSerializer(pickle_fallback=False)


class Saver(BaseCheckpointSaver[str]):
    """A LangGraph checkpoint saver on the Django ORM.

    Stores a checkpoint whole, its channel values inside: a council's state is small, and
    one row is one read.
    """

    def __init__(self) -> None:
        super().__init__(serde=SERDE)

    # --- rows ---

    def _row(
        self, config: RunnableConfig, checkpoint: Checkpoint, metadata: CheckpointMetadata
    ) -> models.Checkpoint:
        where = config["configurable"]
        encoding, state = self.serde.dumps_typed(checkpoint)
        return models.Checkpoint(
            thread_id=where["thread_id"],
            ns=where.get("checkpoint_ns", ""),
            checkpoint_id=checkpoint["id"],
            parent_id=where.get("checkpoint_id") or "",
            encoding=encoding,
            state=state,
            metadata=events.clean(get_checkpoint_metadata(config, metadata)),
        )

    def _write_rows(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str,
    ) -> list[models.CheckpointWrite]:
        where = config["configurable"]
        rows = []
        for idx, (channel, value) in enumerate(writes):
            encoding, data = self.serde.dumps_typed(value)
            rows.append(
                models.CheckpointWrite(
                    thread_id=where["thread_id"],
                    ns=where.get("checkpoint_ns", ""),
                    checkpoint_id=where["checkpoint_id"],
                    task_id=task_id,
                    task_path=task_path,
                    idx=WRITES_IDX_MAP.get(channel, idx),
                    channel=channel,
                    encoding=encoding,
                    value=data,
                )
            )
        return rows

    # --- writing ---

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        _save(models.Checkpoint, [self._row(config, checkpoint, metadata)], replace=True)
        return _stored(config, checkpoint)

    def put_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        _save(
            models.CheckpointWrite,
            self._write_rows(config, writes, task_id, task_path),
            replace=_are_special(writes),
        )

    # --- reading ---

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        rows = _checkpoints(config)
        if checkpoint_id := get_checkpoint_id(config):
            rows = rows.filter(checkpoint_id=checkpoint_id)
        row = rows.order_by("-checkpoint_id").first()
        return self._tuple(row) if row else None

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        rows = models.Checkpoint.objects.all() if config is None else _listed(config)
        if filter:
            rows = rows.filter(metadata__contains=filter)
        if before and (last := get_checkpoint_id(before)):
            rows = rows.filter(checkpoint_id__lt=last)
        for row in rows.order_by("-checkpoint_id")[:limit]:
            yield self._tuple(row)

    def _tuple(self, row: models.Checkpoint) -> CheckpointTuple:
        return CheckpointTuple(
            config=_config(row.thread_id, row.ns, row.checkpoint_id),
            checkpoint=self._load(row.encoding, row.state),
            metadata=cast(CheckpointMetadata, row.metadata),
            parent_config=_config(row.thread_id, row.ns, row.parent_id)
            if row.parent_id
            else None,
            pending_writes=self._pending_writes(row),
        )

    def _pending_writes(self, row: models.Checkpoint) -> "list_[PendingWrite]":
        writes = models.CheckpointWrite.objects.filter(
            thread_id=row.thread_id, ns=row.ns, checkpoint_id=row.checkpoint_id
        )
        return [
            (write.task_id, write.channel, self._load(write.encoding, write.value))
            for write in writes.order_by("task_path", "task_id", "idx")
        ]

    def _load(self, encoding: str, data: bytes | memoryview) -> Any:
        return self.serde.loads_typed((encoding, bytes(data)))

    # --- deleting and copying ---

    def delete_thread(self, thread_id: str) -> None:
        with transaction.atomic():
            for table in (models.Checkpoint, models.CheckpointWrite):
                table.objects.filter(thread_id=thread_id).delete()

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        rows = models.Checkpoint.objects.filter(metadata__run_id__in=[str(r) for r in run_ids])
        with transaction.atomic():
            _delete(rows)

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        with transaction.atomic():
            for table in (models.Checkpoint, models.CheckpointWrite):
                _copy(table, source_thread_id, target_thread_id)

    def prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        if strategy == "delete":
            for thread_id in thread_ids:
                self.delete_thread(thread_id)
            return
        rows = models.Checkpoint.objects.filter(thread_id__in=thread_ids)
        latest = rows.order_by("thread_id", "ns", "-checkpoint_id").distinct("thread_id", "ns")
        with transaction.atomic():
            _delete(rows.exclude(pk__in=[row.pk for row in latest]))

    # --- the same, for a caller on an event loop ---

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        return await sync_to_async(self.get_tuple)(config)

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        def found() -> "list_[CheckpointTuple]":
            return [*self.list(config, filter=filter, before=before, limit=limit)]

        for item in await sync_to_async(found)():
            yield item

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        return await sync_to_async(self.put)(config, checkpoint, metadata, new_versions)

    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        await sync_to_async(self.put_writes)(config, writes, task_id, task_path)

    async def adelete_thread(self, thread_id: str) -> None:
        await sync_to_async(self.delete_thread)(thread_id)

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        await sync_to_async(self.delete_for_runs)(run_ids)

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        await sync_to_async(self.copy_thread)(source_thread_id, target_thread_id)

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        await sync_to_async(self.prune)(thread_ids, strategy=strategy)

    def get_next_version(self, current: str | None, channel: None) -> str:
        """Versions sort as text and two branches never make the same one."""
        number = 0 if current is None else int(str(current).split(".")[0])
        return f"{number + 1:032}.{uuid.uuid4().hex[:16]}"


class RunSaver(Saver):
    """The saver that one attempt of a run is driven with.

    `finished(task_id)` is asked for the change that a finished node makes beside its
    writes (its event, the run's projection); None when that task has not finished.
    """

    def __init__(
        self,
        shared: writer.Writer,
        fence: events.Fence,
        finished: Callable[[str], writer.Change | None],
    ) -> None:
        super().__init__()
        self._writer = shared
        self._fence = fence
        self._finished = finished

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        row = self._row(config, checkpoint, metadata)
        await self._writer.write(writer.Change(self._fence, checkpoints=[row]))
        return _stored(config, checkpoint)

    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        # A node that LangGraph cancels just as it finishes has not: what is stored is an error.
        finished = None if _are_special(writes) else self._finished(task_id)
        change = finished or writer.Change(self._fence)
        change.writes = self._write_rows(config, writes, task_id, task_path)
        await self._writer.write(change)


list_ = list  # the class has a method of that name


def _are_special(writes: Sequence[tuple[str, Any]]) -> bool:
    """Errors, interrupts and resumes overwrite what was there; results never do."""
    return all(channel in WRITES_IDX_MAP for channel, _value in writes)


def _config(thread_id: str, ns: str, checkpoint_id: str) -> RunnableConfig:
    return {
        "configurable": {
            "thread_id": thread_id,
            "checkpoint_ns": ns,
            "checkpoint_id": checkpoint_id,
        }
    }


def _stored(config: RunnableConfig, checkpoint: Checkpoint) -> RunnableConfig:
    where = config["configurable"]
    return _config(where["thread_id"], where.get("checkpoint_ns", ""), checkpoint["id"])


def _checkpoints(config: RunnableConfig) -> QuerySet[models.Checkpoint]:
    where = config["configurable"]
    return models.Checkpoint.objects.filter(
        thread_id=where["thread_id"], ns=where.get("checkpoint_ns", "")
    )


def _listed(config: RunnableConfig) -> QuerySet[models.Checkpoint]:
    """What `list` goes over: a thread, narrowed to a namespace or one checkpoint if named."""
    where = config["configurable"]
    rows = models.Checkpoint.objects.filter(thread_id=where["thread_id"])
    if "checkpoint_ns" in where:
        rows = rows.filter(ns=where["checkpoint_ns"])
    if checkpoint_id := get_checkpoint_id(config):
        rows = rows.filter(checkpoint_id=checkpoint_id)
    return rows


def _save(table: type[db.Model], rows: Sequence[db.Model], *, replace: bool) -> None:
    """Insert rows; those whose unique key is taken are left, or with `replace` overwrite."""
    if not replace:
        table._default_manager.bulk_create(rows, ignore_conflicts=True)
        return
    (unique,) = (c for c in table._meta.constraints if isinstance(c, db.UniqueConstraint))
    names = [f.name for f in table._meta.concrete_fields if not f.primary_key]
    table._default_manager.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=list(unique.fields),
        update_fields=[name for name in names if name not in unique.fields],
    )


def _copy(table: type[db.Model], source: str, target: str) -> None:
    rows = list(table._default_manager.filter(thread_id=source))
    for row in rows:
        row.pk = None
        setattr(row, "thread_id", target)  # noqa: B010 - either of the two tables
    table._default_manager.bulk_create(rows)


def _delete(rows: QuerySet[models.Checkpoint]) -> None:
    for row in rows.only("thread_id", "ns", "checkpoint_id"):
        models.CheckpointWrite.objects.filter(
            thread_id=row.thread_id, ns=row.ns, checkpoint_id=row.checkpoint_id
        ).delete()
    rows.delete()


def state_of(run: models.Run) -> dict[str, Any]:
    """The council's working state after the last step; empty before the first."""
    found = Saver().get_tuple(_config(str(run.pk), "", ""))
    return dict(found.checkpoint["channel_values"]) if found else {}
