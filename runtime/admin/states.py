"""The states of a run between its steps, decoded.

What is stored is data: `checkpoints.SERDE` makes no object that it does not know, and runs
no pickle. What it refuses is shown as refused.
"""

from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet
from django.db.models.functions import Length

from runtime import checkpoints, models
from runtime.admin import marks, words

MOST = 100
SHORT = 80  # characters that are not worth folding


@dataclass(frozen=True)
class Listed:
    pk: int
    when: str
    since: str
    size: str


@dataclass(frozen=True)
class Part:
    """A channel of the state, or what a task wrote to one."""

    name: str
    size: str
    json: str
    task: str = ""

    @property
    def is_short(self) -> bool:
        return len(self.json) <= SHORT and "\n" not in self.json


@dataclass(frozen=True)
class State:
    row: models.Checkpoint
    since: str
    when: str
    parts: list[Part]
    writes: list[Part]
    """What the tasks of the next step had written on top of it."""
    fault: str
    """Why it cannot be decoded; empty if it can."""


def listed(run: models.Run) -> tuple[list[Listed], bool]:
    """The newest states of a run, the newest first, and whether there are more."""
    rows = _of(run).defer("state").annotate(octets=Length("state"))
    found = list(rows.order_by("-checkpoint_id")[: MOST + 1])
    return [_listed(run, row) for row in found[:MOST]], len(found) > MOST


def _of(run: models.Run) -> QuerySet[models.Checkpoint]:
    return models.Checkpoint.objects.filter(thread_id=str(run.pk), ns="")


def _listed(run: models.Run, row: Any) -> Listed:
    since = words.span(row.created_at - run.created_at)
    return Listed(row.pk, _when(row), since, words.size(row.octets))


def _when(row: models.Checkpoint) -> str:
    """After which of its steps, in words; LangGraph counts from -1."""
    step = row.metadata.get("step", 0)
    if row.metadata.get("source") == "update":
        return "taken over from its parent"
    if step > 0:
        return f"after step {step}"
    return "before step 1" if step == 0 else "as it was asked"


def find(run: models.Run, pk: int) -> State | None:
    """One state of a run, with what was written on top of it; None if it is not the run's."""
    row = _of(run).filter(pk=pk).first()
    if row is None:
        return None
    decoded, fault = _decoded(row.encoding, row.state)
    values = decoded.get("channel_values", {}) if isinstance(decoded, dict) else {}
    rows = models.CheckpointWrite.objects.filter(
        thread_id=row.thread_id, ns="", checkpoint_id=row.checkpoint_id
    )
    return State(
        row=row,
        since=words.span(row.created_at - run.created_at),
        when=_when(row),
        parts=[_part(name, value) for name, value in sorted(values.items())],
        writes=[_write(write) for write in rows.order_by("task_path", "task_id", "idx")],
        fault=fault,
    )


def _write(write: models.CheckpointWrite) -> Part:
    value, fault = _decoded(write.encoding, write.value)
    return _part(write.channel, fault or value, task=write.task_path or write.task_id)


def _part(name: str, value: Any, task: str = "") -> Part:
    shown = marks.as_json(value)
    return Part(name, words.count(len(shown)), shown, task)


def _decoded(encoding: str, data: bytes | memoryview) -> tuple[Any, str]:
    try:
        return checkpoints.SERDE.loads_typed((encoding, bytes(data))), ""
    except Exception as error:  # whatever was stored: this page only looks
        return None, f"It cannot be decoded ({encoding}): {type(error).__name__}."
