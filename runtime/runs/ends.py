"""How a run ends: once, with a stated reason.

What a driving attempt uses (`completed`, `stopped`, `failed`) returns a change for its writer,
which fences it; the others write in a transaction that has locked the run.
"""

from collections.abc import Mapping
from typing import Any

from django.utils import timezone

from runtime import blueprints, budgets, errors, events, history, models, nodes, writer
from runtime.runs import rows


def completed(
    run: models.Run,
    document: blueprints.Document,
    state: Mapping[str, Any],
    usage: Mapping[str, Any],
) -> writer.Change:
    """The change that ends a run with its result. `state`: the council's last state.

    The score is the last real one; a limit that was reached is a reason, never a score
    (rule 7). A run whose guide has handed over has ended for that reason, whatever else its
    council has said.
    """
    decision = state.get("route_decision") or None
    approved = None if decision is None else decision == "approve"
    reason = _REASONS.get(decision or "", "finished")
    if state.get("handoff"):
        reason = "handed_over"
    row = projection(state)
    data, fields = _result(run, document, state, reason, approved, usage)
    change = [_end_event(run, "run.completed", {**data, **_drafted(row)})]
    return writer.Change(rows.fence_of(run), change, row | fields)


# Why a council that went to its end did so, by what its critic decided last.
_REASONS = {
    "approve": "approved",
    "limit": "iteration_limit",
    "no_gain": "no_gain",
    "no_change": "no_change",
}


def stopped(
    run: models.Run, limit: str, document: blueprints.Document, usage: Mapping[str, Any]
) -> writer.Change:
    """The change that stops a run at a limit: with what it has come to, or failed for want of
    a draft.

    `run` must be fresh: its draft is the one that stays.
    """
    kind, data, fields = _stopped(run, limit, document, usage)
    return writer.Change(rows.fence_of(run), [_end_event(run, kind, data)], fields)


def _stopped(
    run: models.Run, limit: str, document: blueprints.Document, usage: Mapping[str, Any]
) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Kind and data of the event, and the columns, of a run that a limit ends."""
    state = history.state_now(run)
    if not run.current_draft and not state.get("handoff"):
        message = (
            f"The {limit.replace('_', ' ')} left no room for a call, and there is no draft."
        )
        data, fields = failure(errors.Fault(limit, message), node="", usage=usage)
        return "run.failed", data, fields
    data, fields = _result(run, document, state, limit, False, usage)
    return "run.completed", data | _drafted(projection(vars(run))), fields


def _drafted(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "final_draft": row.get("current_draft", ""),
        "critic_score": row.get("critic_score"),
        "iteration_count": row.get("iteration_count", 0),
        "draft_cut": row.get("draft_cut", False),
    }


def _result(
    run: models.Run,
    document: blueprints.Document,
    state: Mapping[str, Any],
    reason: str,
    approved: bool | None,
    usage: Mapping[str, Any],
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Data of the event, and the columns, of a run that ends with a result."""
    members = nodes.attendance(blueprints.members(document), state.get("messages", []))
    data = {"reason": reason, "approved": approved, "usage": dict(usage), "members": members}
    handoff = state.get("handoff")
    # The writer would store None as a JSON null, which is not the column's NULL.
    fields = _ended(
        models.Status.COMPLETED, **data, **({"handoff": handoff} if handoff else {})
    )
    return {**data, "handoff": handoff}, fields


def failed(
    run: models.Run, fault: errors.Fault, *, node: str, usage: Mapping[str, Any]
) -> writer.Change:
    """The change that ends a run without a result, for a stated reason."""
    data, fields = failure(fault, node=node, usage=usage)
    event = _end_event(run, "run.failed", data)
    return writer.Change(rows.fence_of(run), [event], fields, last_word=True)


def failure(
    fault: errors.Fault, *, node: str, usage: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    data = {"code": fault.code, "message": fault.message, "node": node}
    fields = _ended(
        models.Status.FAILED,
        reason="failed",
        error_code=fault.code,
        error_message=fault.message,
        usage=dict(usage),
    )
    return data, fields


def _end_event(run: models.Run, kind: str, data: dict[str, Any]) -> events.NewEvent:
    return events.NewEvent(kind, key(run), data)


def key(run: models.Run) -> str:
    """One key for the three ends: the database itself lets a run end once, and once more for
    each time it was retried."""
    return f"run.end/{run.retries}"


def _ended(status: models.Status, **fields: Any) -> dict[str, Any]:
    """The columns of a run that has ended."""
    return {"status": status, "ended_at": timezone.now(), **fields}


def projection(state: Mapping[str, Any]) -> dict[str, Any]:
    """What of the working state the run's row repeats."""
    names = ("current_draft", "critic_score", "iteration_count", "draft_cut")
    return {name: state[name] for name in names if name in state}


def cancel(run: models.Run, *, by: str, reason: str) -> None:
    """`cancel`, of an active run, in a transaction that has locked it."""
    budgets.settle_all(run.pk)
    usage = events.total_usage(run.pk)
    rows.save(run, _ended(models.Status.CANCELLED, reason=reason, usage=usage))
    events.append(run, "run.cancelled", key=key(run), reason=reason, by=by)
    rows.abort(run)


def stop(run: models.Run, limit: str, document: blueprints.Document) -> None:
    """End a paused run at a limit that nobody extended, in a transaction that has locked it."""
    kind, data, fields = _stopped(run, limit, document, events.total_usage(run.pk))
    rows.save(run, fields)
    events.append(run, kind, key=key(run), **data)
