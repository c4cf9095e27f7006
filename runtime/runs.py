"""The only code that changes a run's status.

Each verb changes the row and appends the event that tells of it in one transaction. The
verbs that a driving attempt uses (`completed`, `failed`) return a change for its writer
instead, which fences it; the others are called by people, programs and workers at any time
and check the status they expect.
"""

import hashlib
import json
from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Any, cast
from uuid import UUID

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import IntegrityError, connection, transaction
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Now
from django.utils import timezone
from procrastinate.contrib.django import app
from procrastinate.contrib.django.models import ProcrastinateJob
from procrastinate.jobs import Status as JobStatus

from runtime import blueprints, errors, events, llm, models, writer

TASK = "runtime.execute"
QUEUE = "runs"
# One key for the three ends: the database itself lets a run end once.
END_KEY = "run.end"
LONGEST_KEY = 200
# So many workers may be lost with the same node; perhaps it is what kills them.
MOST_LOST = 10
RESCUE_LOCK = 20261121  # of PostgreSQL's advisory locks
LONGEST_TOPIC = 10_000  # characters, protocol.md §4


# --- asked for -------------------------------------------------------------------------


def create(
    *,
    topic: str,
    version: models.BlueprintVersion,
    owner: AbstractBaseUser | None,
    model: str = "",
    idempotency_key: str | None = None,
) -> models.Run:
    """Create a run and enqueue it, in one transaction.

    `model` is for the nodes that name none; empty for the default. The same
    `idempotency_key` of the same owner returns the run it made before.

    Raises errors.InputInvalid, errors.BlueprintInvalid, errors.ModelUnknown,
    errors.ModelNotConfigured (its detail names the node), errors.IdempotencyKeyInvalid,
    errors.IdempotencyConflict.
    """
    topic = cast(str, events.clean(topic)).strip()
    if not 1 <= len(topic) <= LONGEST_TOPIC:
        raise errors.InputInvalid(length=len(topic))
    if idempotency_key is not None and not 1 <= len(idempotency_key) <= LONGEST_KEY:
        raise errors.IdempotencyKeyInvalid(length=len(idempotency_key))
    digest = _digest(topic=topic, version=version.pk, model=model)
    if idempotency_key and (earlier := _made_before(owner, idempotency_key, digest)):
        return earlier
    run = models.Run(
        blueprint_version=version,
        owner_id=owner.pk if owner else None,
        input_topic=topic,
        model=_check_models(version, model),
        idempotency_key=idempotency_key,
        request_digest=digest,
    )
    try:
        return _insert(run)
    except IntegrityError:
        if idempotency_key and (earlier := _made_before(owner, idempotency_key, digest)):
            return earlier  # the same request, sent twice at once
        raise


def _insert(run: models.Run) -> models.Run:
    with transaction.atomic():
        run.save(force_insert=True)
        events.append(
            run,
            "run.created",
            input_topic=run.input_topic,
            model=run.model,
            blueprint=run.blueprint_version.blueprint.name,
            blueprint_version=run.blueprint_version.number,
        )
        _enqueue(run)
    return run


def _check_models(version: models.BlueprintVersion, asked: str) -> str:
    """The run's own model in full; refuses if any node's model cannot be called."""
    resolved = llm.resolve(asked)
    for node in blueprints.parse(version.document).nodes:
        if node.model:
            try:
                llm.resolve(node.model)
            except errors.Refusal as refusal:
                raise type(refusal)(f"{refusal} (node {node.id})", node=node.id) from refusal
    return resolved


def _digest(**request: Any) -> str:
    return hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()


def _made_before(owner: AbstractBaseUser | None, key: str, digest: str) -> models.Run | None:
    run = models.Run.objects.filter(
        owner_id=owner.pk if owner else None, idempotency_key=key
    ).first()
    if run and run.request_digest != digest:
        raise errors.IdempotencyConflict
    return run


def cancel(run_id: UUID, *, by: str, reason: str = "cancelled") -> models.Run:
    """End a run as cancelled. Its model call in flight is broken off, none follows.

    What its nodes have written stays readable. `by` says who, for the log.
    Raises errors.RunNotFound, errors.RunFinished when it has already ended.
    """
    with transaction.atomic():
        run = _lock(run_id)
        if run.has_ended:
            raise errors.RunFinished(status=run.status)
        usage = events.total_usage(run.pk)
        _save(run, _ended(models.Status.CANCELLED, reason=reason, usage=usage))
        events.append(run, "run.cancelled", key=END_KEY, reason=reason, by=by)
        if run.job_id:
            # Wakes the worker that has it. Were that lost, its next write is refused.
            app.job_manager.cancel_job_by_id(run.job_id, abort=True, delete_job=True)
    return run


def _lock(run_id: UUID) -> models.Run:
    rows = models.Run.objects.select_related("blueprint_version__blueprint")
    run = rows.select_for_update(of=("self",)).filter(pk=run_id).first()
    if run is None:
        raise errors.RunNotFound
    return run


# --- a worker takes it up, and gives it back -------------------------------------------


def claim(run_id: UUID, *, job_id: int, worker: str) -> models.Run | None:
    """Take up a run as its next attempt; from now on only this attempt may write to it.

    None when there is nothing to take up: it has ended, waits for a person, or another
    job has it.
    """
    with transaction.atomic():
        run = _lock(run_id)
        if run.job_id != job_id or run.status not in (
            models.Status.PENDING,
            models.Status.RUNNING,
        ):
            return None
        if run.status == models.Status.RUNNING:
            _interrupt(run, cause="worker_lost")
            if _is_hopeless(run):
                _give_up(run)
                return None
        run.attempt += 1
        run.status = models.Status.RUNNING
        run.worker = worker
        run.started_at = run.started_at or timezone.now()
        run.save(update_fields=["attempt", "status", "worker", "started_at"])
        events.append(
            run,
            "run.started",
            key=f"run.started/{run.attempt}",
            attempt=run.attempt,
            worker=worker,
        )
    return run


def release(fence: events.Fence) -> bool:
    """Hand a running run over to whichever worker is next. False: it was not ours."""
    with transaction.atomic():
        run = _lock(fence.run_id)
        if run.status != models.Status.RUNNING or run.attempt != fence.attempt:
            return False
        _interrupt(run, cause="worker_stopping")
        run.status = models.Status.PENDING
        run.save(update_fields=["status"])
        _enqueue(run)
    return True


def _interrupt(run: models.Run, *, cause: str) -> None:
    """Tell that this attempt is over; what its unfinished nodes had said is void."""
    events.drop_unfinished_tokens(run.pk)
    events.append(
        run,
        "run.interrupted",
        key=f"run.interrupted/{run.attempt}",
        attempt=run.attempt,
        cause=cause,
    )


def _is_hopeless(run: models.Run) -> bool:
    """Whether worker after worker was lost with it, and no node finished in between."""
    done = run.events.filter(kind="node.completed").order_by("-seq").first()
    lost = run.events.filter(kind="run.interrupted", data__cause="worker_lost")
    return lost.filter(seq__gt=done.seq if done else 0).count() >= MOST_LOST


def _give_up(run: models.Run) -> None:
    message = f"{MOST_LOST} workers in a row were lost while they ran the same node."
    fault = errors.Fault("worker_lost", message)
    fields = {"error_code": fault.code, "error_message": fault.message}
    usage = events.total_usage(run.pk)
    _save(run, _ended(models.Status.FAILED, reason="failed", usage=usage, **fields))
    events.append(
        run, "run.failed", key=END_KEY, code=fault.code, message=fault.message, node=""
    )


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
            _enqueue(run)
        _forget_dead_jobs(since)
    return [run.pk for run in orphans]


def _enqueue(run: models.Run) -> None:
    run.job_id = app.configure_task(TASK, queue=QUEUE).defer(run_id=str(run.pk))
    run.save(update_fields=["job_id"])


def _forget_dead_jobs(since: Any) -> None:
    """Delete the jobs of dead workers: their runs have ended or have new ones."""
    dead = ProcrastinateJob.objects.filter(task_name=TASK, status="doing").exclude(
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


# --- the end ---------------------------------------------------------------------------


def completed(
    fence: events.Fence, state: Mapping[str, Any], usage: Mapping[str, Any]
) -> writer.Change:
    """The change that ends a run with its result. `state`: the council's last state.

    The score is the last real one; a limit that was reached is a reason, never a score
    (rule 7).
    """
    decision = state.get("route_decision") or None
    approved = None if decision is None else decision == "approve"
    reason = {"approve": "approved", "limit": "iteration_limit"}.get(decision or "", "finished")
    data = {
        "reason": reason,
        "approved": approved,
        "final_draft": state.get("current_draft", ""),
        "critic_score": state.get("critic_score"),
        "iteration_count": state.get("iteration_count", 0),
        "usage": dict(usage),
    }
    row = projection(state) | _ended(
        models.Status.COMPLETED, reason=reason, approved=approved, usage=dict(usage)
    )
    return writer.Change(fence, [_end_event("run.completed", data)], row)


def failed(
    fence: events.Fence,
    fault: errors.Fault,
    *,
    node: str,
    usage: Mapping[str, Any],
) -> writer.Change:
    """The change that ends a run without a result, for a stated reason."""
    data = {"code": fault.code, "message": fault.message, "node": node}
    row = _ended(
        models.Status.FAILED,
        reason="failed",
        error_code=fault.code,
        error_message=fault.message,
        usage=dict(usage),
    )
    return writer.Change(fence, [_end_event("run.failed", data)], row, last_word=True)


def _end_event(kind: str, data: dict[str, Any]) -> events.NewEvent:
    return events.NewEvent(kind, END_KEY, data)


def _save(run: models.Run, fields: Mapping[str, Any]) -> None:
    for name, value in fields.items():
        setattr(run, name, value)
    run.save(update_fields=list(fields))


def _ended(status: models.Status, **fields: Any) -> dict[str, Any]:
    """The columns of a run that has ended."""
    return {"status": status, "ended_at": timezone.now(), **fields}


def projection(state: Mapping[str, Any]) -> dict[str, Any]:
    """What of the working state the run's row repeats."""
    names = ("current_draft", "critic_score", "iteration_count")
    return {name: state[name] for name in names if name in state}
