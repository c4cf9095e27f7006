"""A review node: judges the answers of others without knowing whose they are."""

from collections.abc import Sequence

from pydantic import BaseModel, Field

from runtime import errors, llm
from runtime.nodes import anonymity, asking, members, objects, prompt
from runtime.nodes.kind import Kind, iteration
from runtime.nodes.state import Message
from runtime.nodes.step import Result, Step

_TASK = (
    "These are answers on the topic, in no particular order. Judge them by what they say: of "
    "each its strengths, then its weaknesses, with what is wrong or unsupported. Then rank "
    'them, the best first. Call them "Answer A" and so on, always with the word. Answer with '
    'one JSON object, nothing else: {"assessments": [{"answer": "A", "strengths": "…", '
    '"weaknesses": "…"}], "ranking": ["A"]}, with every answer in both.'
)
_AGAIN = (
    "Your review could not be read: {reason} Answer once more with one JSON object, nothing "
    'else: {"assessments": [{"answer": "A", "strengths": "…", "weaknesses": "…"}], '
    '"ranking": ["A"]}, with every answer in both.'
)


class ReviewSettings(members.JoinSettings):
    """What a blueprint may set on a review."""

    own: str = Field(default="", max_length=100)
    """The answer node whose answer is the reviewer's own, and is left out; empty for none."""


class Assessment(BaseModel):
    """What is good and what is bad about one answer."""

    answer: str = Field(description="The letter of the answer.")
    strengths: str = Field(min_length=1)
    weaknesses: str = Field(min_length=1)


class Assessments(BaseModel):
    """A review of several answers."""

    assessments: list[Assessment]
    ranking: list[str] = Field(description="The letters of all answers, the best first.")


async def review(step: Step) -> Result:
    """Judge the answers that lead here, but for the own one.

    Raises errors.Fault `quorum_missed` when too few are there, `review_unreadable` when two
    reviews in a row could not be read.
    """
    seed = anonymity.seed(step)
    answers = anonymity.shuffled(_others(step), seed)
    order = [each["node"] for each in answers]
    letters = anonymity.letters(order)
    found, replies = await _ask(step, answers, list(letters.values()))
    text = _written(found)
    number = iteration(step.node, step.state)
    said = Message(
        node=step.node.id, role=members.REVIEW, content=text, iteration=number, order=order
    )
    output = {
        "review": text,
        "assessments": [each.model_dump() for each in found.assessments],
        "ranking": found.ranking,
        "seed": seed,
        "order": order,
    }
    return asking.result(replies, {"messages": [said]}, output)


def shown(answers: Sequence[Message], scrub: anonymity.Scrub) -> list[str]:
    """The answers between marks, by letters in this order, without names."""
    return [
        prompt.marked(
            "answer", scrub(each["content"]), f' name="Answer {anonymity.letter(number)}"'
        )
        for number, each in enumerate(answers)
    ]


def _others(step: Step) -> list[Message]:
    settings = step.node.settings
    own = settings.own if isinstance(settings, ReviewSettings) else ""
    present, attended = members.answers(step)
    others = [each for each in present if each["node"] != own]
    if not others:
        raise members.missed(step, 0, attended["of"] - 1, 1)
    return others


async def _ask(
    step: Step, answers: Sequence[Message], letters: list[str]
) -> tuple[Assessments, list[llm.Reply]]:
    scrub = anonymity.Scrub(step)
    messages = [
        # The current draft may be one of the answers: its author could be told by it.
        prompt.system(step, draft="", clean=scrub, letters=letters),
        prompt.together(prompt.topic(step, scrub), *shown(answers, scrub), _TASK),
    ]
    try:
        return await asking.until_read(
            step,
            messages,
            lambda text: _read(text, letters),
            objects.Unreadable,
            again=_AGAIN,
            schema=Assessments,
            shown=["answer", "strengths", "weaknesses"],
        )
    except objects.Unreadable as problem:
        sentence = f"The reviewer answered twice without a review that can be read: {problem}"
        raise errors.Fault("review_unreadable", sentence) from problem


def _read(text: str, letters: list[str]) -> Assessments:
    found = objects.read(text, Assessments)
    assessed = {_letter(each.answer): each for each in found.assessments}
    ranking = [_letter(each) for each in found.ranking]
    if sorted(assessed) != sorted(letters) or len(found.assessments) != len(letters):
        raise objects.Unreadable("it does not assess every answer once.")
    if sorted(ranking) != sorted(letters):
        raise objects.Unreadable("its ranking does not have every answer once.")
    in_order = [assessed[each].model_copy(update={"answer": each}) for each in letters]
    return Assessments(assessments=in_order, ranking=ranking)


def _letter(name: str) -> str:
    return name.strip(" \t\n\"'*_`.:()[]").upper().removeprefix("ANSWER").strip()


def _written(found: Assessments) -> str:
    parts = [
        f"Answer {each.answer}\nStrengths: {each.strengths.strip()}\n"
        f"Weaknesses: {each.weaknesses.strip()}"
        for each in found.assessments
    ]
    ranking = ", ".join(f"Answer {each}" for each in found.ranking)
    return "\n\n".join([*parts, f"Ranking, the best first: {ranking}"])


KIND = Kind(
    "review",
    review,
    settings=ReviewSettings,
    prompt="You review answers strictly and fairly, by what they say and nothing else.",
    member=True,
    summary="a member: judges the answers that lead to it, not knowing whose they are",
    retells=True,
)
