"""The model calls of one attempt, each kept within the limits that hold for its run."""

import asyncio
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from channels.db import database_sync_to_async as in_thread
from langchain_core.messages import BaseMessage

from runtime import budgets, errors, events, llm, models

# What a provider refused before it began costs nothing; of any other failed call nobody
# knows what it used.
_UNBILLED = frozenset(
    {"model_auth", "model_rate_limited", "model_not_found", "model_refused_request"}
)


# How soon a run that nothing limited notices an allowance that was given meanwhile.
LOOK_SECONDS = 5.0


class Meter:
    """Calls models for one attempt: reserves before each call, settles after it."""

    def __init__(self, run: models.Run) -> None:
        """Looks up what holds for the run, in the database."""
        self._fence = events.Fence(run.pk, run.attempt)
        self._run = run
        self._is_metered = budgets.is_metered(run)
        self._looked_at = time.monotonic()
        self._seconds: float | None = run.limits.get("seconds")
        self._begun = time.monotonic()
        self._worked = events.worked_seconds(run.pk) if self._seconds is not None else 0.0

    def check_time(self) -> None:
        """Raises errors.LimitReached when the run has worked for as long as it may."""
        worked = self._worked + time.monotonic() - self._begun
        if self._seconds is not None and worked >= self._seconds:
            raise errors.LimitReached("time_limit")

    async def call(
        self,
        model: str,
        messages: Sequence[BaseMessage],
        *,
        temperature: float | None = None,
        max_tokens: int | None = None,
        schema: Any = None,
        on_text: Callable[[str], None] | None = None,
    ) -> llm.Reply:
        """`llm.call`. Raises errors.LimitReached, too, in place of a call beyond a limit."""
        self.check_time()
        more: Mapping[str, Any] = {
            "temperature": temperature,
            "schema": schema,
            "on_text": on_text,
        }
        if not await self._needs_reserving():
            return await llm.call(model, messages, max_tokens=max_tokens, **more)
        offers = list(_offers(model, messages, max_tokens, schema))
        reservation, offer = await self._reserve(offers)
        settle = in_thread(budgets.settle)
        try:
            reply = await llm.call(model, messages, max_tokens=offer.max_tokens, **more)
        except errors.ModelFault as fault:
            used = 0 if fault.code in _UNBILLED else None
            await settle(reservation, tokens=used, cost=used)
            raise
        # Of a task that is cancelled, whoever cancels it or takes it up settles.
        usage = reply.usage
        parts = (usage.input_tokens, usage.output_tokens)
        tokens = None if None in parts else sum(filter(None, parts))
        await settle(reservation, tokens=tokens, cost=usage.cost)
        return reply

    async def _needs_reserving(self) -> bool:
        """Whether a limit may hold; an allowance may be given while the run is under way."""
        if not self._is_metered and time.monotonic() > self._looked_at + LOOK_SECONDS:
            self._is_metered = await in_thread(budgets.is_metered)(self._run)
            self._looked_at = time.monotonic()
        return self._is_metered

    async def _reserve(self, offers: Sequence[budgets.Offer]) -> tuple[int, budgets.Offer]:
        """Reserve, when the calls under way have left room: they reserve more than they use."""
        wait = 0.05
        while True:
            try:
                reserved: tuple[int, budgets.Offer]
                reserved = await in_thread(budgets.reserve)(self._fence, offers)
                return reserved
            except errors.LimitReached as reached:
                if not reached.for_now:
                    raise
            await asyncio.sleep(wait * random.uniform(0.5, 1.5))
            wait = min(wait * 2, 1.0)
            self.check_time()


def _offers(
    model: str, messages: Sequence[BaseMessage], stated: int | None, schema: Any
) -> Iterator[budgets.Offer]:
    """What the call can use at most. Where nobody has stated how long an answer may be, a
    shorter one is offered as well, for what is left of a budget."""
    most = stated or budgets.MOST_OUTPUT
    while True:
        bound = llm.bound(model, messages, max_tokens=most, schema=schema)
        yield budgets.Offer(most, bound.tokens, bound.cost)
        most //= 2
        if stated or most < budgets.LEAST_OUTPUT:
            return
