"""Read the JSON object of an answer that was asked for in a form."""

import json
import re
from collections.abc import Iterator
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

Shape = TypeVar("Shape", bound=BaseModel)

_MOST = 50  # places in a text at which an object is looked for
_FENCE = re.compile(r"\s*```\w*\s*\n(?P<inner>.*?)\n?\s*```\s*", re.DOTALL)


class Unreadable(Exception):
    """An answer cannot be read, for the reason that the message ends a sentence with.

    It holds no words of the answer.
    """


def read(text: str, shape: type[Shape]) -> Shape:
    """The answer as `shape`. Raises Unreadable."""
    try:
        return shape.model_validate(outermost(text))
    except ValidationError as problem:
        error = problem.errors(include_url=False, include_context=False, include_input=False)[0]
        field = next((part for part in error["loc"] if isinstance(part, str)), "answer")
        reason = "is missing" if error["type"] == "missing" else "is not as asked for"
        raise Unreadable(f"its `{field}` {reason}.") from problem


def outermost(text: str) -> dict[str, Any]:
    """The JSON object that the answer is, or that stands fenced or amid prose in it.

    Of several, the largest. Raises Unreadable.
    """
    fenced = _FENCE.fullmatch(text)
    found = max(_objects(fenced["inner"] if fenced else text), default=None, key=_length)
    if found is None:
        raise Unreadable("it is no JSON object.")
    return found[1]


def _length(found: tuple[int, dict[str, Any]]) -> int:
    return found[0]


def _objects(text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """The outermost objects and how long they are."""
    decoder = json.JSONDecoder(strict=False, parse_constant=_no_number)
    position = -1
    for _ in range(_MOST):
        position = text.find("{", position + 1)
        if position < 0:
            return
        try:
            found, end = decoder.raw_decode(text, position)
        except (ValueError, RecursionError):
            if not text[:position].strip():
                return  # what begins as one object and breaks off: its parts are not the whole
            continue
        yield end - position, found
        position = end - 1


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no JSON")
