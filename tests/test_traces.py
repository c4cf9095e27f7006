"""Traces: message, run, node and call are one trace; it quotes nothing and harms nothing."""

import contextlib
import os
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from asgiref.sync import sync_to_async
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)

from experience import access
from runtime import traces
from tests import speech
from tests.steps import served

SECRET = "marzipan-5d0e"


class Collector:
    """An OpenTelemetry collector: takes spans by OTLP over HTTP."""

    def __init__(self, answers=True):
        self.bodies = []
        self.asked = threading.Event()
        self.release = threading.Event()
        taken = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                assert self.path == "/v1/traces"
                taken.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
                taken.asked.set()
                if not answers:
                    taken.release.wait(60)
                    return
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        self.release.set()
        self._server.shutdown()
        self._server.server_close()

    @property
    def spans(self):
        requests = [ExportTraceServiceRequest.FromString(body) for body in self.bodies]
        return [
            span
            for request in requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def named(self, name):
        return [span for span in self.spans if span.name == name]


def told(span):
    """The attributes of a span."""
    return {
        each.key: getattr(each.value, each.value.WhichOneof("value"))
        for each in span.attributes
    }


@pytest.fixture
def collector(settings):
    made = Collector()
    settings.OTEL_EXPORTER_OTLP_ENDPOINT = made.url
    yield made
    traces.stop()
    made.close()


def test_message_run_node_and_call_are_one_trace(
    collector, client, shipped_blueprints, drain, alice
):
    caller = f"00-{'a' * 32}-{'b' * 16}-01"
    secret = access.create_token(alice, "t")
    answer = client.post(
        "/api/messages",
        {"text": "Hello", "agent": "council.default"},
        content_type="application/json",
        headers={"authorization": f"Bearer {secret}", "traceparent": caller},
    )
    assert answer.status_code == 202
    drain()
    traces.stop()

    (message,) = collector.named("agent.message")
    (created,) = collector.named("run.create")
    (of_run,) = collector.named("run")
    nodes = [span for span in collector.spans if span.name.startswith("node ")]
    calls = collector.named("chat demo:council")
    assert {span.trace_id.hex() for span in collector.spans} == {"a" * 32}
    assert message.parent_span_id.hex() == "b" * 16
    assert created.parent_span_id == message.span_id
    assert of_run.parent_span_id == created.span_id
    assert [span.name for span in nodes] == ["node draft", "node critic"] * 2 + ["node writer"]
    assert {span.parent_span_id for span in nodes} == {of_run.span_id}
    assert [span.parent_span_id for span in calls] == [span.span_id for span in nodes]


@pytest.mark.parametrize("how", ["run", "fork"])
def test_a_run_by_rest_goes_on_with_the_callers_trace(collector, client, new_run, alice, how):
    made = new_run()
    secret = access.create_token(alice, "t")
    path = {"run": "/api/councils/run", "fork": f"/api/councils/run/{made.pk}/fork"}[how]
    client.post(
        path,
        {"run": {"input_topic": "Hello"}, "fork": {"after": 0}}[how],
        content_type="application/json",
        headers={
            "authorization": f"Bearer {secret}",
            "traceparent": f"00-{'a' * 32}-{'b' * 16}-01",
        },
    )
    traces.stop()

    assert collector.named("run.create")[-1].parent_span_id.hex() == "b" * 16


def test_spans_say_which_and_how_much(collector, new_run, drain):
    run = new_run()
    drain()
    traces.stop()

    (created,), (of_run,) = collector.named("run.create"), collector.named("run")
    assert created.parent_span_id == b""
    assert told(created) == {"councilos.run_id": str(run.pk)}
    assert told(of_run) == {"councilos.run_id": str(run.pk), "councilos.attempt": 1}
    first = told(collector.named("node critic")[0])
    assert first.pop("councilos.task")
    assert first == {
        "councilos.run_id": str(run.pk),
        "councilos.node": "critic_agent",
        "councilos.kind": "critic",
        "councilos.iteration": 1,
    }
    call = told(collector.named("chat demo:instant")[0])
    assert (call["gen_ai.provider.name"], call["gen_ai.operation.name"]) == ("demo", "chat")
    assert call["gen_ai.usage.input_tokens"] > 0
    assert call["gen_ai.usage.output_tokens"] > 0


async def test_a_failure_is_told_by_its_code_and_in_nobody_s_words(
    collector, new_run, adrain, settings
):
    async with served(settings) as provider:
        provider.then(speech.Answer(text=f"said {SECRET}"), speech.Answer(status=401))
        await sync_to_async(new_run)(SECRET, model="openai:gpt-4o")
        await adrain()
    await sync_to_async(traces.stop)()

    failed = {span.name for span in collector.spans if told(span).get("error.type")}
    assert failed == {"node critic", "chat openai:gpt-4o"}
    assert told(collector.named("node critic")[0])["error.type"] == "model_auth"
    assert b"gpt-4o" in b"".join(collector.bodies)
    for secret in (SECRET, "sk-of-the-tests", "alice", "Traceback", "refused the key"):
        assert secret.encode() not in b"".join(collector.bodies)
    assert not any(span.events for span in collector.spans)


def test_a_node_that_a_limit_stopped_has_not_failed(collector, new_run, drain):
    new_run(limits={"calls": 1})
    drain()
    traces.stop()

    (stopped,) = collector.named("node critic")
    assert told(stopped)["councilos.limit"] == "call_limit"
    assert stopped.status.code == 0
    assert not any(told(span).get("error.type") for span in collector.spans)


def test_what_is_not_on_the_list_of_attributes_is_not_told(collector):
    about = {"councilos.text": SECRET, "councilos.node": "x" * 1000, "councilos.run_id": None}
    with traces.span("a", about) as span:
        span.note({"input": SECRET})
    with contextlib.suppress(ValueError), traces.span("b", {}):
        raise ValueError(SECRET)
    traces.stop()

    a, b = collector.spans
    assert told(a) == {"councilos.node": "x" * traces.LONGEST_VALUE}
    assert told(b) == {"error.type": "ValueError"}
    assert SECRET.encode() not in b"".join(collector.bodies)


@pytest.mark.parametrize("parent", ["", "nonsense", "00-0-0-00", "x" * 1000])
def test_a_parent_that_cannot_be_read_is_none(collector, parent):
    with traces.start("outer", {}), traces.start("inner", {}, parent=parent):
        pass
    traces.stop()

    (inner,) = collector.named("inner")
    assert inner.parent_span_id == b""


def test_a_parent_from_elsewhere_is_gone_on_with(collector):
    parent = f"00-{'a' * 32}-{'b' * 16}-01"

    with traces.start("inner", {}, parent=parent) as span:
        assert span.traceparent.startswith(f"00-{'a' * 32}-")
    traces.stop()

    assert collector.spans[0].parent_span_id.hex() == "b" * 16


def test_runs_that_are_driven_together_have_a_trace_each(collector, new_run, drain):
    for _ in range(3):
        new_run()
    drain()
    traces.stop()

    parents = {span.span_id: span.trace_id for span in collector.named("run")}
    assert len(set(parents.values())) == 3
    for node in collector.named("node writer"):
        assert parents[node.parent_span_id] == node.trace_id


# --- it harms nothing --------------------------------------------------------------------


def test_a_collector_that_is_not_there_harms_no_run(settings, new_run, drain):
    settings.OTEL_EXPORTER_OTLP_ENDPOINT = "http://127.0.0.1:1"
    run = new_run()
    drain()
    begun = time.monotonic()
    traces.stop()

    run.refresh_from_db()
    assert run.status == "completed"
    assert time.monotonic() - begun < traces.STOP_SECONDS + 1


def test_a_collector_that_never_answers_does_not_keep_a_worker(settings):
    silent = Collector(answers=False)
    settings.OTEL_EXPORTER_OTLP_ENDPOINT = silent.url
    with traces.span("a", {}):
        pass
    begun = time.monotonic()
    traces.stop()

    assert silent.asked.is_set()
    assert time.monotonic() - begun < traces.STOP_SECONDS + 1
    silent.close()


def test_a_setting_of_opentelemetry_that_is_wrong_harms_nothing(settings, monkeypatch, caplog):
    settings.OTEL_EXPORTER_OTLP_ENDPOINT = "http://127.0.0.1:1"
    monkeypatch.setenv("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "many")

    with traces.span("a", {}) as span:
        assert span.traceparent == ""
    traces.stop()

    assert "no traces" in caplog.text


def test_without_an_endpoint_nothing_is_set_up_and_nothing_traced():
    code = (
        "import django, sys, threading; django.setup()\n"
        "from runtime import tasks, traces\n"
        "traces.prepare()\n"
        "with traces.start('a', {}) as span:\n"
        "    span.note({}); span.fail('x'); assert span.traceparent == ''\n"
        "assert 'opentelemetry.sdk.trace.export' not in sys.modules\n"
        "assert 'opentelemetry.exporter' not in sys.modules\n"
        "assert threading.active_count() == 1\n"
    )
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "councilos.settings"}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=60)
