"""The log: numbered without holes, fenced, written once."""

import asyncio
import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest
from channels.layers import channel_layers
from django.db import DatabaseError, OperationalError, connection, transaction

from runtime import doorbell, errors, events, models, runs, writer


@pytest.fixture
def claimed(new_run):
    run = new_run()
    run.refresh_from_db()
    return runs.claim(run.pk, job_id=run.job_id, worker="w")


def _note(run, key, **data):
    return writer.Change(
        events.Fence(run.pk, run.attempt),
        [events.NewEvent("node.token", key, {"task": "t"} | data)],
    )


def _seqs(run):
    return list(run.events.order_by("seq").values_list("seq", flat=True))


def test_the_numbers_of_concurrent_writers_have_no_hole_and_a_tailing_reader_misses_none(
    claimed,
):
    """Rule 2: with a bigserial a tailing reader lost a quarter of the rows."""
    seen, done = [], threading.Event()

    def write(name):
        try:
            for n in range(50):
                with transaction.atomic():
                    events.append(claimed, "node.token", f"{name}/{n}")
        finally:
            connection.close()

    def tail():
        try:
            while not done.is_set() or events.since(claimed.pk, seen[-1] if seen else 0):
                seen.extend(e.seq for e in events.since(claimed.pk, seen[-1] if seen else 0))
        finally:
            connection.close()

    writers = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    reader = threading.Thread(target=tail)
    for thread in (*writers, reader):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    reader.join()

    assert seen == list(range(1, 203))


def test_a_change_and_its_event_commit_together_or_not_at_all(claimed):
    """Rule 1."""
    with pytest.raises(RuntimeError), transaction.atomic():
        models.Run.objects.filter(pk=claimed.pk).update(iteration_count=7)
        events.append(claimed, "run.interrupted", key="x")
        raise RuntimeError

    claimed.refresh_from_db()
    assert claimed.iteration_count == 0
    assert _seqs(claimed) == [1, 2]


async def test_what_one_attempt_wants_written_after_another_has_the_run_is_refused(claimed):
    """Rule 2: the fence."""
    shared = writer.Writer()
    stale = _note(claimed, "late")
    await asyncio.to_thread(_claim_again, claimed)

    with pytest.raises(errors.RunLost):
        await shared.write(stale)

    await shared.close()
    assert not await claimed.events.filter(key="late").aexists()


def _claim_again(run):
    try:
        runs.claim(run.pk, job_id=run.job_id, worker="other")
    finally:
        connection.close()


async def test_in_one_batch_the_old_attempt_is_refused_and_the_new_one_is_written(claimed):
    shared = writer.Writer()
    stale = _note(claimed, "old")
    await asyncio.to_thread(_claim_again, claimed)
    fresh = await models.Run.objects.aget(pk=claimed.pk)

    outcomes = await asyncio.gather(
        shared.write(stale), shared.write(_note(fresh, "new")), return_exceptions=True
    )

    await shared.close()
    assert isinstance(outcomes[0], errors.RunLost)
    assert outcomes[1] is None
    assert [key async for key in _keys(claimed)][-1] == "new"


async def _keys(run):
    async for event in run.events.order_by("seq"):
        yield event.key


async def test_the_changes_of_one_moment_share_a_transaction_and_keep_their_order(claimed):
    shared = writer.Writer()

    await asyncio.gather(*(shared.write(_note(claimed, f"n{n}")) for n in range(100)))

    await shared.close()
    keys = [key async for key in _keys(claimed)]
    assert keys[2:] == [f"n{n}" for n in range(100)]
    seqs = [event.seq async for event in claimed.events.order_by("seq")]
    assert all(b == a + 1 for a, b in pairwise(seqs))


async def test_a_change_that_cannot_be_written_does_not_take_its_neighbours_with_it(
    claimed, new_run
):
    other = await asyncio.to_thread(_claimed_run, new_run)
    shared = writer.Writer()
    await shared.write(_note(claimed, "taken"))

    outcomes = await asyncio.gather(
        shared.write(_note(claimed, "taken")),
        shared.write(_note(other, "free")),
        return_exceptions=True,
    )

    await shared.close()
    assert isinstance(outcomes[0], DatabaseError)
    assert outcomes[1] is None


async def test_a_batch_whose_answer_was_lost_after_the_commit_is_written_once(
    claimed, monkeypatch
):
    """The race of a PostgreSQL that dies between the commit and its answer, injected."""
    commit, calls = writer._commit, []

    def commit_and_lose_the_answer(batch, again):
        calls.append(again)
        written = commit(batch, again)
        if len(calls) == 1:
            raise OperationalError("the line was cut after COMMIT")
        return written

    monkeypatch.setattr(writer, "_commit", commit_and_lose_the_answer)
    shared = writer.Writer()

    await shared.write(_note(claimed, "once"))

    await shared.close()
    assert calls == [False, True]
    assert await claimed.events.filter(key="once").acount() == 1


async def test_a_batch_that_is_tried_again_drops_nothing_though_a_run_of_it_was_cancelled(
    claimed, new_run, monkeypatch
):
    """`run.cancelled` has the key of every end: it must not pass for ours."""
    other = await asyncio.to_thread(_claimed_run, new_run)
    commit, tries = writer._commit, []

    def commit_after_a_cancel(batch, again):
        tries.append(again)
        if len(tries) == 1:
            runs.cancel(other.pk, by="the race")
            raise OperationalError("the line was cut before COMMIT")
        return commit(batch, again)

    monkeypatch.setattr(writer, "_commit", commit_after_a_cancel)
    shared = writer.Writer()
    end = runs.completed(other, runs.document_of(other), {}, {})

    outcomes = await asyncio.gather(
        shared.write(end), shared.write(_note(claimed, "kept")), return_exceptions=True
    )

    await shared.close()
    assert isinstance(outcomes[0], errors.RunLost)
    assert await claimed.events.filter(key="kept").aexists()


def _claimed_run(new_run):
    try:
        run = new_run()
        run.refresh_from_db()
        return runs.claim(run.pk, job_id=run.job_id, worker="w")
    finally:
        connection.close()


async def test_after_a_change_that_was_not_written_none_of_its_attempt_is_but_the_last_word(
    claimed,
):
    shared = writer.Writer()
    await shared.write(_note(claimed, "taken"))
    with pytest.raises(DatabaseError):
        await shared.write(_note(claimed, "taken"))

    with pytest.raises(DatabaseError):
        await shared.write(_note(claimed, "later"))
    fault = errors.Fault("internal", "x")
    await shared.write(runs.failed(claimed, fault, node="", usage={}))

    await shared.close()
    assert [key async for key in _keys(claimed)][-2:] == ["taken", runs.end_key(claimed)]


async def test_a_database_that_is_away_delays_a_change_and_loses_nothing(claimed, monkeypatch):
    commit, away = writer._commit, [True, True, False]

    def commit_when_back(batch, again):
        if away.pop(0):
            raise OperationalError("connection refused")
        return commit(batch, again)

    monkeypatch.setattr(writer, "_commit", commit_when_back)
    shared = writer.Writer()

    await shared.write(_note(claimed, "late but whole"))

    await shared.close()
    assert await claimed.events.filter(key="late but whole").aexists()


async def test_tokens_leave_the_log_in_the_transaction_that_brings_their_result(claimed):
    """Rule 6."""
    shared = writer.Writer()
    await shared.write(_note(claimed, "t1", task="a", text="half a "))
    await shared.write(_note(claimed, "t2", task="b", text="another node's"))
    done = writer.Change(
        events.Fence(claimed.pk, claimed.attempt),
        [events.NewEvent("node.completed", "done", {"task": "a"})],
        finished_task="a",
    )

    await shared.write(done)

    await shared.close()
    assert [key async for key in _keys(claimed)][2:] == ["t2", "done"]


def test_an_event_is_never_changed(claimed):
    with pytest.raises(DatabaseError, match="written once"), transaction.atomic():
        models.Event.objects.filter(run=claimed, seq=1).update(kind="run.completed")


def test_a_blueprint_version_is_never_changed(default):
    default.document["name"] = "another"

    with pytest.raises(DatabaseError, match="written once"), transaction.atomic():
        default.save()


def test_text_that_postgresql_refuses_is_cleaned():
    dirty = {"a": ["x\0y", "\ud83d", {"b\0": "ok"}], "n": 1}

    assert events.clean(dirty) == {"a": ["x�y", "�", {"b�": "ok"}], "n": 1}


def test_a_redis_that_is_away_costs_no_event(claimed, settings):
    """Rule 3: the doorbell is latency only."""
    settings.CHANNEL_LAYERS = {
        "default": {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            "CONFIG": {"hosts": ["redis://127.0.0.1:1"]},
        }
    }

    with transaction.atomic():
        events.append(claimed, "run.interrupted", key="no bell")

    assert claimed.events.filter(key="no bell").exists()


def test_threads_that_ask_for_the_channel_layer_at_once_get_the_same(monkeypatch):
    monkeypatch.setattr(channel_layers, "backends", {})
    make, both = channel_layers.make_backend, threading.Barrier(2)

    def slowly(name):
        made = make(name)
        with contextlib.suppress(threading.BrokenBarrierError):
            both.wait(0.2)  # the other thread, if it is let in, comes here as well
        return made

    monkeypatch.setattr(channel_layers, "make_backend", slowly)
    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(lambda _: doorbell.layer(), range(2)))

    assert found[0] is found[1]
