"""What people and agents say to each other: a message is posted, routed, and answered by runs.

Every verb locks the conversation's row, so one message is answered at a time. An agent's
message is stored with its run and nothing is copied from it afterwards; only a hand-over needs
somebody to act when a run has ended. `settle` does that, whoever comes first: a server that
follows the conversation, the next message, or the worker at its steady pace.
"""

import hashlib
import json
import logging
from typing import Any, NamedTuple
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, InterfaceError, OperationalError, transaction
from django.utils import timezone

from experience import access, metrics, models, routing
from runtime import doorbell, errors, events, logs, runs, traces
from runtime import models as runtime

logger = logging.getLogger(__name__)

# Of earlier runs whose question and answer the agent is told; the runtime bounds their length.
MOST_CONTEXT = 40
# Per message: a guide that is asked again and again must answer itself in the end.
MOST_HANDOVERS = 2
LONGEST_ID = 200  # characters of a client's own id


class ConversationBusy(errors.Refusal):
    """An agent is still answering in this conversation. Wait for its end, or cancel it."""

    code = "conversation_busy"


class MessageConflict(errors.Refusal):
    """Another message was sent with this id before. Give each message an id of its own."""

    code = "message_conflict"


class ProjectConflict(errors.Refusal):
    """The conversation belongs to another project, or to none. Begin a new one for this one."""

    code = "project_conflict"


class UserInactive(errors.Refusal):
    """Whoever said this may not use CouncilOS any more."""

    code = "user_inactive"


class RunAnswers(errors.Refusal):
    """This run answers a message, which has had its end. Send the message again."""

    code = "run_answers"


class MessageTooLarge(errors.Refusal):
    """A message has at most 10 000 characters. Say it in less, or in several."""

    code = "too_large"


class Posted(NamedTuple):
    """A message of a user, and the first reply to it."""

    message: models.Message
    reply: models.Message
    is_new: bool
    """False: it was sent before, and this is what came of it."""


def begin(user: Any, *, project_id: str = "", agent: str = "") -> models.Conversation:
    """An empty conversation; `agent` is the slug of the one who is to answer first.

    Raises access.AgentNotFound, access.AgentNotYours.
    """
    found = access.find_agent(user, agent) if agent else None
    return models.Conversation.objects.create(
        user_id=user.pk, project_id=project_id, agent=found
    )


def post(
    user: Any,
    *,
    text: str,
    client_id: str | None = None,
    conversation_id: UUID | None = None,
    surface: str = "",
    project_id: str = "",
    agent: str = "",
    trace: str = "",
) -> Posted:
    """Store a user's message, choose the agent and create the run that answers, all or nothing.

    Without `conversation_id` a conversation begins. The same `client_id` of the same user acts
    once. `agent`: the slug of the one asked for. `trace`: the W3C traceparent of who asks.

    Raises MessageTooLarge, access.ConversationNotFound, ConversationBusy, MessageConflict,
    ProjectConflict, access.AgentNotFound, access.AgentNotYours, and what `runs.create` does.
    """
    text = _readable(text)
    digest = _digest([text, str(conversation_id or ""), surface, project_id, agent])
    if earlier := _posted_before(user, client_id, digest):
        return earlier
    message = models.Message(
        role=models.Message.Role.USER,
        text=text,
        sender_id=user.pk,
        client_id=client_id,
        request_digest=digest,
        surface=surface,
    )
    about = {"councilos.user_id": user.pk, "councilos.message_id": str(message.pk)}
    refusals = (errors.Refusal, IntegrityError)
    with traces.start("agent.message", about, parent=trace, expected=refusals) as span:
        try:
            with transaction.atomic():
                message.conversation = _locked(user, conversation_id, project_id)
                reply = _answer(message, asked=agent, trace=span.traceparent)
        except (IntegrityError, ConversationBusy):
            # The same message, sent twice at once.
            if earlier := _posted_before(user, client_id, digest):
                return earlier
            raise
        span.note({"councilos.agent": reply.agent_slug, "councilos.run_id": str(reply.run_id)})
    metrics.accepted(reply.routed_by)
    with logs.bound(conversation_id=message.conversation_id, run_id=reply.run_id):
        logger.info("a message goes to %s (%s)", reply.agent_slug, reply.routed_by)
    return Posted(message, reply, is_new=True)


def _readable(text: str) -> str:
    text = events.clean(text).strip()
    if not text:
        raise errors.InputInvalid("A message needs a text.")
    if len(text) > runs.LONGEST_TOPIC:
        raise MessageTooLarge(length=len(text))
    return text


def check_may_retry(run: runtime.Run) -> None:
    """Refuse to retry a run that answers a message: its client was told that it failed, and
    may have said the next thing. Raises RunAnswers."""
    if models.Message.objects.filter(run=run).exists():
        raise RunAnswers


def cancel(run: runtime.Run, *, by: str) -> None:
    """Cancel a run; where it has handed over, the one that answers in its place.

    Raises errors.RunFinished when nothing of it is under way.
    """
    try:
        runs.cancel(run.pk, by=by)
    except errors.RunFinished:
        successor = _successor(run)
        if successor is None:
            raise
        cancel(successor, by=by)


def _successor(run: runtime.Run) -> runtime.Run | None:
    """The run under way that answers the same message."""
    reply = models.Message.objects.select_related("conversation").filter(run=run).first()
    if reply is None:
        return None
    settle(reply.conversation_id)
    now = _under_way(reply.conversation)
    return now.run if now and now.answers_id == reply.answers_id else None


def settle(conversation_id: UUID) -> None:
    """Do what is left to do after the conversation's last run has ended."""
    with transaction.atomic():
        found = models.Conversation.objects.select_for_update().filter(pk=conversation_id)
        if (conversation := found.first()) is not None:
            _settle(conversation)


def settle_due() -> None:
    """`settle` where nobody has: whoever was to do it is gone."""
    due = models.Message.objects.filter(role=models.Message.Role.AGENT, settled_at=None)
    for conversation_id in due.filter(run__ended_at__isnull=False).values_list(
        "conversation_id", flat=True
    ):
        try:
            settle(conversation_id)
        except (OperationalError, InterfaceError):
            raise
        except Exception:  # it must not keep the others waiting
            logger.exception("conversation %s failed by a mistake of ours", conversation_id)


# --- a message ---


def _digest(asked: list[str]) -> str:
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()


def _posted_before(user: Any, client_id: str | None, digest: str) -> Posted | None:
    if client_id is None:
        return None
    found = models.Message.objects.filter(sender_id=user.pk, client_id=client_id)
    message = found.select_related("conversation").first()
    if message is None:
        return None
    if message.request_digest != digest:
        raise MessageConflict(id=client_id)
    reply = message.answered_by.select_related("run").earliest("number")
    return Posted(message, reply, is_new=False)


def _locked(user: Any, conversation_id: UUID | None, project_id: str) -> models.Conversation:
    if conversation_id is None:
        return begin(user, project_id=project_id)
    own = access.conversations_of(user).select_for_update(of=("self",))
    conversation = own.filter(pk=conversation_id).first()
    if conversation is None:
        raise access.ConversationNotFound
    if project_id and project_id != conversation.project_id:
        raise ProjectConflict(project_id=conversation.project_id)
    return conversation


def _answer(message: models.Message, *, asked: str, trace: str) -> models.Message:
    conversation = message.conversation
    _settle(conversation)
    if under_way := _under_way(conversation):
        raise ConversationBusy(
            conversation_id=str(conversation.pk), run_id=str(under_way.run_id)
        )
    agent, by = _route(message, asked)
    _append(conversation, message)
    reply = _reply(conversation, message, agent, by, trace=trace)
    if message.surface:
        conversation.surface = message.surface
    _keep(conversation, agent)
    return reply


def _under_way(conversation: models.Conversation) -> models.Message | None:
    replies = conversation.messages.filter(role=models.Message.Role.AGENT, settled_at=None)
    return replies.select_related("run", "answers").first()


def _route(message: models.Message, asked: str) -> tuple[runtime.Agent, str]:
    conversation, user = message.conversation, message.conversation.user
    if asked:
        access.find_agent(user, asked)
    mine = {agent.slug: agent for agent in access.agents_of(user).select_related("blueprint")}
    table = dict(models.Surface.objects.values_list("slug", "agent__slug"))
    last = conversation.agent.slug if conversation.agent else ""
    if message.surface and message.surface not in table:
        # Not which: what a client writes there may be anything.
        logger.info("a surface is unknown, and the message goes to the guide")
    found = routing.route(
        asked=asked,
        surface=message.surface,
        last_agent=last if last in mine else "",
        last_surface=conversation.surface,
        table={surface: slug for surface, slug in table.items() if slug in mine},
        default=settings.DEFAULT_AGENT,
    )
    if found.agent not in mine:
        raise access.AgentNotFound(agent=found.agent)
    return mine[found.agent], found.by


def _append(conversation: models.Conversation, message: models.Message) -> None:
    conversation.last_number += 1
    message.number = conversation.last_number
    message.save(force_insert=True)


def _reply(
    conversation: models.Conversation,
    message: models.Message,
    agent: runtime.Agent,
    by: str,
    *,
    trace: str,
) -> models.Message:
    """The agent's message, with the run whose output it will be."""
    run = runs.create(
        topic=message.text,
        version=agent.blueprint.newest,
        owner=conversation.user,
        context=_context(conversation),
        handoffs=_handoffs(conversation, message, agent),
        trace=trace,
    )
    reply = _reply_of(conversation, message, agent, by)
    reply.run = run
    _append(conversation, reply)
    return reply


def _reply_of(
    conversation: models.Conversation,
    message: models.Message,
    agent: runtime.Agent | None,
    by: str,
) -> models.Message:
    return models.Message(
        conversation=conversation,
        role=models.Message.Role.AGENT,
        answers=message,
        agent=agent,
        agent_slug=agent.slug if agent else "",
        routed_by=by,
    )


def _context(conversation: models.Conversation) -> list[UUID]:
    """The runs that have answered so far, oldest first; not those that handed over."""
    answered = conversation.messages.filter(run__isnull=False)
    answered = answered.exclude(run__handoff__has_key="to")
    newest = answered.order_by("-number").values_list("run_id", flat=True)[:MOST_CONTEXT]
    return [run_id for run_id in reversed(newest) if run_id]


def _handoffs(
    conversation: models.Conversation, message: models.Message, agent: runtime.Agent
) -> list[dict[str, str]]:
    """To whom the agent may hand over: the liaisons that the user may talk to."""
    if conversation.messages.filter(answers=message).count() >= MOST_HANDOVERS:
        return []
    liaisons = access.agents_of(conversation.user).filter(slug__startswith="liaison.")
    return [
        {"to": each.slug, "name": each.name, "description": each.description}
        for each in liaisons.exclude(pk=agent.pk)
    ]


def _keep(conversation: models.Conversation, agent: runtime.Agent | None) -> None:
    conversation.agent = agent
    conversation.save(update_fields=["agent", "surface", "last_number", "updated_at"])
    number = conversation.last_number
    transaction.on_commit(lambda: doorbell.ring(conversation.pk, [{"seq": number}]))


# --- what follows a run ---


def _settle(conversation: models.Conversation) -> None:
    """`settle`, of a conversation that is locked."""
    reply = _under_way(conversation)
    if reply is None or (reply.run and not reply.run.has_ended):
        return
    reply.settled_at = timezone.now()
    reply.save(update_fields=["settled_at"])
    if reply.run and reply.run.handoff:
        _hand_over(conversation, reply)


def _hand_over(conversation: models.Conversation, reply: models.Message) -> None:
    """Let the agent that the run has named answer the same message."""
    run, message, agent = reply.run, reply.answers, reply.agent
    assert run is not None
    assert run.handoff is not None
    assert message is not None
    code, sentence = "", ""
    try:
        if not conversation.user.is_active:
            raise UserInactive
        agent = access.find_agent(conversation.user, run.handoff["to"])
        with transaction.atomic():
            _reply(conversation, message, agent, "handoff", trace=run.trace)
    except errors.Refusal as refusal:  # a limit is reached, or the agent is gone
        code, sentence = refusal.code, str(refusal)
    except (OperationalError, InterfaceError):
        raise
    except Exception:
        logger.exception("a hand-over of run %s failed by a mistake of ours", run.pk)
        code, sentence = "internal", "Something went wrong inside CouncilOS."
    if code:
        # The message must still come to its end.
        failed = _reply_of(conversation, message, agent, "handoff")
        failed.error_code, failed.error_message = code, sentence
        failed.settled_at = timezone.now()
        _append(conversation, failed)
    _keep(conversation, agent)
