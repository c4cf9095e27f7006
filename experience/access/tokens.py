"""Personal tokens, for programs; they are long-lived, and can be revoked."""

import hashlib
import secrets
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework import authentication, exceptions
from rest_framework.request import Request

from experience import models
from runtime import errors

TOKEN_PREFIX = "cos_"  # noqa: S105 - lets scanners of leaked secrets recognise one
# A row is not rewritten for each request of a busy program.
LAST_USED_STEP = timedelta(minutes=1)


class TokenNameTaken(errors.Refusal):
    """A token of this name is in use; revoke it first or choose another name."""

    code = "token_name_taken"


class TokenNotFound(errors.Refusal):
    """There is no such valid token."""

    code = "token_not_found"


def digest(secret: str) -> str:
    """What is kept of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def create_token(user: AbstractBaseUser, name: str, *, life: timedelta | None = None) -> str:
    """Make a personal token and return it; it cannot be shown again.

    Raises TokenNameTaken.
    """
    secret = TOKEN_PREFIX + secrets.token_urlsafe(32)
    expires_at = timezone.now() + life if life else None
    try:
        with transaction.atomic():
            models.Token.objects.create(
                user_id=user.pk, name=name, digest=digest(secret), expires_at=expires_at
            )
    except IntegrityError as error:
        raise TokenNameTaken(name=name) from error
    return secret


def revoke_token(user: AbstractBaseUser, name: str) -> None:
    """End a token for good; its open sockets are closed. Raises TokenNotFound."""
    found = models.Token.objects.filter(user_id=user.pk, name=name, revoked_at=None)
    if not found.update(revoked_at=timezone.now()):
        raise TokenNotFound(name=name)


def valid() -> QuerySet[models.Token]:
    return models.Token.objects.filter(
        Q(expires_at=None) | Q(expires_at__gt=timezone.now()),
        revoked_at=None,
        user__is_active=True,
    )


def token_of(secret: str) -> models.Token | None:
    """The valid token with this secret, marked as used."""
    token = valid().select_related("user").filter(digest=digest(secret)).first()
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
