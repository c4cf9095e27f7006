"""One execution of one node: its tries, its fallback model, its time limit, its events."""

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from django.conf import settings
from langchain_core.messages import BaseMessage

from runtime import blueprints, errors, events, llm, nodes, runs, traces, writer
from runtime.execution import inputs
from runtime.execution.pen import Pen

if TYPE_CHECKING:
    from runtime.execution.attempt import Attempt


class NodeRun:
    """Runs one node for an attempt, and tells what became of it."""

    def __init__(
        self, attempt: "Attempt", node: nodes.Node, state: nodes.State, task: str
    ) -> None:
        self.attempt, self.node, self.state, self.task = attempt, node, state, task
        self.kind = nodes.KINDS[node.kind]
        self.model = _resolved(node.model) if node.model else attempt.run.model
        self.begun = time.monotonic()
        self.first_token: float | None = None
        self.tries = 0
        self.calls = 0
        # Of what its last try asked first.
        self.asked = ""

    async def perform(self) -> Mapping[str, Any]:
        """What changes in the state.

        Raises errors.Fault when it cannot succeed, errors.LimitReached when a limit leaves no
        room for its next call.
        """
        # So that a run that may not go on does not begin the node.
        self.attempt.meter.check_time()
        await self._log("node.started", self.attempt.run.attempt, model=self.model)
        about = {f"councilos.{name}": value for name, value in self._about.items()}
        run_id = {"councilos.run_id": self.attempt.run.pk}
        with traces.span(
            f"node {self.node.kind}", {**about, **run_id}, expected=(errors.LimitReached,)
        ) as span:
            return await self._perform(span)

    async def _perform(self, span: traces.Span) -> Mapping[str, Any]:
        try:
            result = await self._in_time()
        except errors.LimitReached as limit:
            await self._log(
                "node.stopped",
                self.attempt.run.attempt,
                void=True,
                limit=limit.name,
                calls=self.calls,
            )
            span.note({"councilos.limit": limit.name})
            raise
        except errors.Fault as fault:
            span.fail(fault.code)
            if self.node.id not in blueprints.dispensable(self.attempt.document):
                self.attempt.failed_in = self.node.id
                raise
            return self._absent(fault)
        return self._completed(result)

    async def _in_time(self) -> nodes.Result:
        limit = self.node.settings.time_limit
        try:
            async with asyncio.timeout(limit) as timer:
                return await self._persist()
        except TimeoutError as late:
            if not timer.expired():
                raise
            sentence = f"{self.node.label or self.node.id} took longer than {limit:g} s."
            raise errors.Fault("node_timeout", sentence) from late

    async def _persist(self) -> nodes.Result:
        """Try until it succeeds, or fails for good; then the same with the fallback model."""
        fallback = self.node.settings.fallback_model
        try:
            return await self._try_again_and_again(self.model, is_last=not fallback)
        except errors.Fault:
            if not fallback:
                raise
        return await self._try_again_and_again(_resolved(fallback), is_last=True)

    async def _try_again_and_again(self, model: str, *, is_last: bool) -> nodes.Result:
        waits = _waits(self.node.settings.retries)
        while True:
            self.tries += 1
            try:
                return await self._try(model)
            except errors.Fault as fault:
                passes = isinstance(fault, errors.ModelFault) and fault.transient
                wait = next(waits, None) if passes else None
                if wait is not None or not is_last:
                    await self._log_retry(fault)
                if wait is None:
                    raise
            await asyncio.sleep(wait)

    async def _try(self, model: str) -> nodes.Result:
        self.first_token, self.asked = None, ""
        pen = Pen(partial(self._log_token, self.tries))
        limit = self.attempt.run.limits.get("iterations")
        step = self.attempt.told.step(
            self.node, self.state, model, say=pen.write, limit=limit, call=self._call
        )
        try:
            return await self.kind.run(step)
        except errors.Refusal as refusal:
            raise errors.Fault(refusal.code, str(refusal)) from refusal
        finally:
            pen.drop()

    async def _call(
        self, model: str, messages: Sequence[BaseMessage], **more: Any
    ) -> llm.Reply:
        self.asked = self.asked or inputs.digest(messages)
        reply = await self.attempt.meter.call(model, messages, **more)
        self.calls += 1
        return reply

    # --- what is told ---

    @property
    def _about(self) -> dict[str, Any]:
        return {
            "node": self.node.id,
            "kind": self.node.kind,
            "iteration": nodes.iteration(self.node, self.state),
            "task": self.task,
        }

    def _completed(self, result: nodes.Result) -> Mapping[str, Any]:
        updates = {**result.updates, "active_node": self.node.id}
        if "current_draft" in updates:
            updates["draft_cut"] = result.is_cut
        self._finish(
            "node.completed",
            updates,
            output=result.output,
            score=result.output.get("score"),
            usage=result.usage.as_json(),
            model=result.model,
            scripted=result.scripted,
            cut=result.is_cut,
            first_token_ms=self.first_token and round((self.first_token - self.begun) * 1000),
            asked=self.asked,
        )
        return updates

    def _absent(self, fault: errors.Fault) -> Mapping[str, Any]:
        """The council goes on without a member, if it is still large enough."""
        updates = dict(nodes.absence(self.node, fault, self.state))
        self._finish("node.failed", updates, code=fault.code, message=fault.message)
        return updates

    def _finish(self, kind: str, updates: Mapping[str, Any], **data: Any) -> None:
        data["duration_ms"] = round((time.monotonic() - self.begun) * 1000)
        # A task completes once; it may fail, be rewound by a retry, and complete then.
        key = (
            f"completed/{self.task}"
            if kind == "node.completed"
            else f"failed/{self.task}/{self.attempt.run.attempt}"
        )
        self.attempt.finish(
            self.task,
            writer.Change(
                self.attempt.fence,
                [events.NewEvent(kind, key, {**self._about, **data})],
                finished_task=self.task,
                row=runs.projection(updates),
            ),
        )

    async def _log(self, kind: str, number: int, *, void: bool = False, **data: Any) -> None:
        """`void`: what the node has said so far is dropped."""
        key = f"{kind.removeprefix('node.')}/{self.task}/{number}"
        new = [events.NewEvent(kind, key, {**self._about, **data})]
        over = self.task if void else ""
        await self.attempt.writer.write(
            writer.Change(self.attempt.fence, new, finished_task=over)
        )

    def _log_token(self, tries: int, number: int, text: str) -> "asyncio.Future[None]":
        if self.first_token is None:
            self.first_token = time.monotonic()
        key = f"token/{self.task}/{self.attempt.run.attempt}/{tries}/{number}"
        data = {"node": self.node.id, "task": self.task, "text": text}
        new = [events.NewEvent("node.token", key, data)]
        return self.attempt.writer.write(writer.Change(self.attempt.fence, new))

    async def _log_retry(self, fault: errors.Fault) -> None:
        key = f"retried/{self.task}/{self.attempt.run.attempt}/{self.tries}"
        data = {
            "node": self.node.id,
            "task": self.task,
            "code": fault.code,
            "message": fault.message,
            "next_try": self.tries + 1,
        }
        new = [events.NewEvent("node.retried", key, data)]
        await self.attempt.writer.write(
            writer.Change(self.attempt.fence, new, finished_task=self.task)
        )


def _resolved(model: str) -> str:
    """The model in full. If that cannot be said any more, its call will say why."""
    try:
        return llm.resolve(model)
    except errors.Refusal:
        return model


def _waits(retries: int | None) -> Iterator[float]:
    """The waits before each further try, in seconds; each doubles the one before."""
    more = settings.MODEL_MAX_TRIES - 1 if retries is None else retries
    return (settings.MODEL_RETRY_SECONDS * 2**number for number in range(more))
