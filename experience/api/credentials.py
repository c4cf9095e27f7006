"""Personal tokens, and tickets for sockets: make, list, end."""

from datetime import datetime, timedelta
from typing import Any, cast

from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from experience import access, models, shapes
from runtime import errors

LONGEST_LIFE_DAYS = 3650


class TicketNotFound(errors.Refusal):
    """There is no such ticket; it was used, or has expired."""

    code = "ticket_not_found"


class TokenRequest(shapes.Asked):
    name = serializers.CharField(
        min_length=1, max_length=100, help_text="what it is for; unique among your valid tokens"
    )
    days = serializers.IntegerField(
        required=False, allow_null=True, min_value=1, max_value=LONGEST_LIFE_DAYS,
        help_text="how long it is valid; absent: until revoked",
    )  # fmt: skip


class TokenShape(serializers.ModelSerializer[models.Token]):
    class Meta:
        model = models.Token
        fields = ("id", "name", "created_at", "last_used_at", "expires_at")


class NewToken(TokenShape):
    token = serializers.CharField(help_text="the secret; it is shown this once")

    class Meta(TokenShape.Meta):
        fields = (*TokenShape.Meta.fields, "token")  # type: ignore[assignment]


class TicketShape(serializers.ModelSerializer[models.Ticket]):
    class Meta:
        model = models.Ticket
        fields = ("id", "expires_at")


class NewTicket(serializers.Serializer[Any]):
    ticket = serializers.CharField(help_text="the secret; it is shown this once")
    expires_at = serializers.DateTimeField()


def _tokens(request: Request) -> QuerySet[models.Token]:
    """The caller's own that nobody has revoked."""
    own = models.Token.objects.filter(user_id=shapes.user(request).pk, revoked_at=None)
    return own.order_by("-created_at", "pk")


def _tickets(request: Request) -> QuerySet[models.Ticket]:
    """The caller's own that still open a socket."""
    return models.Ticket.objects.filter(
        user_id=shapes.user(request).pk,
        purpose=models.Ticket.Purpose.SOCKET,
        expires_at__gt=timezone.now(),
    ).order_by("-expires_at", "pk")


def _life(request: Request, days: int | None) -> timedelta | None:
    """How long a new token is valid. What a token has made does not outlast it: whoever got
    hold of one that soon expires must not be able to stay."""
    asked = timedelta(days=days) if days else None
    held: datetime | None = getattr(request.auth, "expires_at", None)
    if held is None:
        return asked
    left = held - timezone.now()
    return min(asked, left) if asked else left


class Tokens(APIView):
    @extend_schema(
        operation_id="tokens_list",
        parameters=[shapes.PageQuery],
        responses={200: TokenShape(many=True), **shapes.problems(400)},
    )
    def get(self, request: Request) -> Response:
        """The caller's personal tokens, newest first: not the secrets, and not revoked ones."""
        found = _tokens(request)[shapes.page(request)]
        return Response(TokenShape(found, many=True).data)

    @extend_schema(
        operation_id="tokens_create",
        request=TokenRequest,
        responses={201: NewToken, **shapes.problems(409, *shapes.BODY)},
    )
    def post(self, request: Request) -> Response:
        """Make a personal token. One made with a token ends no later than that one."""
        asked = shapes.body(TokenRequest, request)
        life = _life(request, asked.get("days"))
        secret = access.create_token(shapes.user(request), asked["name"], life=life)
        made = _tokens(request).get(name=asked["name"])
        return Response({**TokenShape(made).data, "token": secret}, status=201)


class Token(APIView):
    @extend_schema(
        operation_id="tokens_revoke", responses={204: None, **shapes.problems(403, 404)}
    )
    def delete(self, request: Request, token_id: int) -> Response:
        """End a token for good. What was opened with it is closed within 5 s."""
        found = _tokens(request).filter(pk=token_id).first()
        if found is None:
            raise access.TokenNotFound
        access.revoke_token(shapes.user(request), found.name)
        return Response(status=204)


class Tickets(APIView):
    @extend_schema(
        operation_id="tickets_list",
        parameters=[shapes.PageQuery],
        responses={200: TicketShape(many=True), **shapes.problems(400)},
    )
    def get(self, request: Request) -> Response:
        """The caller's tickets that were not used yet; not the secrets."""
        found = _tickets(request)[shapes.page(request)]
        return Response(TicketShape(found, many=True).data)

    @extend_schema(
        operation_id="tickets_create",
        request=None,
        responses={201: NewTicket, **shapes.problems(403)},
    )
    def post(self, request: Request) -> Response:
        """A ticket for opening one socket, good once and for 30 s."""
        user, token = shapes.user(request), cast("models.Token | None", request.auth)
        key = "" if token else request.session.session_key or ""
        secret, expires_at = access.issue_ticket(user, token=token, session_key=key)
        return Response({"ticket": secret, "expires_at": expires_at}, status=201)


class Ticket(APIView):
    @extend_schema(
        operation_id="tickets_revoke", responses={204: None, **shapes.problems(403, 404)}
    )
    def delete(self, request: Request, ticket_id: int) -> Response:
        """End a ticket that was not used."""
        if not _tickets(request).filter(pk=ticket_id).delete()[0]:
            raise TicketNotFound
        return Response(status=204)
