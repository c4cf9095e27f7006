"""A writer node: polishes the draft that was agreed on."""

from runtime.nodes import draft
from runtime.nodes.kind import Kind
from runtime.nodes.step import Result, Step, TextSettings

_FIRST = "Write a finished text on the topic. Answer with the text alone."
_POLISH = (
    "Polish the draft into its final form. Take up what the feedback still asks for, keep its "
    "substance, add no claims. Answer with the final text alone."
)


async def writer(step: Step) -> Result:
    """Give the current draft its final form. It begins no new iteration."""
    return await draft.written(step, _POLISH if step.state["current_draft"] else _FIRST)


KIND = Kind(
    "writer",
    writer,
    settings=TextSettings,
    prompt="You give a finished draft its final form.",
    summary="gives the draft its final form",
    retells=True,
)
