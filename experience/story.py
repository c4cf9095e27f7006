"""The whole story of a run: its log, and before it the part of its parent's that it reuses."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from runtime import events, models

PAGE = 1_000


class Told(NamedTuple):
    """An event of a story. `reused`: it happened in a run that this one is a fork of."""

    event: events.Logged
    reused: bool


def of(run: models.Run) -> list[Told]:
    """The reused part of the parents' logs, oldest first, then the run's own."""
    return [
        *(Told(each, True) for each in reused(run)),
        *(Told(each, False) for each in own(run)),
    ]


def reused(run: models.Run) -> list[events.Logged]:
    """What a fork took over: its parent's log up to the step that it goes on from, and what
    the parent had taken over itself. Empty when nothing was, or the parent is gone."""
    if not run.parent or not run.parent_seq:
        return []
    until = [each for each in own(run.parent) if each.seq <= run.parent_seq]
    return [*reused(run.parent), *until]


def own(run: models.Run) -> list[events.Logged]:
    """The run's own log, whole."""
    found: list[events.Logged] = []
    while page := events.since(run.pk, found[-1].seq if found else 0, limit=PAGE):
        found += page
    return found


def end(log: Sequence[events.Logged]) -> events.Logged | None:
    """How it ended; None while it goes on. A failure that was retried is no end."""
    last = log[-1] if log else None
    return last if last and last.kind in events.ENDS else None


def open_gates(log: Iterable[events.Logged]) -> dict[str, events.Logged]:
    """The gates that nobody has answered yet, by id, oldest first."""
    found: dict[str, events.Logged] = {}
    for event in log:
        if event.kind == "gate.opened":
            found[event.data["gate"]] = event
        elif event.kind == "gate.answered":
            found.pop(event.data["gate"], None)
        elif event.kind in events.ENDS:
            found.clear()
    return found


class Draft(NamedTuple):
    node: str
    kind: str
    """The kind of the node; empty when a person wrote it."""
    text: str


class Drafts:
    """The drafts of a run in their order, from the events taken so far."""

    def __init__(self, log: Iterable[events.Logged] = ()) -> None:
        self._all: list[Draft] = []
        for event in log:
            self.take(event)

    def take(self, event: events.Logged) -> None:
        data = event.data
        if event.kind == "node.completed" and (text := data["output"].get("draft")):
            self._all.append(Draft(data["node"], data["kind"], text))
        if event.kind == "gate.answered" and (text := data["answer"].get("current_draft")):
            self._all.append(Draft(data["node"], "", text))

    def before(self, text: str) -> str | None:
        """The draft that this one was made from; None when there was none.

        Another node's is its forerunner only if one of the two polished or corrected: the
        answers of parallel members are not versions of each other.
        """
        at = next((n for n in reversed(range(len(self._all))) if self._all[n].text == text), -1)
        if at < 0:
            return None
        made = self._all[at]
        for earlier in reversed(self._all[:at]):
            corrects = "" in (made.kind, earlier.kind) or made.kind == "writer"
            if (corrects or earlier.node == made.node) and earlier.text != text:
                return earlier.text
        return None
