"""Gates: where a run waits for a person, and what the person says.

A gate is a row. It opens when its run comes to a stand, in the transaction that pauses the
run; it is answered once, under the run's lock; the last answer lets the run go on. The node
that waits asks for its answer by its task (`answered`), so the answer outlives every process.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from runtime import budgets, errors, events, models, runs
from runtime.models import Action, OnDeadline

LONGEST_TEXT = 100_000  # characters of a draft or a comment
# Who answers when nobody did in time.
DEADLINE = "the deadline"
_TEXTS = ("current_draft", "feedback", "comment")
# What may be said beside the action, by action.
_SAYS: Mapping[str, frozenset[str]] = {
    Action.APPROVE: frozenset({"limits"}),
    Action.MODIFY: frozenset({"current_draft", "feedback", "next_node"}),
    Action.REJECT: frozenset({"next_node", "comment"}),
}


@dataclass(frozen=True)
class Question:
    """What a run wants to ask; `task` is the step that waits."""

    task: str
    node: str
    place: str
    ask: str
    proposal: Mapping[str, Any]
    targets: Sequence[str] = ()
    actions: Sequence[str] = tuple(Action.values)
    answerers: Sequence[str] = ("owner",)
    patience: float | None = None
    """Seconds until the deadline."""
    on_deadline: str = OnDeadline.STAY
    number: int = field(default=1)


# --- opening ---------------------------------------------------------------------------


def open_all(fence: events.Fence, questions: Iterable[Question]) -> None:
    """Pause the run at these gates; those that it waits at already stay as they are.

    Raises errors.RunLost when the run is no longer this attempt's.
    """
    with transaction.atomic():
        run = runs.lock(fence.run_id)
        if run.attempt != fence.attempt or run.status != models.Status.RUNNING:
            raise errors.RunLost(str(run.pk))
        runs.pause(run)
        known = set(run.gates.values_list("task", "number"))
        for question in questions:
            if (question.task, question.number) not in known:
                _open(run, question)


def _open(run: models.Run, question: Question) -> None:
    now = timezone.now()
    gate = models.Gate.objects.create(
        run=run,
        task=question.task,
        number=question.number,
        node=question.node,
        place=question.place,
        ask=events.clean(question.ask),
        proposal=events.clean(question.proposal),
        actions=list(question.actions),
        targets=list(question.targets),
        answerers=list(question.answerers),
        opened_at=now,
        deadline=_deadline(now, question.patience),
        on_deadline=question.on_deadline,
    )
    events.append(run, "gate.opened", key=f"gate.opened/{gate.pk}", **as_json(gate))


def _deadline(now: datetime, patience: float | None) -> datetime | None:
    return None if patience is None else now + timedelta(seconds=patience)


def as_json(gate: models.Gate) -> dict[str, Any]:
    """The gate as it is told to people and programs."""
    return {
        "gate": str(gate.pk),
        "node": gate.node,
        "place": gate.place,
        "ask": gate.ask,
        **gate.proposal,
        "actions": gate.actions,
        "targets": gate.targets,
        "answerers": gate.answerers,
        "opened_at": events.stamp(gate.opened_at),
        "deadline": gate.deadline and events.stamp(gate.deadline),
        "on_deadline": gate.on_deadline,
    }


def open_of(run: models.Run) -> list[models.Gate]:
    """The gates that a run waits at, oldest first."""
    if run.status != models.Status.PAUSED:
        return []
    return list(run.gates.filter(answered_at=None).order_by("opened_at", "pk"))


# --- answering -------------------------------------------------------------------------


def find(run: models.Run, gate_id: UUID | None, *, seen_at: datetime) -> models.Gate:
    """The gate that an answer means: the one named, or the only one open.

    `seen_at` is when the answer arrived: an answer without a name cannot mean a gate that
    opened later. Raises errors.GateNotFound, GateAmbiguous, GateAnswered, GateNotOpen.
    """
    if gate_id is not None:
        gate = run.gates.filter(pk=gate_id).first()
        if gate is None:
            raise errors.GateNotFound
        return gate
    found = [gate for gate in open_of(run) if gate.opened_at <= seen_at]
    if len(found) > 1:
        raise errors.GateAmbiguous(gates=[str(gate.pk) for gate in found])
    if found:
        return found[0]
    last = run.gates.filter(answered_at__isnull=False).order_by("-answered_at").first()
    raise _answered(last) if last else errors.GateNotOpen()


def answer(
    gate_id: UUID, *, action: str, by: str, says: Mapping[str, Any] | None = None
) -> models.Gate:
    """Answer a gate, once, and let its run go on, if no other gate keeps it.

    `says`: for modify any of `current_draft`, `feedback`, `next_node`; for reject `next_node`
    and `comment`, and without a `next_node` the run ends as cancelled, with the reason
    rejected; for approve, at a limit, the new `limits` (else the old ones once more).

    Raises errors.GateAnswered (its detail says by whom and when), errors.AnswerInvalid (the
    gate stays open), errors.RunFinished, errors.GateNotFound.
    """
    says = {name: value for name, value in (says or {}).items() if value is not None}
    run_id = models.Gate.objects.filter(pk=gate_id).values_list("run_id", flat=True).first()
    if run_id is None:
        raise errors.GateNotFound
    _expire([run_id])
    with transaction.atomic():
        run = runs.lock(run_id)
        gate = models.Gate.objects.get(pk=gate_id)
        if gate.answered_at is not None:
            raise _answered(gate)
        if run.has_ended:
            raise errors.RunFinished(status=run.status)
        if run.status != models.Status.PAUSED:
            raise errors.GateNotOpen  # left behind by a failure; it is asked anew
        _check(gate, action, says)
        _take(run, gate, action=action, by=by, says=events.clean(says))
    return gate


def says(
    action: str, modified_state: Mapping[str, Any] | None, **beside: Any
) -> dict[str, Any]:
    """What is said beside an action, from the fields that clients send.

    Raises errors.AnswerInvalid when there is a modified state, and the action is another.
    """
    if modified_state is not None and action != Action.MODIFY:
        raise _invalid("A modified_state goes with modify only.")
    return {**(modified_state or {}), **beside}


def _answered(gate: models.Gate) -> errors.GateAnswered:
    assert gate.answered_at is not None
    return errors.GateAnswered(
        gate=str(gate.pk),
        action=gate.action,
        by=gate.answered_by,
        at=events.stamp(gate.answered_at),
    )


def _check(gate: models.Gate, action: str, says: Mapping[str, Any]) -> None:
    if action not in gate.actions:
        allowed = " or ".join(gate.actions)
        raise _invalid(f"This gate cannot be answered so; {allowed} it.", actions=gate.actions)
    unknown = says.keys() - _SAYS[action]
    if unknown:
        known = ", ".join(sorted(_SAYS[action]))
        strange = ", ".join(sorted(unknown))
        raise _invalid(f"{action} knows no {strange}; it takes {known}.", unknown=[*unknown])
    if action == Action.MODIFY:
        _check_changes(gate, says)
    for name in _TEXTS:
        text = says.get(name, "")
        if not isinstance(text, str) or len(text) > LONGEST_TEXT:
            raise _invalid(f"{name} is a text of at most {LONGEST_TEXT} characters.")
    if says.get("next_node", "") not in ("", *gate.targets):
        raise _invalid(
            f"From here the run can be sent to {', '.join(gate.targets) or 'no other node'}.",
            targets=gate.targets,
        )
    if "limits" in says:
        _check_limits(gate, says["limits"])


def _check_limits(gate: models.Gate, limits: Any) -> None:
    if gate.place != "limit":
        raise _invalid("Limits can be changed at a limit only.")
    if not isinstance(limits, Mapping):
        raise _invalid("Limits are an object of numbers by name.")
    runs.check_prices(gate.run, budgets.checked(limits))


def _check_changes(gate: models.Gate, says: Mapping[str, Any]) -> None:
    if not says:
        raise _invalid("Say what to modify: current_draft, feedback or next_node.")
    fixed = says.keys() - {*gate.proposal.get("may_change", ())}
    if fixed:
        raise _invalid(f"Here {', '.join(sorted(fixed))} cannot be changed.")


def _invalid(message: str, **detail: Any) -> errors.AnswerInvalid:
    return errors.AnswerInvalid(message, **detail)


def _take(
    run: models.Run, gate: models.Gate, *, action: str, by: str, says: Mapping[str, Any]
) -> None:
    gate.action, gate.answer, gate.answered_by = action, dict(says), by
    gate.answered_at = timezone.now()
    gate.save(update_fields=["action", "answer", "answered_by", "answered_at"])
    if gate.place == "limit" and action == Action.APPROVE:
        run.limits = _extended(run.limits, gate, says)
    if "current_draft" in says:
        run.current_draft, run.draft_cut = says["current_draft"], False
    run.save(update_fields=["limits", "current_draft", "draft_cut"])
    events.append(
        run,
        "gate.answered",
        key=f"gate.answered/{gate.pk}",
        gate=str(gate.pk),
        node=gate.node,
        place=gate.place,
        action=action,
        by=by,
        answer=dict(says),
        limits=run.limits,
    )
    _go_on(run, gate, by)


def _go_on(run: models.Run, gate: models.Gate, by: str) -> None:
    if gate.action == Action.REJECT and gate.place == "limit":
        runs.stop(run, gate.proposal["limit"], runs.document_of(run))
    elif _ends_the_run(gate):
        runs.cancel_locked(run, by=by, reason="rejected")
    elif not open_of(run):
        runs.resume(run, by=by)


def _ends_the_run(gate: models.Gate) -> bool:
    """At the limit of iterations a rejection is the loop's end, not the run's."""
    is_rejected = gate.action == Action.REJECT and not gate.answer.get("next_node")
    return is_rejected and gate.place != "iterations"


def _extended(
    limits: Mapping[str, Any], gate: models.Gate, says: Mapping[str, Any]
) -> dict[str, Any]:
    """The run's limits with those that were stated, or else the reached one once more."""
    if says.get("limits"):
        return {**limits, **budgets.checked(says["limits"])}
    name = gate.proposal["limit"].removesuffix("_limit")
    name = {"call": "calls", "token": "tokens", "time": "seconds"}.get(name, name)
    return {**limits, name: limits[name] + gate.proposal["step"]}


def answered(run_id: UUID) -> dict[tuple[str, int], models.Gate]:
    """The answered gates of a run, by task and number."""
    rows = models.Gate.objects.filter(run_id=run_id, answered_at__isnull=False)
    return {(gate.task, gate.number): gate for gate in rows}


# --- deadlines -------------------------------------------------------------------------


def expire() -> list[UUID]:
    """Do at every gate whose deadline has passed what it states; the runs they belong to."""
    due = _due().values_list("run_id", flat=True).distinct()
    return _expire(list(due))


def _due() -> Any:
    late = Q(answered_at=None, deadline__lte=timezone.now())
    return models.Gate.objects.filter(late, run__status=models.Status.PAUSED).exclude(
        on_deadline=OnDeadline.STAY
    )


def _expire(run_ids: Iterable[UUID]) -> list[UUID]:
    expired = []
    for run_id in run_ids:
        with transaction.atomic():
            run = runs.lock(run_id)
            for gate in _due().filter(run_id=run_id).order_by("deadline"):
                if run.status != models.Status.PAUSED:
                    break
                _take(run, gate, action=gate.on_deadline, by=DEADLINE, says={})
                expired.append(run_id)
    return expired
