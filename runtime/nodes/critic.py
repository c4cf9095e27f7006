"""A critic node: judges the draft, scores it and decides where the run goes on."""

from typing import Literal

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from pydantic import BaseModel, Field

from runtime import errors, llm
from runtime.nodes import prompt, replies, spoken
from runtime.nodes.state import Message, State
from runtime.nodes.step import CriticSettings, Result, Step, iteration

_TASK = (
    "Judge the draft. Say first, concretely, what is good and what would make it better; then "
    "score it from 0 (useless) to 10 (nothing left to improve); then recommend a verdict: "
    '"approve" or "revise".'
)
_AGAIN = (
    "Your answer could not be read: {reason} Answer once more with one JSON object, "
    'nothing else: {{"feedback": "…", "score": 0 to 10, "verdict": "revise" or "approve"}}'
)
_UNREADABLE = "The critic answered twice without a score that can be read: {reason}"
# Between an answer that could not be read and the next, for those who watch.
_BREAK = "\n\n"


class CriticAnswer(BaseModel):
    """A critic's judgement of a draft."""

    # In this order: a model that has to give its reasons first gives a better score.
    feedback: str = Field(description="What is good, and what would make it better.")
    score: float = Field(ge=0, le=10, description="From 0 (useless) to 10 (perfect).")
    verdict: Literal["revise", "approve"]


async def critic(step: Step) -> Result:
    """Judge the current draft. The score decides; the verdict is the model's opinion.

    Raises errors.Fault `critic_unreadable` when two answers in a row could not be read.
    """
    review, asked = await _review(step)
    state, number = step.state, iteration(step.node, step.state)
    decision = decide(step.node.id, _settings(step), state, review.score)
    said = Message(
        node=step.node.id, role=step.node.kind, content=review.feedback, iteration=number
    )
    return Result(
        updates={
            "critic_score": review.score,
            "route_decision": decision,
            "feedback_history": [review.feedback],
            "rounds_reviewed": number,
            "first_judged": {step.node.id: number},
            "messages": [said],
        },
        output={
            "score": review.score,
            "verdict": review.verdict,
            "feedback": review.feedback,
            "decision": decision,
        },
        usage=total([reply.usage for reply in asked]),
        model=asked[-1].model,
        scripted=asked[-1].scripted,
    )


def decide(
    node: str, settings: CriticSettings, state: State, score: float
) -> Literal["approve", "revise", "limit"]:
    """Where the run goes on. The limit counts the iterations since this critic's first."""
    if score >= settings.threshold:
        return "approve"
    number = state["iteration_count"]
    rounds = number - state["first_judged"].get(node, number) + 1
    return "limit" if rounds >= settings.max_iterations else "revise"


def _settings(step: Step) -> CriticSettings:
    settings = step.node.settings
    return settings if isinstance(settings, CriticSettings) else CriticSettings()


async def _review(step: Step) -> tuple[replies.Review, list[llm.Reply]]:
    """The judgement, and the one or two answers it took."""
    messages: list[BaseMessage] = [prompt.system(step), prompt.human(step, _TASK)]
    first = await _ask(step, messages)
    try:
        return replies.read_critic(first.text), [first]
    except replies.Unreadable as problem:
        messages += [AIMessage(first.text), HumanMessage(_AGAIN.format(reason=problem))]
    step.say(_BREAK)
    second = await _ask(step, messages)
    try:
        return replies.read_critic(second.text), [first, second]
    except replies.Unreadable as problem:
        sentence = _UNREADABLE.format(reason=problem)
        raise errors.Fault("critic_unreadable", sentence) from problem


async def _ask(step: Step, messages: list[BaseMessage]) -> llm.Reply:
    feedback = spoken.Feedback(step.say)
    return await llm.call(
        step.model,
        messages,
        temperature=step.node.settings.temperature,
        max_tokens=step.node.settings.max_tokens,
        schema=CriticAnswer,
        on_text=feedback.hear,
    )


def total(used: list[llm.Usage]) -> llm.Usage:
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
