"""What cannot be seen when the settings are read, as Django system checks with ids.

`manage.py check --deploy --database default` runs all of them. Those that need a server or
the database's content are deployment checks or database checks, so that a command that
could repair what they complain of is not refused because of it.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import psycopg
from asgiref.sync import async_to_sync
from channels.layers import InMemoryChannelLayer, channel_layers
from django.conf import settings
from django.core import checks
from django.db import DatabaseError, connections
from django.db.models import F, Max

from runtime import blueprints, models

Messages = list[checks.CheckMessage]
PATIENCE_SECONDS = 3


@checks.register(checks.Tags.security, deploy=True)
def secret_key(app_configs: Sequence[Any] | None = None, **options: Any) -> Messages:
    """councilos.E001: sessions and links must outlive a process and hold in all of them."""
    if not settings.SECRET_KEY_IS_EPHEMERAL:
        return []
    return [
        checks.Error(
            "There is no SECRET_KEY: each process would make up its own and sign everybody "
            "out at its start.",
            hint="Set SECRET_KEY to a long random text, or start with `manage.py up`, which "
            "keeps one in COUNCILOS_HOME.",
            id="councilos.E001",
        )
    ]


@checks.register(checks.Tags.database)
def postgres(
    app_configs: Sequence[Any] | None = None,
    databases: Iterable[str] | None = None,
    **options: Any,
) -> Messages:
    """councilos.E002: the database answers and is PostgreSQL."""
    faults = [(alias, _postgres_fault(alias)) for alias in databases or ()]
    return [
        checks.Error(
            f"The database {alias!r} {fault}",
            hint="Set DATABASE_URL to postgresql://user:password@host/name of a server that "
            "runs, or leave it empty and start with `manage.py up`, which brings one.",
            id="councilos.E002",
        )
        for alias, fault in faults
        if fault
    ]


def _postgres_fault(alias: str) -> str:
    connection: Any = connections[alias]
    if connection.vendor != "postgresql":
        return f"is {connection.vendor}, not PostgreSQL."
    parameters = {**connection.get_connection_params(), "connect_timeout": PATIENCE_SECONDS}
    try:
        # Not through Django: its pool would try again for long, and log each time.
        psycopg.connect(**parameters).close()
    except psycopg.Error as error:
        return f"does not answer: {str(error).strip()}"
    return ""


@checks.register(checks.Tags.compatibility)
def shared_channel_layer(app_configs: Sequence[Any] | None = None, **options: Any) -> Messages:
    """councilos.E003: what one process says, the others must be able to hear."""
    layer = channel_layers["default"]
    if not isinstance(layer, InMemoryChannelLayer):
        return []
    return [_no_channel_layer("is kept in each process's own memory.")]


@checks.register(checks.Tags.database, deploy=True)
def channel_layer_answers(
    app_configs: Sequence[Any] | None = None,
    databases: Iterable[str] | None = None,
    **options: Any,
) -> Messages:
    """councilos.E003: Redis or Valkey answers."""
    if not databases or shared_channel_layer():
        return []
    try:
        async_to_sync(_ring)()
    except Exception as error:  # whatever Redis, its client or the system raises
        return [_no_channel_layer(f"does not answer: {error}")]
    return []


async def _ring() -> None:
    # A layer of its own: the one in use belongs to other event loops.
    manager: Any = channel_layers  # which is not typed
    layer = manager.make_backend("default")
    try:
        await layer.group_send("councilos.check", {"type": "councilos.check"})
    finally:
        await layer.flush()


def _no_channel_layer(fault: str) -> checks.CheckMessage:
    return checks.Error(
        f"The channel layer {fault}",
        hint="Set REDIS_URL to a Redis or Valkey that runs, as redis://host:6379/0, or leave "
        "it empty and start with `manage.py up`, which brings one.",
        id="councilos.E003",
    )


@checks.register(checks.Tags.database, deploy=True)
def blueprints_compile(
    app_configs: Sequence[Any] | None = None,
    databases: Iterable[str] | None = None,
    **options: Any,
) -> Messages:
    """councilos.W004: the newest version of every blueprint can be run.

    A warning: its runs are refused, and all the others go on.
    """
    if not databases or postgres(databases=databases):
        return []
    newest = models.BlueprintVersion.objects.select_related("blueprint").annotate(
        newest=Max("blueprint__versions__number")
    )
    try:
        there = newest.filter(
            number=F("newest"), blueprint__deleted_at=None, blueprint__is_trial=False
        )
        versions = list(there.order_by("pk"))
    except DatabaseError:
        return []  # not migrated yet, so there are none
    return [message for version in versions for message in _blueprint_faults(version)]


def _blueprint_faults(version: models.BlueprintVersion) -> Messages:
    return [
        checks.Warning(
            f"The blueprint {str(version)!r} cannot be run: {fault.message}",
            hint="Save a new version of it without this fault (`manage.py blueprint load`, or "
            f"PUT /api/councils/{version.blueprint_id}), or delete it.",
            obj=version,
            id="councilos.W004",
        )
        for fault in blueprints.faults(version.document)
    ]
