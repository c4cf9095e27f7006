"""Conversations: what the agent socket works on, for programs without sockets.

A conversation is private to its user; an administrator sees no other's either.
"""

import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

from django.db.models import OuterRef, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce, Left
from django.http.response import HttpResponseBase
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import api_view, renderer_classes
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from experience import access, conversations, models, rates, replies, shapes, turns
from experience.api import conversation_shapes as told
from experience.api import streams
from experience.steering import IDEMPOTENCY
from runtime import errors

PAGE = 500
TITLE = 80


class ConversationIdle(errors.Refusal):
    """No agent is answering in this conversation, so there is nothing to cancel."""

    code = "conversation_idle"


# --- conversations ---------------------------------------------------------------------


def _titled(user: Any) -> QuerySet[models.Conversation]:
    first = models.Message.objects.filter(conversation=OuterRef("pk"), number=1)
    return (
        access.conversations_of(user)
        .select_related("agent")
        .annotate(title=Coalesce(Subquery(first.values(begins=Left("text", TITLE))), Value("")))
    )


def _shown(user: Any, conversation_id: UUID) -> dict[str, Any]:
    found = _titled(user).filter(pk=conversation_id).first()
    if found is None:
        raise access.ConversationNotFound
    return dict(told.ConversationShape(found).data)


class Conversations(APIView):
    @extend_schema(
        operation_id="conversations_list",
        parameters=[shapes.PageQuery],
        responses={200: told.ConversationShape(many=True), **shapes.problems(400)},
    )
    def get(self, request: Request) -> Response:
        """The caller's own conversations, the last changed first."""
        some = shapes.page(request)
        found = _titled(request.user).order_by("-updated_at", "pk")[some]
        return Response(told.ConversationShape(found, many=True).data)

    @extend_schema(
        operation_id="conversations_create",
        request=told.ConversationRequest,
        responses={201: told.ConversationShape, **shapes.problems(404, *shapes.BODY)},
    )
    def post(self, request: Request) -> Response:
        """Begin an empty conversation."""
        asked = shapes.body(told.ConversationRequest, request)
        user = shapes.user(request)
        made = conversations.begin(user, project_id=asked["project_id"], agent=asked["agent"])
        return Response(_shown(user, made.pk), status=201)


@extend_schema(
    operation_id="conversations_detail",
    responses={200: told.ConversationShape, **shapes.problems(404)},
)
@api_view(["GET"])
def conversation_detail(request: Request, conversation_id: UUID) -> Response:
    """One of the caller's conversations."""
    return Response(_shown(request.user, conversation_id))


@extend_schema(
    operation_id="conversations_cancel",
    request=None,
    responses={200: told.MessageShape, **shapes.problems(403, 404, 409)},
)
@api_view(["POST"])
def conversation_cancel(request: Request, conversation_id: UUID) -> Response:
    """Stop the run that is answering. What is written stays; the conversation goes on."""
    conversation = access.find_conversation(request.user, conversation_id)
    conversations.settle(conversation.pk)  # a hand-over may be due
    under_way = conversation.messages.filter(role=models.Message.Role.AGENT, settled_at=None)
    reply = under_way.first()
    if reply is None or reply.run_id is None:
        raise ConversationIdle
    assert reply.run is not None
    conversations.cancel(reply.run, by=shapes.user(request).get_username())
    conversations.settle(conversation.pk)
    return Response(told.MessageShape(conversation.messages.get(pk=reply.pk)).data)


# --- messages --------------------------------------------------------------------------


class Messages(APIView):
    @extend_schema(
        operation_id="messages_list",
        parameters=[told.MessageQuery],
        responses={200: told.MessageShape(many=True), **shapes.problems(400, 404)},
    )
    def get(self, request: Request, conversation_id: UUID) -> Response:
        """The messages of a conversation, oldest first, after a number."""
        conversation = access.find_conversation(request.user, conversation_id)
        query = shapes.query(told.MessageQuery, request)
        later = conversation.messages.filter(number__gt=query["after"]).order_by("number")
        found = later.select_related("run")[: query["limit"]]
        return Response(told.MessageShape(found, many=True).data)

    @extend_schema(
        operation_id="messages_send",
        request=told.MessageRequest,
        parameters=[IDEMPOTENCY],
        responses={202: told.MessageAccepted, **shapes.STARTING},
    )
    def post(self, request: Request, conversation_id: UUID) -> Response:
        """Say something in a conversation. An agent answers by a run; follow its events."""
        return _send(request, conversation_id)


@extend_schema(
    operation_id="messages_begin",
    request=told.MessageRequest,
    parameters=[IDEMPOTENCY],
    responses={202: told.MessageAccepted, **shapes.STARTING},
)
@api_view(["POST"])
def begin(request: Request) -> Response:
    """Say something, and begin a conversation with it."""
    return _send(request, None)


def _send(request: Request, conversation_id: UUID | None) -> Response:
    asked = shapes.body(told.MessageRequest, request)
    user = shapes.user(request)
    rates.count_message(user)
    posted = conversations.post(
        user,
        text=asked["text"],
        client_id=_client_id(request, asked.get("id")),
        conversation_id=conversation_id,
        surface=asked["surface"],
        project_id=asked["project_id"],
        agent=asked["agent"],
        trace=shapes.trace(request),
    )
    message, reply = posted.message, posted.reply
    accepted = {
        "conversation_id": message.conversation_id,
        "message_id": message.pk,
        "run_id": reply.run_id,
        "agent_id": reply.agent_slug,
        "routed_by": reply.routed_by,
        "after": replies.position(message.number),
    }
    return Response(told.MessageAccepted(accepted).data, status=202)


def _client_id(request: Request, stated: str | None) -> str | None:
    """The client's own name for its message: `id`, or else the header."""
    found = stated or request.headers.get("Idempotency-Key")
    if found is not None and not 1 <= len(found) <= conversations.LONGEST_ID:
        raise errors.IdempotencyKeyInvalid(length=len(found))
    return found


# --- following -------------------------------------------------------------------------


@extend_schema(
    operation_id="conversations_events",
    parameters=[told.PositionQuery, streams.LAST_EVENT_ID],
    responses={
        (200, "application/json"): told.FramePage,
        (200, streams.MEDIA_TYPE): streams.StreamEvent,
        **shapes.problems(400, 404, 429),
    },
)
@api_view(["GET"])
@renderer_classes([JSONRenderer, streams.Renderer])
def conversation_events(request: Request, conversation_id: UUID) -> HttpResponseBase:
    """What agents say and do, as frames of the agent socket, after `after`: in pages, as of
    now; or with `Accept: text/event-stream` as a stream that goes on for the next messages."""
    conversation = access.find_conversation(request.user, conversation_id)
    after = shapes.query(told.PositionQuery, request)["after"]
    after = streams.position(request, after, most=told.LAST_POSITION)
    if streams.is_asked_for(request):
        return streams.answer(request, _follow(conversation.pk, after))
    found = turns.until_now(conversation.pk, after, PAGE)
    page = {
        "events": [json.loads(each.text) for each in found],
        "next_after": found[-1].seq if found else after,
    }
    return Response(page)


async def _follow(conversation_id: UUID, after: int) -> AsyncIterator[streams.Sent]:
    source = turns.follow(conversation_id, after)
    async with contextlib.aclosing(source) as following:
        async for frame in following:
            yield streams.Sent(streams.block(frame.seq, frame.kind, frame.text))
