"""A draft node: writes the draft, and rewrites it with all the feedback there is."""

from runtime.nodes import asking, prompt, texts
from runtime.nodes.kind import Kind, iteration
from runtime.nodes.state import Message
from runtime.nodes.step import Result, Step, TextSettings

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
    messages = [prompt.system(step), prompt.human(step, texts.task(step, task))]
    text, replies = await texts.ask(step, messages)
    number = iteration(step.node, step.state)
    said = Message(node=step.node.id, role=step.node.kind, content=text, iteration=number)
    updates = {"current_draft": text, "iteration_count": number, "messages": [said]}
    return asking.result(replies, updates, {"draft": text})


KIND = Kind(
    "draft",
    draft,
    settings=TextSettings,
    prompt="You write the draft that a council works on.",
    revises=True,
    summary="writes the draft, and rewrites it with the feedback",
    retells=True,
)
