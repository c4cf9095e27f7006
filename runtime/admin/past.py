"""What led a run to where it stands: its drafts, what went wrong, its forks, its job."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from procrastinate.contrib.django.models import ProcrastinateJob

from runtime import models
from runtime.admin import marks, timeline, words

# The newest of each are shown, and how many are left out is said.
MOST_DRAFTS = 30
MOST_FAULTS = 50
MOST_LINKED = 50
_FAULTS = ("node.failed", "node.retried", "node.stopped", "run.interrupted", "run.failed")
_DRAFTED = ("node.completed", "gate.answered")


@dataclass
class Draft:
    number: int
    seq: int
    by: str
    """The node, or who changed it at a gate."""
    round: Any
    text: str
    scores: list[str] = field(default_factory=list)

    @property
    def length(self) -> str:
        return words.count(len(self.text.split()))

    @property
    def shown(self) -> str:
        return marks.cut(self.text)


@dataclass(frozen=True)
class Fault:
    seq: int
    since: str
    kind: str
    what: str


@dataclass(frozen=True)
class Past:
    drafts: list[Draft]
    """The newest first."""
    more_drafts: int
    faults: list[Fault]
    """The newest first."""
    more_faults: int


def of(run: models.Run) -> Past:
    """The drafts of a run and what went wrong in it, in one reading of its log."""
    kinds = (*_FAULTS, *_DRAFTED)
    log = run.events.filter(kind__in=kinds).order_by("seq")
    drafts = list(_drafts(event for event in log if event.kind in _DRAFTED))
    faults = [_fault(run, event) for event in log if event.kind in _FAULTS]
    return Past(
        drafts=drafts[::-1][:MOST_DRAFTS],
        more_drafts=max(0, len(drafts) - MOST_DRAFTS),
        faults=faults[::-1][:MOST_FAULTS],
        more_faults=max(0, len(faults) - MOST_FAULTS),
    )


def _drafts(log: Iterable[models.Event]) -> list[Draft]:
    """The drafts, each with the scores that were given before the next one was written."""
    found: list[Draft] = []
    for event in log:
        data = event.data
        if event.kind == "gate.answered":
            text, by, number = data["answer"].get("current_draft"), data["by"], None
        else:
            text, by, number = data["output"].get("draft"), data["node"], data["iteration"]
        if text:
            found.append(Draft(len(found) + 1, event.seq, by, number, text))
        elif found and data.get("score") is not None:
            found[-1].scores.append(words.score(data["score"]))
    return found


def _fault(run: models.Run, event: models.Event) -> Fault:
    since = words.span(event.at - run.created_at)
    return Fault(event.seq, since, event.kind, timeline.telling(event.kind, event.data))


def forks(run: models.Run) -> list[models.Run]:
    """The newest runs that go on from this one."""
    found = run.children.only("pk", "status", "created_at", "parent_seq", "parent_id")
    return list(found.order_by("-created_at")[:MOST_LINKED])


def gates(run: models.Run) -> list[models.Gate]:
    """The newest places where it has waited for a person, without what was proposed there."""
    found = run.gates.defer("proposal", "answer", "ask").order_by("-opened_at")[:MOST_LINKED]
    for gate in found:
        gate.run = run
    return list(found)


def job(run: models.Run) -> ProcrastinateJob | None:
    """The job behind a run; None when it is done, for then it is deleted."""
    return ProcrastinateJob.objects.select_related("worker").filter(pk=run.job_id).first()
