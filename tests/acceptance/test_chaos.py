"""Kill the worker, the server, Valkey and PostgreSQL in the middle of runs; nothing is lost.

`make chaos SEEDS=200` runs as many seeds as asked; a seed that fails is printed by its name
and repeats: `pytest tests/acceptance/test_chaos.py -k "seed7"`.
"""

import asyncio
import os
import random
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.acceptance import stack as stacks

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]

SEEDS = int(os.environ.get("SEEDS", "5"))
RUNS = 3
COUNCIL = ["master_agent", "critic_agent", "master_agent", "critic_agent", "writer_agent"]
FRAMES = {
    "run.created": ["run_created"],
    "run.started": ["run_started"],
    "run.interrupted": ["run_interrupted"],
    "node.started": ["node_start", "node_active"],
    "node.retried": ["node_retry"],
    "node.completed": ["node_complete"],
    "run.completed": ["run_complete"],
}


@pytest.fixture(scope="module")
def stack() -> Iterator[stacks.Stack]:
    with stacks.running(workers=2) as made:
        yield made


@pytest.mark.parametrize("seed", [f"seed{n}" for n in range(SEEDS)])
def test_whatever_is_killed_every_run_ends_and_every_client_saw_the_whole_log(stack, seed):
    dice = random.Random(seed)
    run_ids = [stack.start_run(f"{seed}, run {n}") for n in range(RUNS)]

    viewers = asyncio.run(_watch_while_killing(stack, run_ids, dice))

    for run_id, viewer in zip(run_ids, viewers, strict=True):
        assert_whole(stack, run_id, viewer)


async def _watch_while_killing(
    stack: stacks.Stack, run_ids: list[str], dice: random.Random
) -> list[stacks.Viewer]:
    viewers = [stacks.Viewer(stack, run_id) for run_id in run_ids]
    following = asyncio.gather(*(viewer.follow() for viewer in viewers))
    killing = asyncio.to_thread(_kill, stack, dice)
    await asyncio.wait_for(asyncio.gather(following, killing), 120)
    return viewers


def _kill(stack: stacks.Stack, dice: random.Random) -> None:
    """Two or three parts, at moments of the dice's choosing."""
    for _ in range(dice.randint(2, 3)):
        time.sleep(dice.uniform(0.0, 1.5))  # the moment, not a wait for something
        part = dice.choice(["worker0", "worker0", "worker1", "server", "valkey", "postgres"])
        stack.restart(part)


def assert_whole(stack: stacks.Stack, run_id: str, viewer: stacks.Viewer) -> None:
    """Ended once; no node twice; no hole and no double; the client saw just the log."""
    log = stack.log(run_id)
    row = stack.row(run_id)
    assert row["status"] == "completed", (row["error_code"], row["error_message"])
    seqs = [event["seq"] for event in log]
    assert seqs == sorted(set(seqs))
    assert seqs[-1] == row["last_seq"]
    done = [event["data"]["node"] for event in log if event["kind"] == "node.completed"]
    assert done == COUNCIL
    counted = Counter(event["kind"] for event in log)
    assert counted["run.completed"] == counted["run.created"] == 1
    assert counted["run.started"] == row["attempt"] == counted["run.interrupted"] + 1
    told = [(e["seq"], name) for e in log for name in FRAMES.get(e["kind"], [])]
    assert viewer.events == told
