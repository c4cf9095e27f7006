"""Rule 8 with real processes: each can die, freeze or stop, and nothing is lost."""

import asyncio
import json
import os
import signal
from datetime import UTC, datetime, timedelta

import psutil
import psycopg
import pytest
import websockets

from tests.acceptance import stack as stacks

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def stack():
    with stacks.running() as made:
        yield made


def _kinds(stack, run_id):
    return [e["kind"] for e in stack.log(run_id) if e["kind"] != "node.token"]


def _is_writing(stack, run_id):
    return any(e["kind"] == "node.token" for e in stack.log(run_id))


def _ended(stack, run_id):
    return stack.row(run_id)["ended_at"]


def test_with_the_settings_that_ship_a_killed_workers_run_goes_on_within_ten_seconds():
    shipped = {
        "WORKER_HEARTBEAT_SECONDS": "1",
        "WORKER_STALLED_SECONDS": "5",
        "WORKER_RESCUE_SECONDS": "1",
    }
    with stacks.running(workers=2, **shipped) as stack:
        run_id = stack.start_run()
        stacks.wait_until(lambda: _is_writing(stack, run_id))
        holder = stack.row(run_id)["worker"].rpartition(":")[2]
        name = next(n for n in ("worker0", "worker1") if str(stack.pid(n)) == holder)
        killed_at = datetime.now(UTC)

        stack.kill(name)

        stacks.wait_until(lambda: _ended(stack, run_id))
        starts = [e["at"] for e in stack.log(run_id) if e["kind"] == "run.started"]
        assert len(starts) == 2
        assert starts[1] - killed_at < timedelta(seconds=10)
        assert stack.row(run_id)["status"] == "completed"


def test_a_frozen_worker_that_is_succeeded_and_woken_gets_not_one_event_in(stack):
    """Rule 2."""
    run_id = stack.start_run()
    stacks.wait_until(lambda: _is_writing(stack, run_id))
    frozen = stack.pid("worker0")
    stack.signal("worker0", signal.SIGSTOP)
    stack.start_worker(1)
    stacks.wait_until(lambda: _ended(stack, run_id))
    before = stack.log(run_id)

    os.kill(frozen, signal.SIGCONT)

    # It is awake and well: it shows its heartbeat again, or takes up other runs.
    later = stack.start_run("after the thaw")
    stacks.wait_until(lambda: _ended(stack, later))
    assert stack.log(run_id) == before
    assert _kinds(stack, run_id).count("run.interrupted") == 1
    assert psutil.pid_exists(frozen)
    stack.kill("worker1")


def test_a_worker_that_gets_sigterm_hands_its_run_over_and_exits_cleanly(stack):
    run_id = stack.start_run()
    stacks.wait_until(lambda: _is_writing(stack, run_id))

    stack.signal("worker0", signal.SIGTERM)

    assert stack._parts["worker0"].process.wait(40) == 0
    stack.start_worker(0)
    stacks.wait_until(lambda: _ended(stack, run_id))
    kinds = _kinds(stack, run_id)
    assert kinds[kinds.index("run.interrupted") - 1] == "node.completed"
    causes = [e["data"]["cause"] for e in stack.log(run_id) if e["kind"] == "run.interrupted"]
    assert causes == ["worker_stopping"]


def test_a_server_that_stops_tells_its_sockets_to_come_back(stack):
    """daphne alone would cut the line (1006)."""

    async def watch():
        run_id = stack.start_run()
        viewer = stacks.Viewer(stack, run_id)
        following = asyncio.create_task(viewer.follow())
        await asyncio.to_thread(stacks.wait_until, lambda: viewer.frames)
        stack.signal("server", signal.SIGTERM)
        await asyncio.to_thread(stack._parts["server"].process.wait, 30)
        await asyncio.to_thread(stack.start_server)
        await asyncio.wait_for(following, 60)
        return viewer

    viewer = asyncio.run(watch())

    assert viewer.closes[0] == 1012
    assert viewer.closes[-1] == 1000
    seqs = [seq for seq, name in viewer.events if name != "node_active"]
    assert seqs == sorted(set(seqs))


def test_without_valkey_runs_go_on_and_are_watched_to_the_end(stack):
    """Rule 3: the channel layer is latency only."""
    stack.kill("valkey")
    try:
        run_id = stack.start_run()
        viewer = stacks.Viewer(stack, run_id)
        asyncio.run(asyncio.wait_for(viewer.follow(), 60))
    finally:
        stack.start_valkey()

    assert viewer.frames[-1]["event"] == "run_complete"


def test_five_hundred_sockets_on_one_run_all_see_every_event(stack):
    """Rule 4."""

    async def watch():
        run_id = stack.start_run()
        viewers = [stacks.Viewer(stack, run_id) for _ in range(500)]
        await asyncio.wait_for(asyncio.gather(*(v.follow() for v in viewers)), 120)
        return viewers

    viewers = asyncio.run(watch())

    first = viewers[0].events
    assert first[0][1] == "run_created"
    assert first[-1][1] == "run_complete"
    assert all(viewer.events == first for viewer in viewers)


def test_a_client_that_never_reads_costs_little_memory_and_its_neighbour_nothing(stack):
    """Rule 5: 100 000 events of 2 KB; daphne alone grew by 194 MiB."""
    stack.kill("worker0")
    run_id = stack.start_run("nobody works on it")
    _fill(stack, run_id, 100_000, 2_000)
    server = psutil.Process(stack.pid("server"))

    async def watch():
        deaf = await _open(stack, run_id, max_queue=1)
        deaf.transport.pause_reading()
        grown = []
        base = server.memory_info().rss
        seen = await asyncio.wait_for(_read_all(stack, run_id, grown, server, base), 200)
        deaf.transport.abort()
        return seen, max(grown)

    seen, grown = asyncio.run(watch())

    assert seen == list(range(1, 100_002))
    assert grown < 10 * 1024 * 1024, f"grew by {grown / 1024 / 1024:.1f} MiB"
    stack.request("POST", f"/api/councils/run/{run_id}/cancel")
    stack.start_worker(0)


def _fill(stack, run_id, count, size):
    with psycopg.connect(stack.environment["DATABASE_URL"]) as db:
        db.execute(
            "INSERT INTO runtime_event (run_id, seq, kind, key, data, at)"
            " SELECT %s, n + 1, 'node.token', 'fill' || n,"
            " jsonb_build_object('node', 'a', 'task', 't', 'text', repeat('x', %s)), now()"
            " FROM generate_series(1, %s) n",
            [run_id, size, count],
        )
        db.execute("UPDATE runtime_run SET last_seq = %s WHERE id = %s", [count + 1, run_id])


async def _open(stack, run_id, **more):
    url = f"{stack.url.replace('http', 'ws')}/ws/council/{run_id}"
    headers = {"Authorization": f"Bearer {stack.token}"}
    return await websockets.connect(url, additional_headers=headers, max_size=None, **more)


async def _read_all(stack, run_id, grown, server, base):
    """Read to the end of the log as a client that acknowledges; the seqs, in order."""
    seen = []
    async with await _open(stack, run_id) as neighbour:
        while not seen or seen[-1] < 100_001:
            frame = json.loads(await neighbour.recv())
            if frame["event"] == "connected":
                await neighbour.send('{"type": "ack", "seq": 0}')
                continue
            seen.append(frame["seq"])
            if len(seen) % 32 == 0:
                await neighbour.send(json.dumps({"type": "ack", "seq": seen[-1]}))
            if len(seen) % 5000 == 0:
                grown.append(server.memory_info().rss - base)
    return seen


def test_a_burst_of_four_workers_loses_nothing_at_the_layers_default_capacity():
    """Rule 3: the core layer drops what is beyond its capacity of 100, without a trace."""
    layer = {"CHANNEL_LAYER_BACKEND": "channels_redis.core.RedisChannelLayer"}
    with stacks.running(workers=4, DEMO_TOKENS_PER_SECOND="2000", **layer) as stack:

        async def watch():
            run_ids = await asyncio.to_thread(
                lambda: [stack.start_run(f"run {n}") for n in range(24)]
            )
            viewers = [stacks.Viewer(stack, run_id) for run_id in run_ids]
            await asyncio.wait_for(asyncio.gather(*(v.follow() for v in viewers)), 120)
            return run_ids, viewers

        run_ids, viewers = asyncio.run(watch())

        for run_id, viewer in zip(run_ids, viewers, strict=True):
            logged = [e["seq"] for e in stack.log(run_id)]
            assert sorted({frame["seq"] for frame in viewer.frames}) >= logged
            assert {seq for seq, _ in viewer.events} == set(logged)
