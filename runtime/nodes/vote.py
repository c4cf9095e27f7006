"""A vote node: counts the choices of the answers. It asks no model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from runtime import llm
from runtime.nodes import ballots, members
from runtime.nodes.kind import Kind, iteration
from runtime.nodes.state import Message
from runtime.nodes.step import Result, Step

_NOTHING = llm.Usage(0, 0, Decimal(0), None, calls=0)


@dataclass
class Side:
    """Those who chose the same."""

    choice: str
    """As the first of them wrote it."""
    reasons: list[str] = field(default_factory=list)

    @property
    def votes(self) -> int:
        return len(self.reasons)


async def vote(step: Step) -> Result:
    """Count the choices. Most votes win; a tie is a tie, and nothing breaks it.

    An answer without a choice is a missing one. Raises errors.Fault `quorum_missed` when too
    few are there.
    """
    there = members.newest(step.state["messages"])
    with_choice = {name: each for name, each in there.items() if ballots.read(each)}
    present, attended = members.counted(step, with_choice)
    sides = count(present)
    leading = [side for side in sides if side.votes == sides[0].votes]
    choice = leading[0].choice if len(leading) == 1 else None
    text = _written(sides, leading, attended)
    step.say(text)
    said = Message(
        node=step.node.id,
        role=step.node.kind,
        content=text,
        iteration=iteration(step.node, step.state),
    )
    output = {
        "draft": text,
        "counts": {side.choice: side.votes for side in sides},
        "choice": choice,
        "members": dict(attended),
    }
    updates = {"current_draft": text, "messages": [said]}
    return Result(updates, output, usage=_NOTHING, model="", scripted=False)


def count(cast: Sequence[Message]) -> list[Side]:
    """The sides, the one with most votes first; of equals, the one that was named first."""
    sides: dict[str, Side] = {}
    for ballot in cast:
        if (found := ballots.read(ballot)) is not None:
            reason, choice = found
            sides.setdefault(ballots.key(choice), Side(choice)).reasons.append(reason)
    return sorted(sides.values(), key=lambda side: -side.votes)


def _written(
    sides: Sequence[Side], leading: Sequence[Side], attended: Mapping[str, int]
) -> str:
    cast, most = sum(side.votes for side in sides), leading[0].votes
    if len(leading) == 1:
        result = f"**{leading[0].choice}**, by {most} of {_votes(cast)}."
    else:
        names = [f"**{side.choice}**" for side in leading]
        tied = f"{', '.join(names[:-1])} and {names[-1]}"
        result = f"A tie: {tied} have {_votes(most)} each, of {cast}. Nothing was decided."
    return "\n\n".join(filter(None, [result, *map(_side, sides), members.note(attended)]))


def _side(side: Side) -> str:
    reasons = "\n".join(f"- {' '.join(reason.split())}" for reason in side.reasons)
    return f"{side.choice} ({_votes(side.votes)}):\n\n{reasons}"


def _votes(number: int) -> str:
    return f"{number} vote" if number == 1 else f"{number} votes"


KIND = Kind(
    "vote",
    vote,
    settings=members.JoinSettings,
    summary="counts the choices of the answers that lead to it; asks no model",
    calls=0,
)
