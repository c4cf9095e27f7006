"""What this process counts and times, for Prometheus.

Labels come from small fixed sets: never an id, a user or anything that a person or a model
wrote. Most of it is taken from events at the moment they are rung, after their commit, so that
the numbers say what the log says. docs/reference.md names every metric; a test compares.
"""

from collections.abc import Mapping
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)

# When each series began: a third of the page, and Prometheus sees a restart without it.
disable_created_metrics()  # type: ignore[no-untyped-call]
registry = CollectorRegistry()
ProcessCollector(registry=registry)

# Seconds. A token or a commit takes milliseconds, a queue or a node up to many minutes.
_SHORT = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
_LONG = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900)

runs_created = Counter(
    "councilos_runs_created", "Runs asked for, in this process.", registry=registry
)
runs_ended = Counter(
    "councilos_runs_ended",
    "Runs that this process has ended.",
    ["status", "reason", "code"],
    registry=registry,
)
runs_interrupted = Counter(
    "councilos_runs_interrupted",
    "Attempts that ended before their run did.",
    ["cause"],
    registry=registry,
)
runs_driven = Gauge(
    "councilos_runs_driven", "Runs that this worker drives now.", registry=registry
)
queue_wait = Histogram(
    "councilos_queue_wait_seconds",
    "From the enqueuing of a run to a worker taking it up.",
    buckets=_LONG,
    registry=registry,
)
node_seconds = Histogram(
    "councilos_node_seconds",
    "How long a node worked, tries and waits included.",
    ["kind", "outcome"],
    buckets=_LONG,
    registry=registry,
)
token_delay = Histogram(
    "councilos_token_delay_seconds",
    "From a piece of a model's text to the commit of the event that carries it.",
    buckets=_SHORT,
    registry=registry,
)
commit_seconds = Histogram(
    "councilos_commit_seconds",
    "How long the writer took for a transaction.",
    buckets=_SHORT,
    registry=registry,
)
model_calls = Counter(
    "councilos_model_calls",
    "Calls of models, by how they ended.",
    ["provider", "outcome"],
    registry=registry,
)
model_seconds = Histogram(
    "councilos_model_call_seconds",
    "How long a call of a model took.",
    ["provider"],
    buckets=_LONG,
    registry=registry,
)
model_tokens = Counter(
    "councilos_model_tokens",
    "Tokens of models, as the provider counted them.",
    ["provider", "direction"],
    registry=registry,
)

_OUTCOMES = {"node.completed": "completed", "node.failed": "failed"}


def tell(kind: str, data: Mapping[str, Any]) -> None:
    """Count an event that was committed just now, by this process. Never raises."""
    if kind == "node.token":
        return
    if kind in _OUTCOMES:
        seconds = data.get("duration_ms", 0) / 1000
        node_seconds.labels(data.get("kind", ""), _OUTCOMES[kind]).observe(seconds)
    elif kind == "run.created":
        runs_created.inc()
    elif kind == "run.interrupted":
        runs_interrupted.labels(data.get("cause", "")).inc()
    elif kind == "run.failed":
        runs_ended.labels("failed", "failed", data.get("code", "")).inc()
    elif kind in ("run.completed", "run.cancelled"):
        runs_ended.labels(kind.removeprefix("run."), data.get("reason", ""), "").inc()
