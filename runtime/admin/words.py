"""Numbers, spans and states, as the admin writes them. What nobody knows is "unknown"."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from runtime import models

_THIN = "\u202f"
# Of a topic, in a line.
LONGEST_TOPIC = 80
_REFUSED = "not approved"


def count(number: int) -> str:
    return f"{number:,}".replace(",", _THIN)


def span(length: timedelta) -> str:
    """`0.4 s`, `38 s`, `1 m 12 s`, `2 h 05 m`."""
    seconds = length.total_seconds()
    if abs(seconds) < 10:
        return f"{seconds:.1f} s"
    minutes, hours = int(seconds) // 60, int(seconds) // 3600
    if hours:
        return f"{hours} h {minutes % 60:02} m"
    return f"{minutes} m {int(seconds) % 60} s" if minutes else f"{int(seconds)} s"


def size(octets: int) -> str:
    return f"{octets} B" if octets < 1_000 else f"{octets / 1_000:.1f} kB"


def short(text: str, longest: int = LONGEST_TOPIC) -> str:
    """The beginning of a text, on one line."""
    line = " ".join(text[: longest + 1].split())
    return line[:longest].rstrip() + "…" if len(text) > longest else line


def why(run: models.Run) -> str:
    """Beside its status, why a run ended as it did; empty while it goes on."""
    if run.status == models.Status.FAILED:
        return run.error_code.replace("_", " ")
    reason = run.reason.replace("_", " ")
    if run.approved is False and run.status == models.Status.COMPLETED:
        return f"{reason}, {_REFUSED}"
    return "" if reason == run.status else reason


def score(value: float | None) -> str:
    return "none" if value is None else f"{value:g} / 10"


def took(run: models.Run) -> str:
    """From when a worker first had it to its end; empty while it goes on."""
    if run.ended_at is None:
        return ""
    return span(run.ended_at - (run.started_at or run.ended_at))


def cost(usage: Mapping[str, Any]) -> str:
    """US dollars; empty while nothing is summed up."""
    if not usage:
        return ""
    stated = usage.get("cost")
    return "unknown" if stated is None else f"{_least(usage)}${float(stated):.4g}"


def used(usage: Mapping[str, Any]) -> str:
    """Calls, tokens, money and models, in a line; empty while nothing is summed up."""
    if not usage:
        return ""
    least = _least(usage)
    parts = [
        f"{least}{usage.get('calls', 0)} calls",
        f"tokens {_tokens(usage, 'input_tokens')} in, {_tokens(usage, 'output_tokens')} out",
        f"cost {cost(usage)}",
        f"models {', '.join(usage.get('models') or ['none'])}",
    ]
    scripted = ["scripted demo model: no AI wrote this"] if usage.get("scripted") else []
    return " · ".join([*parts, *scripted])


def _least(usage: Mapping[str, Any]) -> str:
    return "at least " if usage.get("partial") else ""


def _tokens(usage: Mapping[str, Any], name: str) -> str:
    known = usage.get(name)
    return "unknown" if known is None else _least(usage) + count(known)
