"""Numbers and states as all pages write them."""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, NamedTuple

from experience import outcomes
from runtime import models

_THIN = "\u202f"
# Unicode's marks, embeddings, overrides and isolates of direction.
_TURNING = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


class State(NamedTuple):
    """`shape` is one of templates/dashboard/shapes.html, and names the colour too."""

    shape: str
    word: str


_SHAPES = {
    models.Status.PENDING: "waiting",
    models.Status.RUNNING: "working",
    models.Status.PAUSED: "asks",
    models.Status.COMPLETED: "done",
    models.Status.FAILED: "failed",
    models.Status.CANCELLED: "stopped",
}


# What happens at a gate's deadline.
_THEN = {
    models.OnDeadline.STAY: "it goes on waiting after that",
    models.OnDeadline.APPROVE: "then it is approved",
    models.OnDeadline.REJECT: "then it is rejected",
}


def state(run: models.Run) -> State:
    """How a run stands. One that a limit ended, or a critic did not approve, is no success."""
    shape = _SHAPES[models.Status(run.status)]
    if run.status == models.Status.COMPLETED and run.approved is False:
        return State("stopped", "not approved")
    return State(shape, str(run.status))


def count(number: int) -> str:
    """2\u202f140."""
    return f"{number:,}".replace(",", _THIN)


def duration(span: timedelta) -> str:
    """`0.4 s`, `38 s`, `1 m 12 s`, `2 h 05 m`."""
    if span < timedelta(seconds=10):
        return f"{span.total_seconds():.1f} s"
    seconds = int(span.total_seconds())
    minutes, hours = seconds // 60, seconds // 3600
    if hours:
        return f"{hours} h {minutes % 60:02} m"
    return f"{minutes} m {seconds % 60} s" if minutes else f"{seconds} s"


def plain(name: str) -> str:
    """A name to be put into a sentence: without the signs that turn around what follows."""
    return _TURNING.sub("", name)


def where(gate: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    """Where in the council a gate waits: `before Critic`. `labels` by node."""
    label = labels.get(gate["node"], gate["node"])
    match gate["place"]:
        case "limit":
            return f"at {outcomes.limit(gate['limit'])}, in {label}"
        case "iterations":
            return f"at the limit of {label}"
        case place:
            return f"{place} {label}"


def then(on_deadline: str) -> str:
    """What happens when a gate's deadline has passed."""
    return _THEN[models.OnDeadline(on_deadline)]
