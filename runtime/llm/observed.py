"""A call of a model as others see it: counted, timed and traced; never its text."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator

from runtime import errors, metrics, traces
from runtime.llm import names
from runtime.llm.replies import Usage

Told = Callable[[Usage], None]


@contextlib.contextmanager
def call(full: str) -> Iterator[Told]:
    """Watch one call of `provider:model`; what it gives is to be told what the call used."""
    provider, _ = names.split(full)
    about = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": provider,
        "gen_ai.request.model": full,
    }
    begun = time.monotonic()
    outcome = "internal"
    try:
        with traces.span(f"chat {full}", about) as span:
            yield lambda usage: _count(provider, usage, span)
        outcome = "ok"
    except errors.ModelFault as fault:
        outcome = fault.code
        raise
    except asyncio.CancelledError:
        outcome = "cancelled"
        raise
    finally:
        metrics.model_calls.labels(provider, outcome).inc()
        metrics.model_seconds.labels(provider).observe(time.monotonic() - begun)


def _count(provider: str, usage: Usage, span: traces.Span) -> None:
    counts = {"input": usage.input_tokens, "output": usage.output_tokens}
    for direction, count in counts.items():
        if count is not None:
            metrics.model_tokens.labels(provider, direction).inc(count)
            span.note({f"gen_ai.usage.{direction}_tokens": count})
