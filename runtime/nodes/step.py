"""What a node is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic.alias_generators import to_camel

from runtime import llm
from runtime.nodes import forms

if TYPE_CHECKING:
    from runtime.nodes.state import State


_ANSWERER = r"^(?:owner|(?:user|group):[^\r\n]{1,150})$"
_CONFIG = ConfigDict(
    alias_generator=to_camel,
    # For those who make a form of it: what a field is called there, and what it means.
    field_title_generator=lambda name, _field: name.replace("_", " ").capitalize(),
    use_attribute_docstrings=True,
    validate_by_alias=True,
    extra="forbid",
    strict=True,
    frozen=True,
)


# Ten years, in seconds: what is meant for ever is left out.
MOST_PATIENCE = 10 * 366 * 24 * 3600


class GateSettings(BaseModel):
    """What a blueprint may set on a gate."""

    model_config = _CONFIG

    ask: str = Field(default="", max_length=2_000)
    """The question; it may be empty."""
    answerers: list[Annotated[str, Field(pattern=_ANSWERER)]] = Field(
        default=["owner"], min_length=1
    )
    """Who may answer: `owner` (whose run it is), `user:NAME` or `group:NAME`."""
    deadline: float | None = Field(default=None, gt=0, le=MOST_PATIENCE, allow_inf_nan=False)
    """Seconds from when it opens."""
    on_deadline: Literal["stay", "approve", "reject"] = "stay"
    """What happens then: it stays open, or is answered so."""
    actions: list[Literal["approve", "modify", "reject"]] = Field(
        default=["approve", "modify", "reject"], min_length=1
    )
    """How it may be answered."""


class Settings(BaseModel):
    """What a blueprint may set on any node."""

    model_config = _CONFIG

    temperature: float | None = Field(default=None, ge=0, le=2)
    """From 0 (always the most likely word) to 2; empty: the model's own."""
    max_tokens: int | None = Field(default=None, ge=1, le=1_000_000)
    """Of one reply of the model; empty: the model's own most."""
    retries: int | None = Field(default=None, ge=0, le=10)
    """Of a call that failed for a passing reason; empty: the operator's number."""
    time_limit: float | None = Field(default=None, gt=0, le=MOST_PATIENCE, allow_inf_nan=False)
    """Seconds for the whole node, its retries included."""
    fallback_model: str = Field(default="", max_length=200)
    """Asked when the node's own model has failed for good."""
    gate_before: GateSettings | None = None
    """A person decides whether it begins."""
    gate_after: GateSettings | None = None
    """A person decides what becomes of its result."""


class TextSettings(Settings):
    """What a blueprint may set on a node whose result is a text."""

    output_schema: dict[str, Any] | None = None
    """A JSON Schema of an object: the text is then JSON that is valid for it."""

    @field_validator("output_schema")
    @classmethod
    def _can_be_asked_for(cls, value: dict[str, Any] | None) -> dict[str, Any] | None:
        if value is not None:
            forms.check(value)
        return value


class CriticSettings(Settings):
    """What a blueprint may set on a critic."""

    threshold: float = Field(default=8.0, ge=0, le=10)
    """The score from which on it approves."""
    max_iterations: int = Field(default=5, ge=1, le=50)
    """How often it judges before the loop ends all the same."""
    at_limit: Literal["continue", "end"] = "continue"
    """At the limit: go on by the approve edges, or end here."""
    min_gain: float | None = Field(default=None, ge=0, le=10)
    """Score; when it rises by less twice in a row, that is a limit too."""
    min_change: float | None = Field(default=None, ge=0, le=1)
    """Share of words; when a new draft differs by less, that is a limit too."""


@dataclass(frozen=True)
class Upstream:
    """A node from which another can be reached."""

    id: str
    kind: str
    label: str
    model: str
    """As the blueprint states it; empty for the run's."""


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
    choices: tuple[str, ...] = ()
    """The conditions of its edges."""
    upstream: tuple[Upstream, ...] = ()
    """Every node from which this one can be reached."""


@dataclass(frozen=True)
class Turn:
    """An earlier run, as a later one is told of it."""

    asked: str
    answered: str
    """Empty if it came to no answer of its own."""
    by: str
    """The name of the blueprint that answered."""


@dataclass(frozen=True)
class Handoff:
    """Somebody to whom a guide may hand over."""

    to: str
    """By what it is known to whoever asked for the run, such as `liaison.content`."""
    name: str
    description: str
    """What it is good for, for the guide's model to read."""


@dataclass(frozen=True)
class Step:
    """One execution of a node."""

    node: Node
    state: State
    model: str
    say: Callable[[str], None]
    """Is called with each piece of readable text as it arrives."""
    limit: int | None = None
    """The run's own limit of iterations."""
    call: Callable[..., Awaitable[llm.Reply]] = llm.call
    """How a node asks a model: like `llm.call`, within the limits of the run."""
    history: tuple[Turn, ...] = ()
    """What was said in the conversation before, oldest first."""
    is_history_whole: bool = True
    """Whether nothing earlier had to be left out of it."""
    handoffs: tuple[Handoff, ...] = ()
    """To whom it may hand over, if it is a guide."""


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
    is_cut: bool = False
    """The answer ended at the token limit, not by itself."""
