"""(b) Runs per second of the default council in one process, beside the bare LangGraph.

Ours is the whole way of a worker's run: claim, event log, checkpoints, projection, end; with
the executor alone and with procrastinate's worker around it. Creating the run belongs to the
request and is not in it. Bare is the same compiled graph with the same node functions. All
in turns, in this process, against the same PostgreSQL.
"""

import asyncio
import contextlib
import statistics
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

from django.conf import settings
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from bench import report
from bench import system as systems
from runtime import blueprints, models, nodes, shipped, tasks
from runtime.blueprints import compiler
from runtime.execution.executor import Executor

MODEL = "demo:instant"
TOPIC = "What is measured?"
ROUNDS = 3
CONCURRENCIES = (1, 20)

Contender = Callable[[int], Awaitable[float]]


def measure(system: systems.System, *, quick: bool) -> report.Table:
    counts = {1: 6, 20: 40} if quick else {1: 25, 20: 120}
    return asyncio.run(_measure(system, counts, rounds=1 if quick else ROUNDS))


async def _measure(
    system: systems.System, counts: Mapping[int, int], *, rounds: int
) -> report.Table:
    table = report.Table(
        "(b) Runs per second of the five-node council, instant model, one process",
        [
            "what",
            *(f"at {n}" for n in CONCURRENCIES),
            *(f"× bare, at {n}" for n in CONCURRENCIES),
        ],
    )
    rates: dict[str, dict[int, float]] = {}
    for concurrency in CONCURRENCIES:
        async with _contenders(system, concurrency) as contenders:
            taken = await _in_turns(contenders, counts[concurrency], rounds)
        for name, found in taken.items():
            rates.setdefault(name, {})[concurrency] = found
    best = {n: max(rates[name][n] for name in BARE) for n in CONCURRENCIES}
    for name, each in rates.items():
        ratios = [f"{each[n] / best[n]:.2f}" for n in CONCURRENCIES]
        table.add(name, *(f"{each[n]:.1f}" for n in CONCURRENCIES), *ratios)
    for n in CONCURRENCIES:
        table.mark(f"executor ÷ bare, at {n}", rates[OURS][n] / best[n], 0.9, at_least=True)
    table.notes.append(
        f"Medians of {rounds} rounds, the contenders in turns. × bare: of the faster of the "
        "two ways to use LangGraph's saver (its one saver lets one run through at a time)."
    )
    return table


OURS = "CouncilOS: executor, from the claim to the end"
WORKER = "CouncilOS: the whole worker, procrastinate and all"
SHARED = "LangGraph, one AsyncPostgresSaver for all, durability sync"
SEPARATE = "LangGraph, an AsyncPostgresSaver for each slot, durability sync"
NO_SAVER = "LangGraph, no saver"
BARE = (SHARED, SEPARATE)


async def _in_turns(
    contenders: Mapping[str, Contender], count: int, rounds: int
) -> dict[str, float]:
    for run in contenders.values():
        await run(max(2, count // 10))  # imports, pools, plans
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            rates[name].append(count / await run(count))
    return {name: statistics.median(found) for name, found in rates.items()}


@contextlib.asynccontextmanager
async def _contenders(
    system: systems.System, concurrency: int
) -> AsyncIterator[dict[str, Contender]]:
    pool = AsyncConnectionPool(
        system.environment["DATABASE_URL"],
        min_size=1,
        max_size=20,
        open=False,
        kwargs={"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row},
    )
    async with pool:
        one = AsyncPostgresSaver(pool)  # type: ignore[arg-type]
        await one.setup()
        many = [AsyncPostgresSaver(pool) for _ in range(concurrency)]  # type: ignore[arg-type]
        yield {
            OURS: lambda count: _executor(system, count, concurrency),
            WORKER: lambda count: _worker(system, count, concurrency),
            SHARED: lambda count: _bare([one] * concurrency, count),
            SEPARATE: lambda count: _bare(many, count),
            NO_SAVER: lambda count: _bare([None] * concurrency, count),
        }


# --- ours --------------------------------------------------------------------------------


async def _created(system: systems.System, count: int) -> list[models.Run]:
    def create() -> list[models.Run]:
        run_ids = system.create_runs(count, topic=TOPIC, blueprint=shipped.DEFAULT, model=MODEL)
        return list(models.Run.objects.filter(pk__in=run_ids))

    return await asyncio.to_thread(create)


async def _executor(system: systems.System, count: int, concurrency: int) -> float:
    runs = await _created(system, count)
    executor = Executor("bench")
    waiting = iter(runs)

    async def drive() -> None:
        for run in waiting:
            assert run.job_id is not None
            await executor.execute(run.pk, job_id=run.job_id)

    begun = time.perf_counter()
    await asyncio.gather(*(drive() for _ in range(concurrency)))
    taken = time.perf_counter() - begun
    await executor.writer.close()
    system.forget_jobs()
    await _all_completed(runs)
    return taken


async def _worker(system: systems.System, count: int, concurrency: int) -> float:
    runs = await _created(system, count)
    settings.WORKER_CONCURRENCY = concurrency
    begun = time.perf_counter()
    await tasks.work(wait=False)
    taken = time.perf_counter() - begun
    await _all_completed(runs)
    return taken


async def _all_completed(runs: list[models.Run]) -> None:
    ids = [run.pk for run in runs]
    done = models.Run.objects.filter(pk__in=ids, status=models.Status.COMPLETED)
    assert await done.acount() == len(ids)


# --- bare --------------------------------------------------------------------------------


async def _run_node(node: nodes.Node, state: nodes.State, task: str) -> Mapping[str, Any]:
    step = nodes.Step(node, state, MODEL, lambda _text: None)
    result = await nodes.KINDS[node.kind].run(step)
    return {**result.updates, "active_node": node.id}


async def _ask(gate: blueprints.Gate, state: nodes.State, task: str) -> blueprints.Passage:
    raise AssertionError("this council has no gates")


async def _bare(savers: list[Any], count: int) -> float:
    """As many slots as savers; each compiles its graph once and runs one after the other."""
    version = await models.BlueprintVersion.objects.aget(
        blueprint__slug=shipped.DEFAULT, number=1
    )
    document = blueprints.parse(version.document)
    waiting = iter(range(count))

    async def drive(saver: BaseCheckpointSaver[Any] | None) -> None:
        graph = compiler.compile(document, _run_node, _ask, checkpointer=saver)
        for _ in waiting:
            run_id = str(uuid.uuid4())
            config: Any = {"configurable": {"thread_id": run_id}, "recursion_limit": 1000}
            how: Any = {"durability": "sync"} if saver else {}
            state = await graph.ainvoke(nodes.initial_state(run_id, TOPIC), config, **how)
            assert state["route_decision"] == "approve"

    begun = time.perf_counter()
    await asyncio.gather(*(drive(saver) for saver in savers))
    return time.perf_counter() - begun
