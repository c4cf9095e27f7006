"""An answer node: one independent opinion. It is shown no other member's."""

from typing import Annotated, Any

from langchain_core.messages import BaseMessage
from pydantic import Field, ValidationInfo, field_validator

from runtime import errors, llm
from runtime.nodes import asking, ballots, members, objects, prompt, texts
from runtime.nodes.kind import Kind, iteration
from runtime.nodes.state import Message
from runtime.nodes.step import Result, Step, TextSettings

_TASK = "Give your own answer on the topic. Answer with the text of it alone."
_AGAIN = (
    "Give your own answer anew, so that it meets the feedback on what the council said. Keep "
    "what is right in yours. Answer with the text of it alone."
)
_CLOSED = (
    "Decide. Give your reason first, in a few sentences, then your choice: {choices}. Answer "
    'with one JSON object, nothing else: {{"reason": "…", "choice": "…"}}'
)
_FREE_CHOICE = "a few words that others can be counted with, such as yes or no"
_UNCLEAR = (
    "Your answer cannot be used: {reason} Answer once more with one JSON object, nothing else: "
    '{"reason": "…", "choice": "…"}'
)


class AnswerSettings(TextSettings):
    """What a blueprint may set on an answer."""

    choices: list[Annotated[ballots.Choice, Field(pattern=r"^[^\r\n]*$")]] = Field(
        default=[], max_length=50
    )
    """The choices of a closed question; it must take one of these."""
    closed: bool = False
    """It gives a choice and its reason, which can be counted; with `choices` so or so."""

    @field_validator("choices")
    @classmethod
    def _differ(cls, value: list[str]) -> list[str]:
        if len({ballots.key(each) for each in value} - {""}) < len(value):
            raise ValueError("the choices must differ in more than case and punctuation")
        return value

    @field_validator("choices", "closed")
    @classmethod
    def _has_one_form(cls, value: object, info: ValidationInfo) -> object:
        if value and info.data.get("output_schema") is not None:
            raise ValueError("a closed question has a form of its own; drop outputSchema")
        return value


async def answer(step: Step) -> Result:
    """Give an opinion on the topic, by itself.

    It becomes the current draft as well, so that a council of one has a result; what joins
    several puts its own in its place. Raises errors.Fault `answer_unreadable` when two answers
    in a row to a closed question have no choice that can be read.
    """
    settings = _settings(step)
    if settings.closed or settings.choices:
        return await _choose(step, settings)
    earlier = _earlier(step)
    task = texts.task(step, _AGAIN if earlier else _TASK)
    text, replies = await texts.ask(step, _messages(step, task))
    return _result(step, text, replies, {"draft": text})


async def _choose(step: Step, settings: AnswerSettings) -> Result:
    def read(text: str) -> ballots.Chosen:
        return _read(text, settings)

    stated = ", or ".join(f'"{each}"' for each in settings.choices)
    task = _CLOSED.format(choices=stated or _FREE_CHOICE)
    try:
        chosen, replies = await asking.until_read(
            step,
            _messages(step, task, choices=settings.choices or ["yes", "no"]),
            read,
            objects.Unreadable,
            again=_UNCLEAR,
            schema=ballots.Chosen,
            shown=["reason"],
        )
    except objects.Unreadable as problem:
        sentence = f"It answered twice without a choice that can be read: {problem}"
        raise errors.Fault("answer_unreadable", sentence) from problem
    text = ballots.written(chosen.reason, chosen.choice)
    step.say(text.removeprefix(chosen.reason.strip()))
    output = {"draft": text, "choice": chosen.choice, "reason": chosen.reason}
    return _result(step, text, replies, output, chosen.choice)


def _read(text: str, settings: AnswerSettings) -> ballots.Chosen:
    chosen = objects.read(text, ballots.Chosen)
    choice: str | None = " ".join(chosen.choice.split())
    if settings.choices:
        choice = ballots.among(chosen.choice, settings.choices)
    if choice is None or not ballots.key(choice):
        raise objects.Unreadable("its `choice` is none of those there are.")
    return chosen.model_copy(update={"choice": choice})


def _messages(step: Step, task: str, **hints: Any) -> list[BaseMessage]:
    state, earlier = step.state, _earlier(step)
    human = prompt.together(
        prompt.topic(step),
        prompt.marked("draft", earlier) if earlier else "",
        *prompt.feedback(state["feedback_history"]),
        task,
    )
    # Whoever writes of the current draft in its prompt must not get another's answer.
    return [prompt.system(step, draft=earlier, **hints), human]


def _earlier(step: Step) -> str:
    """What it answered itself in an earlier round."""
    said = members.newest(step.state["messages"]).get(step.node.id)
    return said["content"] if said else ""


def _result(
    step: Step,
    text: str,
    replies: list[llm.Reply],
    output: dict[str, Any],
    choice: str | None = None,
) -> Result:
    number = iteration(step.node, step.state)
    said = Message(
        node=step.node.id,
        role=members.ANSWER,
        content=text,
        iteration=number,
        model=replies[-1].model,
    )
    if choice is not None:
        said["choice"] = choice
    updates = {"current_draft": text, "iteration_count": number, "messages": [said]}
    return asking.result(replies, updates, output)


def _settings(step: Step) -> AnswerSettings:
    settings = step.node.settings
    return settings if isinstance(settings, AnswerSettings) else AnswerSettings()


KIND = Kind(
    "answer",
    answer,
    settings=AnswerSettings,
    prompt="You answer by yourself, as well as you can, and say what you are unsure of.",
    revises=True,
    member=True,
    summary="a member: gives one opinion on the topic, without seeing another's",
    retells=True,
)
