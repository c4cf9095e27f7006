"""A gate as the page of its run shows it: what one needs to know, and how to answer."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from experience import access, outcomes, story
from experience.dashboard import changes, prose
from runtime import errors, events, gates, models, runs

_THEN = {
    "stay": "it goes on waiting after that",
    "approve": "then it is approved",
    "reject": "then it is rejected",
}
_LIMITS = {
    "call_limit": ("calls", "Calls in all", "1"),
    "token_limit": ("tokens", "Tokens in all", "1"),
    "cost_limit": ("cost", "US dollars in all", "any"),
    "time_limit": ("seconds", "Seconds of work in all", "any"),
}
_DRAFTS = ("node.completed", "gate.answered")


def about(run: models.Run, gate: models.Gate, user: Any) -> dict[str, Any]:
    """What its template shows."""
    told = gates.as_json(gate)
    labels = {n.id: n.label or n.id for n in runs.document_of(run).nodes}
    context = {
        "run": run,
        "gate": told,
        "where": _where(told, labels),
        "is_open": gate.answered_at is None and run.status == models.Status.PAUSED,
        "may_answer": _may_answer(user, gate),
    }
    if gate.answered_at is not None:
        data = {"place": gate.place, "action": gate.action}
        return {**context, "done": outcomes.done(data), "by": gate.answered_by}
    return context | {
        **_draft(run, told["current_draft"]),
        "feedback": told["feedback"] and _shown(told["feedback"]),
        "facts": list(_facts(run, told, labels)),
        "deadline": told["deadline"] and datetime.fromisoformat(told["deadline"]),
        "then": _THEN[told["on_deadline"]],
        "targets": [(target, labels.get(target, target)) for target in told["targets"]],
        "limit": _limit(told),
    }


def _may_answer(user: Any, gate: models.Gate) -> bool:
    try:
        access.check_may_answer(user, gate)
    except errors.GateNotYours:
        return False
    return True


def _where(told: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    label = labels.get(told["node"], told["node"])
    match told["place"]:
        case "limit":
            return f"At {outcomes.limit(told['limit'])}, in {label}"
        case "iterations":
            return f"At the limit of {label}"
        case place:
            return f"{place.capitalize()} {label}"


def _draft(run: models.Run, text: str) -> dict[str, Any]:
    if not text:
        return {"draft": None}
    log = run.events.filter(kind__in=_DRAFTS).order_by("seq")
    drafts = story.Drafts([*story.reused(run), *map(events.logged, log)])
    earlier = drafts.before(text)
    return {
        "draft": _shown(text),
        "earlier": earlier,
        "changes": changes.between(earlier, text) if earlier else None,
    }


def _shown(text: str) -> dict[str, Any]:
    return {"text": text, "prose": prose.html(text)}


def _facts(
    run: models.Run, told: Mapping[str, Any], labels: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    if (score := told["critic_score"]) is not None:
        yield "last score", f"{score:g} / 10"
    if told["iteration_count"]:
        yield "rounds", str(told["iteration_count"])
    yield "cost so far", outcomes.money(events.total_usage(run.pk)["cost"])
    if told["next_nodes"]:
        following = ", ".join(labels.get(each, each) for each in told["next_nodes"])
        yield "if approved, next is", following
    if told["answerers"] != ["owner"]:
        yield "to be answered by", ", ".join(told["answerers"])


def _limit(told: Mapping[str, Any]) -> dict[str, Any] | None:
    """The limit that was reached, with what it would be if it were approved as it is."""
    if told["place"] != "limit" or told["limit"] not in _LIMITS:
        return None
    name, label, step = _LIMITS[told["limit"]]
    now = told["limits"].get(name, 0)
    return {"name": name, "label": label, "step": step, "now": now, "then": now + told["step"]}
