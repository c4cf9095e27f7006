"""The choice in an answer to a closed question, as it is written and as it is counted."""

import re
from typing import Annotated

from pydantic import BaseModel, Field, StringConstraints

from runtime.nodes.state import Message

LONGEST = 200  # characters
Choice = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=LONGEST)
]

_LINE = re.compile(r"\n*^Choice:[ \t]*(?P<choice>\S.*?)\s*\Z", re.MULTILINE)
_AROUND = " \t*_`\"'“”.,;:!?"


class Chosen(BaseModel):
    """A choice, and why."""

    # In this order: a model that has to give its reason first chooses better.
    reason: str = Field(min_length=1, description="Why, in a few sentences.")
    choice: Choice = Field(description="The choice alone, in a few words.")


def key(choice: str) -> str:
    """What choices are compared by: case, blanks and marks around them do not matter."""
    return " ".join(choice.split()).strip(_AROUND).casefold()


def among(choice: str, known: list[str]) -> str | None:
    """The known choice that is meant; None if there is no such."""
    return {key(each): each for each in known}.get(key(choice))


def written(reason: str, choice: str) -> str:
    """Both as one text."""
    return f"{reason.strip()}\n\nChoice: {choice}"


def read(message: Message) -> tuple[str, str] | None:
    """Reason and choice of an answer; None when it made none.

    The text goes before: a person may have changed it.
    """
    found = _LINE.search(message["content"])
    choice = found["choice"] if found else message.get("choice", "")
    if not key(choice):
        return None
    reason = message["content"][: found.start()] if found else message["content"]
    return reason.strip(), choice
