"""What a fork changes in the blueprint that it goes on with: a node's model, or its prompt."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from runtime import errors
from runtime.blueprints.reading import Fault

FIELDS = ("model", "systemPrompt")


def overridden(
    blueprint: Mapping[str, Any], overrides: Mapping[str, Mapping[str, str]]
) -> Mapping[str, Any]:
    """The document with the fields that are stated for some nodes.

    Raises errors.BlueprintInvalid when there is no such node or field.
    """
    if not overrides:
        return blueprint
    names = [node["id"] for node in blueprint["nodes"]]
    found = [_fault(name, changes, names) for name, changes in overrides.items()]
    if any(found):
        raise errors.BlueprintInvalid(faults=[fault for fault in found if fault])
    changed = [{**node, **overrides.get(node["id"], {})} for node in blueprint["nodes"]]
    return {**blueprint, "nodes": changed}


def _fault(name: str, changes: Any, names: list[str]) -> dict[str, str | None] | None:
    if name not in names:
        message = f"There is no node {name}; change one of {', '.join(names)}."
    elif not isinstance(changes, Mapping) or not {*changes} <= {*FIELDS}:
        message = f"Of node {name} only {' and '.join(FIELDS)} can be changed."
    else:
        return None
    return asdict(Fault("bad_override", message, node=name))
