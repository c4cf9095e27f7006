"""What people are shown of a critic's answer while it streams."""

import json
import re
from collections.abc import Callable

from runtime import llm

_FENCE = "```"
_OPENING = re.compile(r'"feedback"\s*:\s*"')
_LONGEST_OPENING = 40  # characters; what may have to be kept to recognise one
# As much of a JSON string as is whole: no half escape, no half of a surrogate pair.
_WHOLE = re.compile(
    r"""(?: [^"\\]+
      | \\[^u]
      | \\u(?![dD][89abAB])[0-9a-fA-F]{4}
      | \\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}
    )*""",
    re.VERBOSE,
)


class Feedback:
    """Takes an answer piece by piece and says the readable part of it.

    Of a JSON object that is its `feedback`; any other text is passed on as it is.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
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
        found = _OPENING.search(self._kept)
        if found is None:
            self._kept = self._kept[-_LONGEST_OPENING:]
        else:
            self._kept = self._kept[found.end() :]
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
        if text:
            self._say(text)
        if self._kept.startswith('"'):
            self._take = _ignore


def _ignore(_: str) -> None:
    pass
