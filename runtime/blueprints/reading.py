"""What is wrong with the parts of a document, each taken by itself."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from runtime.blueprints.document import FORMAT, Edge, Frame, Node
from runtime.nodes import KINDS, SETTINGS, State

MOST_NODES = 200
MOST_EDGES = 1_000
LONGEST_PROMPT = 20_000  # characters
_EDGE_TYPES = ("linear", "conditional")
_ID = re.compile(r"\w[\w .-]*")
# LangGraph has one set of names for nodes and working state.
_RESERVED = frozenset({*State.__annotations__, "__start__", "__end__"})


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong. The message says what to do about it."""

    code: str
    message: str
    node: str | None = None
    edge: str | None = None


def frame(document: Mapping[str, Any]) -> Iterator[Fault]:
    """What is wrong beside the nodes and edges."""
    version = document.get("version", FORMAT)
    if version != FORMAT or not isinstance(version, int) or isinstance(version, bool):
        message = f"This blueprint's format is not known here; set `version` to {FORMAT}."
        yield Fault("unknown_version", message)
    for error in _errors(Frame, {**document, "version": FORMAT}):
        yield _told(error, "The blueprint")


def nodes(document: Mapping[str, Any]) -> tuple[list[Node], list[Fault]]:
    """The nodes, as far as they can be read, and what is wrong with them."""
    if "nodes" not in document:
        return [], [Fault("missing_field", "The blueprint has no `nodes`; add them.")]
    raw, found = _list(document["nodes"], "nodes", MOST_NODES)
    if not raw and not found:
        found = [Fault("no_nodes", "The blueprint has no nodes; add at least one.")]
    parts = []
    for number, each in enumerate(raw):
        found += _of_node(each, f"nodes[{number}]")
        if isinstance(each, Mapping) and _text(each.get("id")):
            parts.append(_node(each))
    return parts, found


def edges(document: Mapping[str, Any]) -> tuple[list[Edge], list[Fault]]:
    """The edges, as far as they can be read, and what is wrong with them."""
    raw, found = _list(document.get("edges", []), "edges", MOST_EDGES)
    parts = []
    for number, each in enumerate(raw):
        found += _of_edge(each, f"edges[{number}]")
        if (
            isinstance(each, Mapping)
            and _text(each.get("source"))
            and _text(each.get("target"))
        ):
            parts.append(_edge(each))
    return parts, found


def _list(raw: object, name: str, most: int) -> tuple[list[Any], list[Fault]]:
    if not isinstance(raw, list):
        return [], [Fault("wrong_type", f"`{name}` must be a list; make it one.")]
    if len(raw) > most:
        message = f"There are {len(raw)} {name}; reduce them to at most {most}."
        return [], [Fault(f"too_many_{name}", message)]
    return raw, []


# A part with a fault stands in the graph with what of it is clear, so that its fault does
# not look like others: an unreachable node, an edge to nowhere.


def _node(raw: Mapping[str, Any]) -> Node:
    kind, settings = raw.get("kind"), raw.get("settings")
    is_clear = kind is None or (isinstance(kind, str) and kind in KINDS)
    return Node.model_construct(
        id=raw["id"],
        kind=kind if is_clear else None,
        entry=raw.get("entry") is True,
        settings=settings if is_clear and isinstance(settings, dict) else {},
    )


def _edge(raw: Mapping[str, Any]) -> Edge:
    return Edge.model_construct(
        id=_text(raw.get("id")),
        source=raw["source"],
        target=raw["target"],
        type=_text(raw.get("type")),
        condition=_text(raw.get("condition")) or None,
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


# --- one node --------------------------------------------------------------------------


def _of_node(raw: object, place: str) -> Iterator[Fault]:
    name = _text(raw.get("id")) if isinstance(raw, Mapping) else ""
    where = f"Node {name}" if name else f"`{place}`"
    for error in _errors(Node, raw):
        yield _told(error, where, node=name or None)
    if isinstance(raw, Mapping):
        yield from _meaning_of_node(raw, name, where)


def _meaning_of_node(raw: Mapping[str, Any], name: str, where: str) -> Iterator[Fault]:
    if name and (not _ID.fullmatch(name) or name in _RESERVED):
        message = f"{where} cannot be called that; use another id, of letters, digits and _ . -"
        yield Fault("bad_id", message, node=name)
    kind = raw.get("kind")
    if isinstance(kind, str) and kind not in KINDS:
        message = f"{where} is of an unknown kind; use one of {', '.join(KINDS)}."
        yield Fault("unknown_kind", message, node=name or None)
    prompt = _text(raw.get("systemPrompt"))
    if len(prompt) > LONGEST_PROMPT:
        message = (
            f"The prompt of {where} is too long; keep it within {LONGEST_PROMPT} characters."
        )
        yield Fault("prompt_too_long", message, node=name or None)


def settings(node: Node, kind: str) -> Iterator[Fault]:
    """What is wrong with a node's settings, given what it is."""
    shape = SETTINGS[kind]
    for error in _errors(shape, node.settings):
        name = ".".join(map(str, error["loc"]))
        if error["type"] == "extra_forbidden":
            known = ", ".join(str(each.alias) for each in shape.model_fields.values())
            message = f"Node {node.id} has a setting that a {kind} does not know, `{name}`; "
            yield Fault("unknown_setting", f"{message}it knows {known}.", node=node.id)
        else:
            message = f"Correct the setting `{name}` of node {node.id}: {error['msg'].lower()}."
            yield Fault("bad_setting", message, node=node.id)


# --- one edge --------------------------------------------------------------------------


def _of_edge(raw: object, place: str) -> Iterator[Fault]:
    name = _text(raw.get("id")) if isinstance(raw, Mapping) else ""
    where = f"Edge {name}" if name else f"`{place}`"
    for error in _errors(Edge, raw):
        yield _told(error, where, edge=name or None)
    if not isinstance(raw, Mapping) or not isinstance(raw.get("type"), str):
        return
    if raw["type"] not in _EDGE_TYPES:
        message = f"{where} is of an unknown type; use one of {', '.join(_EDGE_TYPES)}."
        yield Fault("unknown_edge_type", message, edge=name or None)
    if raw["type"] == "conditional" and raw.get("condition") not in ("revise", "approve"):
        message = f"{where} has no condition that is known; use revise or approve."
        yield Fault("unknown_condition", message, edge=name or None)


# --- what pydantic finds ---------------------------------------------------------------


def _errors(shape: type[BaseModel], raw: object) -> list[ErrorDetails]:
    try:
        shape.model_validate(raw)
    except ValidationError as problem:
        return problem.errors(include_url=False, include_context=False, include_input=False)
    return []


def _told(error: ErrorDetails, where: str, **part: str | None) -> Fault:
    name = ".".join(map(str, error["loc"]))
    if not name:
        return Fault("wrong_type", f"{where} must be a JSON object; make it one.", **part)
    if error["type"] in ("missing", "string_too_short"):
        return Fault("missing_field", f"{where} has no `{name}`; add it.", **part)
    return Fault("wrong_type", f"Correct `{name}` of {where}: {error['msg'].lower()}.", **part)
