"""The council socket: the frames, who may join, and readers of every speed."""

import asyncio
import json
from datetime import timedelta

import pytest
from asgiref.sync import sync_to_async
from django.conf import settings as django_settings
from django.db import transaction
from django.test import Client as Browser
from django.utils import timezone

from experience import access, feed, watch
from experience import models as credentials
from experience.consumers import window
from experience.feed import latest
from runtime import events, models, runs
from tests.sockets import connect


@pytest.fixture
def finished(new_run, drain):
    run = new_run()
    drain()
    return run


@pytest.fixture(autouse=True)
async def _hub_closed():
    yield
    await feed.hub().close()


def _names(frames):
    return [frame["event"] for frame in frames if frame["event"] != "node_token"]


WHOLE = [
    "connected",
    "run_created",
    "run_started",
    *["node_start", "node_active", "node_complete"] * 5,
    "run_complete",
]


async def test_a_socket_that_joins_after_the_end_sees_the_whole_log_and_the_end(
    finished, alice
):
    async with connect(finished.pk, alice) as client:
        frames = await client.frames()

    assert _names(frames) == WHOLE
    assert client.code == 1000


async def test_a_socket_that_joins_before_the_start_sees_the_same(new_run, alice, adrain):
    run = await sync_to_async(new_run)()
    async with connect(run.pk, alice) as client:
        working = asyncio.create_task(adrain())
        frames = await client.frames()
        await working

    assert _names(frames) == WHOLE
    assert client.code == 1000


async def test_a_socket_that_comes_back_with_after_gets_only_what_came_later(finished, alice):
    log = await sync_to_async(events.since)(finished.pk, 0)
    for after in range(len(log)):
        async with connect(finished.pk, alice, query=f"?after={after}") as client:
            frames = await client.frames()

        seqs = [frame["seq"] for frame in frames[1:]]
        assert sorted(set(seqs)) == [event.seq for event in log if event.seq > after]
        assert seqs == sorted(seqs)


async def test_the_first_frame_says_where_the_run_stands_and_draws_its_blueprint(
    finished, alice
):
    async with connect(finished.pk, alice) as client:
        first = await client.frame()

    assert first["status"] == "completed"
    assert [node["id"] for node in first["blueprint"]["nodes"]] == [
        "master_agent",
        "critic_agent",
        "writer_agent",
    ]
    assert {edge["type"] for edge in first["blueprint"]["edges"]} == {"linear", "conditional"}


async def test_older_clients_find_the_fixed_fields_in_every_fixed_frame(finished, alice):
    fixed = {
        "connected": {"status"},
        "node_start": {"node", "iteration"},
        "node_active": {"node", "iteration"},
        "node_complete": {"node"},
        "run_complete": {"final_draft", "critic_score", "iteration_count"},
    }
    async with connect(finished.pk, alice) as client:
        frames = await client.frames()

    for frame in frames:
        assert fixed.get(frame["event"], set()) | {"event", "run_id"} <= frame.keys()
    scores = [f["score"] for f in frames if f["event"] == "node_complete" and f["score"]]
    assert scores == [6.5, 8.5]


# --- the seam between replay and following ---------------------------------------------


async def test_an_event_between_the_read_of_the_log_and_the_doorbell_is_not_lost(
    new_run, alice, monkeypatch
):
    """The race, injected: the log grows just after the feed has read it. No poll helps."""
    monkeypatch.setattr(feed.hubs, "POLL_SECONDS", 3600)
    run = await sync_to_async(new_run)()
    since, late = events.since, []

    def since_then_grow(run_id, seq, *, limit=500):
        found = since(run_id, seq, limit=limit)
        if not late:
            late.append(runs.cancel(run.pk, by="the race"))
        return found

    monkeypatch.setattr(events, "since", since_then_grow)

    async with connect(run.pk, alice) as client:
        frames = await client.frames()

    assert _names(frames) == ["connected", "run_created", "run_cancelled"]


async def test_without_any_doorbell_every_event_still_comes(new_run, alice, monkeypatch):
    """Rule 3: the channel layer is latency only."""

    monkeypatch.setattr(events, "ring", lambda run_id, new: None)
    run = await sync_to_async(new_run)()
    async with connect(run.pk, alice) as client:
        assert (await client.frame())["event"] == "connected"
        assert (await client.frame())["event"] == "run_created"
        await sync_to_async(runs.cancel)(run.pk, by="x")
        frames = await client.frames()

    assert _names(frames) == ["run_cancelled"]


async def test_rings_that_come_twice_late_or_in_the_wrong_order_change_nothing(new_run, alice):
    run = await sync_to_async(new_run)()
    async with connect(run.pk, alice) as client:
        await client.frame()
        await client.frame()
        for n in range(20):
            await sync_to_async(_append)(run, n)
        log = await sync_to_async(events.since)(run.pk, 0)
        for event in [*reversed(log), *log]:
            events.ring(run.pk, [event])
        await sync_to_async(runs.cancel)(run.pk, by="x")
        frames = await client.frames()

    assert [frame["seq"] for frame in frames] == list(range(2, 23))


def _append(run, n):
    with transaction.atomic():
        events.append(run, "node.token", key=f"t{n}", node="a", task=f"t{n}", text="x")


async def test_a_ring_is_taken_only_if_it_follows_on_what_is_known(new_run):
    """Rule 3: a ring before it was lost, and then the log has to be read."""
    run = await sync_to_async(new_run)()
    log = [
        events.Logged(run.pk, n, "node.token", {"task": "t"}, run.created_at) for n in (1, 2, 3)
    ]
    fed = feed.Feed(run.pk)

    assert not fed.take(3, log[2:])
    assert fed.head == 0
    assert fed.take(2, log[:2])
    assert fed.take(2, log[:2])
    assert fed.take(3, log[2:])
    assert [entry.event.seq for entry in await fed.after(0)] == [1, 2, 3]


async def test_many_sockets_of_one_run_share_one_feed_and_one_read(
    finished, alice, monkeypatch
):
    """Rule 4."""
    since, reads = events.since, []

    def counted(run_id, seq, *, limit=500):
        reads.append(seq)
        return since(run_id, seq, limit=limit)

    monkeypatch.setattr(events, "since", counted)

    async with feed.hub().watch(finished.pk) as first, feed.hub().watch(finished.pk) as second:
        assert first is second
        pages = await asyncio.gather(*(first.after(0) for _ in range(1000)))

    assert len(reads) == 1
    assert len({len(page) for page in pages}) == 1


async def test_tokens_that_wait_for_a_reader_come_as_one_and_the_cursor_passes_none(
    new_run, alice
):
    """Rules 4 and 6: the text whole, the `seq` of its last token, no other text passed over."""
    run = await sync_to_async(new_run)()
    told = [("t", "One "), ("t", "two "), ("u", "aside"), ("t", "three")]
    await sync_to_async(_append_texts)(run, told)
    async with connect(run.pk, alice) as client:
        frames = [await client.frame() for _ in range(5)]
    async with connect(run.pk, alice, query="?after=2") as client:
        later = [await client.frame() for _ in range(4)]

    assert [(frame["seq"], frame["text"]) for frame in frames[2:]] == [
        (3, "One two "),
        (4, "aside"),
        (5, "three"),
    ]
    assert [frame["text"] for frame in later[1:]] == ["two ", "aside", "three"]
    log = await sync_to_async(events.since)(run.pk, 1)
    assert frames[2]["at"] == events.stamp(log[0].at)


async def test_tokens_are_joined_to_so_much_and_no_more(new_run, monkeypatch):
    run = await sync_to_async(new_run)()
    monkeypatch.setattr(latest, "JOINED_CHARS", 500)
    data = {"node": "a", "task": "t", "text": "x" * 300}
    at = timezone.now()
    entries = [latest.Entry(events.Logged(run.pk, n, "node.token", data, at)) for n in range(5)]

    joined = list(feed.joined(entries))

    assert [(entry.event.seq, len(entry.event.data["text"])) for entry in joined] == [
        (1, 600),
        (3, 600),
        (4, 300),
    ]
    assert joined[-1] is entries[-1]


def _append_texts(run, told):
    for n, (task, text) in enumerate(told):
        with transaction.atomic():
            events.append(run, "node.token", key=f"t{n}", node="a", task=task, text=text)


async def test_the_feed_forgets_tokens_as_the_log_does(new_run):
    """Rule 6: a page opened later sees the result, not the tokens and the result."""
    run = await sync_to_async(new_run)()
    followed = feed.Feed(run.pk)
    at = timezone.now()
    new = [
        events.Logged(run.pk, 1, "node.token", {"task": "a", "text": "x"}, at),
        events.Logged(run.pk, 2, "node.token", {"task": "b", "text": "y"}, at),
        events.Logged(run.pk, 3, "node.completed", {"task": "a"}, at),
    ]

    followed.take(3, new)

    assert [entry.event.seq for entry in await followed.after(0)] == [2, 3]


async def test_the_feed_takes_of_a_ring_only_what_follows_without_a_hole(new_run):
    run = await sync_to_async(new_run)()
    followed = feed.Feed(run.pk)
    at = timezone.now()
    ring = [events.Logged(run.pk, n, "run.started", {}, at) for n in (1, 2, 4, 3)]

    assert followed.take(4, ring) is False

    assert [entry.event.seq for entry in await followed.after(0)] == [1, 2, 3]


@pytest.mark.parametrize("beyond", [0, 1, 999_999])
async def test_a_client_that_has_had_the_end_already_is_closed_at_once(finished, alice, beyond):
    await finished.arefresh_from_db()
    query = f"?after={finished.last_seq + beyond}"
    async with connect(finished.pk, alice, query=query) as client:
        frames = await client.frames()

    assert _names(frames) == ["connected"]
    assert client.code == 1000


# --- slow readers ----------------------------------------------------------------------


async def test_a_client_that_acknowledges_is_never_sent_more_than_its_window(
    new_run, alice, monkeypatch
):
    """Rule 5."""
    run = await sync_to_async(new_run)()
    await sync_to_async(_append_many)(run, 600)
    monkeypatch.setattr(window, "WINDOW_EVENTS", 50)
    async with connect(run.pk, alice) as client:
        assert (await client.frame())["event"] == "connected"
        await client.send(type="ack", seq=0)
        await client.frame()  # one at least is on its way before the ack is heard
        received = 1
        while not await client.silent(0.2):
            await client.frame()
            received += 1
        await client.send(type="ack", seq=601)
        more = await client.frame()

    assert received < 600
    assert more is not None


def _append_many(run, count, size=10):
    rows = [
        models.Event(
            run=run,
            seq=run.last_seq + n + 1,
            kind="node.token",
            key=f"many{n}",
            data={"node": "a", "task": f"t{n}", "text": "x" * size},
            at=timezone.now(),
        )
        for n in range(count)
    ]
    models.Event.objects.bulk_create(rows, batch_size=1000)
    models.Run.objects.filter(pk=run.pk).update(last_seq=run.last_seq + count)


async def test_a_client_that_makes_no_room_is_closed_and_may_come_back(
    new_run, alice, monkeypatch
):
    """Rule 5: 4008, and with `after` nothing is missing."""
    run = await sync_to_async(new_run)()
    await sync_to_async(_append_many)(run, 300, size=1000)
    monkeypatch.setattr(window, "SILENT_WINDOW_BYTES", 100_000)
    monkeypatch.setattr(window, "SLOW_SECONDS", 0.2)
    seen, codes = [], set()
    while not seen or seen[-1] < 301:
        after = seen[-1] if seen else 0
        async with connect(run.pk, alice, query=f"?after={after}") as client:
            while (frame := await client.frame()) is not None:
                if "text" in frame or frame["event"] == "run_created":
                    seen.append(frame["seq"])
                if seen and seen[-1] == 301:
                    break
        codes.add(client.code)

    assert codes - {None} == {4008}
    assert seen == list(range(1, 302))


# --- who may ---------------------------------------------------------------------------


async def test_a_run_of_somebody_else_is_not_found(finished, bob):
    async with connect(finished.pk, bob) as client:
        frames = await client.frames()

    assert [(f["event"], f["code"]) for f in frames] == [("error", "run_not_found")]
    assert client.code == 4404


@pytest.mark.parametrize("run_id", ["00000000-0000-4000-8000-000000000000", "nonsense"])
async def test_an_unknown_run_is_not_found(run_id, alice):
    async with connect(run_id, alice) as client:
        frames = await client.frames()

    assert frames[0]["message"] == "There is no such run."
    assert client.code == 4404


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("", {}),
        ("", {"authorization": "Bearer nonsense"}),
        ("?ticket=nonsense", {}),
        ("?session_token=nonsense", {}),
    ],
)
async def test_without_a_good_credential_the_socket_says_why_and_closes(
    finished, query, headers
):
    async with connect(finished.pk, query=query, headers=headers) as client:
        frames = await client.frames()

    assert [frame["code"] for frame in frames] == ["not_signed_in"]
    assert client.code == 4401


async def test_a_long_lived_token_in_the_query_is_refused(finished, alice):
    token = await sync_to_async(access.create_token)(alice, "t")
    for name in ("ticket", "session_token", "token"):
        async with connect(finished.pk, query=f"?{name}={token}") as client:
            await client.frames()

        assert client.code == 4401


@pytest.mark.parametrize("name", ["ticket", "session_token"])
async def test_a_ticket_is_good_once(finished, alice, name):
    ticket, _ = await sync_to_async(access.issue_ticket)(alice)
    codes = []
    for _ in range(2):
        async with connect(finished.pk, query=f"?{name}={ticket}") as client:
            await client.frames()
        codes.append(client.code)

    assert codes == [1000, 4401]


async def test_a_ticket_that_is_too_old_is_refused(finished, alice):
    ticket, _ = await sync_to_async(access.issue_ticket)(alice, life=timedelta(0))
    async with connect(finished.pk, query=f"?ticket={ticket}") as client:
        await client.frames()

    assert client.code == 4401


def _cookie(user):
    browser = Browser()
    browser.force_login(user)
    return f"{django_settings.SESSION_COOKIE_NAME}={browser.cookies['sessionid'].value}"


@pytest.mark.parametrize(
    ("origin", "code"),
    [
        ("http://localhost:8000", 1000),
        ("http://localhost:9000", 403),
        ("https://localhost:8000", 403),
        ("http://evil.example", 403),
        ("null", 403),
    ],
)
async def test_a_session_counts_only_from_this_very_origin(finished, alice, origin, code):
    cookie = await sync_to_async(_cookie)(alice)
    headers = {"cookie": cookie, "host": "localhost:8000", "origin": origin}
    async with connect(finished.pk, headers=headers) as client:
        if client.code is None:
            await client.frames()

    assert client.code == code


async def test_an_allowed_origin_may_connect(finished, alice, settings):
    settings.ALLOWED_ORIGINS = ["https://app.example"]
    ticket, _ = await sync_to_async(access.issue_ticket)(alice)
    headers = {"host": "localhost:8000", "origin": "https://app.example"}
    async with connect(finished.pk, query=f"?ticket={ticket}", headers=headers) as client:
        await client.frames()

    assert client.code == 1000


async def test_a_revoked_token_closes_its_sockets_and_no_others(new_run, alice):
    run = await sync_to_async(new_run)()
    async with connect(run.pk, alice) as revoked, connect(run.pk, alice) as kept:
        await revoked.frame(), await kept.frame()
        await revoked.frame(), await kept.frame()
        first = await credentials.Token.objects.order_by("pk").afirst()
        await sync_to_async(access.revoke_token)(alice, first.name)

        await watch.Watch.look_once()

        assert [frame["code"] for frame in await revoked.frames()] == ["not_signed_in"]
        assert revoked.code == 4401
        assert await kept.silent(0.05)


async def test_signing_out_closes_the_sockets_of_that_session(new_run, alice):
    run = await sync_to_async(new_run)()
    cookie = await sync_to_async(_cookie)(alice)
    headers = {"cookie": cookie, "host": "h:1", "origin": "http://h:1"}
    django_settings.ALLOWED_HOSTS.append("h")
    async with connect(run.pk, headers=headers) as client:
        await client.frame(), await client.frame()
        await sync_to_async(_sign_out)(cookie)

        await watch.Watch.look_once()

        await client.frames()
    django_settings.ALLOWED_HOSTS.remove("h")
    assert client.code == 4401


def _sign_out(cookie):
    from django.contrib.sessions.models import Session

    Session.objects.filter(pk=cookie.partition("=")[2]).delete()


# --- bad frames ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "not json",
        "[]",
        "null",
        '{"type": "unknown"}',
        '{"type": "ack"}',
        '{"type": "ack", "seq": -1}',
        json.dumps({"type": "ack", "seq": "x" * 70_000}),
    ],
)
async def test_a_frame_that_cannot_be_read_is_answered_and_the_socket_lives(
    new_run, alice, text
):
    run = await sync_to_async(new_run)()
    async with connect(run.pk, alice) as client:
        await client.frame(), await client.frame()

        await client.send_text(text)

        assert (await client.frame())["event"] == "error"
        await sync_to_async(runs.cancel)(run.pk, by="x")
        assert _names(await client.frames()) == ["run_cancelled"]


@pytest.mark.parametrize("after", ["-1", "x", "1.5", "9" * 30, "%00"])
async def test_a_position_that_is_no_number_is_malformed(finished, alice, after):
    async with connect(finished.pk, alice, query=f"?after={after}") as client:
        await client.frames()

    assert client.code == 4400
