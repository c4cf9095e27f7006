"""The kinds of node there are: what each does, and what else is to be known of it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from runtime.nodes.state import State
from runtime.nodes.step import Node, Result, Settings, Step


@dataclass(frozen=True)
class Kind:
    """A kind of node, by the name that blueprints state."""

    name: str
    run: Callable[[Step], Awaitable[Result]]
    settings: type[Settings] = Settings
    prompt: str = ""
    """The system prompt where the blueprint says nothing: providers refuse an empty one."""
    decides: Literal["nothing", "verdict", "edges"] = "nothing"
    """Verdict: its conditional edges are approve and revise, as a critic's. Edges: they may
    have any conditions, of which it chooses one, as a router."""
    revises: bool = False
    """It begins an iteration and answers the feedback so far; every loop needs one."""
    member: bool = False
    """Its failure need not sink the run: those that join it go by who is there."""
    summary: str = ""
    """One line for those who choose among kinds: what it does."""
    calls: int = 1
    """The model calls of one execution when all goes well."""
    retells: bool = False
    """Until it asks a model for the first time it does nothing but read its step, so that
    what it asked can be put together once more for those who look back."""


KINDS: dict[str, Kind] = {}


def register(kind: Kind) -> None:
    """Let blueprints use one more kind; to be called when the process starts.

    Raises ValueError when the name is taken, or is none that Python takes for an identifier.
    """
    if not kind.name.isidentifier():
        raise ValueError(f"{kind.name!r} is no identifier; call the kind of node otherwise")
    if kind.name in KINDS:
        raise ValueError(f"there is a kind of node {kind.name!r} already; choose another name")
    KINDS[kind.name] = kind


def iteration(node: Node, state: State) -> int:
    """The iteration that a node works in: what revises begins one, the others belong to it."""
    if KINDS[node.kind].revises:
        return state["rounds_reviewed"] + 1
    return state["iteration_count"]
