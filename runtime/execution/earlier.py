"""What the nodes of a run are told beside its topic: earlier runs, and to whom to hand over."""

from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple

from runtime import llm, models, nodes

# What of a conversation every prompt of the run repeats, in characters. That is some 10 000
# tokens, so that a model with room for 32 000 still has most of it for the topic, the drafts,
# the feedback and its answer.
LONGEST_HISTORY = 40_000
# More turns than that are not even looked up; they would have 200 characters each.
MOST_TURNS = 200


class Told(NamedTuple):
    history: tuple[nodes.Turn, ...]
    """Oldest first."""
    is_whole: bool
    """Whether nothing earlier was left out for its length."""
    handoffs: tuple[nodes.Handoff, ...]

    def step(
        self,
        node: nodes.Node,
        state: nodes.State,
        model: str,
        *,
        say: Callable[[str], None],
        call: Callable[..., Awaitable[llm.Reply]],
        limit: int | None = None,
    ) -> nodes.Step:
        """What a node of the run is given."""
        return nodes.Step(
            node,
            state,
            model,
            say,
            limit,
            call,
            history=self.history,
            is_history_whole=self.is_whole,
            handoffs=self.handoffs,
        )


def told(run: models.Run) -> Told:
    """Look up what a run's nodes are told. An earlier run that was deleted is passed over."""
    turns = list(_turns(run.context[-MOST_TURNS:]))
    fitting = _fitting(turns)
    is_whole = len(fitting) == len(turns) and len(run.context) <= MOST_TURNS
    return Told(fitting, is_whole, tuple(nodes.Handoff(**each) for each in run.handoffs))


def _turns(ids: list[str]) -> Iterable[nodes.Turn]:
    if not ids:
        return
    rows = models.Run.objects.filter(pk__in=ids).select_related("blueprint_version__blueprint")
    found = {str(run.pk): run for run in rows}
    for run in (found[each] for each in ids if each in found):
        # One that handed over has not answered, whoever else in its council wrote a draft.
        answered = "" if run.handoff else run.final_draft or ""
        yield nodes.Turn(run.input_topic, answered, run.blueprint_version.blueprint.name)


def _fitting(turns: list[nodes.Turn]) -> tuple[nodes.Turn, ...]:
    """The newest turns that fit, each of them whole."""
    room, first = LONGEST_HISTORY, len(turns)
    for turn in reversed(turns):
        room -= len(turn.asked) + len(turn.answered)
        if room < 0:
            break
        first -= 1
    return tuple(turns[first:])
