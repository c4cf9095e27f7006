"""A value that fits a JSON Schema, with one text in all places for texts."""

from collections.abc import Mapping
from typing import Any

_DEEPEST = 20  # schemas within schemas; what is deeper, or within itself, is left out


def fitting(schema: Mapping[str, Any], text: str) -> Any:
    """A value for a JSON Schema; for unusual ones (`not`, `multipleOf`) it may not fit."""
    return _value(schema, schema, text, _DEEPEST)


def _value(root: Mapping[str, Any], schema: Any, text: str, depth: int) -> Any:
    if not isinstance(schema, Mapping) or depth == 0:
        return text
    if "$ref" in schema:
        _, place, name = schema["$ref"].split("/", 2)
        return _value(root, root[place][name], text, depth - 1)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    for name in ("anyOf", "oneOf", "allOf"):
        if schema.get(name) and "type" not in schema:
            return _value(root, schema[name][0], text, depth - 1)
    stated = schema.get("type", "object" if "properties" in schema else "string")
    kind = stated[0] if isinstance(stated, list) else stated
    if kind == "object":
        parts = schema.get("properties", {})
        names = dict.fromkeys([*parts, *schema.get("required", [])])
        return {name: _value(root, parts.get(name), text, depth - 1) for name in names}
    if kind == "array":
        item = _value(root, schema.get("items"), text, depth - 1)
        return [item] * max(1, schema.get("minItems", 1))
    return _plain(kind, schema, text)


def _plain(kind: str, schema: Mapping[str, Any], text: str) -> Any:
    if kind in ("integer", "number"):
        least = schema.get("minimum", schema.get("exclusiveMinimum", 0) + 1)
        return min(least, schema.get("maximum", least))
    if kind == "string":
        long_enough = text.ljust(schema.get("minLength", 0), ".")
        return long_enough[: schema.get("maxLength", len(long_enough))]
    return False if kind == "boolean" else None
