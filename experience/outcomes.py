"""How a run came out, in words that nobody can mistake for more than it was."""

from collections.abc import Mapping
from typing import Any

from runtime import events

_EARLY = {
    "no_gain": "ended early: the scores rose too little",
    "no_change": "ended early: the draft hardly changed",
    "iteration_limit": "stopped at the limit",
}
_OWNERS = {"user_": "the user's ", "group_": "the group's "}


def sentence(end: events.Logged) -> str:
    """In one line, what a reader must know of the end to trust the result."""
    data = end.data
    if end.kind == "run.failed":
        where = f" in {data['node']}" if data["node"] else ""
        return f"failed{where}: {data['message']}"
    if end.kind == "run.cancelled":
        how = "rejected" if data["reason"] == "rejected" else "cancelled"
        return f"{how} by {data['by']}"
    parts = [reason(data["reason"], data["approved"])]
    if to := handed_over(data):
        # Beside a limit, at which it was stopped after that, the hand-over says more.
        parts = [f"handed over to {to}", *(parts if data["reason"] != "handed_over" else [])]
    return "; ".join([*parts, *reserve(data)])


def handed_over(data: Mapping[str, Any]) -> str:
    """To whom a completed run has handed over; empty if it has not."""
    return str((data.get("handoff") or {}).get("to", ""))


def reserve(data: Mapping[str, Any]) -> list[str]:
    """What keeps the result of a completed run from being whole."""
    cut = ["its text was cut off at a token limit"] if data.get("draft_cut") else []
    return [*([attendance(data)] if missing(data) else []), *cut]


def reason(name: str, approved: bool | None) -> str:
    """Why a completed run ended, and whether its result was approved."""
    if name in _EARLY or name.endswith("_limit"):
        return f"{_EARLY.get(name) or f'stopped at {limit(name)}'}, not approved"
    if name == "handed_over":
        return "handed over"
    if approved is None:
        return "finished, no critic decided"
    return "approved by the critic" if approved else "finished, not approved"


def interrupted(cause: str) -> str:
    """Why an attempt was over before its run was, by the `cause` of its event."""
    if cause == "reassigned":
        return "it was taken from its worker"
    return "its worker was lost" if cause == "worker_lost" else "its worker is stopping"


def limit(name: str) -> str:
    """A limit in words: `user_daily_token_limit` is the user's daily token limit."""
    for prefix, whose in _OWNERS.items():
        if name.startswith(prefix):
            return whose + name.removeprefix(prefix).replace("_", " ")
    return f"the {name.replace('_', ' ')}"


def missing(data: Mapping[str, Any]) -> list[str]:
    """The members that a completed run had to do without."""
    return list((data.get("members") or {}).get("missing", ()))


def attendance(data: Mapping[str, Any]) -> str:
    """`2 of 3 members, missing answer_b`; empty for a council without members."""
    members = data.get("members") or {}
    if not members.get("of"):
        return ""
    names = ", ".join(members["missing"])
    return f"{members['present']} of {members['of']} members{names and f', missing {names}'}"


def facts(end: events.Logged) -> list[tuple[str, str]]:
    """What there is to know of a completed run beside its text: name and value."""
    data, usage = end.data, end.data["usage"]
    score, members = data["critic_score"], attendance(data).replace(" members", "")
    return [
        ("outcome", sentence(end)),
        *([("members", members)] if members else []),
        ("last score", "none" if score is None else f"{score:g} / 10"),
        ("rounds", str(data["iteration_count"])),
        *spent(usage),
    ]


def spent(usage: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Models, calls, tokens and money. What nobody knows is unknown, not nothing."""
    least = "at least " if usage["partial"] else ""
    tokens = (("tokens in", "input_tokens"), ("tokens out", "output_tokens"))
    scripted = [("", "scripted demo model: no AI wrote this")] if usage["scripted"] else []
    return [
        ("models", ", ".join(usage["models"]) or "none"),
        *scripted,
        ("calls", least + str(usage["calls"])),
        *((label, _number(usage[name], least)) for label, name in tokens if name in usage),
        ("cost", money(usage["cost"], least)),
    ]


def _number(value: int | None, least: str) -> str:
    return "unknown" if value is None else f"{least}{value}"


def money(cost: Any, least: str = "") -> str:
    """US dollars."""
    return "unknown" if cost is None else f"{least}${float(cost):.4g}"


def done(answer: Mapping[str, Any]) -> str:
    """What was done at a gate (by somebody), by the data of its `gate.answered`."""
    return _DONE.get((answer.get("place", ""), answer["action"])) or _DONE["", answer["action"]]


_DONE = {
    ("", "approve"): "approved",
    ("", "modify"): "modified",
    ("", "reject"): "rejected",
    ("limit", "approve"): "limit extended",
    ("limit", "reject"): "stopped at the limit",
    ("iterations", "approve"): "given one more round",
    ("iterations", "reject"): "loop ended",
}
