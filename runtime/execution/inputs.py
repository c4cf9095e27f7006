"""What a finished step asked its model, put together once more.

Nothing of a prompt is stored: it follows from what is, namely the blueprint's version, the
state that the step was given, and the earlier runs that its run was told of. The log has its
digest, by which one sees whether what is put together today is what was sent then.
"""

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn, cast

from asgiref.sync import async_to_sync
from langchain_core.messages import BaseMessage

from runtime import blueprints, errors, history, models, nodes, runs
from runtime.execution import earlier


class Message(NamedTuple):
    role: str
    """`system` or `human`."""
    text: str


class Input(NamedTuple):
    messages: list[Message]
    """Of the first call of its last try, in their order."""
    is_as_sent: bool
    """Whether it was so to the letter: another version of CouncilOS, or a conversation of which
    something was deleted since, gives others."""


def digest(messages: Sequence[BaseMessage]) -> str:
    """By which two inputs are told apart: 16 hexadecimal digits of their SHA-256."""
    return _digest(_told(messages))


def of(run: models.Run, seq: int) -> Input | None:
    """What the finished step that the event `seq` tells of was asked; None if nobody can say:
    it asked no model, its kind does not tell, or what it was given is gone."""
    event = history.step(run, seq)
    kind = nodes.KINDS.get(event.data["kind"])
    if kind is None or not kind.retells or not event.data["usage"]["calls"]:
        return None
    try:
        asked = _ask_again(run, event, kind)
    except (errors.Refusal, errors.Fault):
        return None
    return Input(asked, _digest(asked) == event.data.get("asked"))


def _ask_again(run: models.Run, event: models.Event, kind: nodes.Kind) -> list[Message]:
    node = blueprints.runnable(runs.document_of(run), event.data["node"])
    state = cast(
        nodes.State,
        {**nodes.initial_state(str(run.pk), ""), **history.state_before(run, event)},
    )
    step = earlier.told(run).step(
        node, state, event.data["model"], say=_hear_nothing, call=_stop_at_once
    )
    try:
        async_to_sync(kind.run)(step)
    except _Asked as asked:
        return asked.messages
    return []


class _Asked(Exception):
    """The step has come to its first call."""

    def __init__(self, messages: list[Message]) -> None:
        self.messages = messages


async def _stop_at_once(model: str, messages: Sequence[BaseMessage], **more: Any) -> NoReturn:
    raise _Asked(_told(messages))


def _hear_nothing(text: str) -> None:
    pass


def _told(messages: Sequence[BaseMessage]) -> list[Message]:
    return [Message(each.type, str(each.text)) for each in messages]


def _digest(messages: Sequence[Message]) -> str:
    told = "\0".join(f"{role}\0{text}" for role, text in messages)
    return hashlib.sha256(told.encode()).hexdigest()[:16]
