"""The single steps of a start, none of which knows of the others."""

import errno
import socket
import urllib.request
from collections.abc import Sequence
from io import StringIO
from typing import Any

from django.contrib.auth import get_user_model
from django.core.checks import CheckMessage
from django.core.management import call_command
from django.db import connections
from django.db.migrations.executor import MigrationExecutor
from django.urls import reverse

from councilos import embedded
from runtime import models


def visible(host: str) -> str:
    """The host of the address that a person on this machine opens."""
    if host in ("", "0.0.0.0", "::"):  # noqa: S104 - compared, not bound
        return "localhost"
    return f"[{host}]" if ":" in host else host


def require_free(host: str, port: int) -> None:
    """Raises embedded.Trouble if the server could not listen there."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen()
    except OSError as error:
        raise embedded.Trouble(_why_not(host, port, error)) from error


def _why_not(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} is in use by another program. Choose another one with --port."
    if error.errno == errno.EACCES:
        return f"Port {port} needs more rights than this user has. Choose --port above 1023."
    return f"Cannot listen on {host} ({error.strerror}). Choose --host of this machine."


def answers(url: str) -> bool:
    """Whether a GET of this URL is answered with 200."""
    try:
        with urllib.request.urlopen(url, timeout=5) as response:  # noqa: S310 - our own http
            return bool(response.status == 200)
    except OSError:  # of which urllib's errors are a kind
        return False


def require(messages: Sequence[CheckMessage]) -> None:
    """Raises embedded.Trouble if a check has found something."""
    if messages:
        raise embedded.Trouble("\n".join(f"{m.id}: {m.msg}\n{m.hint}" for m in messages))


def migrate() -> str:
    """Bring the database up to date; what came of it, in words."""
    executor = MigrationExecutor(connections["default"])
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if not plan:
        return "up to date"
    call_command("migrate", verbosity=0, interactive=False)
    return f"{len(plan)} migrations applied"


def load_shipped() -> str:
    """Load what ships; what came of it, in words."""
    told = StringIO()
    call_command("load_shipped", stdout=told)
    lines = told.getvalue().splitlines()
    return f"{len(lines)} blueprints, agents and surfaces loaded" if lines else "as they ship"


def administrator() -> Any | None:
    """Who is signed in by the link: the first administrator, made if there is no user yet."""
    users = get_user_model().objects
    if not users.exists():
        users.create_superuser("admin")  # without a password: by link or token only
    return users.filter(is_superuser=True, is_active=True).order_by("pk").first()


def page(user: Any) -> str:
    """Where the sign-in link leads: to the user's latest run, if there is one."""
    run = models.Run.objects.filter(owner=user).order_by("-created_at").first()
    if run is None:
        return reverse("dashboard:start")
    return reverse("dashboard:run", args=[run.pk])


def disconnect() -> None:
    """Close this process's database connections; it only looks after others from now on."""
    for connection in connections.all(initialized_only=True):
        connection.close()
        getattr(connection, "close_pool", lambda: None)()
