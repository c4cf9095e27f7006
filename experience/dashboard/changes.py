"""What changed from one draft to the next, word by word."""

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

# Below this share of words that stayed, a comparison is harder to read than the new text.
LEAST_ALIKE = 0.3
LONGEST = 2_500  # words; beyond it comparing takes a second and more
_WORDS = re.compile(r"\s*\S+|\s+$")


class Piece(NamedTuple):
    kind: str
    """`same`, `out` (it was there before) or `in` (it is there now)."""
    text: str


@dataclass(frozen=True)
class Changes:
    pieces: list[Piece]
    added: int
    """Words."""
    removed: int

    @property
    def before(self) -> list[Piece]:
        return [piece for piece in self.pieces if piece.kind != "in"]

    @property
    def after(self) -> list[Piece]:
        return [piece for piece in self.pieces if piece.kind != "out"]


def between(old: str, new: str) -> Changes | None:
    """The changes; None when the texts are too long to compare, or little of the old stays."""
    before, after = _WORDS.findall(old), _WORDS.findall(new)
    if max(len(before), len(after)) > LONGEST:
        return None
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    if matcher.ratio() < LEAST_ALIKE:
        return None
    added = removed = 0
    pieces: list[Piece] = []
    for operation, a, b, c, d in matcher.get_opcodes():
        if operation != "equal":
            removed, added = removed + b - a, added + d - c
        pieces += _pieces(operation == "equal", before[a:b], after[c:d])
    return Changes(pieces, added, removed)


def _pieces(is_same: bool, before: list[str], after: list[str]) -> Iterator[Piece]:
    if is_same:
        yield Piece("same", "".join(after))
        return
    if before:
        yield Piece("out", "".join(before))
    if after:
        yield Piece("in", "".join(after))
