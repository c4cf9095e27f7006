"""The council's working state: what the nodes of one run share."""

import operator
from typing import Annotated, NotRequired, TypedDict, TypeVar

T = TypeVar("T")


def last(_: T, new: T) -> T:
    """Keep what came last. Nodes that finish together write in the order of their ids."""
    return new


def highest(old: int, new: int) -> int:
    return max(old, new)


def earliest(old: dict[str, int], new: dict[str, int]) -> dict[str, int]:
    """Keep the first value of each key."""
    return {**new, **old}


def latest(old: dict[str, str], new: dict[str, str]) -> dict[str, str]:
    """Keep the last value of each key."""
    return {**old, **new}


class Message(TypedDict):
    """One contribution. A plain dict: checkpoints hold no classes."""

    node: str
    role: str
    """The kind of the node; `absent` when it failed, `handoff` when it handed over, and the
    content says why."""
    content: str
    iteration: int
    choice: NotRequired[str]
    """What was chosen, of a closed question."""
    model: NotRequired[str]
    """The full name of the model that gave an answer, so that it can be kept from others."""
    order: NotRequired[list[str]]
    """Whom the letters A, B … in it stand for."""


class HandedOver(TypedDict):
    """To whom a guide has handed over, and why."""

    to: str
    reason: str


class Score(TypedDict):
    """What a critic gave."""

    node: str
    iteration: int
    score: float


class State(TypedDict):
    """protocol.md §5; what follows `active_node` is ours.

    Parallel nodes may all write: `current_draft` is then the last one's, and `messages` has
    every one of them, which is where the node they join in finds them.
    """

    input_topic: Annotated[str, last]
    current_draft: Annotated[str, last]
    feedback_history: Annotated[list[str], operator.add]
    route_decision: Annotated[str, last]
    """revise, approve or limit; empty before a critic has spoken."""
    messages: Annotated[list[Message], operator.add]
    iteration_count: Annotated[int, highest]
    critic_score: Annotated[float | None, last]
    run_id: Annotated[str, last]
    active_node: Annotated[str, last]
    rounds_reviewed: Annotated[int, highest]
    """The newest iteration that a critic has judged; a draft belongs to the one after."""
    first_judged: Annotated[dict[str, int], earliest]
    """The iteration at which each critic judged for the first time: where its limit begins."""
    decisions: Annotated[dict[str, str], latest]
    """What each node that decides has decided last; the run goes on by these."""
    scores: Annotated[list[Score], operator.add]
    draft_cut: Annotated[bool, last]
    """The current draft ended at a token limit, not by itself."""
    handoff: Annotated[HandedOver | None, last]
    """What the guide that spoke last has handed over; None if it answered itself."""


def initial_state(run_id: str, topic: str) -> State:
    """The state before the first node."""
    return State(
        input_topic=topic,
        current_draft="",
        feedback_history=[],
        route_decision="",
        messages=[],
        iteration_count=0,
        critic_score=None,
        run_id=run_id,
        active_node="",
        rounds_reviewed=0,
        first_judged={},
        decisions={},
        scores=[],
        draft_cut=False,
        handoff=None,
    )
