"""Logs: every line says whose it is, and none quotes a text, a token or a key."""

import asyncio
import dataclasses
import io
import json
import logging
import re
import subprocess
import sys

import pytest
from asgiref.sync import sync_to_async
from django.db import OperationalError
from django.test import AsyncClient, Client, override_settings
from django.urls import path

from experience import access, feed
from runtime import events, logs, nodes
from tests import speech
from tests.steps import served

SECRET = "marzipan-1f7c"


class Lines:
    """What was logged, as the JSON format shows it and as the plain one does."""

    def __init__(self):
        self._json, self._plain = io.StringIO(), io.StringIO()
        self.handlers = [logging.StreamHandler(self._json), logging.StreamHandler(self._plain)]
        for handler, formatter in zip(self.handlers, (logs.json(), logs.plain()), strict=True):
            handler.setFormatter(formatter)

    @property
    def all(self):
        return [json.loads(line) for line in self._json.getvalue().splitlines()]

    @property
    def text(self):
        return self._json.getvalue() + self._plain.getvalue()

    @property
    def plain(self):
        return self._plain.getvalue().splitlines()

    def of(self, logger):
        return [line for line in self.all if line["logger"] == logger]


@pytest.fixture
def lines():
    """As with LOG_LEVEL=DEBUG, in both formats."""
    found = Lines()
    ours = [logging.getLogger(name) for name in ("councilos", "experience", "runtime")]
    root = logging.getLogger()
    levels = [(logger, logger.level) for logger in (root, *ours)]
    root.setLevel(logging.INFO)
    for logger in ours:
        logger.setLevel(logging.DEBUG)
    for handler in found.handlers:
        root.addHandler(handler)
    yield found
    for handler in found.handlers:
        root.removeHandler(handler)
    for logger, level in levels:
        logger.setLevel(level)


ours = logging.getLogger("runtime.tests")
_JSON = "application/json"


# --- a line ------------------------------------------------------------------------------


def test_a_json_line_is_an_object_with_the_ids_that_are_bound(lines):
    with logs.bound(run_id="r-1", user_id=7, conversation_id=None):
        ours.warning("it took %d tries", 3)
    ours.info("after")

    inside, after = lines.all
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", inside.pop("at"))
    assert inside == {
        "level": "WARNING",
        "logger": "runtime.tests",
        "message": "it took 3 tries",
        "user_id": 7,
        "run_id": "r-1",
    }
    assert "run_id" not in after


def test_a_plain_line_is_one_line_with_the_ids_at_its_end(lines):
    with logs.bound(run_id="r-1", user_id=7):
        ours.warning("first\n2026 CRITICAL forged")

    (line,) = lines.plain
    assert line.endswith(
        " WARNING runtime.tests first\\n2026 CRITICAL forged user_id=7 run_id=r-1"
    )


def test_only_ids_can_be_bound():
    with pytest.raises(TypeError):
        logs.bound(topic="x")


def test_what_others_put_on_a_record_is_not_shown(lines):
    ours.warning("x", extra={"request": SECRET, "topic": SECRET, "run_id": "r-2"})

    (line,) = lines.all
    assert line["run_id"] == "r-2"
    assert SECRET not in lines.text


def test_an_exception_is_told_by_its_class_and_its_places_and_not_by_its_words(lines):
    try:
        try:
            int(SECRET)
        except ValueError as error:
            raise ExceptionGroup(SECRET, [KeyError(SECRET)]) from error
    except ExceptionGroup as error:
        ours.exception("it failed: %s", error)

    (line,) = lines.all
    assert SECRET not in line["message"]
    for part in ("ValueError", "KeyError", "ExceptionGroup", "tests/test_logs.py"):
        assert part in line["exception"]
    assert f"int({'SECRET'})" in line["exception"]  # the code, not its value
    assert f"\n{SECRET}" not in lines.text
    assert f": {SECRET}" not in lines.text


def test_an_exception_that_speaks_of_code_keeps_its_words(lines):
    try:
        object().nothing  # noqa: B018
    except AttributeError:
        ours.exception("it failed")

    assert "object has no attribute 'nothing'" in lines.all[0]["exception"]


@pytest.mark.parametrize(
    ("level", "expected"), [("DEBUG", "20 10"), ("INFO", "20 20"), ("ERROR", "40 40")]
)
def test_debug_is_for_our_own_lines_for_libraries_quote_requests_there(level, expected):
    code = (
        "from councilos import settings as s;"
        "print(s.LOGGING['root']['level'], s.LOGGING['loggers']['runtime']['level'])"
    )
    told = subprocess.run(
        [sys.executable, "-c", code],
        env={"LOG_LEVEL": level, "PATH": "", "HOME": "/nonexistent"},
        capture_output=True,
        check=True,
        text=True,
    )

    assert told.stdout.strip() == expected


# --- requests ----------------------------------------------------------------------------


@pytest.fixture
def program(alice):
    return Client(headers={"authorization": f"Bearer {access.create_token(alice, 'test')}"})


def test_a_request_leaves_one_line_that_says_whose_it_was(program, alice, new_run, lines):
    run = new_run()

    answer = program.get(f"/api/councils/run/{run.pk}?after={SECRET}")

    (line,) = lines.of("councilos.access")
    assert line.pop("at")
    assert line.pop("ms") >= 0
    assert line.pop("message").startswith(f"GET /api/councils/run/{run.pk} 200 ")
    assert line == {
        "level": "INFO",
        "logger": "councilos.access",
        "request_id": answer["X-Request-ID"],
        "user_id": alice.pk,
        "run_id": str(run.pk),
        "method": "GET",
        "path": f"/api/councils/run/{run.pk}",
        "status": 200,
    }
    assert SECRET not in lines.text


async def test_under_asgi_a_request_leaves_the_same_line(alice, new_run, lines):
    run = await sync_to_async(new_run)()
    token = await sync_to_async(access.create_token)(alice, "test")
    headers = {"authorization": f"Bearer {token}", "x-request-id": "mine"}

    answer = await AsyncClient().get(f"/api/councils/run/{run.pk}", headers=headers)

    (line,) = lines.of("councilos.access")
    assert answer["X-Request-ID"] == line["request_id"] == "mine"
    assert (line["user_id"], line["run_id"]) == (alice.pk, str(run.pk))


@pytest.mark.parametrize("stated", ["", "a b", "x" * 65, "é", "a;b", "a,b"])
def test_a_request_id_that_is_not_sane_is_replaced(db, stated):
    answer = Client(headers={"x-request-id": stated}).get("/healthz")

    assert re.fullmatch(r"[0-9a-f]{32}", answer["X-Request-ID"])


def test_a_sane_request_id_is_kept(db):
    answer = Client(headers={"x-request-id": "proxy-1.A_2"}).get("/healthz")

    assert answer["X-Request-ID"] == "proxy-1.A_2"


def test_a_request_leaves_nothing_bound_behind(db, lines):
    Client().get("/healthz")

    ours.info("after")

    assert "request_id" not in lines.of("runtime.tests")[0]


def test_probes_leave_no_line_unless_they_are_asked_to(db, lines, settings):
    for probe in ("/healthz", "/readyz", "/metrics"):
        Client().get(probe)
    assert lines.of("councilos.access") == []

    settings.ACCESS_LOG_SKIPS = []
    Client().get("/healthz")
    assert len(lines.of("councilos.access")) == 1


def _break(request, run_id):
    ours.error("about to break")
    raise ValueError(f"{SECRET} {request.headers.get('authorization')}")


urlpatterns = [path("break/<uuid:run_id>", _break)]


@override_settings(ROOT_URLCONF="tests.test_logs")
def test_lines_from_within_a_request_say_the_same(db, lines):
    run_id = "00000000-0000-4000-8000-000000000001"
    client = Client(raise_request_exception=False, headers={"authorization": "Bearer t0ken"})
    answer = client.get(f"/break/{run_id}?ticket=t1cket")

    assert answer.status_code == 500
    ids = {(line["request_id"], line["run_id"]) for line in lines.all}
    assert ids == {(answer["X-Request-ID"], run_id)}
    assert [line["logger"] for line in lines.all][:2] == ["runtime.tests", "django.request"]
    for secret in (SECRET, "t0ken", "t1cket"):
        assert secret not in lines.text


# --- runs --------------------------------------------------------------------------------


@pytest.fixture
def broken_critic(monkeypatch):
    """A critic with a mistake of ours that has a text at hand."""

    async def run(step):
        raise ValueError(step.state["input_topic"])

    broken = dataclasses.replace(nodes.KINDS["critic"], run=run)
    monkeypatch.setitem(nodes.KINDS, "critic", broken)


def test_the_lines_of_runs_that_are_driven_together_say_whose_they_are(
    new_run, drain, broken_critic, alice, lines
):
    made = [new_run() for _ in range(3)]

    drain()

    told = lines.of("runtime.execution.attempt")
    assert {line["run_id"] for line in told} == {str(run.pk) for run in made}
    assert {line["user_id"] for line in told} == {alice.pk}
    for line in told:
        assert line["run_id"] in line["message"]


async def test_what_serves_all_is_not_said_to_be_the_first_ones(new_run, lines, monkeypatch):
    run = await sync_to_async(new_run)()
    looked, again = [], asyncio.Event()
    loop = asyncio.get_running_loop()

    def away(run_ids):
        looked.append(run_ids)
        if len(looked) == 2:
            loop.call_soon_threadsafe(again.set)
        raise OperationalError("away")

    monkeypatch.setattr(feed.hubs, "POLL_SECONDS", 0.01)
    with logs.bound(user_id=1, request_id="the-first"):
        async with feed.hub().watch(run.pk):
            monkeypatch.setattr(events, "heads", away)
            await again.wait()
            await feed.hub().close()

    line = lines.of("experience.feed")[0]
    assert line["message"].startswith("the log cannot be read")
    assert line.keys().isdisjoint(logs.IDS)


async def test_no_line_of_a_run_or_a_request_quotes_a_text_a_token_or_a_key(
    default, alice, adrain, settings, lines, broken_critic
):
    token = await sync_to_async(access.create_token)(alice, "test")
    client, signed = AsyncClient(), {"authorization": f"Bearer {token}"}
    said = "The-model-said-9b2e"
    async with served(settings) as provider:
        settings.OPENAI_API_KEY = "sk-k3y-of-the-operator"
        provider.then(speech.Answer(status=500), speech.Answer(text=said))
        body = {"input_topic": SECRET, "model": "openai:gpt-4o"}
        made = await client.post("/api/councils/run", body, _JSON, headers=signed)
        ticket = (await client.post("/api/tickets", headers=signed)).json()["ticket"]
        await adrain()
    await client.get(f"/sign-in/?ticket={ticket}")
    await client.get(f"/api/nothing/?ticket={ticket}")
    await client.post("/api/councils/run", f'{{"{SECRET}', _JSON, headers=signed)

    assert made.status_code == 202
    loggers = {line["logger"] for line in lines.all}
    assert {"councilos.access", "runtime.llm.faults", "runtime.execution.attempt"} <= loggers
    for secret in (SECRET, said, token, ticket, "sk-k3y-of-the-operator", "Bearer"):
        assert secret not in lines.text
