"""What a server turned out not to take, so that it is asked without.

"OpenAI-compatible" promises little: many servers know no structured output, some models no
temperature, and all of them say so with a 400. One plain second try then serves better than a
failed run. What was learnt holds for the life of the process.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from langchain_core.messages import BaseMessage, HumanMessage

from runtime.llm import faults, names, schemas
from runtime.llm.schemas import Schema

# Not 500: a server that fails over the schema cannot be told from one that just fails.
_TURNED_DOWN = frozenset({400, 422, 501})

_learnt: dict[tuple[str, str], frozenset[str]] = {}


@dataclass(frozen=True)
class Wish:
    """What a call asks for beside its messages."""

    temperature: float | None = None
    max_tokens: int | None = None
    schema: Schema | None = None

    def without(self, given_up: frozenset[str]) -> "Wish":
        """The same without what has been given up."""
        return replace(self, **dict.fromkeys(given_up))


def known(full: str) -> frozenset[str]:
    """The wishes this model is known not to take."""
    return _learnt.get(_key(full), frozenset())


def learn(full: str, given_up: frozenset[str]) -> None:
    """Remember that the model answered once these were given up."""
    if given_up:
        _learnt[_key(full)] = given_up


def forget() -> None:
    """Unlearn everything, as a new process would."""
    _learnt.clear()


def next_after(problem: BaseException | None, wish: Wish) -> str | None:
    """What to give up next after this refusal; None when nothing would help."""
    if faults.status(problem) not in _TURNED_DOWN:
        return None
    if wish.temperature is not None and _is_about("temperature", problem):
        return "temperature"
    return "schema" if wish.schema is not None else None


def with_schema(messages: Sequence[BaseMessage], schema: Schema) -> Sequence[BaseMessage]:
    """The messages with the schema asked for in words, at the end of the last one.

    Not as one more message: some local models' templates want strictly alternating turns.
    """
    words = (
        "\n\nAnswer with one JSON object and nothing else, valid for this JSON schema:\n"
        + json.dumps(schemas.as_json_schema(schema))
    )
    *earlier, last = messages
    if isinstance(last, HumanMessage) and isinstance(last.content, str):
        return [*earlier, HumanMessage(last.content + words)]
    return [*messages, HumanMessage(words.strip())]


def _is_about(name: str, problem: BaseException | None) -> bool:
    return faults.field(problem, "param") == name or name in faults.field(problem, "message")


def _key(full: str) -> tuple[str, str]:
    provider, _ = names.split(full)
    return names.base_url(provider), full
