"""What is wrong with the parts of a document, each taken by itself."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from runtime import errors, llm
from runtime.blueprints import formats
from runtime.blueprints.document import Edge, Frame, Limits, Node, Position
from runtime.nodes import KINDS, State
from runtime.nodes import prompt as prompts

MOST_NODES = 200
MOST_EDGES = 1_000
LONGEST_PROMPT = 20_000  # characters
LONGEST_CONDITION = 100
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
    field: str | None = None
    """The path of the field, where it is one field (`settings.gateBefore.deadline`)."""


def frame(document: Mapping[str, Any]) -> Iterator[Fault]:
    """What is wrong beside the nodes and edges."""
    if formats.number(document) is None:
        message = (
            f"This blueprint's format is not known here; set `version` to {formats.NEWEST}."
        )
        yield Fault("unknown_version", message, field="version")
    for error in _errors(Frame, {**document, "version": formats.NEWEST}):
        is_limit = error["loc"][:1] == ("limits",) and len(error["loc"]) > 1
        yield _of_limit(error) if is_limit else _told(error, "the blueprint")


def _of_limit(error: ErrorDetails) -> Fault:
    path, name = _path(error), str(error["loc"][1])
    if error["type"] == "extra_forbidden":
        message = f"There is no limit `{name}`; there are {_known_fields(Limits)}."
        return Fault("unknown_limit", message, field=path)
    message = f"Correct the limit `{name}` of the blueprint: {error['msg'].lower()}."
    return Fault("bad_limit", message, field=path)


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
    position = _position(raw.get("position"))
    stated: dict[str, Any] = {"position": position} if position else {}
    return Node.model_construct(
        id=raw["id"],
        label=_text(raw.get("label")),
        kind=kind if is_clear else None,
        entry=raw.get("entry") is True,
        settings=settings if is_clear and isinstance(settings, dict) else {},
        **stated,
    )


def _edge(raw: Mapping[str, Any]) -> Edge:
    return Edge.model_construct(
        id=_text(raw.get("id")),
        source=raw["source"],
        target=raw["target"],
        type=_text(raw.get("type")),
        condition=_text(raw.get("condition")) or None,
    )


def _position(raw: object) -> Position | None:
    try:
        return Position.model_validate(raw)
    except ValidationError:
        return None


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
        yield Fault("bad_id", message, node=name, field="id")
    kind = raw.get("kind")
    if isinstance(kind, str) and kind not in KINDS:
        message = f"{where} is of an unknown kind; use one of {', '.join(KINDS)}."
        yield Fault("unknown_kind", message, node=name or None, field="kind")
    prompt = _text(raw.get("systemPrompt"))
    if len(prompt) > LONGEST_PROMPT:
        message = (
            f"The prompt of {where} is too long; keep it within {LONGEST_PROMPT} characters."
        )
        yield Fault("prompt_too_long", message, node=name or None, field="systemPrompt")
    if unknown := prompts.variables(prompt):
        message = (
            f"The prompt of {where} has variables that there are not, {_braced(unknown)}; "
            f"there are {_braced(prompts.VARIABLES)}."
        )
        yield Fault("unknown_variable", message, node=name or None, field="systemPrompt")
    yield from _of_model(_text(raw.get("model")), where, name, "model")


def _braced(names: Iterable[str]) -> str:
    return ", ".join(f"{{{{{name}}}}}" for name in sorted(names))


def _of_model(model: str, where: str, node: str, path: str) -> Iterator[Fault]:
    """A model that is merely not set up is not the blueprint's fault."""
    try:
        if model:
            llm.resolve(model)
    except errors.ModelUnknown:
        message = f"{where} names a model that cannot be, in `{path}`; write `provider:model`."
        yield Fault("unknown_model", message, node=node or None, field=path)
    except errors.ModelNotConfigured:
        pass


def settings(node: Node, kind: str) -> Iterator[Fault]:
    """What is wrong with a node's settings, given what it is."""
    shape = KINDS[kind].settings
    for error in _errors(shape, node.settings):
        name, path = _path(error), f"settings.{_path(error)}"
        if error["type"] == "extra_forbidden":
            known = _known_fields(_shape_at(shape, error))
            message = f"Node {node.id} has a setting that a {kind} does not know, `{name}`; "
            yield Fault(
                "unknown_setting", f"{message}it knows {known}.", node=node.id, field=path
            )
        else:
            message = f"Correct the setting `{name}` of node {node.id}: {error['msg'].lower()}."
            yield Fault("bad_setting", message, node=node.id, field=path)
    fallback = _text(node.settings.get("fallbackModel"))
    yield from _of_model(fallback, f"Node {node.id}", node.id, "settings.fallbackModel")


def _shape_at(shape: type[BaseModel], error: ErrorDetails) -> type[BaseModel]:
    """The shape in which a field is not known: the settings', or that of a part of them."""
    for name in error["loc"][:-1]:
        for field in shape.model_fields.values():
            inner = [each for each in get_args(field.annotation) if _is_shape(each)]
            if field.alias == name and inner:
                shape = inner[0]
    return shape


def _is_shape(annotation: object) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


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
        yield Fault("unknown_edge_type", message, edge=name or None, field="type")
    condition = _text(raw.get("condition"))
    fits = condition.strip() and len(condition) <= LONGEST_CONDITION
    if raw["type"] == "conditional" and not fits:
        message = (
            f"{where} has no condition, or one of more than {LONGEST_CONDITION} characters; "
            "use revise or approve after a critic, a word of your own after a router."
        )
        yield Fault("unknown_condition", message, edge=name or None, field="condition")


# --- what pydantic finds ---------------------------------------------------------------


def _errors(shape: type[BaseModel], raw: object) -> list[ErrorDetails]:
    try:
        shape.model_validate(raw)
    except ValidationError as problem:
        return problem.errors(include_url=False, include_context=False, include_input=False)
    return []


def _told(error: ErrorDetails, where: str, **part: str | None) -> Fault:
    name = _path(error)
    if not name:
        return Fault("wrong_type", f"{where} must be a JSON object; make it one.", **part)
    if error["type"] in ("missing", "string_too_short"):
        message = f"{_capital(where)} has no `{name}`; add it."
        return Fault("missing_field", message, field=name, **part)
    message = f"Correct `{name}` of {where}: {error['msg'].lower()}."
    return Fault("wrong_type", message, field=name, **part)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _path(error: ErrorDetails) -> str:
    return ".".join(map(str, error["loc"]))


def _known_fields(shape: type[BaseModel]) -> str:
    return ", ".join(str(each.alias) for each in shape.model_fields.values())
