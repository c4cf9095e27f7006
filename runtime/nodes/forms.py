"""JSON Schemas that a blueprint states for a node's text: which may be, and what fits one.

A schema comes from whoever may save a blueprint and is worked on by a worker that many runs
share. So it may say nothing that can take for ever (patterns, schemas within themselves,
references that multiply) or that leads elsewhere.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import jsonschema

from runtime.nodes.objects import Unreadable

_MOST = 2_000  # schemas within the schema, each counted as often as it is referred to
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_SINGLE = ("items", "additionalProperties", "not")
_NAMED = ("properties",)
_DEFINITIONS = ("$defs", "definitions")
_PLAIN = (
    *("$schema", "$ref", "title", "description", "default", "examples", "format"),
    *("type", "enum", "const", "required", "minProperties", "maxProperties"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    *("minLength", "maxLength", "minItems", "maxItems", "uniqueItems"),
)
_KNOWN = frozenset(_PLAIN).union(_LISTS, _SINGLE, _NAMED, _DEFINITIONS)


def check(schema: Mapping[str, Any]) -> None:
    """Raises ValueError, with what to change, when a schema cannot be asked for."""
    if schema.get("type") != "object":
        raise ValueError('its type must be "object"')
    try:
        jsonschema.Draft202012Validator.check_schema(schema)
    except jsonschema.SchemaError as problem:
        raise ValueError(f"{problem.json_path} is no valid JSON Schema") from problem
    for number, each in enumerate(_expanded(schema, schema, ())):
        if number >= _MOST:
            raise ValueError(f"it has more than {_MOST} parts; make it smaller")
        unknown = sorted(each.keys() - _KNOWN)
        if unknown:
            raise ValueError(f"{unknown[0]} cannot be used here; leave it out")


def fit(value: Mapping[str, Any], schema: Mapping[str, Any]) -> None:
    """Raises Unreadable, and says where, when a value does not fit a schema."""
    validator = jsonschema.Draft202012Validator(schema)
    misfit = next(iter(validator.iter_errors(value)), None)
    if misfit is not None:
        # The schema's words for the place: the answer's own may not be shown to everybody.
        place = "/".join(map(str, misfit.absolute_schema_path))
        raise Unreadable(f"it does not fit `{place}` of the schema.")


def _expanded(
    root: Mapping[str, Any], schema: Any, within: tuple[str, ...]
) -> Iterator[Mapping[str, Any]]:
    """The schema and all that is in it, with what it refers to in place of the references."""
    if not isinstance(schema, Mapping):
        return  # true or false
    yield schema
    if (reference := schema.get("$ref")) is not None:
        if reference in within:
            raise ValueError(f"{reference} is within itself; write it out as deep as needed")
        yield from _expanded(root, _meant(root, reference), (*within, reference))
    for part in _parts(schema):
        yield from _expanded(root, part, within)


def _meant(root: Mapping[str, Any], reference: str) -> Any:
    place, _, name = reference.removeprefix("#/").partition("/")
    defined = root.get(place, {}) if place in _DEFINITIONS else {}
    # Of names with these characters a pointer means something else.
    is_plain = reference.startswith("#/") and not set("/~%") & set(name)
    if not is_plain or name not in defined:
        raise ValueError(f"{reference} leads nowhere; define it in $defs")
    return defined[name]


def _parts(schema: Mapping[str, Any]) -> Iterable[Any]:
    for name in _LISTS:
        yield from schema.get(name, ())
    for name in _SINGLE:
        if name in schema:
            yield schema[name]
    for name in _NAMED:
        yield from schema.get(name, {}).values()
