"""The programs of the how-to that follow and answer a run, as they stand there."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.acceptance import how_to
from tests.acceptance import stack as stacks

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def stack() -> Iterator[stacks.Stack]:
    with stacks.running(DEMO_TOKENS_PER_SECOND="80") as made:
        yield made


def run(stack: stacks.Stack, name: str, run_id: str) -> list[str]:
    """The lines that a program prints of a run; it ends without a fault."""
    server = stack.url.replace("http", "ws")
    done = subprocess.run(
        [sys.executable, "-c", how_to.program(name), run_id],
        env={**os.environ, "SERVER": server, "TOKEN": stack.token},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def finished(stack: stacks.Stack, run_id: str) -> list[str]:
    """What is told of a run, once it has ended."""
    viewer = stacks.Viewer(stack, run_id)
    asyncio.run(viewer.follow())
    return [name for _, name in viewer.events]


def test_the_follower_tells_all_of_a_run_that_has_ended(stack):
    run_id = stack.start_run()
    told = finished(stack, run_id)

    lines = run(stack, "follow.py", run_id)

    assert stack.row(run_id)["last_seq"] > 32  # so that it acknowledges
    assert [line.split()[0] for line in lines] == ["connected", *told]


def test_the_approver_brings_a_run_to_its_end_and_tells_all_of_one_that_has_ended(stack):
    run_id = stack.start_run(god_mode=True)

    first = run(stack, "approve.py", run_id)
    again = run(stack, "approve.py", run_id)

    assert first[-1].startswith("run_complete")
    assert [line.split()[0] for line in again] == ["connected", *finished(stack, run_id)]
