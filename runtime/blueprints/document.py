"""The shape of a blueprint document (protocol.md §4). What it means is checked in `faults`."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat
from pydantic.alias_generators import to_camel

from runtime import nodes
from runtime.blueprints import formats
from runtime.blueprints.graph import Graph, Link
from runtime.blueprints.placing import Place

_MOST = 10**12  # of anything that is limited; more is none


class _Part(BaseModel):
    # What we do not know is kept: older and newer clients get back what they sent.
    model_config = ConfigDict(
        alias_generator=to_camel, validate_by_alias=True, extra="allow", strict=True
    )


class Tools(_Part):
    web_search: bool = False
    pdf_reader: bool = False


class Position(_Part):
    x: FiniteFloat = 0
    y: FiniteFloat = 0


class Node(_Part):
    id: str = Field(min_length=1, max_length=100)
    label: str = Field(default="", max_length=200)
    kind: str | None = None
    entry: bool = False
    system_prompt: str = ""
    model: str = Field(default="", max_length=200)
    tools: Tools = Field(default_factory=Tools)
    position: Position = Field(default_factory=Position)
    settings: dict[str, Any] = Field(default_factory=dict)


class Edge(_Part):
    id: str = Field(min_length=1, max_length=300)
    source: str
    target: str
    type: str
    condition: str | None = None


class Limits(_Part):
    """What a run may use before it stops. What is not stated is not limited."""

    # A limit that we do not know would be one that nobody keeps.
    model_config = ConfigDict(
        extra="forbid",
        field_title_generator=lambda name, _field: name.replace("_", " ").capitalize(),
        use_attribute_docstrings=True,
    )

    iterations: int | None = Field(default=None, gt=0, lt=_MOST)
    """Rounds."""
    seconds: FiniteFloat | None = Field(default=None, gt=0, lt=_MOST)
    """Of work, waiting for people not counted."""
    calls: int | None = Field(default=None, gt=0, lt=_MOST)
    """Of models."""
    tokens: int | None = Field(default=None, gt=0, lt=_MOST)
    """In and out together."""
    cost: FiniteFloat | None = Field(default=None, gt=0, lt=_MOST)
    """US dollars."""
    at_limit: Literal["stop", "ask"] = "stop"
    """Stop there, or ask a person at a gate whether to go on."""


class Frame(_Part):
    """A document but for its nodes and edges."""

    version: int | float | str = formats.NEWEST
    """Of the format, see `formats`; not the number of the blueprint version."""
    id: str | None = None
    name: str = Field(min_length=1, max_length=200)
    created_at: str | None = None
    updated_at: str | None = None
    limits: Limits | None = None

    @property
    def stated_limits(self) -> dict[str, int | float]:
        """The limits that are stated, by name."""
        stated = self.limits.model_dump(exclude_none=True) if self.limits else {}
        return {name: most for name, most in stated.items() if name != "at_limit"}


class Document(Frame):
    """A whole document; nothing is wrong with it when it comes from `parse`."""

    nodes: list[Node]
    edges: list[Edge] = Field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """The document as it was sent."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)


def ordered(document: Mapping[str, Any]) -> dict[str, Any]:
    """The same document in the order of this page: PostgreSQL keeps none."""
    whole = _ordered(document, Document)
    whole["nodes"] = [_ordered(node, Node) for node in document["nodes"]]
    if "edges" in document:
        whole["edges"] = [_ordered(edge, Edge) for edge in document["edges"]]
    return whole


def _ordered(part: Mapping[str, Any], shape: type[BaseModel]) -> dict[str, Any]:
    known = [str(field.alias) for field in shape.model_fields.values() if field.alias in part]
    return {name: part[name] for name in dict.fromkeys([*known, *part])}


def graph(parts: Iterable[Node], edges: Iterable[Edge]) -> Graph:
    """The graph of these nodes and edges, whose ends must be among the nodes."""
    links = tuple(_link(edge) for edge in edges)
    decide = {link.source for link in links if link.type == "conditional"}
    return Graph(
        kinds={
            node.id: node.kind or ("critic" if node.id in decide else "draft") for node in parts
        },
        links=links,
        marked=tuple(node.id for node in parts if node.entry),
    )


def _link(edge: Edge) -> Link:
    # The condition of a linear edge says nothing: some editors leave one there.
    condition = edge.condition if edge.type == "conditional" else None
    return Link(edge.id, edge.source, edge.target, edge.type, condition)


def positions(parts: Iterable[Node]) -> dict[str, Place]:
    """Where nodes stand, of those that say it."""
    return {
        node.id: Place(node.position.x, node.position.y)
        for node in parts
        if "position" in node.model_fields_set
    }


def has_gate(node: Node, place: Literal["before", "after"]) -> bool:
    """Whether the document puts a gate there."""
    return node.settings.get(f"gate{place.title()}") is not None


def runnable(node: Node, kind: str, joins: tuple[str, ...]) -> nodes.Node:
    """The node as the runtime runs it."""
    return nodes.Node(
        id=node.id,
        label=node.label or node.id,
        kind=kind,
        system_prompt=node.system_prompt,
        model=node.model,
        settings=nodes.KINDS[kind].settings.model_validate(node.settings),
        joins=joins,
    )
