"""Who may: tokens, tickets, sessions and origins, and whose run it is."""

import hashlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib import import_module
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit
from uuid import UUID

from django.conf import settings
from django.contrib import auth
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, User
from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http.request import split_domain_port, validate_host
from django.utils import timezone
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework import authentication, exceptions
from rest_framework.request import Request

from experience import models
from runtime import errors
from runtime import models as runtime

TOKEN_PREFIX = "cos_"  # noqa: S105 - lets scanners of leaked secrets recognise one
TICKET_LIFE = timedelta(seconds=30)
SIGN_IN_LIFE = timedelta(minutes=30)
# A row is not rewritten for each request of a busy program.
LAST_USED_STEP = timedelta(minutes=1)


class TokenNameTaken(errors.Refusal):
    """A token of this name is in use; revoke it first or choose another name."""

    code = "token_name_taken"


class TokenNotFound(errors.Refusal):
    """There is no valid token of this name."""

    code = "token_not_found"


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


# --- tokens ----------------------------------------------------------------------------


def create_token(user: AbstractBaseUser, name: str, *, life: timedelta | None = None) -> str:
    """Make a personal token and return it; it cannot be shown again.

    Raises TokenNameTaken.
    """
    secret = TOKEN_PREFIX + secrets.token_urlsafe(32)
    expires_at = timezone.now() + life if life else None
    try:
        with transaction.atomic():
            models.Token.objects.create(
                user_id=user.pk, name=name, digest=_digest(secret), expires_at=expires_at
            )
    except IntegrityError as error:
        raise TokenNameTaken(name=name) from error
    return secret


def revoke_token(user: AbstractBaseUser, name: str) -> None:
    """End a token for good; its open sockets are closed. Raises TokenNotFound."""
    valid = models.Token.objects.filter(user_id=user.pk, name=name, revoked_at=None)
    if not valid.update(revoked_at=timezone.now()):
        raise TokenNotFound(name=name)


def valid_tokens() -> QuerySet[models.Token]:
    return models.Token.objects.filter(
        Q(expires_at=None) | Q(expires_at__gt=timezone.now()),
        revoked_at=None,
        user__is_active=True,
    )


def token_of(secret: str) -> models.Token | None:
    """The valid token with this secret, marked as used."""
    token = valid_tokens().select_related("user").filter(digest=_digest(secret)).first()
    now = timezone.now()
    if token and (token.last_used_at is None or token.last_used_at < now - LAST_USED_STEP):
        models.Token.objects.filter(pk=token.pk).update(last_used_at=now)
    return token


class TokenAuthentication(authentication.BaseAuthentication):
    """`Authorization: Bearer <token>`."""

    def authenticate(self, request: Request) -> tuple[Any, models.Token] | None:
        secret = bearer(request.headers.get("Authorization", ""))
        if secret is None:
            return None
        token = token_of(secret)
        if token is None:
            raise exceptions.AuthenticationFailed("The token is unknown, expired or revoked.")
        return token.user, token

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How OpenAPI calls it."""

    target_class = TokenAuthentication
    name = "personalToken"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer"}


def bearer(header: str) -> str | None:
    """The secret in an Authorization header, if it is a bearer's."""
    scheme, _, secret = header.partition(" ")
    return secret.strip() if scheme.lower() == "bearer" else None


# --- tickets ---------------------------------------------------------------------------


def issue_ticket(
    user: AbstractBaseUser,
    *,
    purpose: models.Ticket.Purpose = models.Ticket.Purpose.SOCKET,
    life: timedelta = TICKET_LIFE,
) -> tuple[str, datetime]:
    """A ticket for this user, good once, and when it expires."""
    models.Ticket.objects.filter(expires_at__lt=timezone.now()).delete()
    secret = secrets.token_urlsafe(32)
    expires_at = timezone.now() + life
    models.Ticket.objects.create(
        user_id=user.pk, purpose=purpose, digest=_digest(secret), expires_at=expires_at
    )
    return secret, expires_at


def use_ticket(secret: str, *, purpose: models.Ticket.Purpose) -> Any | None:
    """The active user of a valid ticket, which is used up by this; None if it is not."""
    with transaction.atomic():
        ticket = (
            models.Ticket.objects.select_for_update(of=("self",))
            .select_related("user")
            .filter(digest=_digest(secret), purpose=purpose)
            .first()
        )
        if ticket is None:
            return None
        ticket.delete()
    return ticket.user if ticket.expires_at > timezone.now() and ticket.user.is_active else None


def sign_in_link(user: AbstractBaseUser, base_url: str, next_url: str) -> str:
    """A link that signs this user in, once, and leads on to `next_url`."""
    secret, _expires = issue_ticket(
        user, purpose=models.Ticket.Purpose.SIGN_IN, life=SIGN_IN_LIFE
    )
    return f"{base_url.rstrip('/')}/sign-in/?{urlencode({'ticket': secret, 'next': next_url})}"


# --- sockets ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Credential:
    """What a socket was opened with; looked at again while it is open."""

    user: Any
    token_id: int | None = None
    session_key: str | None = None


def credential(scope: Mapping[str, Any]) -> Credential | None:
    """The valid credential in a handshake: a bearer token, a ticket, or a session.

    A long-lived token in the query string is none of them, and so is refused.
    """
    headers = headers_of(scope)
    if (secret := bearer(headers.get("authorization", ""))) is not None:
        token = token_of(secret)
        return Credential(token.user, token_id=token.pk) if token else None
    query = parse_qs(scope.get("query_string", b"").decode("latin1"))
    for name in ("ticket", "session_token"):
        if name in query:
            user = use_ticket(query[name][0], purpose=models.Ticket.Purpose.SOCKET)
            return Credential(user) if user else None
    return _session_credential(headers)


def _session_credential(headers: Mapping[str, str]) -> Credential | None:
    if "origin" not in headers:
        return None  # not a browser, so a cookie proves nothing about who sent it
    found = re.search(
        rf"(?:^|;\s*){re.escape(settings.SESSION_COOKIE_NAME)}=([^;]+)",
        headers.get("cookie", ""),
    )
    user = _session_user(found[1]) if found else None
    return Credential(user, session_key=found[1]) if found and user else None


def _session_user(key: str) -> Any | None:
    from django.http import HttpRequest

    request = HttpRequest()
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(key)
    user = auth.get_user(request)
    return None if isinstance(user, AnonymousUser) or not user.is_active else user


def headers_of(scope: Mapping[str, Any]) -> dict[str, str]:
    return {name.decode("latin1"): value.decode("latin1") for name, value in scope["headers"]}


def may_connect_from(scope: Mapping[str, Any]) -> bool:
    """Whether the handshake's Origin is this server itself or in ALLOWED_ORIGINS.

    Compared whole: scheme, host and port. Without an Origin it is no browser.
    """
    headers = headers_of(scope)
    origin = headers.get("origin")
    if origin is None or origin in settings.ALLOWED_ORIGINS:
        return True
    host = headers.get("host", "")
    domain, _port = split_domain_port(host)
    scheme = "https" if scope.get("scheme") == "wss" else "http"
    parts = urlsplit(origin)
    return validate_host(domain, settings.ALLOWED_HOSTS) and (parts.scheme, parts.netloc) == (
        scheme,
        host,
    )


def fresh(held: Credential) -> Any:
    """The user of a credential as they are now: rights may have been taken from them since."""
    return User.objects.get(pk=held.user.pk)


def still_valid(held: Mapping[Any, Credential]) -> set[Any]:
    """The keys of those credentials that are still good: two queries for all of them."""
    tokens = {c.token_id for c in held.values() if c.token_id}
    good_tokens = set(valid_tokens().filter(pk__in=tokens).values_list("pk", flat=True))
    users = {c.user.pk for c in held.values()}
    active = set(User.objects.filter(pk__in=users, is_active=True).values_list("pk", flat=True))
    sessions = {c.session_key for c in held.values() if c.session_key}
    signed_in = {key for key in sessions if _session_user(key)}
    return {
        key
        for key, c in held.items()
        if c.user.pk in active
        and (c.token_id is None or c.token_id in good_tokens)
        and (c.session_key is None or c.session_key in signed_in)
    }


# --- whose it is -----------------------------------------------------------------------


def runs_of(user: Any) -> QuerySet[runtime.Run]:
    """The runs that this user may see: their own, and those with a gate that they are named
    to answer; an administrator sees all."""
    runs = runtime.Run.objects.select_related("blueprint_version__blueprint")
    if user.is_superuser:
        return runs
    named = Q()
    for name in _names(user):
        named |= Q(answerers__contains=[name])
    gates = runtime.Gate.objects.filter(named, run=OuterRef("pk"))
    return runs.filter(Q(owner_id=user.pk) | Exists(gates))


def _names(user: Any) -> list[str]:
    """How a gate may name this user as one who is to answer."""
    groups = user.groups.values_list("name", flat=True)
    return [f"user:{user.get_username()}", *(f"group:{name}" for name in groups)]


def find_run(user: Any, run_id: UUID) -> runtime.Run:
    """One of the user's runs. Somebody else's is not found (errors.RunNotFound)."""
    run = runs_of(user).filter(pk=run_id).first()
    if run is None:
        raise errors.RunNotFound
    return run


def find_own_run(user: Any, run_id: UUID) -> runtime.Run:
    """A run this user may stop or take up again: their own; an administrator may any.

    Raises errors.RunNotFound, errors.RunReadOnly for one they may only see.
    """
    run = find_run(user, run_id)
    if not user.is_superuser and run.owner_id != user.pk:
        raise errors.RunReadOnly
    return run


def check_may_answer(user: Any, gate: runtime.Gate) -> None:
    """Whether the user is one of those that the gate asks; an administrator may answer any.

    Raises errors.GateNotYours.
    """
    names = {*_names(user), *(["owner"] if gate.run.owner_id == user.pk else [])}
    if not user.is_superuser and names.isdisjoint(gate.answerers):
        raise errors.GateNotYours(answerers=gate.answerers)


def blueprints_of(user: Any) -> QuerySet[runtime.Blueprint]:
    """The blueprints that this user may see and run: their own, those for everyone, and those
    for a group that they share with the owner. An administrator sees all."""
    blueprints = runtime.Blueprint.objects.select_related("owner").filter(deleted_at=None)
    if user.is_superuser:
        return blueprints
    fellows = User.objects.filter(groups__in=user.groups.all())
    return blueprints.filter(
        Q(owner=None)
        | Q(owner_id=user.pk)
        | Q(visibility=runtime.Visibility.EVERYONE)
        | Q(visibility=runtime.Visibility.GROUPS, owner__in=fellows)
    )


def find_blueprint(user: Any, blueprint_id: UUID) -> runtime.Blueprint:
    """A blueprint this user may see and run.

    Any other is not found (errors.BlueprintNotFound).
    """
    found = blueprints_of(user).filter(pk=blueprint_id).first()
    if found is None:
        raise errors.BlueprintNotFound
    return found


def may_change(user: Any, blueprint: runtime.Blueprint) -> bool:
    """Whether it is the user's own; an administrator may change everybody's.

    Those that ship, and others of nobody, are changed at the terminal only.
    """
    return blueprint.owner_id is not None and (
        user.is_superuser or blueprint.owner_id == user.pk
    )


def find_own_blueprint(user: Any, blueprint_id: UUID) -> runtime.Blueprint:
    """A blueprint this user may change.

    Raises errors.BlueprintReadOnly for one they may only see, errors.BlueprintNotFound.
    """
    found = find_blueprint(user, blueprint_id)
    if not may_change(user, found):
        raise errors.BlueprintReadOnly
    return found
