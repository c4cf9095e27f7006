"""Versions of the document's format: which are known, and how an older one becomes the newest.

Format 1 is protocol.md §4. Format 0 is what clients saved before there was a `version`: nodes
with `name` and `prompt` for `label` and `systemPrompt`, edges without `type`, whose condition
alone made them conditional. A newer format than ours is refused, not guessed at.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

NEWEST = 1
# Older clients write the number as a text or as 1.0; what they sent is kept.
_WRITTEN = re.compile(r"([0-9]{1,4})(?:\.0+)?")

Migration = Callable[[dict[str, Any]], dict[str, Any]]


def number(document: Mapping[str, Any]) -> int | None:
    """The version of a document's format; None if it is none that is known here."""
    stated = document.get("version", 0)
    if isinstance(stated, str) and (found := _WRITTEN.fullmatch(stated)):
        stated = int(found[1])
    if isinstance(stated, bool) or not isinstance(stated, int | float):
        return None
    return int(stated) if stated in {*MIGRATIONS, NEWEST} else None


def newest(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document in the newest format; as it is when its format is not known.

    What it holds beside the fields that were renamed stays as it was sent.
    """
    current = dict(document)
    while (stated := number(current)) in MIGRATIONS:
        assert stated is not None
        current = MIGRATIONS[stated](current)
    return current


def _from_0(document: dict[str, Any]) -> dict[str, Any]:
    migrated = {**document, "version": 1}
    if isinstance(nodes := document.get("nodes"), list):
        migrated["nodes"] = [
            _renamed(node, name="label", prompt="systemPrompt") for node in nodes
        ]
    if isinstance(edges := document.get("edges"), list):
        migrated["edges"] = [_typed(edge) for edge in edges]
    return migrated


def _renamed(part: Any, **names: str) -> Any:
    if not isinstance(part, Mapping):
        return part
    new = {names[old] for old in names if old in part and names[old] not in part}
    return {
        names[field] if names.get(field) in new else field: value
        for field, value in part.items()
    }


def _typed(edge: Any) -> Any:
    if not isinstance(edge, Mapping) or "type" in edge:
        return edge
    return {**edge, "type": "conditional" if edge.get("condition") else "linear"}


MIGRATIONS: Mapping[int, Migration] = {0: _from_0}
"""By the version that a document has; each gives the next."""
