"""Drive one run: its blueprint's graph in, events out.

Whoever drives holds one attempt of the run. Everything it writes is fenced by that attempt,
and each node asks for its `node.started` to be committed before it does anything, so an
attempt that has lost its run calls no model any more.
"""

import asyncio
import copy
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import partial
from typing import Any
from uuid import UUID

from channels.db import database_sync_to_async as in_thread
from django.conf import settings
from django.db import InterfaceError, OperationalError
from langgraph.errors import GraphDrained, GraphRecursionError
from langgraph.runtime import RunControl

from runtime import blueprints, checkpoints, errors, events, llm, models, nodes, runs, writer

logger = logging.getLogger(__name__)

# Tokens that arrive within this time become one event (rule 6): short enough to read
# along, long enough that a fast model does not write a row per word.
COALESCE_SECONDS = 0.075
# LangGraph's own bound on steps. Validation has made sure that every loop ends before.
MOST_STEPS = 1_000
KEPT_GRAPHS = 100


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
            claim = partial(runs.claim, run_id, job_id=job_id, worker=self.worker)
            run = await in_thread(claim)()
            if run is not None:
                await self._drive(run)
        finally:
            self.jobs.discard(job_id)

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


class Attempt:
    """One attempt of one run."""

    def __init__(self, run: models.Run, shared: writer.Writer) -> None:
        self.run = run
        self.fence = events.Fence(run.pk, run.attempt)
        self._writer = shared
        self._finished: dict[str, writer.Change] = {}
        self._failed_in = ""

    async def drive(self, control: RunControl) -> None:
        """Drive the run on from its last finished node, to its end.

        Raises GraphDrained when `control` asked for it, errors.RunLost when the run is no
        longer this attempt's.
        """
        try:
            state = await self._step_through(control)
            usage = await in_thread(events.total_usage)(self.run.pk)
            await self._writer.write(runs.completed(self.fence, state, usage))
        except errors.Fault as fault:
            await self._fail(fault)
        except errors.Refusal as refusal:
            # This worker cannot do what the one that accepted the run could: a key is missing.
            await self._fail(errors.Fault(refusal.code, str(refusal)))
        except GraphRecursionError:
            await self._fail(
                errors.Fault("step_limit", f"It took more than {MOST_STEPS} steps.")
            )
        except (GraphDrained, errors.RunLost, OperationalError, InterfaceError):
            raise  # the run goes on elsewhere
        except Exception:
            logger.exception("run %s failed by a mistake of ours", self.run.pk)
            sentence = (
                f"Something went wrong inside CouncilOS; the log names run {self.run.pk}."
            )
            await self._fail(errors.Fault("internal", sentence))

    async def _step_through(self, control: RunControl) -> Mapping[str, Any]:
        saver = checkpoints.RunSaver(self._writer, self.fence, self._take_finished)
        graph = copy.copy(_graph(self.run.blueprint_version))
        graph.checkpointer = saver
        _attempt.set(self)
        config: Any = {
            "configurable": {"thread_id": str(self.run.pk)},
            "recursion_limit": MOST_STEPS,
        }
        begun = self.run.attempt > 1 and await saver.aget_tuple(config) is not None
        state: Mapping[str, Any] = {}
        stream = graph.astream(
            None if begun else nodes.initial_state(str(self.run.pk), self.run.input_topic),
            config,
            stream_mode="values",
            # Not "sync": that waits for each checkpoint before the next node. Our writer keeps
            # the order, a node waits for its `node.started`, and the writer refuses that once
            # anything before it failed: so when a node begins, all before it is stored. And
            # the three go in one transaction, not in two.
            durability="async",
            control=control,
        )
        async for values in stream:
            state = values
        return state

    async def _fail(self, fault: errors.Fault) -> None:
        try:
            usage = await in_thread(events.total_usage)(self.run.pk)
        except (ArithmeticError, LookupError, TypeError, ValueError):
            logger.exception("the usage of run %s cannot be summed", self.run.pk)
            usage = {}  # a run must end, whatever is wrong with its log
        change = runs.failed(self.fence, fault, node=self._failed_in, usage=usage)
        await self._writer.write(change)

    # --- one node ---

    async def run_node(
        self, node: nodes.Node, state: nodes.State, task: str, tries: int
    ) -> Mapping[str, Any]:
        about = {
            "node": node.id,
            "kind": node.kind,
            "iteration": nodes.iteration(node, state),
            "task": task,
        }
        model = llm.resolve(node.model) if node.model else self.run.model
        if tries == 1:
            await self._log(
                "node.started", f"started/{task}/{self.run.attempt}", **about, model=model
            )
        pen = Pen(partial(self._log_token, node.id, task, tries))
        begun = time.monotonic()
        try:
            result = await nodes.KINDS[node.kind](nodes.Step(node, state, model, pen.write))
        except errors.ModelFault as fault:
            self._failed_in = node.id
            if fault.transient and tries < settings.MODEL_MAX_TRIES:
                pen.drop()
                await self._log_retry(node.id, task, tries, fault)
            raise
        except errors.Fault:
            self._failed_in = node.id
            raise
        finally:
            pen.drop()
        updates = {**result.updates, "active_node": node.id}
        self._finished[task] = self._completion(
            about,
            updates,
            output=result.output,
            score=result.output.get("score"),
            duration_ms=round((time.monotonic() - begun) * 1000),
            usage=result.usage.as_json(),
            model=result.model,
            scripted=result.scripted,
        )
        return updates

    def _completion(
        self, about: Mapping[str, Any], updates: Mapping[str, Any], **data: Any
    ) -> writer.Change:
        """What is told when LangGraph stores the writes of a finished node."""
        task = about["task"]
        return writer.Change(
            self.fence,
            [events.NewEvent("node.completed", f"completed/{task}", {**about, **data})],
            finished_task=task,
            row=runs.projection(updates),
        )

    def _take_finished(self, task: str) -> writer.Change | None:
        return self._finished.pop(task, None)

    async def _log(self, kind: str, key: str, /, **data: Any) -> None:
        await self._writer.write(writer.Change(self.fence, [events.NewEvent(kind, key, data)]))

    def _log_token(self, node: str, task: str, tries: int, number: int, text: str) -> None:
        key = f"token/{task}/{self.run.attempt}/{tries}/{number}"
        data = {"node": node, "task": task, "text": text}
        self._writer.write(
            writer.Change(self.fence, [events.NewEvent("node.token", key, data)])
        )

    async def _log_retry(
        self, node: str, task: str, tries: int, fault: errors.ModelFault
    ) -> None:
        key = f"retried/{task}/{self.run.attempt}/{tries}"
        data = {
            "node": node,
            "task": task,
            "code": fault.code,
            "message": fault.message,
            "next_try": tries + 1,
        }
        new = [events.NewEvent("node.retried", key, data)]
        await self._writer.write(writer.Change(self.fence, new, finished_task=task))


_attempt: ContextVar["Attempt"] = ContextVar("attempt")
_graphs: OrderedDict[tuple[int, int, float], blueprints.Compiled] = OrderedDict()


def _graph(version: models.BlueprintVersion) -> blueprints.Compiled:
    """The graph of a version, compiled once: a version never changes."""
    key = (version.pk, settings.MODEL_MAX_TRIES, settings.MODEL_RETRY_SECONDS)
    if key not in _graphs:
        _graphs[key] = blueprints.compile(
            blueprints.parse(version.document),
            _run_node_of_the_attempt,
            checkpointer=None,
            max_tries=settings.MODEL_MAX_TRIES,
            first_wait=settings.MODEL_RETRY_SECONDS,
        )
    _graphs.move_to_end(key)
    while len(_graphs) > KEPT_GRAPHS:
        _graphs.popitem(last=False)
    return _graphs[key]


async def _run_node_of_the_attempt(
    node: nodes.Node, state: nodes.State, task: str, tries: int
) -> Mapping[str, Any]:
    """A compiled graph serves many runs at once; each drives it in a context of its own."""
    return await _attempt.get().run_node(node, state, task, tries)


class Pen:
    """Gathers the pieces of text that a model sends into one event for each short while."""

    def __init__(self, log: Callable[[int, str], None]) -> None:
        self._log = log
        self._pieces: list[str] = []
        self._count = 0
        self._timer: asyncio.TimerHandle | None = None

    def write(self, text: str) -> None:
        self._pieces.append(text)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(COALESCE_SECONDS, self._flush)

    def _flush(self) -> None:
        self._timer = None
        self._count += 1
        self._log(self._count, "".join(self._pieces))
        self._pieces.clear()

    def drop(self) -> None:
        """Forget what was not logged: a result, or another try, takes its place."""
        self._pieces.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
