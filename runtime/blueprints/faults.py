"""Everything that is wrong with a blueprint, named at once."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from runtime import errors, llm
from runtime.blueprints import reading, wiring
from runtime.blueprints.document import Document
from runtime.blueprints.reading import Fault

__all__ = ["Fault", "faults", "parse"]


def parse(document: object) -> Document:
    """The blueprint of a document.

    Raises errors.BlueprintInvalid, whose detail `faults` names everything that is wrong.
    """
    found = faults(document)
    if found:
        raise errors.BlueprintInvalid(faults=[asdict(fault) for fault in found])
    return Document.model_validate(document)


def faults(document: object) -> list[Fault]:
    """Everything that is wrong with a document; empty when it can be run."""
    if not isinstance(document, Mapping):
        return [Fault("not_an_object", "A blueprint is a JSON object; send one.")]
    nodes, node_faults = reading.nodes(document)
    edges, edge_faults = reading.edges(document)
    return [
        *reading.frame(document),
        *_characters(document),
        *node_faults,
        *edge_faults,
        *wiring.faults(nodes, edges, are_all=not edge_faults),
    ]


def _characters(document: Mapping[str, Any]) -> Iterator[Fault]:
    if not _storable(document):
        message = "A text holds a NUL or half a character, which cannot be stored; remove it."
        yield Fault("unstorable_text", message)


def _storable(value: object) -> bool:
    if isinstance(value, str):
        return llm.clean(value) == value
    if isinstance(value, Mapping):
        return all(_storable(key) and _storable(item) for key, item in value.items())
    if isinstance(value, list):
        return all(_storable(item) for item in value)
    return True
