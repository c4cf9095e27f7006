"""A synthesis node, the chair: joins answers and reviews, and states dissent."""

from collections.abc import Mapping, Sequence

from pydantic import BaseModel, Field

from runtime import errors, llm
from runtime.nodes import anonymity, asking, members, objects, prompt, review
from runtime.nodes.kind import Kind, iteration
from runtime.nodes.state import Message
from runtime.nodes.step import Result, Step

_TASK = (
    "Join the answers into one text on the topic, better than each of them: take from each "
    "what holds, weigh what the reviews say, and settle by reasons, not by how many said it. "
    "Speak to the reader of the topic, who has seen none of the answers; do not mention them. "
    "State apart, as dissent, what the answers disagree on and you could not settle, each side "
    "with its best reason; if there is nothing, an empty text. Answer with one JSON object, "
    'nothing else: {"text": "…", "dissent": "…"}'
)
_AGAIN = (
    "Your answer could not be read: {reason} Answer once more with one JSON object, nothing "
    'else: {"text": "…", "dissent": "…", or "" where there is none}'
)


class Joined(BaseModel):
    """What a chair makes of the answers."""

    text: str = Field(min_length=1, description="The joined text.")
    dissent: str = Field(description='What stays open among the answers; "" if nothing does.')


async def synthesis(step: Step) -> Result:
    """Join the answers that lead here into the current draft.

    Raises errors.Fault `quorum_missed` when too few are there, `synthesis_unreadable` when two
    answers in a row could not be read.
    """
    present, attended = members.answers(step)
    seed = anonymity.seed(step)
    answers = anonymity.shuffled(present, seed)
    found, replies = await _ask(step, answers, seed)
    note = members.note(attended)
    text = found.text.strip()
    if note:
        text = f"{text}\n\n{note}"
        step.say(f"\n\n{note}")
    said = Message(
        node=step.node.id,
        role=step.node.kind,
        content=text,
        iteration=iteration(step.node, step.state),
    )
    output = {
        "draft": text,
        "dissent": found.dissent.strip(),
        "members": dict(attended),
        "seed": seed,
        "order": [each["node"] for each in answers],
    }
    return asking.result(replies, {"current_draft": text, "messages": [said]}, output)


async def _ask(
    step: Step, answers: Sequence[Message], seed: int
) -> tuple[Joined, list[llm.Reply]]:
    scrub, state = anonymity.Scrub(step), step.state
    messages = [
        # A current draft may be one of the answers.
        prompt.system(step, draft="", clean=scrub),
        prompt.together(
            prompt.topic(step, scrub),
            *review.shown(answers, scrub),
            *_reviews(step, answers, seed, scrub),
            *prompt.feedback([scrub(each) for each in state["feedback_history"]]),
            _TASK,
        ),
    ]
    try:
        return await asking.until_read(
            step,
            messages,
            lambda text: objects.read(text, Joined),
            objects.Unreadable,
            again=_AGAIN,
            schema=Joined,
            shown=["text"],
        )
    except objects.Unreadable as problem:
        sentence = f"The chair answered twice without a text that can be read: {problem}"
        raise errors.Fault("synthesis_unreadable", sentence) from problem


def _reviews(
    step: Step, answers: Sequence[Message], seed: int, scrub: anonymity.Scrub
) -> list[str]:
    there = members.newest(step.state["messages"])
    found = [there[name] for name in members.upstream(step, members.REVIEW) if name in there]
    letters = anonymity.letters([each["node"] for each in answers])
    return [
        prompt.marked(
            "review",
            anonymity.relabelled(scrub(each["content"]), _translation(each, letters)),
            f' by="Reviewer {number}"',
        )
        for number, each in enumerate(anonymity.shuffled(found, seed), 1)
    ]


def _translation(review: Message, letters: Mapping[str, str]) -> dict[str, str]:
    """From the letters of a review to those of the chair; `?` for an answer it has not."""
    theirs = anonymity.letters(review.get("order", []))
    return {letter: letters.get(node, "?") for node, letter in theirs.items()}


KIND = Kind(
    "synthesis",
    synthesis,
    settings=members.JoinSettings,
    prompt="You chair a council: you join what its members say, fairly and in plain words.",
    summary="the chair: joins the answers that lead to it, and states dissent",
    retells=True,
)
