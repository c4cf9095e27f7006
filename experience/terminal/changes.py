"""What changed from one draft to the next, word by word, to be read in a terminal."""

import difflib
import re
from collections.abc import Iterator

from rich.text import Text

# Below this share of words that stayed, a comparison is harder to read than the new text.
LEAST_ALIKE = 0.4
# Of words; beyond it comparing takes seconds.
LONGEST = 20_000
_WORDS = re.compile(r"\s*\S+|\s+$")


def between(old: str, new: str, *, colour: bool) -> Text | None:
    """The new text with what was taken out and put in; None when little of the old is left.

    In colour by colour and shape (struck out, underlined), else as `[-out-]` and `{+in+}`.
    """
    before, after = _WORDS.findall(old), _WORDS.findall(new)
    if max(len(before), len(after)) > LONGEST:
        return None
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    if matcher.ratio() < LEAST_ALIKE:
        return None
    shown = Text()
    for operation, a, b, c, d in matcher.get_opcodes():
        if operation == "equal":
            shown.append("".join(after[c:d]))
            continue
        for piece in _marked("".join(before[a:b]), "[-", "-]", "red strike", colour):
            shown.append_text(piece)
        for piece in _marked("".join(after[c:d]), "{+", "+}", "green underline", colour):
            shown.append_text(piece)
    return shown


def _marked(text: str, begin: str, end: str, style: str, colour: bool) -> Iterator[Text]:
    """The space before the words stays outside of the marks."""
    words = text.lstrip()
    if not words:
        return
    yield Text(text[: len(text) - len(words)])
    yield Text(words, style) if colour else Text(f"{begin}{words}{end}")
