"""Everything that is wrong with a blueprint, named at once."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any

from runtime import errors, llm
from runtime.blueprints import formats, reading, wiring
from runtime.blueprints.document import Document, Edge, Node
from runtime.blueprints.reading import Fault

__all__ = ["Fault", "faults", "parse", "readable", "unkeepable"]

LONGEST = 1_000_000  # characters, of all texts together
DEEPEST = 50  # objects and lists within each other
_NOT_AN_OBJECT = Fault("not_an_object", "A blueprint is a JSON object; send one.")
_LONGEST_TOLD = 500  # characters of a fault: whoever sent the document knows what it says


def parse(document: object) -> Document:
    """The blueprint of a document; one of an older format is migrated.

    Raises errors.BlueprintInvalid, whose detail `faults` names everything that is wrong.
    """
    found = faults(document)
    if found or not isinstance(document, Mapping):
        raise errors.BlueprintInvalid(faults=[asdict(fault) for fault in found])
    return Document.model_validate(formats.newest(document))


def faults(document: object) -> list[Fault]:
    """Everything that is wrong with a document; empty when it can be run."""
    if not isinstance(document, Mapping):
        return [_NOT_AN_OBJECT]
    if too_large := _size(document):
        return [too_large]
    document = formats.newest(document)
    nodes, node_faults = reading.nodes(document)
    edges, edge_faults = reading.edges(document)
    # Of what kind such a node is meant to be nobody knows.
    unclear = {fault.node for fault in node_faults if fault.node and fault.field == "kind"}
    found = [
        *reading.frame(document),
        *_characters(document),
        *node_faults,
        *edge_faults,
        *wiring.faults(nodes, edges, are_all=not edge_faults, unclear=unclear),
    ]
    return [_shown(fault) for fault in found or _numbers(document)]


def unkeepable(document: object) -> Fault | None:
    """Why a document cannot even be kept with its faults; None if it can, once its texts are
    clean."""
    if not isinstance(document, Mapping):
        return _NOT_AN_OBJECT
    return _size(document) or next(_numbers(document), None)


def readable(document: Mapping[str, Any]) -> tuple[list[Node], list[Edge]]:
    """The nodes and edges of a document with faults, as far as they can be read: those that
    have an id, those that have two ends. None of one that is too large."""
    document = formats.newest(document)
    return reading.nodes(document)[0], reading.edges(document)[0]


def _shown(fault: Fault) -> Fault:
    """The fault as it can be sent: names in it may be of any length, and hold anything."""
    texts = {name: text for name, text in asdict(fault).items() if text is not None}
    return replace(fault, **{name: llm.clean(_cut(text)) for name, text in texts.items()})


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_TOLD else f"{text[:_LONGEST_TOLD]}…"


def _size(document: Mapping[str, Any]) -> Fault | None:
    """Looked at first: what follows is made for documents of a sensible size."""
    if _depth(document) > DEEPEST:
        message = f"Objects and lists stand more than {DEEPEST} deep; nest them less."
        return Fault("too_deep", message)
    characters = sum(len(value) for value in _all(document) if isinstance(value, str))
    if characters > LONGEST:
        message = f"The texts have {characters} characters; shorten them to {LONGEST}."
        return Fault("too_large", message)
    return None


def _depth(document: Mapping[str, Any]) -> int:
    """How deep it is nested, as far as `DEEPEST` and one more; without recursion."""
    level: list[Any] = [document]
    for depth in range(DEEPEST + 1):
        inner = [list(each.values()) if isinstance(each, Mapping) else each for each in level]
        level = [each for part in inner for each in part if isinstance(each, Mapping | list)]
        if not level:
            return depth + 1
    return DEEPEST + 1


def _characters(document: Mapping[str, Any]) -> Iterator[Fault]:
    if not _is_storable(document):
        message = "A text holds a control character, or half of another; remove it."
        yield Fault("unstorable_text", message)


def _numbers(document: Mapping[str, Any]) -> Iterator[Fault]:
    """JSON has no such numbers, but `1e999` is read as one; asked if no field complains."""
    if any(isinstance(value, float) and not math.isfinite(value) for value in _all(document)):
        message = "A number is infinite or none, which cannot be stored; correct it."
        yield Fault("unstorable_number", message)


def _is_storable(document: Mapping[str, Any]) -> bool:
    texts = (value for value in _all(document) if isinstance(value, str))
    return all(llm.clean(text) == text for text in texts)


def _all(value: object) -> Iterator[object]:
    """Every value of a document, and every name of a field."""
    yield value
    if isinstance(value, Mapping):
        yield from value
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from _all(each)
