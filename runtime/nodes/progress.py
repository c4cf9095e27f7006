"""Whether a loop still gets anywhere: by its scores, and by what changes in the draft."""

from collections import Counter

from runtime.nodes.members import ABSENT
from runtime.nodes.state import State

_NO_DRAFTS = frozenset({"critic", "review", "router", ABSENT})


def gains_nothing(node: str, least: float | None, state: State, score: float) -> bool:
    """Whether the last two scores of a critic have each gained less than `least`.

    A draft that was judged again in its iteration, sent back by a person, has its last score.
    """
    if least is None:
        return False
    number = state["iteration_count"]
    known = {
        each["iteration"]: each["score"] for each in state["scores"] if each["node"] == node
    }
    *_, oldest, older, newest = [None, None, *(known | {number: score}).values()]
    if oldest is None or older is None:
        return False
    return older - oldest < least and newest - older < least


def stands_still(node: str, least: float | None, state: State) -> bool:
    """Whether less than this share of the draft's words is new since the critic's last
    iteration."""
    before = None if least is None else _judged_before(node, state)
    return (
        before is not None
        and least is not None
        and change(before, state["current_draft"]) < least
    )


def change(old: str, new: str) -> float:
    """The share of words, of both texts, that the other does not have. Their order does not
    count, a word that stands twice counts twice."""
    one, other = Counter(old.split()), Counter(new.split())
    words = one.total() + other.total()
    return 1 - 2 * (one & other).total() / words if words else 0.0


def _judged_before(node: str, state: State) -> str | None:
    """The draft that the critic judged in its last iteration; None when there was none."""
    messages = state["messages"]
    ends = [
        place
        for place, message in enumerate(messages)
        if message["node"] == node and message["iteration"] < state["iteration_count"]
    ]
    if not ends:
        return None
    drafts = [
        message["content"]
        for message in messages[: ends[-1]]
        if message["role"] not in _NO_DRAFTS
    ]
    return drafts[-1] if drafts else None
