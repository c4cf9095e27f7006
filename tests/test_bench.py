"""The bench still fits the code that it measures."""

from dataclasses import replace

from asgiref.sync import sync_to_async

from bench import provider, talker, throughput, worker
from runtime import models, nodes
from runtime.llm import demo


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


async def test_the_talking_worker_speaks_to_its_end(default, new_run, adrain, monkeypatch):
    monkeypatch.setattr(demo, "Scripted", talker.Talker)
    single = await models.Blueprint.objects.aget(slug="single")
    version = await single.versions.alatest("number")
    topic = provider.TOPIC.format(tokens=3)
    run = await sync_to_async(new_run)(topic, version=version)

    await adrain()

    await run.arefresh_from_db()
    assert run.status == "completed"
