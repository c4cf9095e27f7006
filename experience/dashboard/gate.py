"""A gate as the page of its run shows it: what one needs to know, and how to answer."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from experience import access, outcomes, story
from experience.dashboard import changes, estimates, prose, told
from runtime import errors, events, gates, models, runs

_LIMITS = {
    "call_limit": ("calls", "Calls in all", "1"),
    "token_limit": ("tokens", "Tokens in all", "1"),
    "cost_limit": ("cost", "US dollars in all", "any"),
    "time_limit": ("seconds", "Seconds of work in all", "any"),
}
_DRAFTS = ("node.completed", "gate.answered")


def about(run: models.Run, gate: models.Gate, user: Any) -> dict[str, Any]:
    """What its template shows."""
    asked = gates.as_json(gate)
    labels = {n.id: told.plain(n.label or n.id) for n in runs.document_of(run).nodes}
    context = {
        "run": run,
        "gate": asked,
        "where": told.where(asked, labels),
        "why": told.plain(asked["why"]),
        "is_open": gate.answered_at is None and run.status == models.Status.PAUSED,
        "may_answer": _may_answer(user, gate),
    }
    if gate.answered_at is not None:
        data = {"place": gate.place, "action": gate.action}
        return {**context, "done": outcomes.done(data), "by": gate.answered_by}
    return context | {
        **_draft(run, asked["current_draft"]),
        "feedback": asked["feedback"] and _shown(asked["feedback"]),
        "facts": list(_facts(run, asked, labels, user)),
        "deadline": asked["deadline"] and datetime.fromisoformat(asked["deadline"]),
        "then": told.then(asked["on_deadline"]),
        "targets": [(target, labels.get(target, target)) for target in asked["targets"]],
        "limit": _limit(asked),
    }


def _may_answer(user: Any, gate: models.Gate) -> bool:
    try:
        access.check_may_answer(user, gate)
    except errors.GateNotYours:
        return False
    return True


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
    run: models.Run, asked: Mapping[str, Any], labels: Mapping[str, str], user: Any
) -> Iterator[tuple[str, str]]:
    if (score := asked["critic_score"]) is not None:
        yield "last score", f"{score:g} / 10"
    if asked["iteration_count"]:
        yield "rounds", str(asked["iteration_count"])
    yield "cost so far", outcomes.money(events.total_usage(run.pk)["cost"])
    earlier = estimates.of(user, run.blueprint_version.blueprint_id, run.model)
    if earlier.calls:
        yield "a whole run", earlier.text
    if asked["next_nodes"]:
        following = ", ".join(labels.get(each, each) for each in asked["next_nodes"])
        yield "if approved, next is", following
    if asked["answerers"] != ["owner"]:
        yield "to be answered by", told.plain(", ".join(asked["answerers"]))


def _limit(asked: Mapping[str, Any]) -> dict[str, Any] | None:
    """The limit that was reached, with what it would be if it were approved as it is."""
    if asked["place"] != "limit" or asked["limit"] not in _LIMITS:
        return None
    name, label, step = _LIMITS[asked["limit"]]
    now = asked["limits"].get(name, 0)
    return {"name": name, "label": label, "step": step, "now": now, "then": now + asked["step"]}
