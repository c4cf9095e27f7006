"""What changed between two documents, part by part and field by field."""

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

# Of the version, not of what the council is.
_NOT_COMPARED = frozenset({"nodes", "edges", "id", "createdAt", "updatedAt"})
_LONG = 80  # characters; a longer text, or one of several lines, is compared by line
# Lines beyond which comparing them would take a server's time; then both are shown whole.
_MOST_LINES = 2_000


def between(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """The changes that make the new document of the old one.

    `fields` are those of the document itself; of `nodes` and `edges`, which are told apart by
    their ids, `added` and `removed` hold whole ones, `changed` their `id` and `fields`, and
    `reordered` says whether those in both stand in another order. A field is a path
    (`settings.threshold`) and has `from` and `to` (neither where it is absent), or, of a long
    text, `diff`: a unified diff.
    """
    return {
        "fields": _fields(_without(old, _NOT_COMPARED), _without(new, _NOT_COMPARED)),
        "nodes": _parts(_list(old, "nodes"), _list(new, "nodes")),
        "edges": _parts(_list(old, "edges"), _list(new, "edges")),
    }


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values are the same; true is not 1, but 1.0 is."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def _list(document: Mapping[str, Any], name: str) -> dict[str, dict[str, Any]]:
    return {part["id"]: part for part in document.get(name, [])}


def _without(part: Mapping[str, Any], names: frozenset[str]) -> dict[str, Any]:
    return {name: value for name, value in part.items() if name not in names}


def _parts(old: dict[str, dict[str, Any]], new: dict[str, dict[str, Any]]) -> dict[str, Any]:
    both = [name for name in new if name in old]
    compared = {name: _fields(old[name], new[name]) for name in both}
    return {
        "added": [part for name, part in new.items() if name not in old],
        "removed": [part for name, part in old.items() if name not in new],
        "changed": [
            {"id": name, "fields": fields} for name, fields in compared.items() if fields
        ],
        "reordered": [name for name in old if name in new] != both,
    }


def _fields(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[dict[str, Any]]:
    before, after = dict(_flat(old)), dict(_flat(new))
    names = dict.fromkeys([*before, *after])
    return [
        _change(name, before, after)
        for name in names
        if not (name in before and name in after and same(before[name], after[name]))
    ]


def _flat(part: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in part.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


def _change(name: str, before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    old, new = before.get(name), after.get(name)
    if isinstance(old, str) and isinstance(new, str) and _is_long(old, new):
        lines = difflib.unified_diff(
            old.splitlines(), new.splitlines(), "from", "to", lineterm=""
        )
        return {"field": name, "diff": "\n".join(lines)}
    change: dict[str, Any] = {"field": name}
    if name in before:
        change["from"] = old
    if name in after:
        change["to"] = new
    return change


def _is_long(old: str, new: str) -> bool:
    lines = old.count("\n") + new.count("\n")
    return 0 < lines <= _MOST_LINES or (not lines and max(len(old), len(new)) > _LONG)
