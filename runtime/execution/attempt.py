"""One attempt of one run."""

import copy
import json
import logging
from collections import OrderedDict
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

from channels.db import database_sync_to_async as in_thread
from django.db import InterfaceError, OperationalError
from langgraph.errors import GraphDrained, GraphRecursionError
from langgraph.runtime import RunControl
from langgraph.types import interrupt

from runtime import blueprints, checkpoints, errors, events, gates, models, nodes, runs, writer
from runtime.blueprints import compiler
from runtime.execution import earlier, steps, waiting
from runtime.execution.meter import Meter

logger = logging.getLogger(__name__)

# LangGraph's own bound on steps. Validation has made sure that every loop ends before.
MOST_STEPS = 1_000
KEPT_GRAPHS = 100


class Attempt:
    """One attempt of one run: drives its graph, and says how that ended."""

    def __init__(self, run: models.Run, shared: writer.Writer) -> None:
        self.run = run
        self.fence = events.Fence(run.pk, run.attempt)
        self.writer = shared
        self.failed_in = ""
        self._finished: dict[str, writer.Change] = {}
        # What people have said so far, what is to be asked, and the limits that were reached.
        self._answers: Mapping[tuple[str, int], models.Gate] = {}
        self._questions: dict[str, gates.Question] = {}
        self._limits: list[str] = []

    async def drive(self, control: RunControl) -> None:
        """Drive the run on from its last finished node, to its end or to a gate.

        Raises GraphDrained when `control` asked for it, errors.RunLost when the run is no
        longer this attempt's.
        """
        try:
            await in_thread(self._look_up)()
            state = await self._step_through(control)
            await self._come_to_a_stand(state)
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

    def _look_up(self) -> None:
        self.meter = Meter(self.run)
        self.told = earlier.told(self.run)
        if self.run.attempt > 1:
            self._answers = gates.answered(self.run.pk)

    async def _step_through(self, control: RunControl) -> Mapping[str, Any]:
        saver = checkpoints.RunSaver(self.writer, self.fence, self._take_finished)
        self.document, compiled = _compiled(self.run)
        graph = copy.copy(compiled)
        graph.checkpointer = saver
        _attempt.set(self)
        config: Any = {
            "configurable": {"thread_id": str(self.run.pk)},
            "recursion_limit": MOST_STEPS,
        }
        may_have_begun = self.run.attempt > 1 or self.run.parent_id is not None
        begun = may_have_begun and await saver.aget_tuple(config) is not None
        state: Mapping[str, Any] = {}
        stream = graph.astream(
            # An answer is not handed to LangGraph: the gate that waits looks it up.
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

    async def _come_to_a_stand(self, state: Mapping[str, Any]) -> None:
        """The graph goes no further: the run has reached a limit, a gate, or its end."""
        if not self._limits and not self._questions:
            usage = await in_thread(events.total_usage)(self.run.pk)
            await self.writer.write(runs.completed(self.run, self.document, state, usage))
            return
        await self.writer.write(writer.Change(self.fence))  # all before it is stored
        if self._limits:
            await self.writer.write(await in_thread(self._stopped)(self._limits[0]))
        else:
            await in_thread(gates.open_all)(self.fence, list(self._questions.values()))

    def _stopped(self, limit: str) -> writer.Change:
        fresh = models.Run.objects.get(pk=self.run.pk)
        fresh.attempt = self.fence.attempt
        return runs.stopped(fresh, limit, self.document, events.total_usage(fresh.pk))

    async def _fail(self, fault: errors.Fault) -> None:
        try:
            usage = await in_thread(events.total_usage)(self.run.pk)
        except (ArithmeticError, LookupError, TypeError, ValueError):
            logger.exception("the usage of run %s cannot be summed", self.run.pk)
            usage = {}  # a run must end, whatever is wrong with its log
        change = runs.failed(self.run, fault, node=self.failed_in, usage=usage)
        await self.writer.write(change)

    # --- one node, one gate ---

    async def run_node(
        self, node: nodes.Node, state: nodes.State, task: str
    ) -> Mapping[str, Any]:
        try:
            return await steps.NodeRun(self, node, state, task).perform()
        except errors.LimitReached as limit:
            self._meet(limit.name, node, state, task)
        interrupt(task)  # the others of its step finish, then the run comes to a stand
        raise AssertionError("LangGraph goes on from here only after a resume value")

    def _meet(self, limit: str, node: nodes.Node, state: nodes.State, task: str) -> None:
        if not waiting.can_be_extended(limit, self.document):
            self._limits.append(limit)
            return
        number = 1 + sum(asked == task for asked, _number in self._answers)
        self._questions[task] = waiting.limit_question(
            node, task, limit, self.run, state, number
        )

    async def ask(
        self, gate: blueprints.Gate, state: nodes.State, task: str
    ) -> blueprints.Passage:
        if gate.place == "iterations" and state["decisions"].get(gate.node.id) != "limit":
            return blueprints.Passage({})
        answered = self._answers.get((task, 1))
        if answered is not None:
            return waiting.passage(gate, state, answered)
        self._questions[task] = await in_thread(waiting.question)(gate, state, task)
        interrupt(task)
        raise AssertionError("LangGraph goes on from here only after a resume value")

    def finish(self, task: str, change: writer.Change) -> None:
        """What is told when LangGraph stores the writes of a finished node."""
        self._finished[task] = change

    def _take_finished(self, task: str) -> writer.Change | None:
        return self._finished.pop(task, None)


_attempt: ContextVar["Attempt"] = ContextVar("attempt")
_graphs: OrderedDict[tuple[Any, ...], tuple[blueprints.Document, compiler.Compiled]] = (
    OrderedDict()
)


def _compiled(run: models.Run) -> tuple[blueprints.Document, compiler.Compiled]:
    """The document and the graph of a run, made once: a version never changes."""
    key = (run.blueprint_version_id, run.god_mode, json.dumps(run.overrides, sort_keys=True))
    if key not in _graphs:
        document = runs.document_of(run)
        _check_kinds(document)
        graph = compiler.compile(
            document, _run_node_of_the_attempt, _ask_for_the_attempt, god_mode=run.god_mode
        )
        _graphs[key] = document, graph
    _graphs.move_to_end(key)
    while len(_graphs) > KEPT_GRAPHS:
        _graphs.popitem(last=False)
    return _graphs[key]


def _check_kinds(document: blueprints.Document) -> None:
    """Another process may know kinds that this one does not."""
    strange = sorted({node.kind or "draft" for node in document.nodes} - nodes.KINDS.keys())
    if strange:
        raise errors.Fault(
            "kind_unknown",
            f"This worker knows no node of the kind {', '.join(strange)}; restart it with the "
            "app that registers it.",
        )


# A compiled graph serves many runs at once; each drives it in a context of its own.


async def _run_node_of_the_attempt(
    node: nodes.Node, state: nodes.State, task: str
) -> Mapping[str, Any]:
    return await _attempt.get().run_node(node, state, task)


async def _ask_for_the_attempt(
    gate: blueprints.Gate, state: nodes.State, task: str
) -> blueprints.Passage:
    return await _attempt.get().ask(gate, state, task)
