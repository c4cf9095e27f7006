"""What two runs took, line by line, and how much more the second."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, NamedTuple

from experience.dashboard import councils, history, told
from runtime import models

_MINUS = "\u2212"
_MONEY = "{:+.4g} $"
_COUNTS = {"calls": "calls", "tokens in": "input_tokens", "tokens out": "output_tokens"}


class Taken(NamedTuple):
    run: models.Run
    usage: Mapping[str, Any]
    """As of now, if it goes on."""


_SAID: Mapping[str, Callable[[Taken], str]] = {
    "models used": lambda each: ", ".join(each.usage["models"]) or "none",
    "blueprint": lambda each: _blueprint(each.run.blueprint_version),
    "model": lambda each: each.run.model or "unknown",
    "limits": lambda each: councils.limits(each.run.limits) or "none",
    "mode": lambda each: "step by step" if each.run.god_mode else "auto-pilot",
    "who": lambda each: each.run.owner.get_username() if each.run.owner else "nobody",
}


class Row(NamedTuple):
    name: str
    a: str
    b: str
    more: str
    """How much more it is of B than of A, signed; empty where that says nothing."""


def rows(a: Taken, b: Taken) -> Iterator[Row]:
    """Scores first, then what was used, then of what."""
    both = a, b
    scores = [each.run.critic_score for each in both]
    rounds = [each.run.iteration_count for each in both]
    yield Row("last score", *_texts(both, _last_score), _more(scores, "{:+g}"))
    yield Row("rounds", *_texts(both, _rounds), _more(rounds, "{:+d}"))
    yield _durations(a, b)
    for name, key in _COUNTS.items():
        texts = _texts(both, partial(_count, key))
        more = _more([each.usage[key] for each in both], "{:+,d}")
        yield Row(name, *texts, more.replace(",", "\u202f"))
    costs = [None if e.usage["cost"] is None else float(e.usage["cost"]) for e in both]
    yield Row("cost", *_texts(both, lambda e: history.cost(e.usage)), _more(costs, _MONEY))
    for name, say in _SAID.items():
        yield Row(name, *_texts(both, say), "")


def _texts(both: tuple[Taken, Taken], say: Callable[[Taken], str]) -> tuple[str, str]:
    return say(both[0]), say(both[1])


def _blueprint(version: models.BlueprintVersion) -> str:
    return f"{version.blueprint.name}, version {version.number}"


def _last_score(each: Taken) -> str:
    score = each.run.critic_score
    return "none" if score is None else f"{score:g} / 10"


def _rounds(each: Taken) -> str:
    return str(each.run.iteration_count)


def _count(key: str, each: Taken) -> str:
    value = each.usage[key]
    return "unknown" if value is None else f"{history.least(each.usage)}{told.count(value)}"


def _more(values: Sequence[Any], sign: str) -> str:
    one, other = values
    if one is None or other is None or one == other:
        return ""
    return sign.format(other - one).replace("-", _MINUS)


def _durations(a: Taken, b: Taken) -> Row:
    texts = _texts((a, b), lambda each: history.took(each.run) or "goes on")
    one, other = _span(a.run), _span(b.run)
    if one is None or other is None or texts[0] == texts[1]:
        return Row("duration", *texts, "")
    sign = "+" if other > one else _MINUS
    return Row("duration", *texts, sign + told.duration(abs(other - one)))


def _span(run: models.Run) -> timedelta | None:
    return run.ended_at - (run.started_at or run.ended_at) if run.ended_at else None
