"""The bench still fits the code that it measures."""

from dataclasses import replace

from asgiref.sync import sync_to_async

from bench import throughput, worker
from runtime import nodes


async def test_the_bare_contender_runs_the_council_that_ships(default):
    assert await throughput._bare([None], 1) > 0


async def test_the_stamping_worker_says_when_a_node_returned(new_run, adrain, monkeypatch):
    for name, kind in nodes.KINDS.items():
        monkeypatch.setitem(nodes.KINDS, name, worker.stamped(replace(kind)))
    run = await sync_to_async(new_run)()

    await adrain()

    done = await run.events.filter(kind="node.completed").alast()
    assert done is not None
    assert "returned_at" in done.data["output"]
