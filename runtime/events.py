"""The log of a run: append to it, read it, and ring when it grows.

Nothing here opens a transaction: an event is written inside the transaction of the change
it tells of, by the function that makes the change (`runs`, or `writer` for a driven run).
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection, transaction
from django.utils import timezone

from runtime import doorbell, llm, metrics, models

# Every kind of event, with what its `data` holds. docs/reference.md says the same, and a
# test compares the two.
KINDS: Mapping[str, str] = {
    "run.created": "input_topic, model, blueprint, blueprint_version, god_mode, limits, "
    "overrides, parent, parent_seq, context, handoffs",
    "run.started": "attempt, worker",
    "run.interrupted": "attempt, cause: worker_lost, worker_stopping or reassigned; then by",
    "node.started": "node, kind, iteration, task, model",
    "node.token": "node, task, text (what was added)",
    "node.retried": "node, task, code, message, next_try",
    "node.completed": "node, kind, iteration, task, output, score, duration_ms, usage, model, "
    "scripted, cut, first_token_ms, asked",
    "node.failed": "node, kind, iteration, task, code, message, duration_ms",
    "node.stopped": "node, kind, iteration, task, limit, calls",
    "gate.opened": "gate, node, place, ask, why, next_nodes, current_draft, critic_score, "
    "iteration_count, feedback, may_change, actions, targets, answerers, opened_at, deadline, "
    "on_deadline; at a limit also limit, limits, step",
    "gate.answered": "gate, node, place, action, by, answer, limits",
    "run.resumed": "by",
    "run.retried": "by, retry, code, message, node, limits, idempotency_key",
    "run.completed": "reason, approved, final_draft, critic_score, iteration_count, usage, "
    "members, draft_cut, handoff",
    "run.failed": "code, message, node",
    "run.cancelled": "reason, by",
}
ENDS = ("run.completed", "run.failed", "run.cancelled")


class NewEvent(NamedTuple):
    """An event that has no place in the log yet."""

    kind: str
    key: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Logged:
    """An event as a reader sees it, from the log or from a ring."""

    run_id: UUID
    seq: int
    kind: str
    data: dict[str, Any]
    at: datetime

    def as_json(self) -> dict[str, Any]:
        return {
            "seq": self.seq,
            "kind": self.kind,
            "data": self.data,
            "at": stamp(self.at),
        }


def stamp(at: datetime) -> str:
    """ISO 8601 in UTC with `Z`, to the millisecond."""
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def clean(value: Any) -> Any:
    """The value with control characters and lone surrogates replaced, see `llm.clean`."""
    if isinstance(value, str):
        return llm.clean(value)
    if isinstance(value, Mapping):
        return {clean(k): clean(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [clean(v) for v in value]
    return value


# --- writing ---------------------------------------------------------------------------


def append(run: models.Run, kind: str, /, key: str = "", **data: Any) -> Logged:
    """Append one event to the run, inside the caller's transaction, and ring on commit.

    `key` defaults to the kind, which then happens once in a run.
    """
    with connection.cursor() as cursor:
        cursor.execute(_NEXT, [run.pk])
        (run.last_seq,) = cursor.fetchone()
    row = models.Event.objects.create(
        run_id=run.pk,
        seq=run.last_seq,
        kind=kind,
        key=key or kind,
        data=clean(data),
        at=timezone.now(),
    )
    new = logged(row)
    transaction.on_commit(lambda: ring(run.pk, [new]))
    return new


# Takes the row lock as well, so numbers are committed in their order.
_NEXT = "UPDATE runtime_run SET last_seq = last_seq + 1 WHERE id = %s RETURNING last_seq"


class Fence(NamedTuple):
    """Who writes: one attempt of one run."""

    run_id: UUID
    attempt: int


def drop_unfinished_tokens(run_id: UUID) -> None:
    """Drop what unfinished nodes had said: they will say it anew.

    Tokens of finished nodes are gone already, so these are all that are left.
    """
    models.Event.objects.filter(run_id=run_id, kind="node.token").delete()


# --- reading ---------------------------------------------------------------------------


def logged(row: models.Event) -> Logged:
    return Logged(row.run_id, row.seq, row.kind, row.data, row.at)


def since(run_id: UUID, seq: int, *, limit: int = 500) -> list[Logged]:
    """The next events after `seq`, in order, at most `limit`."""
    rows = models.Event.objects.filter(run_id=run_id, seq__gt=seq).order_by("seq")[:limit]
    return [logged(row) for row in rows]


def heads(run_ids: Iterable[UUID]) -> dict[UUID, int]:
    """The last number of each run's log."""
    return dict(models.Run.objects.filter(pk__in=list(run_ids)).values_list("pk", "last_seq"))


def total_usage(run_id: UUID) -> dict[str, Any]:
    """What the run's finished nodes used, summed. Unknown stays unknown (None).

    Returns `calls`, `input_tokens`, `output_tokens`, `cost` (USD, a decimal as text),
    `cost_source`, `models`, `scripted` (whether any text came from the demo model), and
    `partial`: whether calls were broken off or failed, of which nobody knows what they used.
    """
    kinds = ("node.started", "node.retried", "node.stopped", "node.completed")
    found = models.Event.objects.filter(run_id=run_id, kind__in=kinds).order_by("seq")
    log = list(found.values_list("kind", "data"))
    done = [data for kind, data in log if kind == "node.completed"]
    usages = [data["usage"] for data in done]
    # A node that a limit kept from its first call has used nothing.
    idle = sum(kind == "node.stopped" and not data["calls"] for kind, data in log)
    cost = _sum([usage["cost"] and Decimal(usage["cost"]) for usage in usages])
    return {
        "calls": sum(usage["calls"] for usage in usages),
        "input_tokens": _sum([usage["input_tokens"] for usage in usages]),
        "output_tokens": _sum([usage["output_tokens"] for usage in usages]),
        "cost": None if cost is None else format(Decimal(cost), "f"),
        "cost_source": ", ".join(sorted({u["cost_source"] for u in usages if u["cost_source"]}))
        or None,
        "models": sorted({data["model"] for data in done} - {""}),
        "scripted": any(data["scripted"] for data in done),
        "partial": len(log) > 2 * (len(done) + idle),
    }


def worked_seconds(run_id: UUID) -> float:
    """How long attempts have worked on a run that is over for now; not how long it waited."""
    begins, stands = "run.started", ("run.interrupted", "gate.opened", "run.failed")
    found = models.Event.objects.filter(run_id=run_id, kind__in=(begins, *stands))
    worked, since = 0.0, None
    for kind, at in found.order_by("seq").values_list("kind", "at"):
        if kind == begins:
            since = at
        elif since is not None:
            worked, since = worked + (at - since).total_seconds(), None
    return worked


def _sum(values: Sequence[Any]) -> Any | None:
    """The sum, or None when one of them is unknown."""
    return None if None in values else sum(values)


# --- the doorbell (rule 3): latency only -----------------------------------------------


def ring(run_id: UUID, new: Sequence[Logged]) -> None:
    """Tell whoever watches the run that its log has grown. Call it after the commit.

    It is also where what has happened is counted.
    """
    for event in new:
        metrics.tell(event.kind, event.data)
    doorbell.ring(run_id, [event.as_json() for event in new])


def rung(message: Mapping[str, Any]) -> list[Logged]:
    """The events that a doorbell message carries; none if it was too large to carry them."""
    run_id = UUID(message["run"])
    return [
        Logged(run_id, e["seq"], e["kind"], e["data"], datetime.fromisoformat(e["at"]))
        for e in json.loads(message.get("events", "[]"))
    ]
