"""(d) Many runs in one worker, each streaming 30 tokens/s to one viewer, until it breaks.

The provider is a process of its own and puts the moment of sending into each token, so a
delay is the whole way: provider's socket, the model's library, our coalescing (75 ms), the
log, the doorbell, the viewer's socket. Counted while all runs stream. With `demo:council` the
worker makes the tokens itself, and the model's library has no part in it.
"""

import time
from typing import Any

import psutil
from django.conf import settings

from bench import provider, report, viewers
from bench import system as systems

SECONDS = 8.0  # that all stream together, about
# A worker takes up its runs one after the other; nobody can measure before the last.
TAKE_UP_SECONDS = 0.03
START_SECONDS = 8.0  # its imports, and those of the model's library
FIRST, STEP, MOST = 100, 100, 1000
BREAKS_AT_SECONDS = 1.0
MARK_MS = 250.0
# The model of the runs, and the worker for it.
TALKERS = {
    "demo:council": ["-m", "bench.talker"],
    "openai:bench": ["manage.py", "worker"],
}
BUDGET_SECONDS = 75.0


def measure(system: systems.System, *, quick: bool) -> report.Table:
    table = report.Table(
        "(d) Runs in one worker, each streaming 30 tokens/s to one viewer",
        ["model", "runs", "tokens/s", "p50 ms", "p99 ms", "worker", "server", "PostgreSQL",
         "provider", "viewers", "worker MiB", "server MiB"],
    )  # fmt: skip
    child = systems.start_child("bench.provider", env={})
    assert child.stdout is not None
    # In this process too: it creates the runs, which asks whether the model is set up.
    settings.OPENAI_BASE_URL = child.stdout.readline().strip()
    system.environment.update(
        OPENAI_BASE_URL=settings.OPENAI_BASE_URL, WORKER_CONCURRENCY=str(MOST)
    )
    source = psutil.Process(child.pid)
    try:
        for name, module in TALKERS.items():
            system.worker_module = module
            _levels(system, table, name, source, quick=quick)
    finally:
        systems.end_child(child)
        system.environment["OPENAI_BASE_URL"] = settings.OPENAI_BASE_URL = ""
    table.notes.append("Processor: 1.00 is one whole core. Memory: the most that was seen.")
    return table


def _levels(
    system: systems.System,
    table: report.Table,
    model: str,
    source: psutil.Process,
    *,
    quick: bool,
) -> None:
    """More and more runs of a model, until it breaks or the time is up."""
    begun = time.monotonic()
    for number in range(FIRST, FIRST + 1 if quick else MOST + 1, STEP):
        broken = _level(system, table, number, model, source, quick=quick)
        if broken:
            table.notes.append(f"{model}: ended at {number}: {broken}.")
            return
        if time.monotonic() - begun > BUDGET_SECONDS:
            table.notes.append(f"{model}: not tried beyond {number}, for want of time.")
            return


def _level(
    system: systems.System,
    table: report.Table,
    number: int,
    model: str,
    source: psutil.Process,
    *,
    quick: bool,
) -> str:
    """Measure with so many runs; how it broke, if it did."""
    seconds = START_SECONDS + number * TAKE_UP_SECONDS + (SECONDS / 2 if quick else SECONDS)
    tokens = round(seconds * provider.TOKENS_PER_SECOND)
    run_ids = system.create_runs(
        number,
        topic=provider.TOPIC.format(tokens=tokens),
        blueprint="single",
        model=model,
    )
    system.start_server()
    with viewers.joined(system, run_ids, seconds=seconds * 2 + 15) as watching:
        system.start_worker()
        processes = {
            "worker": system.process("worker0"),
            "server": system.process("server"),
            "postgres": system.process("postgres"),
            "provider": source,
            "viewers": watching.process,
        }
        with systems.Meter(processes) as meter:
            told = watching.result()
    system.stop_parts()
    return _row(table, model, number, told, meter)


def _row(
    table: report.Table, model: str, number: int, told: dict[str, Any], meter: systems.Meter
) -> str:
    streams = [stream for stream in told["delays"] if stream]
    if len(streams) < number:
        if number == FIRST:
            table.notes.append(f"Mark: {model}, p99 with {FIRST} runs: **not measured**.")
        return f"{number - len(streams)} viewers saw no token"
    # While all of them stream, and a second after the last has begun.
    begin = max(min(sent for sent, _ in stream) for stream in streams) + 1.0
    end = min(max(sent for sent, _ in stream) for stream in streams)
    delays = [
        received - sent for stream in streams for sent, received in stream if begin < sent < end
    ]
    if end - begin < 1.0 or not delays:
        if number == FIRST:
            table.notes.append(f"Mark: {model}, p99 with {FIRST} runs: **not measured**.")
        return "the first streams were over before all had begun, so nothing was measured"
    p99 = report.quantile(delays, 0.99)
    names = ("worker", "server", "postgres", "provider", "viewers")
    table.add(
        model,
        str(number),
        f"{len(delays) / (end - begin):,.0f}",
        f"{report.quantile(delays, 0.5) * 1000:.0f}",
        f"{p99 * 1000:.0f}",
        *(f"{meter.share(name, begin, end):.2f}" for name in names),
        *(f"{meter.peak[name] / 2**20:.0f}" for name in names[:2]),
    )
    if number == FIRST:
        table.mark(f"{model}, p99 with {FIRST} runs, ms", p99 * 1000, MARK_MS)
    unended = sum(code != 1000 for code in told["codes"])
    if unended:
        return f"{unended} viewers had not seen the end in twice the time"
    return f"p99 is {p99:.2f} s" if p99 > BREAKS_AT_SECONDS else ""
