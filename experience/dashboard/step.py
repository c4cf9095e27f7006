"""One finished step of a run, as its page shows it."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from experience import outcomes, story
from experience.dashboard import changes, prose, told
from runtime import events, models

_FINISHED = ("node.completed", "node.failed")
# The texts among what a node puts out, in the order they are shown.
_TEXTS = ("draft", "review", "feedback", "reason", "dissent")
_DRAFTS = ("node.completed", "gate.answered")


class Found(NamedTuple):
    event: events.Logged
    earlier: list[events.Logged]
    """Of what drafts were made before it."""


class Text(NamedTuple):
    name: str
    """Empty if there is only this one."""
    text: str
    prose: str | None
    """As HTML; None if it is too long for that."""


def find(run: models.Run, which: str) -> Found | None:
    """The finished step with this `seq`; of a fork's reused ones the `r` and its number."""
    inherited = story.reused(run)
    if which.startswith("r") and which[1:].isdecimal() and len(which) < 10:
        number = int(which[1:])
        reused = inherited[number] if number < len(inherited) else None
        if reused is None or reused.kind not in _FINISHED:
            return None
        return Found(reused, inherited[:number])
    if not which.isdecimal() or len(which) > 9:
        return None
    row = run.events.filter(seq=int(which), kind__in=_FINISHED).first()
    if row is None:
        return None
    before = run.events.filter(seq__lt=row.seq, kind__in=_DRAFTS).order_by("seq")
    return Found(events.logged(row), [*inherited, *map(events.logged, before)])


def about(found: Found) -> dict[str, Any]:
    """What its template shows."""
    data = found.event.data
    if found.event.kind == "node.failed":
        return {"failure": data["message"], "facts": list(_took(data))}
    output = data["output"]
    texts = [(name, text) for name in _TEXTS if (text := output.get(name))]
    draft = output.get("draft")
    earlier = _earlier(found, draft) if draft else None
    return {
        "texts": [_shown(name if len(texts) > 1 else "", text) for name, text in texts],
        "earlier": earlier,
        "changes": changes.between(earlier, draft) if earlier else None,
        "has_input": bool(data["usage"]["calls"]),
        "facts": [*_said(output), *_took(data), *_used(data)],
        "cut": data.get("cut"),
        "scripted": data["scripted"],
    }


def _earlier(found: Found, draft: str) -> str | None:
    return story.Drafts([*found.earlier, found.event]).before(draft)


def _shown(name: str, text: Any) -> Text:
    return Text(name, str(text), prose.html(str(text)))


def _said(output: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What else a node put out, where a word says it."""
    if (score := output.get("score")) is not None:
        yield "score", f"{score:g} / 10"
    for name in ("decision", "verdict", "choice"):
        if value := output.get(name):
            yield _LABELS.get(name, name), str(value)
    if counts := output.get("counts"):
        yield "votes", ", ".join(f"{name}: {number}" for name, number in counts.items())
    if handoff := output.get("handoff"):
        yield "hands over to", f"{handoff['to']}: {handoff['reason']}"


_LABELS = {"verdict": "the model's own verdict"}


def _took(data: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if model := data.get("model"):
        yield "model", model
    yield "time", duration(data["duration_ms"])


def _used(data: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    usage = data["usage"]
    if not usage["calls"]:
        return
    yield "calls", str(usage["calls"])
    yield "tokens in", _number(usage["input_tokens"])
    yield "tokens out", _number(usage["output_tokens"])
    yield "cost", outcomes.money(usage["cost"])


def _number(value: int | None) -> str:
    return "unknown" if value is None else told.count(value)


def duration(milliseconds: int) -> str:
    """`0.4 s`, `38 s`, `1 m 12 s`, `2 h 5 m`."""
    seconds = milliseconds / 1000
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, whole = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} m {whole} s" if minutes else f"{whole} s"
    return f"{minutes // 60} h {minutes % 60} m"
