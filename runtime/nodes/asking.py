"""Ask a model, and once more when its answer cannot be read."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from runtime import llm
from runtime.nodes import spoken
from runtime.nodes.step import Result, Step

T = TypeVar("T")
# Between an answer that could not be read and the next, for those who watch.
_BREAK = "\n\n"


async def once(
    step: Step,
    messages: Sequence[BaseMessage],
    *,
    schema: llm.Schema | None = None,
    shown: Sequence[str] = (),
    unless: str = "",
) -> llm.Reply:
    """Ask with the node's settings. Of a JSON answer people are shown the fields `shown`,
    but nothing of what follows a field `unless` that has a text."""
    settings = step.node.settings
    return await step.call(
        step.model,
        messages,
        temperature=settings.temperature,
        max_tokens=settings.max_tokens,
        schema=schema,
        on_text=spoken.Fields(step.say, *shown, unless=unless).hear if shown else step.say,
    )


async def until_read(
    step: Step,
    messages: Sequence[BaseMessage],
    read: Callable[[str], T],
    problem: type[Exception],
    *,
    again: str,
    schema: llm.Schema | None = None,
    shown: Sequence[str] = (),
    unless: str = "",
) -> tuple[T, list[llm.Reply]]:
    """What was read, and the one or two answers it took.

    `again` is what the model is told when `read` raises `problem`, with `{reason}` in it. The
    second `problem` is passed on.
    """
    first = await once(step, messages, schema=schema, shown=shown, unless=unless)
    try:
        return read(first.text), [first]
    except problem as unreadable:
        complaint = HumanMessage(again.replace("{reason}", str(unreadable)))
    step.say(_BREAK)
    more = [*messages, AIMessage(first.text), complaint]
    second = await once(step, more, schema=schema, shown=shown, unless=unless)
    return read(second.text), [first, second]


def result(
    replies: Sequence[llm.Reply], updates: dict[str, Any], output: dict[str, Any]
) -> Result:
    """What came of these answers."""
    return Result(
        updates=updates,
        output=output,
        usage=total([reply.usage for reply in replies]),
        model=replies[-1].model,
        scripted=replies[-1].scripted,
        is_cut=replies[-1].is_cut,
    )


def total(used: Sequence[llm.Usage]) -> llm.Usage:
    """The sum. Unknown stays unknown: what is known of it would pass for the whole."""
    if len(used) == 1:
        return used[0]
    inputs = [each.input_tokens for each in used if each.input_tokens is not None]
    outputs = [each.output_tokens for each in used if each.output_tokens is not None]
    costs = [each.cost for each in used if each.cost is not None]
    priced = len(costs) == len(used)
    return llm.Usage(
        input_tokens=sum(inputs) if len(inputs) == len(used) else None,
        output_tokens=sum(outputs) if len(outputs) == len(used) else None,
        cost=sum(costs[1:], costs[0]) if priced else None,
        cost_source=used[0].cost_source if priced else None,
        calls=sum(each.calls for each in used),
    )
