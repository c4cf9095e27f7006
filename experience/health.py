"""Whether this process is alive, and whether it can serve."""

from asgiref.sync import async_to_sync
from django.conf import settings
from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest, JsonResponse

from runtime import doorbell, tasks


def alive(request: HttpRequest) -> JsonResponse:
    """The process answers. Asks nobody else."""
    return JsonResponse({"status": "ok"})


def ready(request: HttpRequest) -> JsonResponse:
    """The database and the channel layer answer and a worker is alive; 503 if one is not."""
    parts = {"channel_layer": _channel_layer(), **_database()}
    healthy = all(part == "ok" for part in parts.values())
    return JsonResponse(
        {"status": "ok" if healthy else "not ready", **parts}, status=200 if healthy else 503
    )


def _database() -> dict[str, str]:
    try:
        count = tasks.live_workers(silent_for=settings.WORKER_STALLED_SECONDS)
    except (DatabaseError, InterfaceError):
        return {"database": "does not answer", "worker": "unknown"}
    return {"database": "ok", "worker": "ok" if count else "none is alive"}


def _channel_layer() -> str:
    try:
        async_to_sync(doorbell.layer().group_send)("ready", {"type": "ready"})
    except Exception:  # whatever it is that Redis, its client or its pool raises
        return "does not answer"
    return "ok"
