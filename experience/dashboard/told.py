"""Numbers and states as all pages write them."""

from datetime import timedelta
from typing import NamedTuple

from runtime import models

_THIN = "\u202f"


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
    """`38 s`, `1 m 12 s`, `2 h 05 m`."""
    seconds = int(span.total_seconds())
    minutes, hours = seconds // 60, seconds // 3600
    if hours:
        return f"{hours} h {minutes % 60:02} m"
    return f"{minutes} m {seconds % 60} s" if minutes else f"{seconds} s"
