"""Who may open a line, such as a socket, and whether it may stay open."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any
from urllib.parse import parse_qs, urlsplit

from django.conf import settings
from django.contrib import auth
from django.contrib.auth.models import AnonymousUser, User
from django.http import HttpRequest
from django.http.request import split_domain_port, validate_host

from experience import models
from experience.access import tickets, tokens


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
    headers = _headers_of(scope)
    if (secret := tokens.bearer(headers.get("authorization", ""))) is not None:
        token = tokens.token_of(secret)
        return Credential(token.user, token_id=token.pk) if token else None
    query = parse_qs(scope.get("query_string", b"").decode("latin1"))
    for name in ("ticket", "session_token"):
        if name in query:
            ticket = tickets.use_ticket(query[name][0], purpose=models.Ticket.Purpose.SOCKET)
            return _ticket_credential(ticket) if ticket else None
    return _session_credential(headers)


def _ticket_credential(ticket: models.Ticket) -> Credential | None:
    held = Credential(
        ticket.user, token_id=ticket.token_id, session_key=ticket.session_key or None
    )
    return held if still_valid({ticket.pk: held}) else None


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
    request = HttpRequest()
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(key)
    user = auth.get_user(request)
    return None if isinstance(user, AnonymousUser) or not user.is_active else user


def _headers_of(scope: Mapping[str, Any]) -> dict[str, str]:
    return {name.decode("latin1"): value.decode("latin1") for name, value in scope["headers"]}


def may_connect_from(scope: Mapping[str, Any]) -> bool:
    """Whether the handshake's Origin is this server itself or in ALLOWED_ORIGINS.

    Compared whole: scheme, host and port. Without an Origin it is no browser.
    """
    headers = _headers_of(scope)
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
    token_ids = {c.token_id for c in held.values() if c.token_id}
    good_tokens = set(tokens.valid().filter(pk__in=token_ids).values_list("pk", flat=True))
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
