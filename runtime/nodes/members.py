"""The members of a council: who is there, and who is not."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import Field

from runtime import errors
from runtime.nodes.kind import iteration
from runtime.nodes.state import Message, State
from runtime.nodes.step import Node, Settings, Step

ANSWER, REVIEW, ABSENT = "answer", "review", "absent"


class JoinSettings(Settings):
    """What a blueprint may set on a node that joins answers."""

    quorum: int | None = Field(default=None, ge=1)
    """How many of the answers that lead to it must be there; empty: all of them."""


def absence(node: Node, fault: errors.Fault, state: State) -> dict[str, Any]:
    """What changes in the state when a member has failed: it is absent, and why."""
    said = Message(
        node=node.id, role=ABSENT, content=fault.message, iteration=iteration(node, state)
    )
    return {"messages": [said]}


def attendance(members: Iterable[str], messages: Sequence[Message]) -> Mapping[str, Any]:
    """`present` of how many (`of`), and the ids of those that are `missing`."""
    names, there = list(members), newest(messages)
    missing = [name for name in names if name not in there]
    return {"present": len(names) - len(missing), "of": len(names), "missing": missing}


def newest(messages: Iterable[Message]) -> dict[str, Message]:
    """What each node said last, if it is not absent."""
    said = {message["node"]: message for message in messages}
    return {node: message for node, message in said.items() if message["role"] != ABSENT}


def upstream(step: Step, kind: str) -> list[str]:
    """The nodes of a kind that lead to this one."""
    return [each.id for each in step.node.upstream if each.kind == kind]


def answers(step: Step) -> tuple[list[Message], Mapping[str, Any]]:
    """The answers that lead to a node, in the order of the blueprint, and their attendance.

    Raises errors.Fault `quorum_missed` when too few are there.
    """
    return counted(step, newest(step.state["messages"]))


def counted(
    step: Step, there: Mapping[str, Message]
) -> tuple[list[Message], Mapping[str, Any]]:
    """The same, of answers that have been looked through."""
    names = upstream(step, ANSWER)
    present = [there[name] for name in names if name in there]
    stated = getattr(step.node.settings, "quorum", None)
    needed = max(1, len(names) if stated is None else stated)
    if len(present) < needed:
        raise missed(step, len(present), len(names), needed)
    return present, attendance(names, present)


def missed(step: Step, present: int, of: int, needed: int) -> errors.Fault:
    """The fault of a node for which too few members are there."""
    name = step.node.label or step.node.id
    return errors.Fault(
        "quorum_missed",
        f"{present} of {of} members have an answer that {name} can use; it needs {needed}.",
    )


def note(attended: Mapping[str, Any]) -> str:
    """The sentence with which a text says that it does not come from the whole council."""
    if not attended["missing"]:
        return ""
    return f"({attended['present']} of {attended['of']} members took part.)"
