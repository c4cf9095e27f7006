"""Ask for a text: as the model writes it, or in the form that the blueprint states."""

import json
from collections.abc import Sequence

from langchain_core.messages import BaseMessage

from runtime import errors, llm
from runtime.nodes import asking, forms, objects
from runtime.nodes.step import Step, TextSettings

_FORM = (
    "\n\nAnswer with one JSON object and nothing else, valid for this JSON Schema:\n{schema}"
)
_AGAIN = (
    "Your answer cannot be used: {reason} Answer once more with one JSON object that is valid "
    "for the schema, nothing else."
)


def task(step: Step, words: str) -> str:
    """The task with the form, if one is stated, in words: not every server takes it else."""
    schema = _schema(step)
    return words if schema is None else words + _FORM.format(schema=json.dumps(schema))


async def ask(step: Step, messages: Sequence[BaseMessage]) -> tuple[str, list[llm.Reply]]:
    """The text, and the one or two answers it took.

    Raises errors.Fault `output_invalid` when two answers in a row did not fit the form.
    """
    schema = _schema(step)
    if schema is None:
        reply = await asking.once(step, messages)
        return reply.text, [reply]

    def read(text: str) -> str:
        found = objects.outermost(text)
        forms.fit(found, schema)
        return json.dumps(found, ensure_ascii=False, indent=2)

    try:
        return await asking.until_read(
            step, messages, read, objects.Unreadable, again=_AGAIN, schema=schema
        )
    except objects.Unreadable as problem:
        sentence = f"Two answers in a row do not have the form that is asked for: {problem}"
        raise errors.Fault("output_invalid", sentence) from problem


def _schema(step: Step) -> dict[str, object] | None:
    settings = step.node.settings
    return settings.output_schema if isinstance(settings, TextSettings) else None
