"""Metrics: what happened is counted once, cheaply, and shown to whom it concerns."""

import asyncio
import re
import socket
import urllib.error
import urllib.request

import pytest
from asgiref.sync import sync_to_async
from django.db import InterfaceError, OperationalError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from prometheus_client.parser import text_string_to_metric_families

from experience import access, feed, metrics
from runtime import census, events, exposition, runs, tasks
from runtime import metrics as of_runs
from tests import speech
from tests.conftest import the_gate
from tests.steps import served

ME = "127.0.0.1"


@pytest.fixture
def rise():
    """How much a sample has risen since the test began: `rise("name", label=…)`."""
    before = dict(_samples())

    def risen(name, **labels):
        key = (name, tuple(sorted(labels.items())))
        return dict(_samples()).get(key, 0) - before.get(key, 0)

    return risen


def _samples():
    for registry in (metrics.registry, of_runs.registry):
        text = exposition.text(registry).decode()
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                yield (sample.name, tuple(sorted(sample.labels.items()))), sample.value


# --- what the runtime counts -------------------------------------------------------------


def test_a_run_is_counted_from_its_queue_to_its_end(new_run, drain, rise):
    new_run()
    drain()

    assert rise("councilos_runs_created_total") == 1
    assert rise("councilos_queue_wait_seconds_count") == 1
    assert rise("councilos_node_seconds_count", kind="critic", outcome="completed") == 2
    assert rise("councilos_node_seconds_count", kind="writer", outcome="completed") == 1
    assert rise("councilos_model_calls_total", provider="demo", outcome="ok") == 5
    assert rise("councilos_model_call_seconds_count", provider="demo") == 5
    assert rise("councilos_model_tokens_total", provider="demo", direction="output") > 100
    assert rise("councilos_commit_seconds_count") >= 5
    ended = {"status": "completed", "reason": "approved", "code": ""}
    assert rise("councilos_runs_ended_total", **ended) == 1
    assert rise("councilos_runs_driven") == 0


async def test_tokens_are_timed_to_their_commit(new_run, adrain, settings, rise):
    async with served(settings) as provider:
        provider.then(speech.Answer(text="one two three " * 10, every=0.01))
        run = await sync_to_async(new_run)(model="openai:gpt-4o", limits={"calls": 1})
        await adrain()

    tokens = [event async for event in run.events.filter(kind="node.token")]
    assert tokens == []  # dropped with the end of their node, but they were written
    assert rise("councilos_token_delay_seconds_count") > 1
    assert 0 < rise("councilos_token_delay_seconds_sum") < 10


async def test_a_call_that_failed_and_the_run_it_failed_are_counted_by_their_code(
    new_run, adrain, settings, rise
):
    async with served(settings) as provider:
        provider.then(speech.Answer(status=401))
        await sync_to_async(new_run)(model="openai:gpt-4o")
        await adrain()

    assert rise("councilos_model_calls_total", provider="openai", outcome="model_auth") == 1
    ended = {"status": "failed", "reason": "failed", "code": "model_auth"}
    assert rise("councilos_runs_ended_total", **ended) == 1


def test_a_run_that_is_cancelled_is_counted_where_it_was_cancelled(new_run, rise):
    runs.cancel(new_run().pk, by="alice")

    ended = {"status": "cancelled", "reason": "cancelled", "code": ""}
    assert rise("councilos_runs_ended_total", **ended) == 1


def test_a_run_that_was_not_committed_is_not_counted(new_run, rise, monkeypatch):
    monkeypatch.setattr(runs.rows, "enqueue", lambda run: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        new_run()

    assert rise("councilos_runs_created_total") == 0


# --- what a server counts ----------------------------------------------------------------


async def test_the_lag_of_a_feed_is_that_of_what_happens_while_it_is_watched(
    new_run, adrain, rise
):
    earlier = await sync_to_async(new_run)()
    await adrain()
    async with feed.hub().watch(earlier.pk) as history:
        assert history.head > 10
    assert rise("councilos_feed_lag_seconds_count", source="log") == 0

    run = await sync_to_async(new_run)()
    async with feed.hub().watch(run.pk) as followed:
        seq = followed.head
        working = asyncio.create_task(adrain())
        while True:
            entries = await followed.after(seq)
            seq = entries[-1].event.seq
            if entries[-1].event.kind in events.ENDS:
                break
        await working
    await feed.hub().close()

    taken = [rise("councilos_feed_lag_seconds_count", source=s) for s in ("doorbell", "log")]
    assert sum(taken) >= 10
    assert taken[0] > 0
    assert rise("councilos_feed_lag_seconds_sum", source="doorbell") < taken[0] * 5


def test_a_refusal_and_a_request_are_counted_by_code(db, rise):
    Client().get("/api/runs/")
    Client().get("/api/nonsense")

    assert rise("councilos_refusals_total", protocol="rest", code="not_authenticated") == 1
    assert rise("councilos_refusals_total", protocol="rest", code="not_found") == 1
    assert rise("councilos_http_requests_total", method="GET", status="401") == 1


def test_what_a_client_makes_up_is_one_label(db, rise):
    metrics.received("agent", "agent.message", {"agent.message", "ping"})
    metrics.received("agent", "made.up", {"agent.message", "ping"})
    metrics.received("agent", "also made up", {"agent.message", "ping"})
    Client().generic("BREW", "/healthz")

    assert rise("councilos_frames_in_total", protocol="agent", type="agent.message") == 1
    assert rise("councilos_frames_in_total", protocol="agent", type="unknown") == 2
    assert rise("councilos_http_requests_total", method="unknown", status="200") == 1


def test_a_socket_is_open_until_it_is_closed(rise):
    metrics.opened("agent")
    metrics.opened("agent")
    metrics.closed("agent", 4401)

    assert rise("councilos_sockets_open", protocol="agent") == 1
    assert rise("councilos_sockets_closed_total", protocol="agent", code="4401") == 1
    metrics.closed("agent", 1005)


# --- what the database says --------------------------------------------------------------


def test_the_census_counts_what_is_under_way_and_nothing_that_has_ended(
    new_run, drain, council, alice
):
    new_run()
    waiting = runs.create(
        topic="x", version=council("d > w"), owner=alice, model="demo:instant", god_mode=True
    )
    drain()
    the_gate(waiting)
    new_run()

    found = census.take()

    assert found.active_runs == {"pending": 1, "running": 0, "paused": 1}
    assert (found.queued, found.open_gates) == (1, 1)
    assert 0 < found.oldest_seconds < 60
    assert (found.live_workers, found.reserved_calls) == (0, 0)


def test_an_empty_queue_has_no_age(db):
    assert census.take().oldest_seconds == 0


def test_the_census_reads_no_table_that_grows_with_the_history(new_run, drain):
    new_run()
    drain()
    with CaptureQueriesContext(connection) as asked:
        census.take()

    assert len(asked) <= 6
    with connection.cursor() as cursor:
        cursor.execute("SET enable_seqscan = off")  # for there are few rows as yet
        plans = [_plan(cursor, query["sql"]) for query in asked]
        cursor.execute("RESET enable_seqscan")
    for plan in plans:
        assert not re.search(r"Seq Scan on runtime_(run|gate|event)\b", plan), plan


def _plan(cursor, sql):
    cursor.execute(f"EXPLAIN {sql}")
    return "\n".join(row[0] for row in cursor.fetchall())


# --- who may read them -------------------------------------------------------------------


def test_the_page_shows_both_planes_and_the_database(new_run):
    new_run()

    page = Client().get("/metrics")

    assert page.status_code == 200
    assert page["Content-Type"].startswith("text/plain")
    shown = page.content.decode()
    assert 'councilos_runs_active{status="pending"} 1.0' in shown
    assert "councilos_queue_depth 1.0" in shown
    assert "councilos_queue_wait_seconds_bucket" in shown
    assert "councilos_database_up 1.0" in shown


def test_without_a_token_only_this_machine_may_read_and_not_through_a_proxy(db):
    assert Client(REMOTE_ADDR="127.0.0.1").get("/metrics").status_code == 200
    assert Client(REMOTE_ADDR="::1").get("/metrics").status_code == 200
    assert Client(REMOTE_ADDR="::ffff:127.0.0.1").get("/metrics").status_code == 200
    assert Client(REMOTE_ADDR="10.0.0.7").get("/metrics").status_code == 403
    assert Client(REMOTE_ADDR="").get("/metrics").status_code == 403
    for header in ("X-Forwarded-For", "Forwarded", "X-Real-IP"):
        proxied = Client(headers={header: "203.0.113.7"}).get("/metrics")
        assert (proxied.status_code, b"councilos_" in proxied.content) == (403, False)


def test_with_a_token_whoever_states_it_may_read_and_nobody_else(db, settings):
    settings.METRICS_TOKEN = "only-for-prometheus"

    def get(**headers):
        return Client(REMOTE_ADDR="10.0.0.7", headers=headers).get("/metrics")

    assert get(authorization="Bearer only-for-prometheus").status_code == 200
    assert get(authorization="Bearer only-for-prometheu").status_code == 401
    assert get(authorization="Bearer wrong-ütf").status_code == 401
    assert get()["WWW-Authenticate"] == "Bearer"
    assert Client(REMOTE_ADDR=ME).get("/metrics").status_code == 401


def test_metrics_tell_of_nobody_and_quote_nothing(new_run, drain, alice):
    run = new_run("Is marzipan a secret ingredient?")
    drain()
    token = access.create_token(alice, "prometheus")
    Client(headers={"authorization": f"Bearer {token}"}).get(f"/api/runs/{run.pk}")

    shown = Client().get("/metrics").content.decode()

    for secret in ("marzipan", "alice", str(run.pk), str(run.pk).split("-")[0], token):
        assert secret not in shown


@pytest.mark.parametrize("lost", [OperationalError, InterfaceError])
def test_a_database_that_is_away_is_a_metric_and_not_an_error(monkeypatch, lost):
    def away():
        raise lost("away")

    monkeypatch.setattr(census, "take", away)

    shown = Client().get("/metrics").content.decode()

    assert "councilos_database_up 0.0" in shown
    assert "councilos_sockets_open" in shown
    assert "councilos_queue_depth" not in shown


@pytest.mark.parametrize("lost", [OperationalError, InterfaceError])
def test_ready_says_that_the_database_does_not_answer(monkeypatch, lost):
    def away(**_):
        raise lost("away")

    monkeypatch.setattr(tasks, "live_workers", away)

    ready = Client().get("/readyz")

    assert (ready.status_code, ready.json()["database"]) == (503, "does not answer")


# --- the worker's own --------------------------------------------------------------------


@pytest.fixture
def port(settings):
    with socket.socket() as found:
        found.bind((ME, 0))
        settings.WORKER_METRICS_PORT = found.getsockname()[1]
    return settings.WORKER_METRICS_PORT


def _get(port, path="/metrics", **headers):
    request = urllib.request.Request(f"http://{ME}:{port}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.read().decode()


def test_a_worker_serves_its_own_metrics_while_it_works(port):
    with exposition.serve() as served_at:
        status, shown = _get(port)
        elsewhere, _ = _get(port, "/")

    assert (served_at, status, elsewhere) == (port, 200, 404)
    assert "councilos_runs_driven 0.0" in shown
    with pytest.raises(urllib.error.URLError):
        _get(port)


def test_a_worker_asks_for_the_token_as_a_server_does(port, settings):
    settings.METRICS_TOKEN = "only-for-prometheus"

    with exposition.serve():
        assert _get(port)[0] == 401
        assert _get(port, authorization="Bearer only-for-prometheus")[0] == 200


def test_a_worker_serves_none_unless_it_is_told_to(settings):
    assert settings.WORKER_METRICS_PORT == 0
    with exposition.serve() as port:
        assert port == 0


def test_a_worker_whose_port_is_taken_works_all_the_same(port, caplog):
    with socket.socket() as other:
        other.bind((ME, port))
        other.listen()
        with exposition.serve() as served_at:
            assert served_at == 0

    assert "no metrics of this worker" in caplog.text
