"""A turn: a message of the reader, and what agents made of it, as the pages show it."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import Q, QuerySet

from experience import access, models
from experience.dashboard.conversations import answer
from experience.dashboard.conversations.answer import Answer
from experience.replies import Reply
from runtime import events
from runtime import models as runtime

# Turns that one sees without asking for earlier ones, and that one request adds to them …
PAGE = 20
# … and that one page holds at most when it is loaded.
MOST = 200
_TITLE = 80  # characters


class Turn(NamedTuple):
    message: models.Message
    answers: list[Answer]
    """More than one where an agent has handed over."""
    is_live: bool
    """Whether an agent is still at it."""


class Shown(NamedTuple):
    """Some turns that follow each other, oldest first."""

    turns: list[Turn]
    before: int | None
    """The number of the first message of the page before these; None: there is none."""


def title(conversation: models.Conversation) -> str:
    """How its first message begins."""
    first = conversation.messages.filter(number=1).values_list("text", flat=True).first() or ""
    line = " ".join(first.split())
    return f"{line[:_TITLE].rstrip()}…" if len(line) > _TITLE else line


def answered_by(user: Any, run: runtime.Run) -> models.Message | None:
    """The message of this user's that the run answers, if it does."""
    mine = models.Message.objects.filter(conversation__in=access.conversations_of(user))
    return mine.filter(answered_by__run=run).first()


# --- which -----------------------------------------------------------------------------


def latest(conversation: models.Conversation, *, since: int | None) -> Shown:
    """The latest turns, at least those since the message of this number, as far as MOST."""
    numbers = _numbers(conversation.messages.all(), MOST + PAGE)
    wanted = sum(number >= since for number in numbers) if since is not None else 0
    return _shown(conversation, numbers, min(MOST, max(PAGE, wanted)))


def earlier(conversation: models.Conversation, before: int) -> Shown:
    """The page of turns before the message of this number."""
    there = conversation.messages.filter(number__lt=before)
    return _shown(conversation, _numbers(there, 2 * PAGE), PAGE)


def find(conversation: models.Conversation, message_id: UUID) -> Turn | None:
    """The turn that this message of the reader began."""
    rows = conversation.messages.filter(pk=message_id, role=models.Message.Role.USER)
    return next(iter(_told(conversation, list(rows))), None)


def _numbers(messages: QuerySet[models.Message], most: int) -> list[int]:
    """Of the reader's messages, the newest first."""
    said = messages.filter(role=models.Message.Role.USER).order_by("-number")
    return list(said.values_list("number", flat=True)[:most])


def _shown(conversation: models.Conversation, numbers: Sequence[int], how_many: int) -> Shown:
    chosen, rest = numbers[:how_many], numbers[how_many:][:PAGE]
    rows = conversation.messages.filter(
        role=models.Message.Role.USER, number__in=chosen
    ).order_by("number")
    return Shown(_told(conversation, list(rows)), rest[-1] if rest else None)


# --- what ------------------------------------------------------------------------------


def _told(conversation: models.Conversation, said: Sequence[models.Message]) -> list[Turn]:
    """Three queries, however many turns there are."""
    by_id = {message.pk: message for message in said}
    rows = models.Message.objects.filter(answers__in=by_id).order_by("number")
    rows = rows.select_related("agent", "run__blueprint_version")
    replies: dict[UUID, list[models.Message]] = {pk: [] for pk in by_id}
    for row in rows.defer("run__context", "run__handoffs"):
        assert row.answers_id is not None
        row.answers = by_id[row.answers_id]
        replies[row.answers_id].append(row)
    log = _log([row.run for each in replies.values() for row in each if row.run])
    return [_turn(message, replies[message.pk], log) for message in said]


def _turn(
    message: models.Message,
    replies: Sequence[models.Message],
    log: Mapping[UUID, list[events.Logged]],
) -> Turn:
    answers = [
        answer.of(Reply.of(row), row, log.get(row.run_id, []) if row.run_id else [])
        for row in replies
    ]
    last = replies[-1].run if replies else None
    # One that has handed over is followed by another, by whoever comes first.
    is_live = bool(last and (not last.has_ended or last.handoff))
    return Turn(message, answers, is_live)


def _log(found: Collection[runtime.Run]) -> dict[UUID, list[events.Logged]]:
    """By run: its end; and what it had written, where that is not its result."""
    unfinished = [run.pk for run in found if run.status != runtime.Status.COMPLETED]
    told = Q(run__in=[run.pk for run in found], kind__in=events.ENDS)
    told |= Q(run__in=unfinished, kind__in=answer.TOLD)
    rows = runtime.Event.objects.filter(told).order_by("run_id", "seq")
    by_run: dict[UUID, list[events.Logged]] = {}
    for row in rows:
        by_run.setdefault(row.run_id, []).append(events.logged(row))
    return by_run
