"""Runs left behind: by a worker that was killed or froze, or by a job that was lost."""

from collections.abc import Collection
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Now
from procrastinate.contrib.django import app
from procrastinate.contrib.django.models import ProcrastinateJob
from procrastinate.jobs import Status as JobStatus

from runtime import budgets, models
from runtime.runs import rows

RESCUE_LOCK = 20261121  # of PostgreSQL's advisory locks


def rescue(*, silent_for: float, dropped: Collection[int] = ()) -> list[UUID]:
    """Give every active run without a live job a new one, and return these runs.

    A job is live while it waits, or while its worker has shown a heartbeat within the last
    `silent_for` seconds and does not say that it has `dropped` it. Covers a worker that was
    killed or froze, and a job that was lost in any other way.
    """
    since = Now() - timedelta(seconds=silent_for)
    live = (
        ProcrastinateJob.objects.filter(pk=OuterRef("job_id"))
        .filter(Q(status="todo") | Q(status="doing", worker__last_heartbeat__gte=since))
        .exclude(pk__in=dropped)
    )
    with transaction.atomic():
        # One rescuer at a time: a second one's snapshot would not have the first one's jobs.
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [RESCUE_LOCK])
            if not cursor.fetchone()[0]:
                return []
        orphans = list(
            models.Run.objects.select_for_update(skip_locked=True, of=("self",))
            .filter(status__in=(models.Status.PENDING, models.Status.RUNNING))
            .exclude(Exists(live))
        )
        for run in orphans:
            rows.enqueue(run)
        _forget_dead_jobs(since)
        _release_reservations()
    return [run.pk for run in orphans]


def _forget_dead_jobs(since: Any) -> None:
    """Delete the jobs of dead workers: their runs have ended or have new ones."""
    dead = ProcrastinateJob.objects.filter(task_name=rows.TASK, status="doing").exclude(
        worker__last_heartbeat__gte=since
    )
    for job_id in dead.select_for_update(skip_locked=True, of=("self",)).values_list(
        "pk", flat=True
    ):
        app.job_manager.connector.get_sync_connector().execute_query(
            "SELECT procrastinate_finish_job_v1(%(id)s, %(status)s, true)",
            id=job_id,
            status=JobStatus.FAILED.value,
        )


def _release_reservations() -> None:
    """Nothing stays reserved for ever, however its run came to stand still."""
    for run_id in budgets.left_behind():
        run = rows.lock(run_id)
        if run.status != models.Status.RUNNING:
            budgets.settle_all(run.pk)
