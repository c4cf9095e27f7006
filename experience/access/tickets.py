"""Tickets: good once, and not for long. For opening a socket, and for signing in by a link."""

import secrets
from datetime import datetime, timedelta
from urllib.parse import urlencode

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.utils import timezone

from experience import models
from experience.access import tokens

TICKET_LIFE = timedelta(seconds=30)
SIGN_IN_LIFE = timedelta(minutes=30)


def issue_ticket(
    user: AbstractBaseUser,
    *,
    purpose: models.Ticket.Purpose = models.Ticket.Purpose.SOCKET,
    life: timedelta = TICKET_LIFE,
    token: models.Token | None = None,
    session_key: str = "",
) -> tuple[str, datetime]:
    """A ticket for this user, good once, and when it expires.

    `token`, `session_key`: what its maker is signed in with. When that ends, so does what the
    ticket has opened.
    """
    models.Ticket.objects.filter(expires_at__lt=timezone.now()).delete()
    secret = secrets.token_urlsafe(32)
    expires_at = timezone.now() + life
    models.Ticket.objects.create(
        user_id=user.pk,
        purpose=purpose,
        digest=tokens.digest(secret),
        expires_at=expires_at,
        token=token,
        session_key=session_key,
    )
    return secret, expires_at


def use_ticket(secret: str, *, purpose: models.Ticket.Purpose) -> models.Ticket | None:
    """A valid ticket of an active user, which is used up by this; None if it is not valid."""
    with transaction.atomic():
        ticket = (
            models.Ticket.objects.select_for_update(of=("self",))
            .select_related("user")
            .filter(digest=tokens.digest(secret), purpose=purpose)
            .first()
        )
        if ticket is None:
            return None
        ticket.delete()
    return ticket if ticket.expires_at > timezone.now() and ticket.user.is_active else None


def sign_in_link(user: AbstractBaseUser, base_url: str, next_url: str) -> str:
    """A link that signs this user in, once, and leads on to `next_url`."""
    secret, _expires = issue_ticket(
        user, purpose=models.Ticket.Purpose.SIGN_IN, life=SIGN_IN_LIFE
    )
    return f"{base_url.rstrip('/')}/sign-in/?{urlencode({'ticket': secret, 'next': next_url})}"
