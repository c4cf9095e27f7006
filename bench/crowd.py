"""(c) Many sockets on one run: the time to the last frame at the last one, and their memory.

Fifteen events, as a council makes them: five times a node's start (two frames), some text
and its result. They go through the worker's own writer, a transaction and a doorbell each,
as fast as those commit. The server is a fresh one for each number of sockets.
"""

import asyncio
import statistics
import time
from uuid import UUID

from django.db import connections

from bench import report, viewers
from bench import system as systems
from runtime import events, models, runs, shipped, writer

EVENTS = 15
FRAMES = 20  # a node's start is told in two
NUMBERS = (100, 500, 2000)
BURSTS = 3
MARK_SOCKETS, MARK_SECONDS, MARK_KIB = 500, 0.3, 60.0


def measure(system: systems.System, *, quick: bool) -> report.Table:
    table = report.Table(
        f"(c) Sockets on one run, {EVENTS} events (20 frames) as fast as the writer commits",
        ["sockets", "last frame, s", "per socket, ms", "frames / s", "KiB per socket", "after"],
    )
    most = systems.allow_many_sockets() - 100
    for number in [n for n in ((MARK_SOCKETS,) if quick else NUMBERS) if n <= most]:
        taken, joined, after = _with(system, number)
        median = statistics.median(taken)
        table.add(
            str(number),
            f"{median:.3f} ({min(taken):.3f} … {max(taken):.3f})",
            f"{median / number * 1000:.2f}",
            f"{number * FRAMES / median:,.0f}",
            f"{joined / 1024 / number:.0f}",
            f"{after / 1024 / number:.0f}",
        )
        if number == MARK_SOCKETS:
            table.mark(f"{number} sockets, seconds to the last frame", median, MARK_SECONDS)
            table.mark(f"{number} sockets, KiB each", after / 1024 / number, MARK_KIB)
    table.notes.append(
        f"Time: median of {BURSTS} bursts (least … most), from the first event's `at`. Memory: "
        "what the server's resident memory grew by, when all have joined and after all bursts."
    )
    return table


def _with(system: systems.System, number: int) -> tuple[list[float], float, float]:
    system.start_server()
    run_id = system.create_runs(
        1, topic="Who is watching?", blueprint=shipped.DEFAULT, model="demo:instant"
    )[0]
    server = system.process("server")
    with viewers.joined(system, [run_id] * 20, until=1):
        pass  # what the first sockets import is not theirs
    before = server.memory_info().rss
    until = 2 + BURSTS * EVENTS  # after run.created and run.started
    with viewers.joined(system, [run_id] * number, until=until) as watching:
        time.sleep(0.5)
        joined = server.memory_info().rss - before
        firsts = asyncio.run(_write(run_id, pause=1 + number / 500))
        told = watching.result()
        after = server.memory_info().rss - before
    runs.cancel(run_id, by="bench")
    connections.close_all()
    system.stop_parts()
    # `connected`, run.created and run.started come before the bursts.
    missing = number * (3 + BURSTS * FRAMES) - told["frames"]
    assert not missing, f"{missing} frames are missing"
    taken = []
    for first in firsts:
        _count, last_at = told["seen"][str(first.seq + EVENTS - 1)]
        taken.append(last_at - first.at.timestamp())
    return taken, joined, after


async def _write(run_id: UUID, *, pause: float) -> list[events.Logged]:
    """The bursts, with a pause after each; the first event of each."""
    run = await asyncio.to_thread(_claim, run_id)
    fence = events.Fence(run.pk, run.attempt)
    shared = writer.Writer()
    for burst in range(BURSTS):
        for number in range(EVENTS):
            kind, data = _event(number)
            new = events.NewEvent(kind, f"bench/{burst}/{number}", data)
            await shared.write(writer.Change(fence, [new]))
        await asyncio.sleep(pause)
    await shared.close()
    log = await asyncio.to_thread(events.since, run_id, 2)
    return log[::EVENTS]


def _claim(run_id: UUID) -> models.Run:
    job_id = models.Run.objects.get(pk=run_id).job_id
    assert job_id is not None
    run = runs.claim(run_id, job_id=job_id, worker="bench")
    assert run is not None
    return run


def _event(number: int) -> tuple[str, dict[str, object]]:
    about = {"node": "master_agent", "kind": "draft", "iteration": 1, "task": f"t{number}"}
    # Three tasks, so that the result does not make the text void: a socket that is a little
    # behind would rightly be spared it, and fewer frames would be sent than are counted.
    match number % 3:
        case 0:
            return "node.started", {**about, "model": "demo:instant"}
        case 1:
            return "node.token", {
                **about,
                "text": "a sentence of some twelve words, as they come. ",
            }
    tokens = {"input_tokens": 60, "output_tokens": 140}
    usage = {**tokens, "cost": None, "cost_source": None, "calls": 1}
    result = {"output": {"draft": "word " * 140}, "score": None, "duration_ms": 12}
    told = {"usage": usage, "model": "demo:instant", "scripted": True}
    return "node.completed", {**about, **result, **told}
