"""What people are shown of an answer in JSON while it streams."""

import json
import re
from collections.abc import Callable

from runtime import llm

_FENCE = "```"
_LONGEST_OPENING = 60  # characters; what may have to be kept to recognise one
# Between two fields.
_BREAK = "\n\n"
# As much of a JSON string as is whole: no half escape, no half of a surrogate pair.
_WHOLE = re.compile(
    r"""(?: [^"\\]+
      | \\[^u]
      | \\u(?![dD][89abAB])[0-9a-fA-F]{4}
      | \\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}
    )*""",
    re.VERBOSE,
)


class Fields:
    """Takes an answer piece by piece and says the readable part of it.

    Of a JSON object those are the texts of these fields: of a single one the first text, of
    several every one; and nothing more once the field `unless` has had a text. Any other
    answer is passed on as it is.
    """

    def __init__(self, say: Callable[[str], None], *names: str, unless: str = "") -> None:
        self._say = say
        self._unless = unless
        every = "|".join(re.escape(name) for name in (*names, unless) if name)
        self._opening = re.compile(rf'"(?P<name>{every})"\s*:\s*"')
        self._is_condition = False
        self._go_on = self._seek if len(names) > 1 else _ignore
        self._has_spoken = False
        self._kept = ""
        self._take: Callable[[str], None] = self._begin

    def hear(self, piece: str) -> None:
        self._take(piece)

    def _begin(self, piece: str) -> None:
        self._kept += piece
        start = self._kept.lstrip()
        if start.startswith(("{", _FENCE)):
            self._become(self._seek)
        elif not _FENCE.startswith(start):  # the empty text could become either as well
            self._become(self._say)

    def _become(self, take: Callable[[str], None]) -> None:
        kept, self._kept = self._kept, ""
        self._take = take
        take(kept)

    def _seek(self, piece: str) -> None:
        self._kept += piece
        found = self._opening.search(self._kept)
        if found is None:
            self._kept = self._kept[-_LONGEST_OPENING:]
        else:
            self._kept = self._kept[found.end() :]
            self._is_condition = found["name"] == self._unless
            if self._has_spoken and not self._is_condition:
                self._say(_BREAK)
            self._become(self._read)

    def _read(self, piece: str) -> None:
        self._kept += piece
        found = _WHOLE.match(self._kept)
        whole = found[0] if found else ""
        self._kept = self._kept[len(whole) :]
        try:
            text = llm.clean(json.loads(f'"{whole}"', strict=False))
        except ValueError:  # an escape that JSON does not know: the result will tell
            self._take = _ignore
            return
        if self._is_condition and text.strip():
            self._take = _ignore
            return
        if text and not self._is_condition:
            self._say(text)
            self._has_spoken = True
        if self._kept.startswith('"'):
            self._kept = self._kept[1:]
            self._become(self._seek if self._is_condition else self._go_on)


def _ignore(_: str) -> None:
    pass
