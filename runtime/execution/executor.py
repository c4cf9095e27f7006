"""Drives the runs of one worker."""

import asyncio
import contextlib
import logging
import time
from uuid import UUID

from channels.db import database_sync_to_async as in_thread
from django.db import InterfaceError, OperationalError
from django.utils import timezone
from langgraph.errors import GraphDrained
from langgraph.runtime import RunControl

from runtime import errors, events, logs, metrics, models, runs, traces, writer
from runtime.execution.attempt import Attempt

logger = logging.getLogger(__name__)


class Executor:
    """Drives the runs of one worker. They share its writer and its will to stop."""

    def __init__(self, worker: str) -> None:
        self.worker = worker
        self.writer = writer.Writer()
        self.jobs: set[int] = set()
        self._controls: set[RunControl] = set()
        self._draining = False

    def drain(self) -> None:
        """Let every run go at the end of its present node; it is handed over."""
        self._draining = True
        for control in self._controls:
            control.request_drain("worker stopping")

    async def execute(self, run_id: UUID, *, job_id: int) -> None:
        """Take up a run and drive it until it ends, waits, is lost or is handed over."""
        self.jobs.add(job_id)
        try:
            with logs.bound(run_id=run_id):
                run = await in_thread(self._claim)(run_id, job_id)
                if run is not None:
                    with contextlib.suppress(GraphDrained):
                        await self._drive_watched(run)
        finally:
            self.jobs.discard(job_id)

    def _claim(self, run_id: UUID, job_id: int) -> models.Run | None:
        enqueued_at = runs.enqueued_at(job_id)
        run = runs.claim(run_id, job_id=job_id, worker=self.worker)
        if run is not None and enqueued_at is not None:
            waited = (timezone.now() - enqueued_at).total_seconds()
            metrics.queue_wait.observe(max(waited, 0.0))  # clocks of two machines differ
        return run

    async def _drive_watched(self, run: models.Run) -> None:
        about = {"councilos.run_id": run.pk, "councilos.attempt": run.attempt}
        with (
            logs.bound(user_id=run.owner_id),
            metrics.runs_driven.track_inprogress(),
            traces.start("run", about, parent=run.trace, expected=(GraphDrained,)),
        ):
            await self._drive(run)

    async def _drive(self, run: models.Run) -> None:
        control = RunControl()
        if self._draining:
            control.request_drain("worker stopping")
        self._controls.add(control)
        attempt = Attempt(run, self.writer)
        try:
            await attempt.drive(control)
        except (GraphDrained, asyncio.CancelledError):
            # Stopped before its end: by a worker that stops (hand it over) or because the
            # run was cancelled, and then there is nothing left to hand over.
            await asyncio.shield(_release(attempt.fence))
            raise
        except errors.RunLost:
            logger.info("run %s is no longer attempt %s's", run.pk, run.attempt)
        finally:
            self._controls.discard(control)


async def _release(fence: events.Fence) -> None:
    wait = 0.05
    give_up = time.monotonic() + writer.PATIENCE_SECONDS
    while True:
        try:
            await in_thread(runs.release)(fence)
            return
        except (OperationalError, InterfaceError):
            if time.monotonic() > give_up:
                raise  # its silent heartbeat will hand it over
        await asyncio.sleep(wait)
        wait = min(wait * 2, 1.0)
