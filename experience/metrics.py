"""What a server process counts and times, and the page that shows it to Prometheus.

`registry` is this plane's; the page shows the runtime's as well, and with `database` what
the database says at that moment. Labels come from small fixed sets: what a client has said is
a label only if it is one of the names that there are.
"""

import logging
from collections.abc import Container, Iterator
from datetime import datetime

from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from runtime import census, exposition, metrics

logger = logging.getLogger(__name__)

registry = CollectorRegistry()

UNKNOWN = "unknown"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

http_requests = Counter(
    "councilos_http_requests",
    "HTTP requests answered.",
    ["method", "status"],
    registry=registry,
)
sockets_open = Gauge(
    "councilos_sockets_open", "Sockets that are open now.", ["protocol"], registry=registry
)
sockets_closed = Counter(
    "councilos_sockets_closed",
    "Sockets that were closed, by close code.",
    ["protocol", "code"],
    registry=registry,
)
frames_in = Counter(
    "councilos_frames_in",
    "Frames that clients have sent.",
    ["protocol", "type"],
    registry=registry,
)
frames_out = Counter(
    "councilos_frames_out",
    "Frames sent to clients.",
    ["protocol", "type"],
    registry=registry,
)
refusals = Counter(
    "councilos_refusals",
    "What was refused, by code.",
    ["protocol", "code"],
    registry=registry,
)
messages_accepted = Counter(
    "councilos_messages_accepted",
    "Messages to agents that were accepted.",
    ["routed_by"],
    registry=registry,
)
feed_lag = Histogram(
    "councilos_feed_lag_seconds",
    "From an event's `at` to this process's feed taking it.",
    ["source"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
    registry=registry,
)


# --- counting ----------------------------------------------------------------------------


def answered(method: str, status: int) -> None:
    """An HTTP request was answered."""
    http_requests.labels(method if method in _METHODS else UNKNOWN, str(status)).inc()


def opened(protocol: str) -> None:
    """A socket was accepted. Each is to be followed by one `closed`."""
    sockets_open.labels(protocol).inc()


def closed(protocol: str, code: int) -> None:
    """A socket that was `opened` is gone. `code` is the one that we sent; 1005 when we sent
    none: the client left, or the line was cut."""
    sockets_open.labels(protocol).dec()
    sockets_closed.labels(protocol, str(code)).inc()


def received(protocol: str, kind: str, known: Container[str]) -> None:
    """A client has sent a frame; `kind` counts as unknown unless it is one of those `known`."""
    frames_in.labels(protocol, kind if kind in known else UNKNOWN).inc()


def sent(protocol: str, kind: str, count: int = 1) -> None:
    """Frames of a type of ours were sent."""
    frames_out.labels(protocol, kind).inc(count)


def refused(protocol: str, code: str) -> None:
    """Something was refused: on `rest`, or on the `council` or `agent` socket."""
    refusals.labels(protocol, code).inc()


def accepted(routed_by: str) -> None:
    """A message was accepted, for the agent that was found by `routed_by`."""
    messages_accepted.labels(routed_by).inc()


def took(at: datetime, source: str) -> None:
    """A feed has taken an event that was told `at`, from the `doorbell` or the `log`."""
    lag = (timezone.now() - at).total_seconds()
    feed_lag.labels(source).observe(max(lag, 0.0))  # clocks of two machines differ


# --- the database ------------------------------------------------------------------------


class Database(Collector):
    """The census, taken at the moment somebody asks. All servers say the same."""

    def describe(self) -> Iterator[GaugeMetricFamily]:
        # So that registering asks no database.
        yield from ()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        try:
            found = census.take()
        except (DatabaseError, InterfaceError) as error:
            logger.warning("the database could not be counted: %s", type(error).__name__)
            yield _gauge("database_up", "Whether the database answers.", 0)
            return
        yield _gauge("database_up", "Whether the database answers.", 1)
        runs = GaugeMetricFamily(
            "councilos_runs_active", "Runs that have not ended.", labels=["status"]
        )
        for status, count in found.active_runs.items():
            runs.add_metric([status], count)
        yield runs
        yield _gauge("queue_depth", "Runs that wait for a worker.", found.queued)
        yield _gauge(
            "queue_oldest_seconds",
            "How long the first of them has waited.",
            found.oldest_seconds,
        )
        yield _gauge("gates_open", "Gates that wait for a person.", found.open_gates)
        yield _gauge("workers_live", "Workers that show a heartbeat.", found.live_workers)
        yield _gauge(
            "calls_reserved", "Calls of models with a reservation.", found.reserved_calls
        )


def _gauge(name: str, meaning: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"councilos_{name}", meaning, value=value)


database = CollectorRegistry()
database.register(Database())


# --- the page ----------------------------------------------------------------------------


@require_safe
def show(request: HttpRequest) -> HttpResponse:
    """`GET /metrics`"""
    no = exposition.refusal(request.META.get("REMOTE_ADDR", ""), request.headers)
    if no is None:
        return HttpResponse(
            exposition.text(registry, metrics.registry, database),
            content_type=exposition.CONTENT_TYPE,
        )
    status, sentence = no
    response = HttpResponse(f"{sentence}\n", status=status, content_type="text/plain")
    if status == 401:
        response["WWW-Authenticate"] = "Bearer"
    return response
