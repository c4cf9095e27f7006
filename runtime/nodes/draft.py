"""A draft node: writes the draft, and rewrites it with all the feedback there is."""

from runtime import llm
from runtime.nodes import prompt
from runtime.nodes.state import Message
from runtime.nodes.step import Result, Step, iteration

_FIRST = "Write a draft on the topic. Answer with the draft alone."
_ON = "Write a better draft, based on what is there. Answer with the draft alone."
_AGAIN = (
    "Rewrite the draft so that it answers all of the feedback, the latest round first of all. "
    "Keep what is good. Answer with the new draft alone, without a word about the changes."
)


async def draft(step: Step) -> Result:
    """Write the next draft on the topic, from the one before and all feedback so far."""
    return await written(step, _task(step))


def _task(step: Step) -> str:
    if not step.state["current_draft"]:
        return _FIRST
    return _AGAIN if step.state["feedback_history"] else _ON


async def written(step: Step, task: str) -> Result:
    """Ask for a text, which becomes the current draft."""
    settings = step.node.settings
    reply = await llm.call(
        step.model,
        [prompt.system(step), prompt.human(step, task)],
        temperature=settings.temperature,
        max_tokens=settings.max_tokens,
        on_text=step.say,
    )
    number = iteration(step.node, step.state)
    said = Message(node=step.node.id, role=step.node.kind, content=reply.text, iteration=number)
    return Result(
        updates={
            "current_draft": reply.text,
            "iteration_count": number,
            "messages": [said],
        },
        output={"draft": reply.text},
        usage=reply.usage,
        model=reply.model,
        scripted=reply.scripted,
    )
