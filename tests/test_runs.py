"""What the verbs on a run promise."""

import threading
import uuid

import pytest
from asgiref.sync import sync_to_async
from django.db import IntegrityError, connection, transaction
from procrastinate.contrib.django.models import ProcrastinateJob, ProcrastinateWorker

from runtime import errors, events, models, runs, writer
from runtime.runs import rows
from tests.conftest import kinds, nodes_started


def test_a_council_drafts_criticises_revises_and_polishes_to_an_approved_end(new_run, drain):
    run = new_run()

    drain()

    run.refresh_from_db()
    assert (run.status, run.reason, run.approved) == ("completed", "approved", True)
    assert nodes_started(run) == [
        "master_agent",
        "critic_agent",
        "master_agent",
        "critic_agent",
        "writer_agent",
    ]
    assert kinds(run) == [
        "run.created",
        "run.started",
        *["node.started", "node.completed"] * 5,
        "run.completed",
    ]


def test_the_score_and_the_draft_on_the_row_are_those_of_the_log(new_run, drain):
    run = new_run()

    drain()

    run.refresh_from_db()
    end = run.events.get(kind="run.completed")
    assert run.final_draft == end.data["final_draft"] != ""
    assert run.critic_score == end.data["critic_score"] == 8.5
    assert run.iteration_count == end.data["iteration_count"] == 2


def test_the_usage_of_the_end_is_the_sum_over_the_nodes_and_the_demo_says_it_is_scripted(
    new_run, drain
):
    run = new_run()

    drain()

    run.refresh_from_db()
    nodes = [e.data["usage"] for e in run.events.filter(kind="node.completed")]
    assert run.usage["output_tokens"] == sum(usage["output_tokens"] for usage in nodes) > 0
    assert run.usage["scripted"] is True
    assert run.usage["models"] == ["demo:instant"]


def test_creating_a_run_and_enqueuing_it_are_one_transaction(new_run, monkeypatch):
    def refuse(run):
        raise RuntimeError("the queue refuses")

    monkeypatch.setattr(rows, "enqueue", refuse)

    with pytest.raises(RuntimeError):
        new_run()

    assert not models.Run.objects.exists()
    assert not models.Event.objects.exists()


def test_a_run_whose_callers_transaction_fails_leaves_no_job(new_run):
    before = ProcrastinateJob.objects.count()  # no test's end empties procrastinate's tables
    with pytest.raises(RuntimeError), transaction.atomic():
        new_run()
        raise RuntimeError("the caller's transaction fails")

    assert not models.Run.objects.exists()
    assert ProcrastinateJob.objects.count() == before


def test_a_topic_of_nothing_or_of_too_much_is_refused(new_run):
    for topic in ("", "  \n", "x" * 10_001):
        with pytest.raises(errors.InputInvalid):
            new_run(topic)


def test_a_topic_with_nul_and_lone_surrogates_is_kept_without_them(new_run, drain):
    run = new_run("a\0b\ud800c")

    drain()

    run.refresh_from_db()
    assert run.status == "completed"
    assert "\0" not in run.input_topic
    assert run.input_topic[0] == "a"
    assert run.input_topic[-1] == "c"


def test_a_model_that_nobody_configured_is_refused_before_the_run_starts(new_run, settings):
    settings.ANTHROPIC_API_KEY = ""

    with pytest.raises(errors.ModelNotConfigured):
        new_run(model="anthropic:claude-sonnet-4-5")

    assert not models.Run.objects.exists()


def test_the_refusal_of_a_nodes_model_names_the_node(new_run, default, settings):
    settings.ANTHROPIC_API_KEY = ""
    document = {**default.document, "nodes": [dict(node) for node in default.document["nodes"]]}
    document["nodes"][1]["model"] = "anthropic:claude-sonnet-4-5"
    version = default.blueprint.versions.create(number=2, document=document)

    with pytest.raises(errors.ModelNotConfigured) as refusal:
        new_run(version=version)

    assert refusal.value.detail["node"] == "critic_agent"


def test_the_same_idempotency_key_gives_the_same_run_and_another_request_is_refused(new_run):
    first = new_run("one", idempotency_key="k")

    again = new_run("one", idempotency_key="k")

    assert again.pk == first.pk
    assert models.Run.objects.count() == 1
    with pytest.raises(errors.IdempotencyConflict):
        new_run("two", idempotency_key="k")


def test_the_same_request_sent_ten_times_at_once_makes_one_run(new_run):
    made = []

    def send():
        try:
            made.append(new_run("one", idempotency_key="k").pk)
        finally:
            connection.close()

    threads = [threading.Thread(target=send) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(made) == 10
    assert len(set(made)) == 1


# --- cancel ----------------------------------------------------------------------------


def test_a_run_that_is_cancelled_before_it_starts_calls_no_model(new_run, drain):
    run = new_run()

    runs.cancel(run.pk, by="alice")
    drain()

    run.refresh_from_db()
    assert (run.status, run.reason) == ("cancelled", "cancelled")
    assert kinds(run) == ["run.created", "run.cancelled"]


def test_a_run_ends_once(new_run, drain):
    run = new_run()
    runs.cancel(run.pk, by="alice")

    with pytest.raises(errors.RunFinished):
        runs.cancel(run.pk, by="bob")

    assert run.events.filter(kind__in=events.ENDS).count() == 1


def test_of_many_cancels_at_once_one_acts(new_run):
    run = new_run()
    outcomes = []

    def cancel():
        try:
            runs.cancel(run.pk, by="x")
            outcomes.append("cancelled")
        except errors.RunFinished:
            outcomes.append("refused")
        finally:
            connection.close()

    threads = [threading.Thread(target=cancel) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(outcomes) == ["cancelled"] + ["refused"] * 7
    assert run.events.filter(kind="run.cancelled").count() == 1


def test_the_database_itself_refuses_a_second_end(new_run):
    run = new_run()
    runs.cancel(run.pk, by="alice")

    with pytest.raises(IntegrityError), transaction.atomic():
        events.append(run, "run.completed", key=runs.end_key(run))


def test_the_database_refuses_an_end_without_a_reason(new_run):
    run = new_run()

    with pytest.raises(IntegrityError), transaction.atomic():
        models.Run.objects.filter(pk=run.pk).update(status="completed")


def test_a_run_that_takes_every_worker_with_it_ends_as_failed(new_run):
    run = new_run()
    for _ in range(runs.MOST_LOST):
        assert _claim(run) is not None

    assert _claim(run) is None

    run.refresh_from_db()
    assert (run.status, run.error_code) == ("failed", "worker_lost")
    assert kinds(run)[-1] == "run.failed"


# --- whose it is -----------------------------------------------------------------------


def _claim(run):
    run.refresh_from_db()
    return runs.claim(run.pk, job_id=run.job_id, worker="w")


def test_a_run_is_taken_up_once_for_each_job(new_run):
    run = new_run()
    first = _claim(run)

    assert first.attempt == 1
    assert runs.claim(run.pk, job_id=run.job_id + 1, worker="other") is None


def test_taking_up_a_run_whose_worker_was_lost_shows_the_interruption(new_run):
    run = new_run()
    _claim(run)

    second = _claim(run)

    assert second.attempt == 2
    assert kinds(run) == ["run.created", "run.started", "run.interrupted", "run.started"]


def test_a_run_that_has_ended_is_not_taken_up(new_run):
    run = new_run()
    runs.cancel(run.pk, by="alice")

    assert _claim(run) is None


def test_a_run_that_is_handed_over_waits_with_a_new_job(new_run):
    run = _claim(new_run())
    old_job = run.job_id

    assert runs.release(events.Fence(run.pk, run.attempt)) is True

    run.refresh_from_db()
    assert run.status == "pending"
    assert ProcrastinateJob.objects.get(pk=run.job_id).status == "todo"
    assert run.job_id != old_job


def test_an_attempt_that_has_lost_its_run_hands_nothing_over(new_run):
    stale = _claim(new_run())
    _claim(stale)

    assert runs.release(events.Fence(stale.pk, 1)) is False


def test_a_run_that_is_taken_from_its_worker_goes_on_in_another_attempt(new_run):
    run = _claim(new_run())
    old_job = run.job_id
    _job_of_a_worker_that_was_silent_for(run, 0)

    runs.reassign(run.pk, by="alice")

    run.refresh_from_db()
    assert (run.status, run.attempt) == ("pending", 1)
    assert ProcrastinateJob.objects.get(pk=old_job).abort_requested
    told = run.events.get(kind="run.interrupted").data
    assert told == {"attempt": 1, "cause": "reassigned", "by": "alice"}
    assert _claim(run).attempt == 2
    assert not runs.release(events.Fence(run.pk, 1))
    assert kinds(run)[-3:] == ["run.started", "run.interrupted", "run.started"]


async def test_what_the_worker_still_writes_of_a_run_that_was_taken_from_it_is_refused(
    new_run,
):
    run = await sync_to_async(lambda: _claim(new_run()))()
    writes = writer.Writer()

    await sync_to_async(runs.reassign)(run.pk, by="alice")

    told = events.NewEvent("node.started", "late", {})
    with pytest.raises(errors.RunLost):
        await writes.write(writer.Change(events.Fence(run.pk, 1), [told]))
    await writes.close()


def test_only_a_run_that_a_worker_has_is_taken_from_it(new_run):
    waiting, ended = new_run(), new_run()
    runs.cancel(ended.pk, by="alice")

    with pytest.raises(errors.RunNotRunning):
        runs.reassign(waiting.pk, by="alice")
    with pytest.raises(errors.RunFinished):
        runs.reassign(ended.pk, by="alice")
    with pytest.raises(errors.RunNotFound):
        runs.reassign(uuid.uuid4(), by="alice")


def _job_of_a_worker_that_was_silent_for(run, seconds):
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO procrastinate_workers (last_heartbeat)"
            " VALUES (now() - make_interval(secs => %s)) RETURNING id",
            [seconds],
        )
        (worker,) = cursor.fetchone()
        cursor.execute(
            "UPDATE procrastinate_jobs SET status = 'doing', worker_id = %s WHERE id = %s",
            [worker, run.job_id],
        )
    return worker


def test_a_run_whose_worker_fell_silent_gets_a_new_job_and_one_that_speaks_keeps_its(new_run):
    lost, kept = _claim(new_run()), _claim(new_run())
    _job_of_a_worker_that_was_silent_for(lost, 6)
    _job_of_a_worker_that_was_silent_for(kept, 1)

    dead_job = lost.job_id
    rescued = runs.rescue(silent_for=5)

    assert rescued == [lost.pk]
    assert not ProcrastinateJob.objects.filter(pk=dead_job).exists()
    assert runs.rescue(silent_for=5) == []


def test_a_run_whose_job_is_gone_gets_a_new_one(new_run):
    run = new_run()
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM procrastinate_jobs")

    assert runs.rescue(silent_for=5) == [run.pk]


def test_a_job_that_its_own_worker_says_it_dropped_counts_as_lost(new_run):
    run = _claim(new_run())
    _job_of_a_worker_that_was_silent_for(run, 0)

    assert runs.rescue(silent_for=5) == []
    assert runs.rescue(silent_for=5, dropped=[run.job_id]) == [run.pk]


def test_two_rescuers_at_once_give_a_run_one_job(new_run):
    run = _claim(new_run())
    _job_of_a_worker_that_was_silent_for(run, 60)
    found = []

    def rescue():
        try:
            found.extend(runs.rescue(silent_for=5))
        finally:
            connection.close()

    threads = [threading.Thread(target=rescue) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert found == [run.pk]
    assert ProcrastinateWorker.objects.exists()
