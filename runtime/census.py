"""How many there are of what is under way, counted in the database.

Every query is cheap with a million runs behind it: runs that have not ended have an index of
their own, open gates are found through the runs that wait, and jobs, workers and reservations
have rows only while they are of use. Runs that have ended are not counted here: that would
read the whole table. `councilos_runs_ended_total` counts them as they end.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from django.conf import settings
from django.db.models import Count, Min
from django.utils import timezone
from procrastinate.contrib.django.models import ProcrastinateJob

from runtime import models, runs, tasks


@dataclass(frozen=True)
class Census:
    """What is under way, in all processes together."""

    active_runs: Mapping[str, int]
    """By status, every status that is not an end."""
    queued: int
    oldest_seconds: float
    """How long the run that waits longest for a worker has waited; 0 when none does."""
    open_gates: int
    live_workers: int
    reserved_calls: int


def take() -> Census:
    """Count. Raises what Django does when the database is away."""
    queued, oldest_seconds = _queue()
    return Census(
        active_runs=_active_runs(),
        queued=queued,
        oldest_seconds=oldest_seconds,
        open_gates=_open_gates(),
        live_workers=tasks.live_workers(silent_for=settings.WORKER_STALLED_SECONDS),
        reserved_calls=models.Reservation.objects.count(),
    )


def _active_runs() -> dict[str, int]:
    active = models.Run.objects.filter(ended_at=None, status__in=models.ACTIVE)
    found = dict(active.order_by().values_list("status").annotate(Count("pk")))
    return {status.value: found.get(status.value, 0) for status in models.ACTIVE}


def _queue() -> tuple[int, float]:
    """How many runs wait for a worker, and for how many seconds the first of them has.

    By its job and not by the run: one that goes on after a gate was created long ago.
    """
    waiting = ProcrastinateJob.objects.filter(queue_name=runs.QUEUE, status="todo")
    found = waiting.aggregate(count=Count("pk"), first=Min("pk"))
    since = None if found["first"] is None else runs.enqueued_at(found["first"])
    age = (timezone.now() - since).total_seconds() if since else 0.0
    return found["count"], max(age, 0.0)


def _open_gates() -> int:
    paused = models.Gate.objects.filter(
        run__ended_at=None, run__status=models.Status.PAUSED, answered_at=None
    )
    return paused.count()
