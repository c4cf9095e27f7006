"""Server-Sent Events: a run's log and a conversation, followed over plain HTTP."""

import asyncio
import contextlib
import json

import pytest
from asgiref.sync import SyncToAsync, sync_to_async
from django.test import Client as Browser

from experience import access, conversations, feed, models, watch
from experience.api import streams
from runtime import events, runs
from tests.streams import ask


@pytest.fixture(autouse=True)
async def _hub_closed():
    yield
    await feed.hub().close()


@pytest.fixture
def finished(new_run, drain):
    run = new_run()
    drain()
    return run


@pytest.fixture
def log(finished):
    return events.since(finished.pk, 0)


def _events(run):
    return f"/api/councils/run/{run.pk}/events"


# --- a run -----------------------------------------------------------------------------


async def test_a_stream_of_a_run_that_has_ended_is_its_log_and_then_ends(finished, log, alice):
    async with ask(_events(finished), alice) as client:
        found = await client.events()

    assert (client.status, client.headers["content-type"]) == (200, "text/event-stream")
    assert [event.data for event in found] == [event.as_json() for event in log]
    assert [(event.id, event.name) for event in found] == [(e.seq, e.kind) for e in log]


async def test_the_first_events_come_before_the_run_has_begun(new_run, alice, adrain):
    run = await sync_to_async(new_run)()
    async with ask(_events(run), alice) as client:
        first = await client.event()
        working = asyncio.create_task(adrain())
        rest = await client.events()
        await working

    assert (first.id, first.name) == (1, "run.created")
    assert rest[0].name == "run.started"
    assert rest[-1].name == "run.completed"


async def test_a_stream_goes_on_after_any_event_that_the_client_has(finished, log, alice):
    for position in (1, 5, log[-1].seq - 1):
        headers = {"last-event-id": str(position)}
        async with ask(f"{_events(finished)}?after=3", alice, headers=headers) as client:
            by_header = await client.events()
        async with ask(f"{_events(finished)}?after={position}", alice) as client:
            by_query = await client.events()

        assert [event.id for event in by_header] == [e.seq for e in log if e.seq > position]
        assert by_query == by_header


async def test_who_has_had_the_end_is_told_not_to_come_back(finished, log, alice):
    headers = {"last-event-id": str(log[-1].seq)}
    async with ask(_events(finished), alice, headers=headers) as client:
        body = await client.body()

    assert (client.status, body) == (204, None)


async def test_a_run_that_is_retried_is_followed_past_its_failure(
    new_run, alice, adrain, settings
):
    settings.OPENAI_API_KEY, settings.OPENAI_BASE_URL = "k", "http://127.0.0.1:1/v1"
    settings.MODEL_RETRY_SECONDS = 0.01
    run = await sync_to_async(new_run)(model="openai:gpt-4o")
    await adrain()
    await sync_to_async(runs.retry)(run.pk, by="alice")
    async with ask(_events(run), alice) as client:
        working = asyncio.create_task(adrain())
        found = await client.events()
        await working

    ends = [event.name for event in found if event.name in (*events.ENDS, "run.retried")]
    assert ends == ["run.failed", "run.retried", "run.failed"]


@pytest.mark.parametrize("position", ["x", "-1", "1.5", "9" * 30, "0" * 5000, "²"])
async def test_a_position_that_is_no_number_is_refused_in_json(position, finished, alice):
    headers = {"last-event-id": position.encode().decode("latin1")}
    async with ask(_events(finished), alice, headers=headers) as client:
        body = await client.body()

    assert (client.status, client.headers["content-type"]) == (400, "application/json")
    assert body["error"]["code"] == "input_invalid"


async def test_a_refusal_is_told_in_json(finished, bob):
    async with ask(_events(finished), bob) as client:
        foreign = await client.body()
    async with ask(_events(finished)) as anonymous:
        nobody = await anonymous.body()

    assert (client.status, client.headers["content-type"]) == (404, "application/json")
    assert foreign["error"]["code"] == "run_not_found"
    assert (anonymous.status, nobody["error"]["code"]) == (401, "not_authenticated")


@pytest.mark.parametrize("accept", ["application/json", "*/*", "text/html, */*;q=0.1"])
async def test_who_does_not_ask_for_a_stream_gets_a_page(accept, finished, alice):
    async with ask(_events(finished), alice, accept=accept) as client:
        page = await client.body()

    assert client.headers["content-type"] == "application/json"
    assert page["events"][0]["kind"] == "run.created"


async def test_a_head_request_does_not_wait_for_the_runs_end(new_run, alice):
    run = await sync_to_async(new_run)()
    async with ask(_events(run), alice, method="HEAD") as client:
        await client.body()

    assert client.status == 405


async def test_a_silent_stream_shows_that_it_lives(new_run, alice, monkeypatch):
    monkeypatch.setattr(streams, "SILENT_SECONDS", 0.05)
    run = await sync_to_async(new_run)()
    async with ask(_events(run), alice) as client:
        blocks = [await client.block() for _ in range(4)]

    assert blocks[0].startswith("retry: ")
    assert blocks[1].startswith("id: 1\n")
    assert blocks[2:] == [": alive", ": alive"]


# --- its end by other hands ------------------------------------------------------------


async def test_a_revoked_token_ends_its_stream_within_five_seconds(new_run, alice, bob):
    run = await sync_to_async(new_run)()
    async with ask(_events(run), alice) as client, ask(_events(run), alice) as other:
        await client.event()
        revoked = await sync_to_async(models.Token.objects.earliest)("pk")
        await sync_to_async(access.revoke_token)(alice, revoked.name)

        ended = await asyncio.wait_for(client.event(), 5)

        assert ended is None
        assert (await other.event()).id == 1
        await sync_to_async(runs.cancel)(run.pk, by="alice")
        assert [event.name for event in await other.events()] == ["run.cancelled"]


async def test_logging_out_ends_the_sessions_streams(new_run, alice):
    run = await sync_to_async(new_run)()
    browser = Browser()
    await sync_to_async(browser.force_login)(alice)
    cookie = {"cookie": f"sessionid={browser.session.session_key}"}
    async with ask(_events(run), headers=cookie) as client:
        assert (await client.event()).id == 1
        await sync_to_async(browser.logout)()
        await watch.Watch.look_once()

        assert await client.event() is None


async def test_a_server_that_stops_ends_its_streams(new_run, alice):
    run = await sync_to_async(new_run)()
    async with ask(_events(run), alice) as client:
        await client.event()
        await watch.close_all()

        assert await client.event() is None


async def test_more_streams_than_a_user_may_have_are_refused_and_those_closed_not_counted(
    new_run, alice, settings
):
    settings.SOCKETS_PER_USER = 2
    run = await sync_to_async(new_run)()
    async with ask(_events(run), alice) as first, ask(_events(run), alice) as second:
        await first.event(), await second.event()
        async with ask(_events(run), alice) as third:
            body = await third.body()
    async with ask(_events(run), alice) as later:
        await later.event()

    assert (third.status, body["error"]["code"]) == (429, "too_many_sockets")
    assert later.status == 200


async def test_a_server_that_is_full_refuses_a_stream(new_run, alice, settings):
    settings.MOST_SOCKETS = 0
    run = await sync_to_async(new_run)()
    async with ask(_events(run), alice) as client:
        body = await client.body()

    assert (client.status, body["error"]["code"]) == (503, "overloaded")


async def test_a_client_that_leaves_leaves_nothing_behind(new_run, alice):
    run = await sync_to_async(new_run)()
    async with ask(_events(run), alice) as client:
        await client.event()

    assert not watch.Watch.lines()
    assert not [t for t in asyncio.all_tasks() if "Stream" in repr(t)]


async def test_one_stream_is_sent_a_bounded_amount_and_goes_on_in_the_next(
    finished, log, alice, monkeypatch
):
    """What an ASGI server keeps for a client that does not read is no more than that."""
    monkeypatch.setattr(streams, "MOST_BYTES", 1000)
    found, position = [], 0
    while True:
        headers = {"last-event-id": str(position)}
        async with ask(_events(finished), alice, headers=headers) as client:
            if client.status == 204:
                break
            part = await client.events()
        size = sum(len(json.dumps(event.data)) for event in part[:-1])
        assert part
        assert size < 1000
        found += part
        position = part[-1].id

    assert [event.data for event in found] == [event.as_json() for event in log]


async def test_a_stream_that_follows_a_run_outlives_the_request_that_was_first(
    new_run, alice, adrain, monkeypatch
):
    """Django gives each request a thread. The feed, which is everybody's, must not work in it:
    it would be begun again after its end, and stay."""
    monkeypatch.setattr(events, "ring", lambda run_id, new: None)  # so that the log is read
    run = await sync_to_async(new_run)()
    async with contextlib.AsyncExitStack() as first_request:
        first = await first_request.enter_async_context(ask(_events(run), alice))
        await first.event()
        async with ask(_events(run), alice) as later:
            await later.event()
            await first_request.aclose()
            working = asyncio.create_task(adrain())
            found = await later.events()
            await working

    assert found[-1].name == "run.completed"
    assert not [*SyncToAsync.context_to_thread_executor]


# --- a conversation --------------------------------------------------------------------


@pytest.fixture
def posted(alice, shipped_blueprints):
    return conversations.post(alice, text="Hello, who are you?")


def _conversation(posted):
    return f"/api/conversations/{posted.message.conversation_id}/events"


async def test_a_conversation_is_followed_from_one_message_to_the_next(posted, alice, adrain):
    async with ask(_conversation(posted), alice) as client:
        working = asyncio.create_task(adrain())
        first = [await client.event()]
        while first[-1].name != "agent.completed":
            first.append(await client.event())
        await working
        await sync_to_async(conversations.post)(
            alice, text="And now?", conversation_id=posted.message.conversation_id
        )
        following = await client.event()

    assert first[0].name == "agent.started"
    assert [event.id for event in first] == sorted({event.id for event in first})
    assert all(event.data["data"]["seq"] == event.id for event in first)
    assert (following.name, following.id > first[-1].id) == ("agent.started", True)


async def test_a_conversation_goes_on_after_what_the_client_has(posted, alice, adrain):
    await adrain()
    async with ask(_conversation(posted), alice, accept="application/json") as client:
        whole = (await client.body())["events"]
    for number, frame in enumerate(whole[:-1]):
        headers = {"last-event-id": str(frame["data"]["seq"])}
        async with ask(_conversation(posted), alice, headers=headers) as client:
            rest = [await client.event() for _ in whole[number + 1 :]]

        assert [event.data for event in rest] == whole[number + 1 :]


async def test_somebody_elses_conversation_is_not_streamed(posted, bob, admin_user):
    for user in (bob, admin_user):
        async with ask(_conversation(posted), user) as client:
            body = await client.body()

        assert (client.status, body["error"]["code"]) == (404, "conversation_not_found")
