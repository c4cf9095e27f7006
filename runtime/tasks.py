"""The worker: procrastinate's, with our executor, and the rescue of runs left behind."""

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, LiteralString, TypeVar
from uuid import UUID

import psycopg
from channels.db import database_sync_to_async as in_thread
from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.db.models.functions import Now
from procrastinate import JobContext
from procrastinate.contrib.django import app
from procrastinate.contrib.django.models import ProcrastinateJob, ProcrastinateWorker
from procrastinate.contrib.django.utils import connector_params
from procrastinate.exceptions import ConnectorException
from procrastinate.jobs import DeleteJobCondition
from procrastinate.psycopg_connector import PsycopgConnector
from procrastinate.worker import Worker

from runtime import gates, logs, runs

if TYPE_CHECKING:
    from runtime.execution.executor import Executor

logger = logging.getLogger(__name__)

T = TypeVar("T")
# How often a worker looks for jobs and cancelled runs whose notification was lost.
POLL_SECONDS = 1.0
# How long the worker's own bookkeeping waits for a PostgreSQL that is away.
PATIENCE_SECONDS = 120.0


Chore = Callable[[], None]
_chores: list[Chore] = []


def add_chore(chore: Chore) -> None:
    """Have every worker do this at a steady pace (WORKER_RESCUE_SECONDS), in a thread.

    To be called when the process starts. Several workers may do it at once.
    """
    _chores.append(chore)


@app.task(name=runs.TASK, queue=runs.QUEUE, pass_context=True)
async def execute(context: JobContext, *, run_id: str) -> None:
    """Drive one run. The executor is the worker's, given with its context."""
    executor: Executor = context.additional_context["executor"]
    assert context.job.id is not None
    await executor.execute(UUID(run_id), job_id=context.job.id)


def _is_away(error: ConnectorException) -> bool:
    return isinstance(error.__cause__, psycopg.OperationalError | psycopg.InterfaceError)


class PatientConnector(PsycopgConnector):
    """Waits for a PostgreSQL that is away instead of ending the worker.

    A query whose answer was lost is sent again. For fetching a job that can leave one
    marked as running that nobody runs: `rescue` finds it, for its run makes no progress.
    """

    async def _patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        wait = 0.05
        loop = asyncio.get_running_loop()
        give_up = loop.time() + PATIENCE_SECONDS
        while True:
            try:
                return await call()
            except ConnectorException as error:
                if not _is_away(error) or loop.time() > give_up:
                    raise
            await asyncio.sleep(wait)
            wait = min(wait * 2, 1.0)

    async def execute_query_async(self, query: LiteralString, **arguments: Any) -> None:
        parent = super().execute_query_async
        await self._patiently(lambda: parent(query, **arguments))

    async def execute_query_one_async(
        self, query: LiteralString, **arguments: Any
    ) -> dict[str, Any]:
        parent = super().execute_query_one_async
        return await self._patiently(lambda: parent(query, **arguments))

    async def execute_query_all_async(
        self, query: LiteralString, **arguments: Any
    ) -> list[dict[str, Any]]:
        parent = super().execute_query_all_async
        return await self._patiently(lambda: parent(query, **arguments))

    async def listen_notify(self, on_notification: Any, channels: Any) -> None:
        parent = super().listen_notify
        while True:
            with contextlib.suppress(ConnectorException):
                await parent(on_notification=on_notification, channels=channels)
            await asyncio.sleep(0.5)


async def work(*, wait: bool = True, stop: asyncio.Event | None = None) -> None:
    """Be a worker until `stop` is set; with `wait=False`, until no job is left.

    Once stopped, each run goes on to the end of its present node, for at most
    WORKER_DRAIN_SECONDS, and is handed over.
    """
    from runtime.execution.executor import Executor  # LangGraph, which only workers need

    executor = Executor(f"{socket.gethostname()}:{os.getpid()}")
    connector = PatientConnector(
        kwargs=connector_params(), reconnect_timeout=settings.DATABASE_RECONNECT_SECONDS
    )
    # Another app object, for its connector alone: the verbs in `runs` enqueue through the
    # original one, inside their Django transaction.
    async with app.with_connector(connector).open_async() as mine:
        worker = Worker(
            mine,
            queues=[runs.QUEUE],
            name=executor.worker,
            concurrency=settings.WORKER_CONCURRENCY,
            wait=wait,
            fetch_job_polling_interval=POLL_SECONDS,
            abort_job_polling_interval=POLL_SECONDS,
            shutdown_graceful_timeout=settings.WORKER_DRAIN_SECONDS,
            delete_jobs=DeleteJobCondition.ALWAYS.value,
            additional_context={"executor": executor},
            install_signal_handlers=False,
            update_heartbeat_interval=settings.WORKER_HEARTBEAT_SECONDS,
            stalled_worker_timeout=settings.WORKER_STALLED_SECONDS,
        )
        beside = [asyncio.create_task(_rescue_always(worker, executor))] if wait else []
        if stop is not None:
            beside.append(asyncio.create_task(_stop_when(stop, worker, executor)))
        try:
            await worker.run()
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
            await executor.writer.close()


async def _stop_when(stop: asyncio.Event, worker: Worker, executor: "Executor") -> None:
    await stop.wait()
    executor.drain()
    worker.stop()


async def _rescue_always(worker: Worker, executor: "Executor") -> None:
    """Look for runs left behind, at a steady pace."""
    strays: set[int] = set()
    while True:
        try:
            before, strays = strays, await in_thread(_strays)(worker, executor)
            rescued = await in_thread(runs.rescue)(
                silent_for=settings.WORKER_STALLED_SECONDS, dropped=before & strays
            )
            for run_id in rescued:
                with logs.bound(run_id=run_id):
                    logger.warning("run %s was left behind and is queued again", run_id)
            for run_id in await in_thread(gates.expire)():
                with logs.bound(run_id=run_id):
                    logger.info("a gate of run %s was answered by its deadline", run_id)
            for chore in _chores:
                await _do(chore)
        except (OperationalError, InterfaceError):
            # When the database is back, the others need a moment to show their heartbeats
            # before their silence may count against them.
            await asyncio.sleep(2 * settings.WORKER_HEARTBEAT_SECONDS)
        await asyncio.sleep(settings.WORKER_RESCUE_SECONDS)


async def _do(chore: Chore) -> None:
    try:
        await in_thread(chore)()
    except (OperationalError, InterfaceError):
        raise
    except Exception:  # it must not keep the worker from looking after runs
        logger.exception("a chore failed by a mistake of ours")


def _strays(worker: Worker, executor: "Executor") -> set[int]:
    """Jobs that the table says this worker has and that it does not have."""
    jobs = ProcrastinateJob.objects.filter(status="doing", worker_id=worker.worker_id)
    return set(jobs.values_list("pk", flat=True)) - executor.jobs


def live_workers(*, silent_for: float) -> int:
    """How many workers have shown a heartbeat within the last `silent_for` seconds."""
    since = Now() - timedelta(seconds=silent_for)
    return ProcrastinateWorker.objects.filter(last_heartbeat__gte=since).count()
