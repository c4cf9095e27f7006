"""What changed between two blueprint documents, in words."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from experience.dashboard import changes
from runtime import blueprints

# Words of long texts that are compared one by one on one page; the rest stands side by side.
MOST_WORDS = 10_000
_NAMES = {
    "systemPrompt": "prompt",
    "goodFor": "what it is good for",
    "notFor": "what it is not for",
    "gateBefore": "gate before",
    "gateAfter": "gate after",
    "atLimit": "at a limit",
}


@dataclass(frozen=True)
class Line:
    """One field: what it said before and after, None where it said nothing."""

    name: str
    before: str | None = None
    after: str | None = None
    is_long: bool = False
    """Texts to be folded."""
    words: changes.Changes | None = None
    """Of long texts: word by word, unless they are too long, or too little stayed."""


@dataclass(frozen=True)
class Part:
    """A node or an edge, and what became of it: `added`, `removed` or `changed`."""

    became: str
    title: str
    lines: list[Line] = field(default_factory=list)


@dataclass(frozen=True)
class Differences:
    itself: list[Line]
    """Of the document beside its nodes and edges."""
    nodes: list[Part]
    edges: list[Part]
    reordered: list[str]
    """`nodes`, `edges`: those in both that stand in another order."""

    def __bool__(self) -> bool:
        return bool(self.itself or self.nodes or self.edges or self.reordered)


def between(old: Mapping[str, Any], new: Mapping[str, Any]) -> Differences:
    """What makes the new document of the old one. Both were found sound when saved."""
    return _Telling(blueprints.newest(old), blueprints.newest(new)).told()


class _Telling:
    def __init__(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
        self._old, self._new = old, new
        self._left = MOST_WORDS

    def told(self) -> Differences:
        found = blueprints.difference(self._old, self._new)
        return Differences(
            itself=list(self._lines(found["fields"], self._old, self._new)),
            nodes=list(self._nodes(found["nodes"])),
            edges=list(self._edges(found["edges"])),
            reordered=[name for name in ("nodes", "edges") if found[name]["reordered"]],
        )

    def _nodes(self, found: Mapping[str, Any]) -> Iterator[Part]:
        for node in found["added"]:
            yield Part("added", _label(node), [*_said(node, is_new=True)])
        for node in found["removed"]:
            yield Part("removed", _label(node), [*_said(node, is_new=False)])
        old, new = _by_id(self._old, "nodes"), _by_id(self._new, "nodes")
        for each in found["changed"]:
            one, other = old[each["id"]], new[each["id"]]
            yield Part("changed", _label(other), [*self._lines(each["fields"], one, other)])

    def _edges(self, found: Mapping[str, Any]) -> Iterator[Part]:
        for edge in found["added"]:
            yield Part("added", _way(edge, self._new))
        for edge in found["removed"]:
            yield Part("removed", _way(edge, self._old))
        old, new = _by_id(self._old, "edges"), _by_id(self._new, "edges")
        for each in found["changed"]:
            one, other = old[each["id"]], new[each["id"]]
            lines = [*self._lines(each["fields"], one, other)]
            yield Part("changed", _way(other, self._new), lines)

    def _lines(
        self, fields: list[dict[str, Any]], old: Mapping[str, Any], new: Mapping[str, Any]
    ) -> Iterator[Line]:
        if any(each["field"].startswith("position.") for each in fields):
            yield Line("place in the drawing", after="moved")
        for each in fields:
            if each["field"].startswith("position."):
                continue
            if "diff" in each:
                yield self._long(each, _at(old, each["field"]), _at(new, each["field"]))
            else:
                before = shown(each["from"]) if "from" in each else None
                after = shown(each["to"]) if "to" in each else None
                yield Line(named(each["field"]), before, after)

    def _long(self, each: Mapping[str, Any], old: Any, new: Any) -> Line:
        name = named(each["field"])
        if not isinstance(old, str) or not isinstance(new, str):
            return Line(name, after=each["diff"], is_long=True)
        size = len(old.split()) + len(new.split())
        words = None
        if size <= self._left:
            self._left -= size
            words = changes.between(old, new)
        return Line(name, old, new, is_long=True, words=words)


def named(path: str) -> str:
    """A field in words: `settings.maxIterations` is `max iterations`."""
    parts = [_NAMES.get(part) or _apart(part) for part in path.split(".")]
    return ", ".join(part for part in parts if part != "settings") or path


def _apart(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).lower()


def shown(value: Any) -> str:
    """A value as one reads it; what is empty is `nothing`."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return f"{value:g}" if abs(value) < 10**6 else str(value)
    if isinstance(value, str):
        return value or "nothing"
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return ", ".join(value) or "nothing"
    return json.dumps(value, ensure_ascii=False) if value else "nothing"


def _label(node: Mapping[str, Any]) -> str:
    return str(node.get("label") or node["id"])


def _said(node: Mapping[str, Any], *, is_new: bool) -> Iterator[Line]:
    """Of a node that is there in one of the two only."""
    for name in ("kind", "model", "systemPrompt"):
        if value := node.get(name):
            before, after = (None, value) if is_new else (value, None)
            yield Line(named(name), before, after, is_long=name == "systemPrompt")


def _way(edge: Mapping[str, Any], document: Mapping[str, Any]) -> str:
    labels = {node["id"]: _label(node) for node in document["nodes"]}
    source, target = labels[edge["source"]], labels[edge["target"]]
    when = f", on {edge['condition']}," if edge["type"] == "conditional" else ""
    return f"{source}{when} leads to {target}"


def _by_id(document: Mapping[str, Any], name: str) -> dict[str, dict[str, Any]]:
    return {part["id"]: part for part in document.get(name, [])}


def _at(part: Mapping[str, Any], path: str) -> Any:
    """What stands at a path; a name in it may hold a dot itself."""
    if path in part:
        return part[path]
    for name, inner in part.items():
        if isinstance(inner, Mapping) and path.startswith(f"{name}."):
            found = _at(inner, path.removeprefix(f"{name}."))
            if found is not None:
                return found
    return None
