"""A critic node: judges the draft, scores it and decides where the run goes on."""

from typing import Literal

from pydantic import BaseModel, Field

from runtime import errors, llm
from runtime.nodes import asking, progress, prompt, replies
from runtime.nodes.kind import Kind, iteration
from runtime.nodes.state import Message, Score, State
from runtime.nodes.step import CriticSettings, Result, Step

_TASK = (
    "Judge the draft. Say first, concretely, what is good and what would make it better; then "
    "score it from 0 (useless) to 10 (nothing left to improve); then recommend a verdict: "
    '"approve" or "revise".'
)
_AGAIN = (
    "Your answer could not be read: {reason} Answer once more with one JSON object, "
    'nothing else: {"feedback": "…", "score": 0 to 10, "verdict": "revise" or "approve"}'
)
_UNREADABLE = "The critic answered twice without a score that can be read: {reason}"


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
    decision = decide(step.node.id, _settings(step), state, review.score, step.limit)
    said = Message(
        node=step.node.id, role=step.node.kind, content=review.feedback, iteration=number
    )
    updates = {
        "critic_score": review.score,
        "route_decision": decision,
        "decisions": {step.node.id: decision},
        "scores": [Score(node=step.node.id, iteration=number, score=review.score)],
        "feedback_history": [review.feedback],
        "rounds_reviewed": number,
        "first_judged": {step.node.id: number},
        "messages": [said],
    }
    output = {
        "score": review.score,
        "verdict": review.verdict,
        "feedback": review.feedback,
        "decision": decision,
    }
    return asking.result(asked, updates, output)


Decision = Literal["approve", "revise", "limit", "no_gain", "no_change"]


def decide(
    node: str,
    settings: CriticSettings,
    state: State,
    score: float,
    limit: int | None = None,
) -> Decision:
    """Where the run goes on.

    The critic's own limit counts the iterations since its first, the run's (`limit`) all.
    """
    if score >= settings.threshold:
        return "approve"
    number = state["iteration_count"]
    rounds = number - state["first_judged"].get(node, number) + 1
    if rounds >= settings.max_iterations or (limit is not None and number >= limit):
        return "limit"
    if progress.stands_still(node, settings.min_change, state):
        return "no_change"
    if progress.gains_nothing(node, settings.min_gain, state, score):
        return "no_gain"
    return "revise"


def _settings(step: Step) -> CriticSettings:
    settings = step.node.settings
    return settings if isinstance(settings, CriticSettings) else CriticSettings()


async def _review(step: Step) -> tuple[replies.Review, list[llm.Reply]]:
    """The judgement, and the one or two answers it took."""
    messages = [prompt.system(step), prompt.human(step, _TASK)]
    try:
        return await asking.until_read(
            step,
            messages,
            replies.read_critic,
            replies.Unreadable,
            again=_AGAIN,
            schema=CriticAnswer,
            shown=["feedback"],
        )
    except replies.Unreadable as problem:
        sentence = _UNREADABLE.format(reason=problem)
        raise errors.Fault("critic_unreadable", sentence) from problem


KIND = Kind(
    "critic",
    critic,
    settings=CriticSettings,
    prompt="You judge a draft strictly and fairly, and say what would make it better.",
    decides="verdict",
    summary="scores the draft and sends it back, or on",
    retells=True,
)
