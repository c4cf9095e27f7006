"""Traces from a message to the nodes that answered it (OpenTelemetry).

Nothing is traced, imported or set up unless OTEL_EXPORTER_OTLP_ENDPOINT is set.
The tracer is our own and not the process's: libraries that trace by themselves, and might put
texts into their spans, get nothing from us. A span carries the attributes of ATTRIBUTES and no
others: ids, kinds, names of models, numbers; never a text, and no exception's message.
"""

import asyncio
import atexit
import contextlib
import logging
import os
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any

from django.conf import settings

logger = logging.getLogger(__name__)

Attributes = Mapping[str, Any]
Exceptions = tuple[type[BaseException], ...]

# How long an export may take, and the end of the process wait for the last one.
EXPORT_SECONDS = 5
STOP_SECONDS = 3.0
# No name of ours is longer; what is was not meant to be an attribute.
LONGEST_VALUE = 200

ATTRIBUTES: Mapping[str, str] = {
    "councilos.run_id": "the run",
    "councilos.conversation_id": "the conversation",
    "councilos.message_id": "the message",
    "councilos.user_id": "who asked",
    "councilos.agent": "the slug of the agent",
    "councilos.attempt": "the number of the attempt, from 1",
    "councilos.node": "the node's id in its blueprint",
    "councilos.kind": "the node's kind",
    "councilos.iteration": "the node's iteration",
    "councilos.task": "the execution of the node, as in its events",
    "councilos.limit": "the limit that stopped it",
    "gen_ai.operation.name": "`chat`",
    "gen_ai.provider.name": "the provider of the model",
    "gen_ai.request.model": "the model",
    "gen_ai.usage.input_tokens": "as the provider counted them",
    "gen_ai.usage.output_tokens": "as the provider counted them",
    "error.type": "the code of the fault or refusal, else the class of the exception",
}


class Span:
    """One step of a trace. This one, of a process that does not trace, does nothing."""

    traceparent = ""
    """W3C's, for whoever goes on with the trace elsewhere; empty when nothing is traced."""

    def note(self, attributes: Attributes) -> None:
        """Add attributes; those that are not in ATTRIBUTES are dropped."""

    def fail(self, code: str) -> None:
        """Say that it did not succeed, and why, as a code."""


def start(
    name: str, attributes: Attributes, *, parent: str = "", expected: Exceptions = ()
) -> "_Spans":
    """The span of what came from outside, or was stored: the beginning, or the child of the
    `traceparent` given. One that cannot be read is taken for none.

    An exception ends the span as failed, unless it is cancelled or one of those `expected`.
    """
    tracing = _tracing()
    if tracing is None:
        return _NOWHERE
    return _recorded(tracing, name, attributes, parent, expected)


def span(name: str, attributes: Attributes, *, expected: Exceptions = ()) -> "_Spans":
    """A span within the one that is under way; of exceptions as with `start`."""
    tracing = _tracing()
    if tracing is None:
        return _NOWHERE
    return _recorded(tracing, name, attributes, None, expected)


_Spans = AbstractContextManager[Span]
_NOWHERE: _Spans = contextlib.nullcontext(Span())


def prepare() -> None:
    """Begin to export, if an endpoint is set: the import takes a while, best at the start."""
    _tracing()


def stop() -> None:
    """Send what is left, for at most STOP_SECONDS, and trace no more until asked again."""
    global _begun
    with _lock:
        begun, _begun = _begun, None
    if begun is None or begun.provider is None:
        return
    # In a thread: its own limits add up to half a minute.
    last = threading.Thread(target=begun.provider.shutdown, daemon=True)
    last.start()
    last.join(STOP_SECONDS)


class _Tracing:
    """The SDK at work, for one endpoint. Without a `tracer`: it could not be set up."""

    def __init__(self, provider: Any = None) -> None:
        self.provider = provider
        self.tracer = provider and provider.get_tracer("councilos")


_begun: _Tracing | None = None
_lock = threading.Lock()


def _tracing() -> _Tracing | None:
    global _begun
    if not settings.OTEL_EXPORTER_OTLP_ENDPOINT:
        return None
    if _begun is None:
        with _lock:
            _begun = _begun or _begin(settings.OTEL_EXPORTER_OTLP_ENDPOINT)
    return _begun if _begun.tracer else None


def _begin(endpoint: str) -> _Tracing:
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        about = {
            "service.name": settings.OTEL_SERVICE_NAME,
            "service.instance.id": f"{socket.gethostname()}:{os.getpid()}",
        }
        provider = TracerProvider(resource=Resource.create(about), shutdown_on_exit=False)
        exporter = OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces", timeout=EXPORT_SECONDS)
        provider.add_span_processor(BatchSpanProcessor(exporter))
    except Exception as error:
        # A wrong OTEL_… variable, say. Nobody's run may fail for want of a trace.
        logger.error("no traces: OpenTelemetry could not be set up: %s", type(error).__name__)
        return _Tracing()
    atexit.register(stop)
    return _Tracing(provider)


@contextlib.contextmanager
def _recorded(
    tracing: _Tracing,
    name: str,
    attributes: Attributes,
    parent: str | None,
    expected: Exceptions,
) -> Iterator[Span]:
    with tracing.tracer.start_as_current_span(
        name,
        context=None if parent is None else _context(parent),
        attributes=_known(attributes),
        # Both would tell the exception's message.
        record_exception=False,
        set_status_on_exception=False,
    ) as raw:
        made = _Recorded(raw)
        try:
            yield made
        except BaseException as error:
            if not isinstance(error, (asyncio.CancelledError, *expected)):
                code = getattr(error, "code", None)
                made.fail(code if isinstance(code, str) else type(error).__name__)
            raise


def _context(traceparent: str) -> Any:
    from opentelemetry.context import Context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier = {"traceparent": traceparent}
    return TraceContextTextMapPropagator().extract(carrier, Context())


def _known(attributes: Attributes) -> dict[str, Any]:
    return {
        name: value if isinstance(value, bool | int | float) else str(value)[:LONGEST_VALUE]
        for name, value in attributes.items()
        if name in ATTRIBUTES and value not in (None, "")
    }


class _Recorded(Span):
    def __init__(self, raw: Any) -> None:
        self._raw = raw
        at = raw.get_span_context()
        self.traceparent = f"00-{at.trace_id:032x}-{at.span_id:016x}-{at.trace_flags:02x}"

    def note(self, attributes: Attributes) -> None:
        self._raw.set_attributes(_known(attributes))

    def fail(self, code: str) -> None:
        from opentelemetry.trace import StatusCode

        self.note({"error.type": code})
        self._raw.set_status(StatusCode.ERROR)
