"""What a call gives back."""

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

# PostgreSQL's JSON takes neither NUL nor half of a surrogate pair; and to a terminal the other
# control characters are orders, which no text of a model or a person has to give.
_HALVES = re.compile("[\ud800-\udfff]")
_UNSTORABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True)
class Usage:
    """What a call used. None is "unknown", never "nothing"; the cost is in US dollars."""

    input_tokens: int | None
    output_tokens: int | None
    cost: Decimal | None
    cost_source: str | None
    calls: int = 1

    def as_json(self) -> dict[str, Any]:
        """The same for an event; the cost as a plain decimal string, so that it stays exact."""
        return {
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "cost": None if self.cost is None else format(self.cost, "f"),
            "cost_source": self.cost_source,
            "calls": self.calls,
        }


@dataclass(frozen=True)
class Reply:
    """A whole answer of a model."""

    text: str
    usage: Usage
    model: str
    """The full `provider:model` that answered."""
    scripted: bool
    """No AI wrote this: it comes from the demo model's script."""
    is_cut: bool = False
    """It ended at the token limit, not by itself."""


def clean(text: str) -> str:
    """The text with control characters (not tabs, not line ends) and half ones as U+FFFD."""
    return _UNSTORABLE.sub("\ufffd", text)


def whole(text: str) -> tuple[str, str]:
    """The text with halves of a sign that have met as one, and the half at its end whose other
    may be yet to come. A stream of JSON may cut a sign between its two escapes."""
    if not _HALVES.search(text):
        return text, ""
    met = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    return (met[:-1], met[-1]) if "\ud800" <= met[-1] <= "\udbff" else (met, "")
