"""Who may use the agent socket, how long, how much, and what it makes of bad frames."""

import asyncio
import json

import pytest
from asgiref.sync import sync_to_async
from django.conf import settings as django_settings
from django.contrib.sessions.models import Session
from django.test import Client as Browser
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from experience import access, consumers, conversations, feed, rates, watch
from experience import models as credentials
from runtime import models
from tests.agents import connect, types


@pytest.fixture(autouse=True)
async def _hub_closed(shipped_blueprints):
    yield
    await feed.hub().close()


@pytest.fixture(autouse=True)
def _nothing_counted(alice):
    rates._client().flushdb()
    rates._asked_again_at = 0.0


async def answers(client):
    """Whether the socket lives and its client is signed in."""
    await client.send(type="ping")
    frame = await client.frame()
    return frame is not None and frame["type"] == "pong"


async def refusal(client):
    """The one frame before the socket was closed, if it was accepted at all."""
    frames = [] if client.code == 403 else await _rest(client)
    return [frame["code"] for frame in frames], client.code


async def _rest(client):
    found = []
    while (frame := await client.frame()) is not None:
        found.append(frame)
    return found


def cookie_of(user):
    browser = Browser()
    browser.force_login(user)
    return (
        browser,
        f"{django_settings.SESSION_COOKIE_NAME}={browser.cookies['sessionid'].value}",
    )


def own_origin(cookie):
    return {"cookie": cookie, "host": "localhost:8000", "origin": "http://localhost:8000"}


# --- signing in ------------------------------------------------------------------------


async def test_a_valid_token_signs_in(alice):
    async with connect(alice) as client:
        assert await answers(client)


@pytest.mark.parametrize("name", ["ticket", "session_token"])
async def test_a_ticket_signs_in_once(alice, name):
    ticket, _ = await sync_to_async(access.issue_ticket)(alice)
    async with connect(query=f"?{name}={ticket}") as client:
        assert await answers(client)
    async with connect(query=f"?{name}={ticket}") as client:
        assert await refusal(client) == (["not_signed_in"], 4401)


async def test_a_session_signs_in_from_this_very_origin_only(alice):
    _, cookie = await sync_to_async(cookie_of)(alice)
    async with connect(headers=own_origin(cookie)) as client:
        assert await answers(client)
    async with connect(
        headers={**own_origin(cookie), "origin": "http://evil.example"}
    ) as client:
        assert await refusal(client) == ([], 403)
    async with connect(headers={"cookie": cookie, "host": "localhost:8000"}) as client:
        assert await refusal(client) == (["not_signed_in"], 4401)


async def test_a_forbidden_origin_is_told_to_the_log(caplog):
    async with connect(headers={"host": "localhost:8000", "origin": "http://evil.example"}):
        pass
    assert "'http://evil.example' was refused" in caplog.text


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"headers": {"authorization": "Bearer cos_wrong"}},
        {"headers": {"authorization": "Basic YTpi"}},
        {"query": "?ticket=wrong"},
        {"query": "?session_token="},
    ],
)
async def test_a_missing_or_bad_credential_is_told_why_and_closed(wrong):
    async with connect(**wrong) as client:
        assert await refusal(client) == (["not_signed_in"], 4401)


async def test_a_long_lived_token_in_the_query_is_refused(alice):
    token = await sync_to_async(access.create_token)(alice, "t")
    for name in ("token", "ticket", "session_token"):
        async with connect(query=f"?{name}={token}") as client:
            assert await refusal(client) == (["not_signed_in"], 4401)


async def test_before_signing_in_nothing_is_heard():
    async with connect() as client:
        await client.say("Hello")
        await _rest(client)

    assert not await models.Run.objects.aexists()


# --- while it is open ------------------------------------------------------------------


async def test_a_revoked_token_closes_its_sockets_and_those_of_its_tickets(alice):
    secret = await sync_to_async(access.create_token)(alice, "doomed")
    token = await sync_to_async(access.token_of)(secret)
    ticket, _ = await sync_to_async(access.issue_ticket)(alice, token=token)
    headers = {"authorization": f"Bearer {secret}"}
    async with (
        connect(headers=headers) as own,
        connect(query=f"?ticket={ticket}") as opened,
        connect(alice) as other,
    ):
        assert await answers(own)
        assert await answers(opened)
        await sync_to_async(access.revoke_token)(alice, "doomed")

        await watch.Watch.look_once()

        assert await refusal(own) == (["not_signed_in"], 4401)
        assert await refusal(opened) == (["not_signed_in"], 4401)
        assert await answers(other)


async def test_what_is_said_after_signing_out_is_not_heard(alice):
    secret = await sync_to_async(access.create_token)(alice, "doomed")
    async with connect(headers={"authorization": f"Bearer {secret}"}) as client:
        assert await answers(client)
        await sync_to_async(access.revoke_token)(alice, "doomed")
        await watch.Watch.look_once()
        await client.say("Hello?")
        await _rest(client)

    assert not await models.Run.objects.aexists()


async def test_a_ticket_of_a_token_that_was_revoked_opens_nothing(alice):
    secret = await sync_to_async(access.create_token)(alice, "doomed")
    token = await sync_to_async(access.token_of)(secret)
    ticket, _ = await sync_to_async(access.issue_ticket)(alice, token=token)
    await sync_to_async(access.revoke_token)(alice, "doomed")

    async with connect(query=f"?ticket={ticket}") as client:
        assert await refusal(client) == (["not_signed_in"], 4401)


async def test_a_log_out_closes_the_sockets_of_the_session_and_of_its_tickets(alice):
    browser, cookie = await sync_to_async(cookie_of)(alice)
    key = cookie.partition("=")[2]
    ticket, _ = await sync_to_async(access.issue_ticket)(alice, session_key=key)
    async with (
        connect(headers=own_origin(cookie)) as own,
        connect(query=f"?ticket={ticket}") as opened,
    ):
        assert await answers(own)
        assert await answers(opened)
        await sync_to_async(browser.logout)()

        await watch.Watch.look_once()

        assert await refusal(own) == (["not_signed_in"], 4401)
        assert await refusal(opened) == (["not_signed_in"], 4401)
    assert not await Session.objects.aexists()


async def test_a_deactivated_user_is_closed_out(alice):
    async with connect(alice) as client:
        assert await answers(client)
        alice.is_active = False
        await alice.asave()

        await watch.Watch.look_once()

        assert await refusal(client) == (["not_signed_in"], 4401)


# --- how much --------------------------------------------------------------------------


async def test_more_messages_than_allowed_are_refused_with_when_to_come_back(
    alice, bob, settings
):
    settings.MESSAGES_PER_MINUTE = 2
    async with connect(alice) as client, connect(alice) as second, connect(bob) as other:
        await client.say("1", id="1")
        await client.until("agent.started")
        await second.say("2", id="2")
        await second.until("agent.started")
        await client.say("3", id="3")
        refused = await client.frame()
        await other.say("1", id="1")

        assert (refused["code"], refused["id"]) == ("too_many_messages", "3")
        assert 0 < refused["detail"]["retry_after"] <= 60
        assert types(await other.until("agent.started")) == ["agent.started"]
        assert await answers(client)
    assert await credentials.Message.objects.filter(sender=alice).acount() == 2


async def test_more_sockets_than_allowed_are_told_so_and_closed(alice, bob, settings):
    settings.SOCKETS_PER_USER = 2
    async with connect(alice) as first, connect(alice) as second:
        assert await answers(first)
        assert await answers(second)
        async with connect(alice) as third, connect(bob) as other:
            assert await refusal(third) == (["too_many_sockets"], 4429)
            assert await answers(other)
    async with connect(alice) as again:
        assert await answers(again)


async def test_sockets_of_a_server_that_was_killed_are_forgotten(alice, settings, monkeypatch):
    settings.SOCKETS_PER_USER = 1
    monkeypatch.setattr(rates, "LEASE_SECONDS", 1)
    await sync_to_async(rates.take_socket)(alice, "of a dead server")

    for _ in range(100):
        async with connect(alice) as client:
            if client.code is None and await answers_or_closed(client):
                return
        await asyncio.sleep(0.05)
    raise AssertionError("never forgotten")


async def answers_or_closed(client):
    await client.send(type="ping")
    frame = await client.frame()
    return frame is not None and frame["type"] == "pong"


async def test_a_socket_that_stays_open_is_counted_as_long(alice, settings):
    settings.SOCKETS_PER_USER = 1
    async with connect(alice) as first:
        assert await answers(first)
        rates._client().flushdb()

        await watch.Watch.look_once()

        async with connect(alice) as second:
            assert await refusal(second) == (["too_many_sockets"], 4429)


async def test_a_full_process_refuses_before_it_accepts(alice, settings):
    async with connect(alice) as first:
        assert await answers(first)
        settings.MOST_SOCKETS = 1
        async with connect(alice) as second:
            assert second.code == 403


async def test_while_redis_is_away_nobody_is_refused(alice, settings):
    settings.MESSAGES_PER_MINUTE = settings.SOCKETS_PER_USER = 1
    settings.REDIS_URL = "redis://127.0.0.1:1"
    for made in (rates._pool, rates._client, rates._limiter):
        made.cache_clear()
    try:
        async with connect(alice) as first, connect(alice) as second:
            assert await answers(first)
            for number in range(3):
                await second.say("Hello", id=str(number))
                await second.until("agent.started")
    finally:
        for made in (rates._pool, rates._client, rates._limiter):
            made.cache_clear()


async def test_beginning_anew_again_and_again_gets_a_silent_client_no_more(
    alice, monkeypatch, adrain
):
    monkeypatch.setattr(consumers.window, "SILENT_WINDOW_BYTES", 3_000)
    monkeypatch.setattr(consumers.window, "SLOW_SECONDS", 0.2)
    posted = await sync_to_async(conversations.post)(alice, text="Hello")
    await adrain()
    about = {"conversation_id": str(posted.message.conversation_id)}
    async with connect(alice) as client:
        told = []
        while client.code is None:
            await client.send(type="agent.resume", **about)
            told += await client.until_end()

    assert client.code == 4008
    assert sum(len(json.dumps(frame)) for frame in told) < 6_000


async def test_a_client_that_never_stops_talking_is_closed(alice, monkeypatch):
    monkeypatch.setattr(consumers.base, "MOST_FRAMES", 20)
    async with connect(alice) as client:
        for _ in range(21):
            await client.send(type="ack", seq=0)
        assert await refusal(client) == (["too_many_frames"], 4429)


# --- bad frames ------------------------------------------------------------------------


def message(**payload):
    return {"type": "agent.message", "id": "m", "payload": payload}


BAD = [
    ("not json", "malformed", "frame"),
    ("", "malformed", "frame"),
    ("[]", "malformed", "frame"),
    ("null", "malformed", "frame"),
    ("7", "malformed", "frame"),
    ('{"type": "agent.message"', "malformed", "frame"),
    ("{}", "malformed", "type"),
    ({"type": "agent.unknown"}, "malformed", "type"),
    ({"type": 7}, "malformed", "type"),
    ({"type": "agent.message"}, "malformed", "payload"),
    ({"type": "agent.message", "payload": "Hello"}, "malformed", "payload"),
    (message(), "malformed", "payload.text"),
    (message(text=7), "malformed", "payload.text"),
    (message(text=None), "malformed", "payload.text"),
    (message(text=""), "malformed", "payload.text"),
    (message(text="  \n"), "input_invalid", None),
    (message(text="x" * 10_001), "too_large", None),
    (message(text="x" * 70_000), "too_large", None),
    (message(text="ä" * 40_000), "too_large", None),
    (message(text="Hi", context=[]), "malformed", "payload.context"),
    (message(text="Hi", context={"surface": 7}), "malformed", "payload.context.surface"),
    (message(text="Hi", context={"conversation_id": "x"}), "conversation_not_found", None),
    (message(text="Hi", agent="liaison.nothing"), "agent_not_found", None),
    ({**message(text="Hi"), "id": "x" * 201}, "malformed", "id"),
    ({**message(text="Hi"), "id": 7}, "malformed", "id"),
    ({"type": "agent.cancel"}, "malformed", "run_id"),
    ({"type": "agent.cancel", "run_id": "x"}, "malformed", "run_id"),
    ({"type": "agent.resume"}, "malformed", "conversation_id"),
    ({"type": "agent.answer", "run_id": "x", "action": "approve"}, "malformed", "run_id"),
    ({"type": "ack"}, "malformed", "seq"),
    ({"type": "ack", "seq": -1}, "malformed", "seq"),
    ({"type": "ack", "seq": "many"}, "malformed", "seq"),
    ({"type": "ack", "seq": "5"}, "malformed", "seq"),
    ({"type": "ack", "seq": True}, "malformed", "seq"),
    (message(text="Hi", agent="a\0"), "malformed", "payload.agent"),
    (message(text="Hi", context={"surface": "a\0"}), "malformed", "payload.context.surface"),
    (
        message(text="Hi", context={"project_id": "\0"}),
        "malformed",
        "payload.context.project_id",
    ),
    ({**message(text="Hi"), "id": "\0"}, "malformed", "id"),
]


@pytest.mark.parametrize(("frame", "code", "field"), BAD)
async def test_a_bad_frame_is_answered_with_the_field_and_the_socket_lives(
    alice, frame, code, field
):
    async with connect(alice) as client:
        await client.send_text(frame if isinstance(frame, str) else json.dumps(frame))
        error = await client.frame()

        assert (error["type"], error["code"]) == ("error", code)
        assert error["detail"].get("field") == field
        assert error["error"]
        assert await answers(client)
    assert not await models.Run.objects.aexists()


async def test_a_frame_of_bytes_is_refused_and_the_socket_lives(alice):
    async with connect(alice) as client:
        await client.send_bytes(b"\x00\x01")
        assert (await client.frame())["code"] == "too_large"
        assert await answers(client)


async def test_what_an_existing_client_may_send_beside_is_left_alone(alice):
    async with connect(alice) as client:
        await client.send(
            type="agent.message",
            version=2,
            payload={
                "text": "Hello",
                "mood": "good",
                "context": {
                    "surface": None,
                    "project_id": None,
                    "conversation_id": "",
                    "locale": "de",
                },
            },
        )
        assert types(await client.until("agent.started")) == ["agent.started"]


# --- whatever comes --------------------------------------------------------------------

junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
ids = st.sampled_from(["a", "b", "c"])
uuids = st.uuids().map(str)
kinds = st.sampled_from(
    ["agent.message", "agent.cancel", "agent.answer", "agent.resume", "ack", "ping", "x"]
)
loose = st.fixed_dictionaries(
    {"type": kinds | junk},
    optional={
        "id": ids | junk,
        "payload": st.fixed_dictionaries(
            {"text": st.text(min_size=1) | junk},
            optional={
                "agent": st.sampled_from(["guide.general", "liaison.x"]) | junk,
                "context": st.fixed_dictionaries(
                    {}, optional={"surface": st.text() | junk, "conversation_id": uuids | junk}
                )
                | junk,
            },
        )
        | junk,
        "run_id": uuids | junk,
        "conversation_id": uuids | junk,
        "gate_id": uuids | junk,
        "action": st.sampled_from(["approve", "modify", "reject"]) | junk,
        "modified_state": junk,
        "after": st.integers() | junk,
        "seq": st.integers() | junk,
    },
)
frames = st.lists(loose.map(json.dumps) | junk.map(json.dumps) | st.text(), max_size=12)


@given(sent=frames)
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
async def test_no_sequence_of_frames_ends_the_socket_or_is_answered_outside_of_the_schema(
    alice, sent
):
    await sync_to_async(rates._client().flushdb)()
    async with connect(alice) as client:
        for text in sent:
            await client.send_text(text)
        await client.send(type="ping")
        heard = []
        # Every frame is checked against the schema as it comes.
        while not heard or heard[-1]["type"] != "pong" or _more_pongs(sent, heard):
            heard.append(await client.frame())
            assert heard[-1] is not None
            assert heard[-1].get("code") != "internal"


def _more_pongs(sent, heard):
    pings = 1 + sum(_is_ping(text) for text in sent)
    return sum(frame["type"] == "pong" for frame in heard) < pings


def _is_ping(text):
    try:
        found = json.loads(text)
    except ValueError:
        return False
    return isinstance(found, dict) and found.get("type") == "ping"
