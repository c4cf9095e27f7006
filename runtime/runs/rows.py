"""The row of a run: lock it, save it, enqueue it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from procrastinate.contrib.django import app
from procrastinate.contrib.django.models import ProcrastinateEvent

from runtime import blueprints, errors, events, models

TASK = "runtime.execute"
QUEUE = "runs"


def lock(run_id: UUID) -> models.Run:
    """The run, locked to the end of the transaction. Raises errors.RunNotFound."""
    rows = models.Run.objects.select_related("blueprint_version__blueprint")
    run = rows.select_for_update(of=("self",)).filter(pk=run_id).first()
    if run is None:
        raise errors.RunNotFound
    return run


def save(run: models.Run, fields: Mapping[str, Any]) -> None:
    for name, value in fields.items():
        setattr(run, name, value)
    run.save(update_fields=list(fields))


def enqueue(run: models.Run) -> None:
    run.job_id = app.configure_task(TASK, queue=QUEUE).defer(run_id=str(run.pk))
    run.save(update_fields=["job_id"])


def abort(run: models.Run) -> None:
    """Drop the run's job. The worker that has it breaks off; were that lost, its next write is
    refused."""
    if run.job_id:
        app.job_manager.cancel_job_by_id(run.job_id, abort=True, delete_job=True)


def enqueued_at(job_id: int) -> datetime | None:
    """When a job was enqueued; None when there is no such job any more."""
    told = ProcrastinateEvent.objects.filter(job_id=job_id, type="deferred")
    return told.order_by("pk").values_list("at", flat=True).first()


def fence_of(run: models.Run) -> events.Fence:
    return events.Fence(run.pk, run.attempt)


def document_of(run: models.Run) -> blueprints.Document:
    """The blueprint that the run executes: its version, with what a fork has changed.

    It was found sound when the run began, and is not looked through again: an alias that the
    operator has removed since would fail a run that does not use it any more.
    """
    document = blueprints.overridden(run.blueprint_version.document, run.overrides)
    return blueprints.Document.model_validate(blueprints.newest(document))
