"""What a node is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from runtime import llm

if TYPE_CHECKING:
    from runtime.nodes.state import State


class Settings(BaseModel):
    """What a blueprint may set on any node."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_alias=True,
        extra="forbid",
        strict=True,
        frozen=True,
    )

    temperature: float | None = Field(default=None, ge=0, le=2)
    max_tokens: int | None = Field(default=None, ge=1, le=1_000_000)


class CriticSettings(Settings):
    """What a blueprint may set on a critic."""

    threshold: float = Field(default=8.0, ge=0, le=10)
    max_iterations: int = Field(default=5, ge=1, le=50)
    at_limit: Literal["continue", "end"] = "continue"
    """At the limit: go on by the approve edges, or end here."""


SETTINGS: Mapping[str, type[Settings]] = {
    "draft": Settings,
    "critic": CriticSettings,
    "writer": Settings,
}


@dataclass(frozen=True)
class Node:
    """A node as the graph runs it."""

    id: str
    label: str = ""
    kind: str = "draft"
    system_prompt: str = ""
    model: str = ""
    """`provider:model`; empty for the run's."""
    settings: Settings = field(default_factory=Settings)
    joins: tuple[str, ...] = ()
    """The parallel nodes that it waits for, if it is where branches join."""


@dataclass(frozen=True)
class Step:
    """One execution of a node."""

    node: Node
    state: State
    model: str
    say: Callable[[str], None]
    """Is called with each piece of readable text as it arrives."""


@dataclass(frozen=True)
class Result:
    """What came of it."""

    updates: dict[str, Any]
    """What changes in the working state."""
    output: dict[str, Any]
    """What the log shows."""
    usage: llm.Usage
    model: str
    scripted: bool


def iteration(node: Node, state: State) -> int:
    """The iteration that a node works in: a draft begins one, the others belong to it."""
    if node.kind == "draft":
        return state["rounds_reviewed"] + 1
    return state["iteration_count"]
