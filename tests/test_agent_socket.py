"""The agent socket: whole sequences of frames, to the last one."""

import asyncio
import json

import pytest
from asgiref.sync import sync_to_async
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from experience import conversations, feed, turns
from experience.models import Conversation, Message
from experience.replies import SPAN
from runtime import gates, models, runs, tasks
from tests import provider
from tests.agents import ENDS, connect, said, types
from tests.speech import Answer

COUNCIL = [
    "agent.started",
    *["agent.node"] * 10,  # draft, critic, draft, critic, writer; each begins and ends
    "agent.completed",
]


@pytest.fixture(autouse=True)
async def _hub_closed(shipped_blueprints):
    yield
    await feed.hub().close()


@pytest.fixture
async def worker():
    """A worker beside the test."""
    stop = asyncio.Event()
    working = asyncio.create_task(tasks.work(stop=stop))
    yield
    stop.set()
    await working


@pytest.fixture
def openai(settings):
    """Aim the default model at a local provider, and do not wait long."""

    def aim(server):
        settings.OPENAI_API_KEY = "sk-secret"
        settings.OPENAI_BASE_URL = server.url
        settings.DEFAULT_MODEL = "openai:gpt-4o"
        settings.MODEL_RETRY_SECONDS = 0.01
        settings.MODEL_TIMEOUT_SECONDS = 5.0

    return aim


def guided(text: str, handoff: str = "", **more) -> Answer:
    """What the guide's model answers."""
    return Answer(json.dumps({"reason": "So.", "handoff": handoff, "text": text}), **more)


async def conversation_of(client, text="Hello there", **more) -> list:
    await client.say(text, **more)
    return await client.until_end()


def about(frames):
    return frames[0]["data"]["conversation_id"]


# --- who answers -----------------------------------------------------------------------


async def test_the_guide_answers_where_nothing_else_is_known(alice, worker):
    async with connect(alice) as client:
        frames = await conversation_of(client, id="mine")

    started, completed = frames[0]["data"], frames[-1]["data"]
    assert types(frames) == ["agent.started", "agent.completed"]
    assert (started["agent_id"], started["agent_type"]) == ("guide.general", "guide")
    assert started["routed_by"] == "default"
    assert {frame["data"]["id"] for frame in frames} == {"mine"}
    run = await models.Run.objects.aget()
    assert (completed["run_id"], completed["response"]) == (str(run.pk), run.current_draft)
    assert completed["scripted"]
    assert all(frame["type"] == "runtime_event" for frame in frames)
    assert all(frame["timestamp"].endswith("Z") for frame in frames)


@pytest.mark.parametrize(
    ("surface", "agent"),
    [
        ("insights_pillar", "liaison.insights"),
        ("journey_pillar", "liaison.journey"),
        ("outcomes_pillar", "liaison.outcomes"),
    ],
)
async def test_a_surface_goes_to_its_liaison(alice, worker, surface, agent):
    async with connect(alice) as client:
        frames = await conversation_of(client, surface=surface, project_id="p1")

    assert types(frames) == ["agent.started", "agent.completed"]
    assert (frames[0]["data"]["agent_id"], frames[0]["data"]["routed_by"]) == (agent, "surface")


async def test_a_liaison_may_be_a_whole_council_and_its_steps_are_told(alice, worker):
    async with connect(alice) as client:
        frames = await conversation_of(client, surface="content_pillar")

    steps = [frame["data"] for frame in frames if frame["event_type"] == "agent.node"]
    assert types(frames) == COUNCIL
    assert [step["state"] for step in steps] == ["started", "completed"] * 5
    assert [step["score"] for step in steps if step["score"] is not None] == [6.5, 8.5]
    assert frames[-1]["data"]["approved"] is True


async def test_a_guide_hands_over_and_the_same_message_is_answered(alice, worker):
    async with connect(alice) as client:
        frames = await conversation_of(client, "What are the insights of our survey?", id="1")

    handoff = frames[1]["data"]
    assert types(frames) == [
        "agent.started",
        "agent.handoff",
        "agent.started",
        "agent.completed",
    ]
    assert (handoff["from"], handoff["to"]) == ("guide.general", "liaison.insights")
    assert "insights" in handoff["reason"]
    assert frames[2]["data"]["routed_by"] == "handoff"
    assert len({frame["data"]["message_id"] for frame in frames}) == 1


async def test_an_agent_may_be_asked_for_by_name(alice, worker):
    async with connect(alice) as client:
        frames = await conversation_of(client, agent="liaison.journey")

    assert frames[0]["data"]["routed_by"] == "asked"


async def test_what_was_said_before_is_given_to_the_agent(alice, worker, openai):
    async with provider.serve() as server, connect(alice) as client:
        openai(server)
        server.then(guided("It is blue."), guided("As I said."))
        first = await conversation_of(client, "Which colour is it?")
        await conversation_of(client, "Are you sure?", conversation_id=about(first))

    told = server.requests[1].text
    assert "Which colour is it?" in told
    assert "It is blue." in told
    assert await Message.objects.acount() == 4


# --- tokens ----------------------------------------------------------------------------


async def test_an_answer_comes_in_pieces_as_the_model_writes_it(alice, worker, openai):
    text = " ".join(f"word{number}" for number in range(30))
    async with provider.serve() as server, connect(alice) as client:
        openai(server)
        server.then(guided(text, every=0.02))
        frames = await conversation_of(client)

    tokens = [frame for frame in frames if frame["event_type"] == "agent.token"]
    assert len(tokens) > 3
    assert text.startswith(said(frames))
    assert frames[-1]["data"]["response"] == text


async def test_of_a_council_only_what_becomes_the_answer_comes_in_pieces(
    alice, worker, settings
):
    settings.DEMO_TOKENS_PER_SECOND = 150.0
    async with connect(alice) as client:
        frames = await conversation_of(client, surface="content_pillar")

    last = [frame["data"] for frame in frames if frame["event_type"] == "agent.node"][-2]
    begun = next(n for n, frame in enumerate(frames) if frame["data"] == last)
    first = types(frames, tokens=True).index("agent.token")
    assert last["kind"] == "writer"
    assert first > begun
    assert said(frames)
    assert frames[-1]["data"]["response"].startswith(said(frames))


async def test_a_model_that_breaks_off_and_is_asked_again_begins_anew(alice, worker, openai):
    async with provider.serve() as server, connect(alice) as client:
        openai(server)
        server.then(
            guided("one two three four five six seven eight", every=0.03, cut_at=12),
            guided("A whole answer of some words, slowly.", every=0.03),
        )
        frames = await conversation_of(client)

    tokens = [f["data"] for f in frames if f["event_type"] == "agent.token"]
    _first, void, _again = [each for each in tokens if each["offset"] == 0]
    assert void["token"] == ""  # at once, though the next word may be long in coming
    assert "A whole answer of some words, slowly.".startswith(said(frames))


# --- other ends ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ({"status": 401}, False),
        ({"status": 500}, False),
        ({"every": 0.05, "cut_at": 9}, True),
    ],
    ids=["before the first token", "after tries", "in the middle"],
)
async def test_a_model_that_fails_ends_the_message_once_with_a_sentence(
    alice, worker, openai, settings, bad, says
):
    settings.MODEL_MAX_TRIES = 1
    async with provider.serve() as server, connect(alice) as client:
        openai(server)
        server.then(guided("one two three four five six seven eight nine ten", **bad))
        frames = await conversation_of(client)
        silent = await client.silent(0.1)

    failed = frames[-1]["data"]
    assert types(frames) == ["agent.started", "agent.failed"]
    assert ("agent.token" in types(frames, tokens=True)) is says
    assert failed["code"].startswith("model_")
    assert failed["error"]
    assert "sk-" not in failed["error"]
    assert silent


async def test_after_a_failure_the_conversation_goes_on(alice, worker, openai, settings):
    settings.MODEL_MAX_TRIES = 1
    async with provider.serve() as server, connect(alice) as client:
        openai(server)
        server.then(Answer(status=500), guided("Now it works."))
        failed = await conversation_of(client)
        frames = await conversation_of(client, "Once more", conversation_id=about(failed))

    assert frames[-1]["data"]["response"] == "Now it works."
    assert "Hello there" in server.requests[-1].text


async def test_a_cancelled_message_ends_as_cancelled_and_costs_no_more(alice, worker, openai):
    async with provider.serve() as server, connect(alice) as client:
        openai(server)
        server.then(guided("one two three four five six seven eight", every=0.05, hangs_at=12))
        await client.say("Hello")
        begun = await client.until("agent.token")
        await client.send(type="agent.cancel", run_id=begun[0]["data"]["run_id"])
        frames = await client.until_end()
        await asyncio.wait_for(server.requests[0].left.wait(), 5)

    assert frames[-1]["event_type"] == "agent.cancelled"
    assert frames[-1]["data"]["by"] == "alice"


async def test_a_run_that_has_ended_cannot_be_cancelled(alice, worker):
    async with connect(alice) as client:
        frames = await conversation_of(client)
        run_id = frames[0]["data"]["run_id"]
        await client.send(type="agent.cancel", run_id=run_id, id="c1")
        refused = await client.frame()

    assert (refused["type"], refused["code"], refused["id"]) == ("error", "run_finished", "c1")


@pytest.fixture
def gated(council):
    """Let the journey's liaison wait for a person after its answer."""
    version = council("a", a={"gateAfter": {}})
    models.Agent.objects.filter(slug="liaison.journey").update(blueprint=version.blueprint)


async def test_at_a_gate_the_message_waits_for_a_person_and_then_goes_on(alice, worker, gated):
    async with connect(alice) as client:
        await client.say("Hello", surface="journey_pillar")
        waiting = await client.until("agent.waiting")
        data = waiting[-1]["data"]
        await client.send(
            type="agent.answer",
            run_id=data["run_id"],
            gate_id=data["gate"]["gate"],
            action="modify",
            modified_state={"current_draft": "Better."},
        )
        frames = await client.until_end()

    assert types(waiting) == ["agent.started", "agent.waiting"]
    assert types(frames) == ["agent.answered", "agent.completed"]
    assert frames[-1]["data"]["response"] == "Better."


async def test_a_gate_that_was_answered_elsewhere_refuses_the_second_answer(
    alice, worker, gated
):
    async with connect(alice) as client:
        await client.say("Hello", surface="journey_pillar")
        data = (await client.until("agent.waiting"))[-1]["data"]
        gate = data["gate"]["gate"]
        await sync_to_async(gates.answer)(gate, action="approve", by="bob", says={})
        await client.until_end()
        await client.send(
            type="agent.answer", run_id=data["run_id"], gate_id=gate, action="approve", id="a"
        )
        refused = await client.frame()

    assert (refused["code"], refused["id"]) == ("gate_answered", "a")
    assert refused["detail"]["by"] == "bob"


# --- sent again, resumed ---------------------------------------------------------------


async def test_a_message_sent_again_on_the_same_socket_is_answered_the_same(alice, worker):
    async with connect(alice) as client:
        first = await conversation_of(client, "What are the insights?", id="1")
        again = await conversation_of(client, "What are the insights?", id="1")

    assert again == first
    assert await models.Run.objects.acount() == 2  # the guide's and the liaison's


async def test_a_message_sent_again_after_a_lost_connection_is_answered_the_same(alice, worker):
    async with connect(alice) as client:
        await client.say("What are the insights?", id="1")
        await client.until("agent.started")
    async with connect(alice) as client:
        again = await conversation_of(client, "What are the insights?", id="1")

    assert types(again)[0] == "agent.started"
    assert types(again)[-1] == "agent.completed"
    assert await models.Run.objects.acount() == 2


async def test_a_message_sent_again_while_it_is_answered_changes_nothing(alice, worker, openai):
    async with provider.serve() as server, connect(alice) as client:
        openai(server)
        server.then(guided("one two three four five six seven eight nine", every=0.05))
        await client.say("Hello", id="1")
        frames = await client.until("agent.token")
        await client.say("Hello", id="1")
        frames += await client.until_end()
        silent = await client.silent(0.1)

    assert types(frames) == ["agent.started", "agent.completed"]
    assert silent
    assert len(server.requests) == 1


async def test_a_message_sent_again_after_resuming_at_its_end_is_answered_the_same(
    alice, worker
):
    async with connect(alice) as client:
        first = await conversation_of(client, id="1")
    async with connect(alice) as client:
        after = first[-1]["data"]["seq"]
        await client.send(type="agent.resume", conversation_id=about(first), after=after)
        again = await conversation_of(client, id="1")

    assert again == first


async def test_a_position_beyond_the_end_is_the_end(alice, worker):
    async with connect(alice) as client:
        first = await conversation_of(client)
        await client.send(type="agent.resume", conversation_id=about(first), after=2**53)
        second = await conversation_of(client, "More", conversation_id=about(first))

    assert types(second) == ["agent.started", "agent.completed"]
    assert await sync_to_async(turns.until_now)(about(first), 2**53, 10) == []


async def test_resumed_at_any_position_exactly_what_is_missing_comes(alice, worker):
    async with connect(alice) as client:
        first = await conversation_of(client, "What are the insights?")
        second = await conversation_of(client, "More", conversation_id=about(first))
    whole = first + second

    for position, frame in enumerate(whole):
        async with connect(alice) as client:
            after = frame["data"]["seq"]
            await client.send(type="agent.resume", conversation_id=about(whole), after=after)
            missing = [await client.frame() for _ in whole[position + 1 :]]
            assert missing == whole[position + 1 :]
            assert await client.silent(0.02)


async def test_resumed_from_the_beginning_the_whole_conversation_comes(alice, worker):
    async with connect(alice) as client:
        whole = await conversation_of(client, surface="content_pillar")
    async with connect(alice) as client:
        await client.send(type="agent.resume", conversation_id=about(whole))
        again = await client.until_end()

    assert again == whole


async def test_who_comes_back_in_the_middle_of_an_answer_sees_what_was_said_and_the_rest(
    alice, worker, openai
):
    text = " ".join(f"word{number}" for number in range(40))
    async with provider.serve() as server:
        openai(server)
        server.then(guided(text, every=0.03))
        async with connect(alice) as client:
            await client.say("Hello")
            begun = await client.until("agent.token")
        async with connect(alice) as client:
            after = begun[-1]["data"]["seq"]
            await client.send(type="agent.resume", conversation_id=about(begun), after=after)
            rest = await client.until_end()

    seqs = [frame["data"]["seq"] for frame in begun + rest]
    assert seqs == sorted(set(seqs))
    assert len(types(rest, tokens=True)) > 2
    assert text.startswith(said(begun + rest))
    assert rest[-1]["data"]["response"] == text


async def test_a_resumed_conversation_is_followed(alice, worker):
    async with connect(alice) as talking, connect(alice) as watching:
        first = await conversation_of(talking)
        await watching.send(type="agent.resume", conversation_id=about(first))
        await watching.until_end()
        second = await conversation_of(talking, "More", conversation_id=about(first))
        seen = await watching.until_end()

    assert types(seen) == types(second)
    assert seen[-1] == second[-1]


# --- many ------------------------------------------------------------------------------


async def test_two_conversations_on_one_socket_do_not_wait_for_each_other(
    alice, worker, openai
):
    async with provider.serve() as server, connect(alice) as client:
        openai(server)
        server.then(guided("one two three four five six", hangs_at=10), guided("Quick."))
        await client.say("Slow one", id="slow")
        slow = await client.until("agent.started")
        await client.say("Quick one", id="quick")
        frames = await client.until_end()
        await client.send(type="ping")
        pong = await client.frame()
        await client.send(type="agent.cancel", run_id=slow[0]["data"]["run_id"])
        cancelled = await client.until_end()

    assert frames[-1]["data"]["id"] == "quick"
    assert frames[-1]["data"]["response"] == "Quick."
    assert pong["type"] == "pong"
    assert cancelled[-1]["data"]["id"] == "slow"
    assert await Conversation.objects.acount() == 2


async def test_a_message_while_an_agent_answers_is_refused_and_then_taken(
    alice, worker, openai
):
    async with provider.serve() as server, connect(alice) as client:
        openai(server)
        server.then(guided("one two three", hangs_at=4), guided("Now."))
        await client.say("First", id="1")
        first = await client.until("agent.started")
        await client.say("Second", id="2", conversation_id=about(first))
        refused = await _error(client)
        await client.send(type="agent.cancel", run_id=first[0]["data"]["run_id"])
        await client.until_end()
        second = await conversation_of(client, "Second", id="2", conversation_id=about(first))

    assert (refused["code"], refused["id"]) == ("conversation_busy", "2")
    assert refused["detail"]["run_id"] == first[0]["data"]["run_id"]
    assert second[-1]["data"]["response"] == "Now."


async def _error(client):
    while (frame := await client.frame())["type"] != "error":
        pass
    return frame


async def test_a_socket_that_leaves_in_the_middle_of_answers_leaves_nothing_behind(
    alice, worker, openai
):
    async with provider.serve() as server:
        openai(server)
        async with connect(alice) as client:
            for _ in range(3):
                server.then(guided("one two three four five six", every=0.05, hangs_at=12))
                await client.say("Hello")
            for _ in range(3):
                await client.until("agent.token")
        hub = feed.hub()
        while hub._feeds or hub._heads:  # noqa: ASYNC110 - nobody tells when they are gone
            await asyncio.sleep(0.01)
    await sync_to_async(_cancel_all)()


async def test_a_socket_that_leaves_while_it_begins_to_follow_leaves_nothing_behind(alice):
    begin = sync_to_async(conversations.begin)
    names = [str((await begin(alice)).pk) for _ in range(5)]
    hub = feed.hub()
    for _ in range(6):
        async with connect(alice) as client:
            for name in names * 12:
                await client.send(type="agent.resume", conversation_id=name)
            await client.send(type="ping")
            assert (await client.frame())["type"] == "pong"
        while hub._heads or not hub._channel:  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(0.01)


def _cancel_all():
    for run in models.Run.objects.filter(ended_at=None):
        runs.cancel(run.pk, by="alice")


async def test_without_any_doorbell_everything_still_comes(alice, worker, settings):
    settings.CHANNEL_LAYERS = {
        "default": {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            "CONFIG": {"hosts": ["redis://127.0.0.1:1"]},
        }
    }
    async with connect(alice) as client:
        frames = await conversation_of(client, "What are the insights?")

    assert types(frames)[-1] == "agent.completed"


async def test_a_deleted_reply_does_not_keep_its_followers_busy(alice, worker):
    async with connect(alice) as client:
        first = await conversation_of(client)
        await Message.objects.filter(role="agent").adelete()

        following = turns.follow(about(first), 5 * SPAN)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(following), 0.2)
        await following.aclose()


# --- whatever is done ------------------------------------------------------------------

steps = st.lists(
    st.tuples(
        st.sampled_from(["say", "say", "say", "again", "cancel", "resume", "come back"]),
        st.sampled_from([0, 1]),
        st.sampled_from(["Hello", "What are the insights?", "content_pillar"]),
    ),
    min_size=1,
    max_size=8,
)


class Talk:
    """A client that says things in two conversations and keeps count of what it was told."""

    def __init__(self) -> None:
        self.conversations: dict[int, str] = {}
        self.sent: dict[str, dict] = {}
        self.refused: set[str] = set()
        self.ends: dict[str, set[tuple[int, str]]] = {}
        self.last: dict[str, int] = {}
        self.runs: dict[str, str] = {}

    def take(self, frame):
        if frame["type"] == "error":
            if frame["id"] in self.sent and frame["code"] == "conversation_busy":
                self.refused.add(frame["id"])
            return
        data, name = frame["data"], frame["data"]["id"]
        self.conversations.setdefault(self.sent[name]["slot"], data["conversation_id"])
        self.runs[name] = data["run_id"]
        self.last[data["conversation_id"]] = data["seq"]
        if frame["event_type"] in ENDS:
            self.ends.setdefault(name, set()).add((data["seq"], frame["event_type"]))

    async def do(self, client, number, what, slot, text):
        if what == "say":
            name = f"m{number}"
            context = {"surface": text} if text.endswith("pillar") else {}
            if slot in self.conversations:
                context["conversation_id"] = self.conversations[slot]
            self.sent[name] = {"slot": slot, "text": text, "context": context}
            await client.say(text, id=name, **context)
        if what == "again" and self.sent:
            name, sent = next(iter(self.sent.items()))
            await client.say(sent["text"], id=name, **sent["context"])
        if what == "cancel" and self.runs:
            await client.send(type="agent.cancel", run_id=next(reversed(self.runs.values())))
        if what == "resume" and slot in self.conversations:
            there = self.conversations[slot]
            after = self.last.get(there, 0)
            await client.send(type="agent.resume", conversation_id=there, after=after)

    async def come_back(self, client):
        """Resume what it knows of, and say again what it does not know to have been heard."""
        for there, after in self.last.items():
            await client.send(type="agent.resume", conversation_id=there, after=after)
        for name in self.sent.keys() - self.runs.keys() - self.refused:
            await client.say(self.sent[name]["text"], id=name, **self.sent[name]["context"])

    async def listen(self, client):
        """Take what has come so far."""
        await client.send(type="ping")
        while (frame := await client.frame())["type"] != "pong":
            self.take(frame)


@given(done=steps)
@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
async def test_whatever_a_client_does_every_accepted_message_ends_exactly_once(alice, done):
    stop = asyncio.Event()
    working = asyncio.create_task(tasks.work(stop=stop))
    talk = Talk()
    rest = list(enumerate(done))
    while rest:
        async with connect(alice) as client:
            await talk.come_back(client)
            while rest:
                number, (what, slot, text) = rest.pop(0)
                await talk.do(client, number, what, slot, text)
                await talk.listen(client)
                if what == "come back":
                    break
            if not rest:
                while talk.sent.keys() - talk.refused - talk.ends.keys():
                    talk.take(await client.frame())
    stop.set()
    await working
    await feed.hub().close()
    accepted = await sync_to_async(
        lambda: set(Message.objects.filter(sender=alice).values_list("client_id", flat=True))
    )()
    await Conversation.objects.all().adelete()

    assert accepted == talk.ends.keys()
    assert all(len(ends) == 1 for ends in talk.ends.values())
