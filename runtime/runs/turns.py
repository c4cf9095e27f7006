"""A run changes hands: a worker takes it up and gives it back, it waits and goes on."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from runtime import budgets, errors, events, history, models
from runtime.runs import beginnings, ends, rows

# So many workers may be lost with the same node; perhaps it is what kills them.
MOST_LOST = 10


def claim(run_id: UUID, *, job_id: int, worker: str) -> models.Run | None:
    """Take up a run as its next attempt; from now on only this attempt may write to it.

    None when there is nothing to take up: it has ended, waits for a person, or another
    job has it.
    """
    with transaction.atomic():
        run = rows.lock(run_id)
        if run.job_id != job_id or run.status not in (
            models.Status.PENDING,
            models.Status.RUNNING,
        ):
            return None
        budgets.settle_all(run.pk)
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
        run = rows.lock(fence.run_id)
        if run.status != models.Status.RUNNING or run.attempt != fence.attempt:
            return False
        budgets.settle_all(run.pk)
        _interrupt(run, cause="worker_stopping")
        run.status = models.Status.PENDING
        run.save(update_fields=["status"])
        rows.enqueue(run)
    return True


def reassign(run_id: UUID, *, by: str) -> models.Run:
    """Take a running run from its worker, for whichever is free next to take it up.

    That goes on after the last finished node; the worker that had it may be the one. What it
    still writes is refused, for it has the run no more, and its model call is broken off.
    Raises errors.RunNotFound, errors.RunFinished, errors.RunNotRunning when it waits.
    """
    with transaction.atomic():
        run = rows.lock(run_id)
        if run.has_ended:
            raise errors.RunFinished(status=run.status)
        if run.status != models.Status.RUNNING:
            raise errors.RunNotRunning(status=run.status)
        budgets.settle_all(run.pk)
        _interrupt(run, cause="reassigned", by=by)
        rows.save(run, {"status": models.Status.PENDING})
        rows.abort(run)
        rows.enqueue(run)
    return run


def _interrupt(run: models.Run, *, cause: str, **more: str) -> None:
    """Tell that this attempt is over; what its unfinished nodes had said is void."""
    events.drop_unfinished_tokens(run.pk)
    events.append(
        run,
        "run.interrupted",
        key=f"run.interrupted/{run.attempt}",
        attempt=run.attempt,
        cause=cause,
        **more,
    )


def _is_hopeless(run: models.Run) -> bool:
    """Whether worker after worker was lost with it, and no node finished in between."""
    progress = ("node.completed", "run.retried")
    done = run.events.filter(kind__in=progress).order_by("-seq").first()
    lost = run.events.filter(kind="run.interrupted", data__cause="worker_lost")
    return lost.filter(seq__gt=done.seq if done else 0).count() >= MOST_LOST


def _give_up(run: models.Run) -> None:
    message = f"{MOST_LOST} workers in a row were lost while they ran the same node."
    usage = events.total_usage(run.pk)
    data, fields = ends.failure(errors.Fault("worker_lost", message), node="", usage=usage)
    rows.save(run, fields)
    events.append(run, "run.failed", key=ends.key(run), **data)


def pause(run: models.Run) -> None:
    """Let a running run wait, in the transaction that has locked it and opens its gates.

    The events of the gates tell of it.
    """
    budgets.settle_all(run.pk)
    rows.save(run, {"status": models.Status.PAUSED})


def resume(run: models.Run, *, by: str) -> None:
    """Let a paused run go on, in the transaction that has locked it and answers its gate."""
    rows.save(run, {"status": models.Status.PENDING})
    number = run.events.filter(kind="run.resumed").count() + 1
    events.append(run, "run.resumed", key=f"run.resumed/{number}", by=by)
    rows.enqueue(run)


def cancel(run_id: UUID, *, by: str, reason: str = "cancelled") -> models.Run:
    """End a run as cancelled. Its model call in flight is broken off, none follows.

    What its nodes have written stays readable. `by` says who, for the log.
    Raises errors.RunNotFound, errors.RunFinished when it has already ended.
    """
    with transaction.atomic():
        run = rows.lock(run_id)
        if run.has_ended:
            raise errors.RunFinished(status=run.status)
        ends.cancel(run, by=by, reason=reason)
    return run


def retry(
    run_id: UUID,
    *,
    by: str,
    limits: Mapping[str, Any] | None = None,
    idempotency_key: str | None = None,
) -> models.Run:
    """Take a failed run up again after its last finished node: same log, next attempt.

    `limits` take the place of the run's, each by its name. The same `idempotency_key` retries
    once. Raises errors.RunNotFound, errors.RunNotFailed, errors.LimitsInvalid,
    errors.PriceUnknown, errors.TooManyRuns, errors.IdempotencyKeyInvalid.
    """
    if idempotency_key is not None and not 1 <= len(idempotency_key) <= beginnings.LONGEST_KEY:
        raise errors.IdempotencyKeyInvalid(length=len(idempotency_key))
    more = budgets.checked(limits or {})
    with transaction.atomic():
        run = rows.lock(run_id)
        if idempotency_key and _was_retried(run, idempotency_key):
            return run
        if run.status != models.Status.FAILED:
            raise errors.RunNotFailed(status=run.status)
        beginnings.check_prices(run, more)
        budgets.admit(run.owner)
        _reopen(run, by=by, limits=more, idempotency_key=idempotency_key)
        rows.enqueue(run)
    return run


def _was_retried(run: models.Run, idempotency_key: str) -> bool:
    return run.events.filter(kind="run.retried", data__idempotency_key=idempotency_key).exists()


def _reopen(
    run: models.Run, *, by: str, limits: dict[str, Any], idempotency_key: str | None
) -> None:
    end = run.events.filter(kind="run.failed").latest("seq")
    code, message = run.error_code, run.error_message
    if code == "quorum_missed":
        history.rewind(run)
    events.drop_unfinished_tokens(run.pk)
    # What was being asked when it failed is asked anew.
    run.gates.filter(answered_at=None).delete()
    fields = {
        "status": models.Status.PENDING,
        "retries": run.retries + 1,
        "limits": {**run.limits, **limits},
        "ended_at": None,
        "reason": "",
        "error_code": "",
        "error_message": "",
    }
    rows.save(run, fields)
    events.append(
        run,
        "run.retried",
        key=f"run.retried/{run.retries}",
        by=by,
        retry=run.retries,
        code=code,
        message=message,
        node=end.data["node"],
        limits=run.limits,
        idempotency_key=idempotency_key,
    )
