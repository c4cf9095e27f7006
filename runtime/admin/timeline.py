"""The log of a run, as a table to be read: a page of it, each event in a line."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count

from runtime import models
from runtime.admin import marks, words

PAGE = 200
TOKEN = "node.token"  # noqa: S105 - a kind of event


@dataclass(frozen=True)
class Line:
    seq: int
    since: str
    at: datetime
    kind: str
    what: str
    data: str


@dataclass(frozen=True)
class Timeline:
    """One page of a log. Tokens are left out: they matter only while their node writes."""

    lines: list[Line]
    number: int
    """Of this page, from 1."""
    pages: int
    there: str
    tokens: str
    """How many pieces of text were left out; empty for none."""

    @property
    def numbers(self) -> range:
        return range(1, self.pages + 1)


def page(run: models.Run, number: str) -> Timeline:
    """A page of the run's log; the first if the number makes no sense."""
    kinds = dict(run.events.order_by().values_list("kind").annotate(Count("pk")))
    tokens = kinds.pop(TOKEN, 0)
    there = sum(kinds.values())
    pages = max(1, -(-there // PAGE))
    makes_sense = number.isascii() and number.isdigit() and len(number) < 10
    chosen = min(int(number), pages) if makes_sense else 1
    first = PAGE * (max(1, chosen) - 1)
    log = run.events.exclude(kind=TOKEN).order_by("seq")[first : first + PAGE]
    return Timeline(
        lines=[_line(run, event) for event in log],
        number=max(1, chosen),
        pages=pages,
        there=words.count(there),
        tokens=words.count(tokens) if tokens else "",
    )


def _line(run: models.Run, event: models.Event) -> Line:
    return Line(
        seq=event.seq,
        since=words.span(event.at - run.created_at),
        at=event.at,
        kind=event.kind,
        what=words.short(telling(event.kind, event.data), 200),
        data=marks.as_json(event.data),
    )


def telling(kind: str, data: Mapping[str, Any]) -> str:
    """In one line, what an event tells. It is read as it is: an old one may lack a field."""
    told = _TELLING.get(kind)
    return told(_Known(data)) if told else ""


class _Known(dict[str, Any]):
    """What is told; a field that is not there is empty."""

    def __missing__(self, name: str) -> str:
        return ""


def _joined(*parts: Any) -> str:
    return " · ".join(str(part) for part in parts if part not in ("", None))


def _round(data: Mapping[str, Any]) -> str:
    return f"round {data['iteration']}" if data["iteration"] != "" else ""


def _completed(data: Mapping[str, Any]) -> str:
    scored = data["score"] not in ("", None)
    decision = (data["output"] or {}).get("decision", "")
    seconds = f"{data['duration_ms'] / 1000:.1f} s" if data["duration_ms"] != "" else ""
    return _joined(
        data["node"],
        _round(data),
        words.score(data["score"]) if scored else "",
        decision,
        seconds,
        data["model"],
        words.cost(data["usage"] or {}),
        "cut off at its token limit" if data["cut"] else "",
    )


def _interrupted(data: Mapping[str, Any]) -> str:
    causes = {
        "worker_lost": "its worker was lost",
        "worker_stopping": "its worker is stopping",
        "reassigned": f"taken from its worker by {data['by']}",
    }
    return f"attempt {data['attempt']}: {causes.get(data['cause'], data['cause'])}"


_TELLING: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "run.created": lambda d: _joined(
        f"{d['blueprint']} v{d['blueprint_version']}", d["model"], d["parent"] and "a fork"
    ),
    "run.started": lambda d: f"attempt {d['attempt']} at {d['worker']}",
    "run.interrupted": _interrupted,
    "node.started": lambda d: _joined(d["node"], d["kind"], _round(d), d["model"]),
    "node.retried": lambda d: f"{d['node']} tries again: {d['message']}",
    "node.completed": _completed,
    "node.failed": lambda d: f"{d['node']}, {d['code']}: {d['message']}",
    "node.stopped": lambda d: f"{d['node']}: {d['limit']} after {d['calls']} calls",
    "gate.opened": lambda d: _joined(f"{d['place']} {d['node']}", d["why"]),
    "gate.answered": lambda d: f"{d['place']} {d['node']}: {d['action']} by {d['by']}",
    "run.resumed": lambda d: f"by {d['by']}",
    "run.retried": lambda d: f"by {d['by']}, after {d['code']}: {d['message']}",
    "run.completed": lambda d: _joined(
        d["reason"],
        {False: "not approved"}.get(d["approved"], ""),
        words.score(d["critic_score"]) if d["critic_score"] not in ("", None) else "",
    ),
    "run.failed": lambda d: _joined(d["node"], f"{d['code']}: {d['message']}"),
    "run.cancelled": lambda d: f"by {d['by']} ({d['reason']})",
}
