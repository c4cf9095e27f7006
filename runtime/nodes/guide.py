"""A guide node: answers by itself, or hands over to somebody who answers better."""

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import BaseMessage
from pydantic import BaseModel, Field, field_validator

from runtime import errors, llm
from runtime.nodes import asking, ballots, objects, prompt
from runtime.nodes.kind import Kind, iteration
from runtime.nodes.state import HandedOver, Message
from runtime.nodes.step import Handoff, Result, Step

# The role of a message with which a guide hands over: it is no draft.
HANDOFF = "handoff"

_TASK = "Answer what is asked in the topic. Answer with the text of it alone."
_CHOICE = (
    "Decide first whether you answer what is asked in the topic yourself, or hand over to one "
    "of these, who then answers it in your place:\n{handoffs}\nHand over where one of them is "
    "clearly meant or clearly better at it; else answer yourself, also if you have to ask "
    "back. Give your reason first, in a sentence that the reader may see. Then the handoff: "
    'the name in quotes, as it is written here, or "" if you answer yourself. Then the text: '
    'your whole answer, or "" if you hand over. Answer with one JSON object, nothing else: '
    '{{"reason": "…", "handoff": "…", "text": "…"}}'
)
_AGAIN = (
    "Your answer could not be read: {reason} Answer once more with one JSON object, nothing "
    'else: {"reason": "…", "handoff": "…", or "" if you answer yourself, "text": "…"}'
)


class Guidance(BaseModel):
    """Whether a guide answers itself, and its answer."""

    # In this order: who has decided writes no answer that nobody will see.
    reason: str = Field(description="Why, in a sentence.")
    handoff: str = Field(description='To whom to hand over; "" to answer yourself.')
    text: str = Field(description='The whole answer; "" when handing over.')

    @field_validator("handoff", "text", mode="before")
    @classmethod
    def _is_a_text(cls, value: object) -> object:
        """Null, as some models say for nothing, is the empty text."""
        return "" if value is None else value


async def guide(step: Step) -> Result:
    """Answer the topic, or hand over to one of `step.handoffs`, if there are any.

    An answer becomes the current draft; who hands over leaves that as it is. Raises
    errors.Fault `guide_unreadable` when two answers in a row could not be read.
    """
    if not step.handoffs:
        reply = await asking.once(step, _messages(step, _TASK))
        return _answered(step, reply.text, [reply], {"draft": reply.text})
    found, replies = await _ask(step)
    reason = found.reason.strip()
    if found.handoff:
        return _handed_over(step, HandedOver(to=found.handoff, reason=reason), replies)
    # As it is: people have seen it so while it was written.
    return _answered(step, found.text, replies, {"draft": found.text, "reason": reason})


async def _ask(step: Step) -> tuple[Guidance, list[llm.Reply]]:
    named = [{"to": each.to, "name": each.name} for each in step.handoffs]
    task = _CHOICE.format(handoffs="\n".join(map(_listed, step.handoffs)))
    try:
        return await asking.until_read(
            step,
            _messages(step, task, handoffs=named),
            lambda text: _read(text, step.handoffs),
            objects.Unreadable,
            again=_AGAIN,
            schema=Guidance,
            shown=["text"],
            unless="handoff",
        )
    except objects.Unreadable as problem:
        sentence = f"The guide answered twice without a decision that can be read: {problem}"
        raise errors.Fault("guide_unreadable", sentence) from problem


def _messages(step: Step, task: str, **hints: Any) -> list[BaseMessage]:
    return [prompt.system(step, **hints), prompt.human(step, task)]


def _listed(handoff: Handoff) -> str:
    about = " ".join(handoff.description.split()) or "says nothing of itself"
    return f'- "{handoff.to}", {" ".join(handoff.name.split())}: {about}'


def _read(text: str, handoffs: Sequence[Handoff]) -> Guidance:
    found = objects.read(text, Guidance)
    if not ballots.key(found.handoff):
        if not found.text.strip():
            raise objects.Unreadable("it neither hands over nor has a text.")
        return found.model_copy(update={"handoff": ""})
    to = _meant(found.handoff, handoffs)
    if to is None:
        raise objects.Unreadable("its `handoff` is none of those there are.")
    if not found.reason.strip():
        raise objects.Unreadable("it hands over without a reason.")
    return found.model_copy(update={"handoff": to})


def _meant(said: str, handoffs: Sequence[Handoff]) -> str | None:
    """Whom a model means: it may write the name in place of what it was asked to write."""
    known = {ballots.key(each.name): each.to for each in handoffs}
    known |= {ballots.key(each.to): each.to for each in handoffs}
    return known.get(ballots.key(said))


def _answered(
    step: Step, text: str, replies: list[llm.Reply], output: dict[str, Any]
) -> Result:
    said = _said(step, step.node.kind, text)
    updates = {
        "current_draft": text,
        "iteration_count": said["iteration"],
        "messages": [said],
        # What it said in an earlier round holds no more.
        "handoff": None,
    }
    return asking.result(replies, updates, output)


def _handed_over(step: Step, handed_over: HandedOver, replies: list[llm.Reply]) -> Result:
    said = _said(step, HANDOFF, handed_over["reason"])
    updates = {
        "iteration_count": said["iteration"],
        "messages": [said],
        "handoff": handed_over,
    }
    return asking.result(replies, updates, {"handoff": dict(handed_over)})


def _said(step: Step, role: str, text: str) -> Message:
    number = iteration(step.node, step.state)
    return Message(node=step.node.id, role=role, content=text, iteration=number)


KIND = Kind(
    "guide",
    guide,
    prompt="You are the first whom people ask: you answer, or you hand over to who can.",
    revises=True,
    summary="answers by itself, or hands over to another agent",
    retells=True,
)
