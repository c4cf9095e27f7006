"""Driving a run: models of every mood, cancelling, handing over, a worker that was away."""

import asyncio
import contextlib
import time
from dataclasses import replace

import pytest
from asgiref.sync import sync_to_async
from django.db import connection
from langgraph.runtime import RunControl

from runtime import errors, events, nodes, runs, tasks
from runtime.execution.attempt import Attempt
from runtime.execution.executor import Executor
from tests import provider
from tests.conftest import nodes_started
from tests.speech import Answer

GOOD = {
    "master_agent": Answer("A draft."),
    "critic_agent": Answer('{"feedback": "Fine.", "score": 9, "verdict": "approve"}'),
}


@pytest.fixture
def openai(settings):
    """Aim `openai:` models at a local provider, and do not wait long."""

    def aim(server):
        settings.OPENAI_API_KEY = "sk-secret"
        settings.OPENAI_BASE_URL = server.url
        settings.MODEL_RETRY_SECONDS = 0.01
        settings.MODEL_TIMEOUT_SECONDS = 2.0

    return aim


async def _run_against(openai, new_run, *answers):
    """A run whose first model calls get these answers; it, when it has ended."""
    async with provider.serve() as server:
        openai(server)
        server.then(*answers)
        run = await sync_to_async(new_run)(model="openai:gpt-4o")
        await tasks.work(wait=False)
    await run.arefresh_from_db()
    return run, server


APPROVED = (GOOD["master_agent"], GOOD["critic_agent"], Answer("Polished."))


async def test_a_council_of_a_real_provider_streams_counts_and_ends_approved(openai, new_run):
    run, server = await _run_against(openai, new_run, *APPROVED)

    assert (run.status, run.final_draft) == ("completed", "Polished.")
    assert run.critic_score == 9
    assert run.usage["output_tokens"] > 0
    assert run.usage["scripted"] is False
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    "bad",
    [
        Answer(status=429),
        Answer(status=500),
        Answer("Half an answer of some words", cut_at=2),
        Answer("Half an answer of some words", garbled_at=2),
        Answer(text=""),
    ],
    ids=["429", "500", "cut in the middle", "malformed JSON", "empty"],
)
async def test_a_passing_fault_is_tried_again_and_what_it_had_said_is_void(
    openai, new_run, bad
):
    run, _ = await _run_against(openai, new_run, bad, *APPROVED)

    assert run.status == "completed"
    assert [k async for k in _kinds(run)].count("node.retried") == 1
    assert await sync_to_async(nodes_started)(run) == [
        "master_agent",
        "critic_agent",
        "writer_agent",
    ]
    assert not await run.events.filter(kind="node.token").aexists()


async def _kinds(run):
    async for event in run.events.order_by("seq"):
        yield event.kind


@pytest.mark.parametrize(
    ("bad", "code", "calls"),
    [
        (Answer(status=401), "model_auth", 1),
        (Answer(status=404), "model_not_found", 1),
        (Answer(status=429), "model_rate_limited", 3),
        (Answer(status=500), "model_unavailable", 3),
        (Answer("Half an answer of words", cut_at=2), "model_unavailable", 3),
        (Answer("Half an answer of words", garbled_at=1), "model_unavailable", 3),
        (Answer(text=""), "model_unavailable", 3),
    ],
)
async def test_a_lasting_fault_ends_the_run_as_failed_with_its_code_and_its_node(
    openai, new_run, bad, code, calls
):
    run, server = await _run_against(openai, new_run, *[bad] * 3)

    end = await run.events.aget(kind="run.failed")
    assert (run.status, run.error_code) == ("failed", code)
    assert (end.data["code"], end.data["node"]) == (code, "master_agent")
    assert len(server.requests) == calls
    assert "sk-" not in str(end.data) + run.error_message


async def test_a_provider_that_says_nothing_at_all_ends_in_a_time_out(
    openai, new_run, settings
):
    settings.MODEL_MAX_TRIES = 1
    async with provider.serve() as server:
        openai(server)
        settings.MODEL_TIMEOUT_SECONDS = 0.3
        server.then(Answer(hangs_at=-1))
        run = await sync_to_async(new_run)(model="openai:gpt-4o")
        await tasks.work(wait=False)

    await run.arefresh_from_db()
    assert (run.status, run.error_code) == ("failed", "model_timeout")


async def test_a_critic_that_cannot_be_read_is_asked_once_more_and_then_is_a_stated_fault(
    openai, new_run
):
    answers = (GOOD["master_agent"], Answer("I like it."), Answer("Really, I do."))
    run, server = await _run_against(openai, new_run, *answers)

    assert (run.status, run.error_code) == ("failed", "critic_unreadable")
    assert run.critic_score is None
    assert len(server.requests) == 3


async def test_at_the_limit_the_run_goes_on_not_approved_with_its_real_last_score(
    openai, new_run
):
    """Rule 7: a limit is a reason, never a made-up score."""
    low = Answer('{"feedback": "More.", "score": 7.5, "verdict": "revise"}')
    rounds = [answer for _ in range(5) for answer in (GOOD["master_agent"], low)]
    run, _ = await _run_against(openai, new_run, *rounds, Answer("Polished anyway."))

    assert (run.status, run.reason, run.approved) == ("completed", "iteration_limit", False)
    assert (run.critic_score, run.iteration_count) == (7.5, 5)
    assert run.final_draft == "Polished anyway."


async def test_every_draft_is_shown_all_feedback_so_far(openai, new_run):
    low = [
        Answer(f'{{"feedback": "Point {n}.", "score": 5, "verdict": "revise"}}') for n in "AB"
    ]
    answers = (GOOD["master_agent"], low[0], GOOD["master_agent"], low[1], *APPROVED)
    _, server = await _run_against(openai, new_run, *answers)

    third_draft = server.requests[4].text
    assert "Point A." in third_draft
    assert "Point B." in third_draft


# --- cancelling ------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def _worker():
    """A worker that works until the block ends."""
    stop = asyncio.Event()
    working = asyncio.create_task(tasks.work(stop=stop))
    try:
        yield stop
    finally:
        stop.set()
        await working


async def test_cancelling_breaks_off_the_call_in_flight_and_keeps_what_was_said(
    openai, new_run
):
    async with provider.serve() as server:
        openai(server)
        server.then(Answer("Some words that stay readable afterwards", hangs_at=4))
        run = await sync_to_async(new_run)(model="openai:gpt-4o")
        async with _worker():
            request = await asyncio.wait_for(server.arrived.get(), 10)
            await _until(run.events.filter(kind="node.token").aexists)

            await sync_to_async(runs.cancel)(run.pk, by="alice")

            await asyncio.wait_for(request.left.wait(), 2)

    log = [event async for event in run.events.order_by("seq")]
    assert [event.kind for event in log][-1] == "run.cancelled"
    assert "Some words" in "".join(e.data["text"] for e in log if e.kind == "node.token")
    assert len(server.requests) == 1


async def _until(holds, seconds=10):
    give_up = time.monotonic() + seconds
    while not await holds():
        assert time.monotonic() < give_up, "did not come true"
        await asyncio.sleep(0.02)


async def test_a_cancel_whose_notification_is_lost_stops_the_run_at_its_next_write(
    new_run, monkeypatch
):
    """The doorbell of cancelling is latency only, too: the fence is what stops a run."""
    monkeypatch.setattr(tasks.app.job_manager, "cancel_job_by_id", lambda *a, **k: True)
    run = await sync_to_async(new_run)()
    claimed = await sync_to_async(_claim)(run)
    executor = Executor("w")
    await sync_to_async(runs.cancel)(run.pk, by="alice")

    with pytest.raises(errors.RunLost):
        await Attempt(claimed, executor.writer).drive(RunControl())

    await executor.writer.close()
    assert [k async for k in _kinds(run)][-1] == "run.cancelled"
    assert "node.started" not in [k async for k in _kinds(run)]


def _claim(run):
    run.refresh_from_db()
    return runs.claim(run.pk, job_id=run.job_id, worker="w")


# --- stopping and handing over ---------------------------------------------------------


async def test_a_worker_that_is_told_to_stop_finishes_its_node_and_hands_the_run_over(
    openai, new_run
):
    async with provider.serve() as server:
        openai(server)
        server.then(Answer("A draft, slowly.", every=0.1), *APPROVED[1:])
        run = await sync_to_async(new_run)(model="openai:gpt-4o")
        async with _worker() as stop:
            await asyncio.wait_for(server.arrived.get(), 10)
            stop.set()

        assert [k async for k in _kinds(run) if k != "node.token"] == [
            "run.created",
            "run.started",
            "node.started",
            "node.completed",
            "run.interrupted",
        ]
        await tasks.work(wait=False)

    await run.arefresh_from_db()
    assert (run.status, run.attempt) == ("completed", 2)
    assert await sync_to_async(nodes_started)(run) == [
        "master_agent",
        "critic_agent",
        "writer_agent",
    ]


async def test_a_node_that_outlasts_the_drain_is_broken_off_and_run_again_elsewhere(
    openai, new_run, settings
):
    settings.WORKER_DRAIN_SECONDS = 0.2
    async with provider.serve() as server:
        openai(server)
        settings.MODEL_TIMEOUT_SECONDS = 60
        server.then(Answer("Never ending", hangs_at=1), *APPROVED)
        run = await sync_to_async(new_run)(model="openai:gpt-4o")
        async with _worker() as stop:
            await asyncio.wait_for(server.arrived.get(), 10)
            stop.set()
        await tasks.work(wait=False)

    await run.arefresh_from_db()
    assert (run.status, run.attempt) == ("completed", 2)
    assert (await sync_to_async(nodes_started)(run))[:2] == ["master_agent", "master_agent"]


async def test_a_worker_that_was_away_and_comes_back_writes_not_one_event(openai, new_run):
    """Rule 2 and 8, with the freeze injected: another takes the run up in mid-call."""
    async with provider.serve() as server:
        openai(server)
        server.then(Answer("Said by the one that was away", every=0.2))
        run = await sync_to_async(new_run)(model="openai:gpt-4o")
        claimed = await sync_to_async(_claim)(run)
        executor = Executor("the one that was away")
        away = asyncio.create_task(Attempt(claimed, executor.writer).drive(RunControl()))
        await asyncio.wait_for(server.arrived.get(), 10)
        successor = await sync_to_async(_claim)(run)
        before = [event.seq async for event in run.events.order_by("seq")]

        with pytest.raises(errors.RunLost):
            await away

    await executor.writer.close()
    assert successor.attempt == 2
    assert [event.seq async for event in run.events.order_by("seq")] == before


def test_many_runs_go_on_at_once_in_one_worker(new_run, drain, settings):
    """They wait for their models nearly all of the time, so they wait together."""
    settings.DEMO_TOKENS_PER_SECOND = 400
    made = [new_run(model="demo:council") for _ in range(20)]

    drain()

    spans = []
    for run in made:
        run.refresh_from_db()
        assert run.status == "completed"
        spans.append((run.started_at, run.ended_at))
    assert max(start for start, _ in spans) < min(end for _, end in spans)


def test_a_mistake_of_ours_ends_the_run_as_internal_and_names_it_in_the_log(
    new_run, drain, monkeypatch, caplog
):
    async def broken(step):
        raise ZeroDivisionError("secret detail")

    monkeypatch.setitem(nodes.KINDS, "draft", replace(nodes.KINDS["draft"], run=broken))
    run = new_run()

    drain()

    run.refresh_from_db()
    assert (run.status, run.error_code) == ("failed", "internal")
    assert "secret detail" not in str(run.events.get(kind="run.failed").data)
    assert str(run.pk) in caplog.text


def test_a_worker_that_knows_no_such_kind_says_so(new_run, council, drain, monkeypatch):
    run = new_run(version=council("d > w"))
    kinds = {name: kind for name, kind in nodes.KINDS.items() if name != "writer"}
    monkeypatch.setattr(nodes, "KINDS", kinds)
    drain()

    run.refresh_from_db()
    assert (run.status, run.error_code) == ("failed", "kind_unknown")
    assert "writer" in run.error_message


def test_a_result_that_cannot_be_stored_ends_the_run_before_another_model_is_called(
    new_run, drain, monkeypatch
):
    async def not_storable(step):
        result = await nodes.draft.draft(step)
        result.output["number"] = float("nan")
        return result

    broken = replace(nodes.KINDS["draft"], run=not_storable)
    monkeypatch.setitem(nodes.KINDS, "draft", broken)
    run = new_run()

    drain()

    run.refresh_from_db()
    assert (run.status, run.error_code) == ("failed", "internal")
    assert nodes_started(run) == ["master_agent"]


def test_a_run_whose_end_cannot_be_worked_out_ends_all_the_same(new_run, drain, monkeypatch):
    def broken(run_id):
        raise ValueError

    monkeypatch.setattr(events, "total_usage", broken)
    run = new_run()

    drain()

    run.refresh_from_db()
    assert (run.status, run.error_code, run.attempt) == ("failed", "internal", 1)


def test_a_join_of_many_nodes_with_long_names_is_stored(new_run, default, drain):
    names = [f"{n}{'x' * 80}" for n in "abc"]
    drafts = [{"id": name, "kind": "draft", "entry": True} for name in names]
    edges = [{"id": n, "source": n, "target": "w", "type": "linear"} for n in names]
    document = {
        "version": 1,
        "name": "long",
        "nodes": [*drafts, {"id": "w", "kind": "writer"}],
        "edges": edges,
    }
    run = new_run(version=default.blueprint.versions.create(number=2, document=document))

    drain()

    run.refresh_from_db()
    assert run.status == "completed"


def test_a_node_and_its_event_are_stored_in_one_transaction(new_run, drain):
    """Rule 1, seen from PostgreSQL: both rows carry the same transaction id."""
    run = new_run()
    drain()

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT event.xmin::text, array_agg(DISTINCT write.xmin::text)"
            " FROM runtime_event event JOIN runtime_checkpointwrite write"
            " ON write.task_id = event.data ->> 'task'"
            " WHERE event.kind = 'node.completed' AND event.run_id = %s GROUP BY 1, event.seq",
            [run.pk],
        )
        found = cursor.fetchall()
    assert len(found) == 5
    assert all(writes == [event] for event, writes in found)
