"""Conversations by REST: what the agent socket does, for programs without sockets."""

import json
from uuid import uuid4

import pytest
from django.contrib.auth.models import Group
from django.test import Client

from experience import access, conversations, models
from runtime import models as runtime


@pytest.fixture
def program(alice, shipped_blueprints):
    return _program(alice)


def _program(user):
    return Client(headers={"authorization": f"Bearer {access.create_token(user, 'test')}"})


def _post(client, path, body=None, **headers):
    return client.post(path, json.dumps(body or {}), "application/json", headers=headers)


def _code(response):
    return response.status_code, response.json()["error"]["code"]


def _say(client, text="Hello, who are you?", **more):
    response = _post(client, "/api/messages", {"text": text, **more})
    assert response.status_code == 202, response.content
    return response.json()


def test_agents_are_listed_with_the_surfaces_that_lead_to_them(program):
    listed = {agent["id"]: agent for agent in program.get("/api/agents/").json()}

    guide, liaison = listed["guide.general"], listed["liaison.content"]
    assert guide.keys() == {"id", "name", "description", "kind", "blueprint_id", "surfaces"}
    assert (guide["kind"], guide["surfaces"]) == ("guide", [])
    assert (liaison["kind"], liaison["surfaces"]) == ("liaison", ["content_pillar"])


def test_an_agent_that_is_switched_off_or_for_others_is_not_listed(program, alice):
    fellows = Group.objects.create(name="fellows")
    runtime.Agent.objects.get(slug="liaison.content").groups.add(fellows)
    runtime.Agent.objects.filter(slug="liaison.journey").update(enabled=False)
    listed = {agent["id"] for agent in program.get("/api/agents/").json()}
    alice.groups.add(fellows)
    as_fellow = {agent["id"] for agent in program.get("/api/agents/").json()}

    assert not listed & {"liaison.content", "liaison.journey"}
    assert as_fellow - listed == {"liaison.content"}


def test_a_message_begins_a_conversation_and_an_agent_answers_it(program, drain):
    said = _say(program)
    assert said.keys() == {
        "conversation_id",
        "message_id",
        "run_id",
        "agent_id",
        "routed_by",
        "after",
    }
    path = f"/api/conversations/{said['conversation_id']}/messages"
    _question, waiting = program.get(path).json()

    drain()

    question, answer = program.get(path).json()
    assert (waiting["status"], waiting["text"]) == ("pending", None)
    assert (question["id"], question["role"], question["text"]) == (
        said["message_id"],
        "user",
        "Hello, who are you?",
    )
    assert (answer["role"], answer["answers"], answer["run_id"]) == (
        "agent",
        question["id"],
        said["run_id"],
    )
    run = runtime.Run.objects.get(pk=said["run_id"])
    assert (answer["text"], answer["status"]) == (run.final_draft, "completed")
    assert (answer["agent"], answer["routed_by"]) == ("guide.general", "default")
    assert (answer["error"], answer["handoff"]) == (None, None)


def test_a_surface_leads_to_its_liaison_and_an_agent_asked_for_goes_before_it(program):
    by_surface = _say(program, surface="insights_pillar")
    asked = _say(program, surface="insights_pillar", agent="liaison.journey")

    assert (by_surface["agent_id"], by_surface["routed_by"]) == ("liaison.insights", "surface")
    assert (asked["agent_id"], asked["routed_by"]) == ("liaison.journey", "asked")


def test_messages_come_in_pages_by_their_numbers(program, drain):
    first = _say(program, "one")
    drain()
    path = f"/api/conversations/{first['conversation_id']}/messages"
    assert _post(program, path, {"text": "two"}).status_code == 202

    whole = program.get(path).json()
    page = program.get(path, {"after": 1, "limit": 2}).json()

    assert [message["number"] for message in whole] == [1, 2, 3, 4]
    assert page == whole[1:3]


def test_conversations_are_listed_the_last_changed_first_with_a_title(program, drain):
    first, second = (
        _say(program, "x" * 200)["conversation_id"],
        _say(program)["conversation_id"],
    )
    drain()
    _post(program, f"/api/conversations/{first}/messages", {"text": "again"})

    listed = program.get("/api/conversations/").json()

    assert [each["id"] for each in listed] == [first, second]
    assert listed[0].keys() == {
        "id",
        "title",
        "agent",
        "surface",
        "project_id",
        "last_number",
        "created_at",
        "updated_at",
    }
    assert (listed[0]["title"], listed[0]["last_number"]) == ("x" * 80, 4)
    assert listed[1] == program.get(f"/api/conversations/{second}").json()
    assert program.get("/api/conversations/", {"limit": 1, "offset": 1}).json() == listed[1:]


def test_an_empty_conversation_is_made_for_a_project_and_an_agent(program):
    made = _post(
        program, "/api/conversations/", {"project_id": "p1", "agent": "liaison.journey"}
    )
    assert made.status_code == 201
    assert (made.json()["title"], made.json()["last_number"]) == ("", 0)

    path = f"/api/conversations/{made.json()['id']}/messages"
    said = _post(program, path, {"text": "hello", "project_id": "p1"}).json()
    other = _post(program, path, {"text": "hello", "project_id": "p2"})

    assert (said["agent_id"], said["routed_by"]) == ("liaison.journey", "conversation")
    assert _code(other) == (409, "project_conflict")


def test_the_same_message_sent_again_acts_once_by_its_id_or_its_header(program):
    by_id = [_say(program, id="m1") for _ in range(2)]
    by_header = [
        _post(program, "/api/messages", {"text": "x"}, **{"idempotency-key": "m2"}).json()
        for _ in range(2)
    ]
    other = _post(program, "/api/messages", {"text": "something else", "id": "m1"})

    assert by_id[0] == by_id[1]
    assert by_header[0] == by_header[1]
    assert models.Message.objects.filter(role="user").count() == 2
    assert _code(other) == (409, "message_conflict")


@pytest.mark.parametrize("key", ["", "k" * 201])
def test_a_key_that_is_too_long_or_empty_is_refused(program, key):
    response = _post(program, "/api/messages", {"text": "x"}, **{"idempotency-key": key})

    assert _code(response) == (400, "idempotency_key_invalid")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"text": ""},
        {"text": "  "},
        {"text": "x" * 10_001},
        {"text": "\ud800"},
        {"text": "x", "surface": "s" * 101},
        {"text": "x", "surface": "a\0b"},
        {"text": "x", "id": ""},
        {"text": "x", "id": "m" * 201},
        {"text": "x", "agents": "liaison.content"},
        [],
    ],
)
def test_a_message_that_cannot_be_is_refused(program, body):
    response = program.post("/api/messages", json.dumps(body), "application/json")

    assert _code(response) == (400, "input_invalid")
    assert not models.Message.objects.exists()


def test_a_second_message_meanwhile_is_refused_as_busy(program):
    said = _say(program)

    again = _post(
        program, f"/api/conversations/{said['conversation_id']}/messages", {"text": "and?"}
    )

    assert _code(again) == (409, "conversation_busy")


@pytest.mark.parametrize("agent", ["liaison.nonsense", "liaison.content"])
def test_an_agent_that_is_unknown_or_for_others_is_refused(program, agent):
    fellows = Group.objects.create(name="fellows")
    runtime.Agent.objects.get(slug="liaison.content").groups.add(fellows)

    said = _post(program, "/api/messages", {"text": "x", "agent": agent})
    begun = _post(program, "/api/conversations/", {"agent": agent})

    expected = {
        "liaison.nonsense": (404, "agent_not_found"),
        "liaison.content": (403, "agent_not_yours"),
    }[agent]
    assert (_code(said), _code(begun)) == (expected, expected)
    assert not models.Conversation.objects.exists()


def test_more_runs_than_are_allowed_are_refused(program, alice):
    runtime.Allowance.objects.create(user=alice, concurrent_runs=0)

    response = _post(program, "/api/messages", {"text": "x"})

    assert _code(response) == (429, "too_many_runs")
    assert not models.Conversation.objects.exists()


def test_more_messages_in_a_minute_than_are_allowed_are_refused(program, settings):
    settings.MESSAGES_PER_MINUTE = 2
    _say(program), _say(program)

    response = _post(program, "/api/messages", {"text": "x"})

    assert _code(response) == (429, "too_many_messages")
    assert 1 <= int(response["Retry-After"]) <= 60
    assert models.Conversation.objects.count() == 2


def test_a_conversation_is_cancelled_and_goes_on(program):
    said = _say(program)
    path = f"/api/conversations/{said['conversation_id']}"

    cancelled = _post(program, f"{path}/cancel")
    idle = _post(program, f"{path}/cancel")
    next_one = _post(program, f"{path}/messages", {"text": "again"})

    assert cancelled.status_code == 200
    assert (cancelled.json()["run_id"], cancelled.json()["status"]) == (
        said["run_id"],
        "cancelled",
    )
    assert _code(idle) == (409, "conversation_idle")
    assert next_one.status_code == 202


def test_a_failed_reply_says_why(program, drain, settings):
    settings.OPENAI_API_KEY, settings.OPENAI_BASE_URL = "k", "http://127.0.0.1:1/v1"
    settings.DEFAULT_MODEL, settings.MODEL_RETRY_SECONDS = "openai:gpt-4o", 0.01
    said = _say(program)
    drain()

    reply = program.get(f"/api/conversations/{said['conversation_id']}/messages").json()[1]

    assert (reply["status"], reply["text"]) == ("failed", None)
    assert reply["error"]["code"] == "model_unavailable"
    assert reply["error"]["message"]


def test_a_hand_over_is_two_replies_to_one_message(program, drain):
    said = _say(program, "I need help with the content of my page")
    drain()
    conversations.settle_due()
    drain()

    path = f"/api/conversations/{said['conversation_id']}"
    question, guide, liaison = program.get(f"{path}/messages").json()

    assert (guide["handoff"]["to"], guide["text"]) == ("liaison.content", None)
    assert guide["reason"] == "handed_over"
    assert (liaison["agent"], liaison["routed_by"]) == ("liaison.content", "handoff")
    assert guide["answers"] == liaison["answers"] == question["id"]
    assert program.get(path).json()["agent"] == "liaison.content"


def test_events_come_in_pages_as_of_now(program, drain):
    said = _say(program)
    drain()
    path = f"/api/conversations/{said['conversation_id']}/events"

    whole = program.get(path, {"after": said["after"]}).json()
    last = whole["events"][-1]
    rest = program.get(path, {"after": whole["events"][0]["data"]["seq"]}).json()
    end = program.get(path, {"after": whole["next_after"]}).json()

    assert whole["events"][0]["event_type"] == "agent.started"
    assert (last["event_type"], last["data"]["seq"]) == ("agent.completed", whole["next_after"])
    assert rest["events"] == whole["events"][1:]
    assert end == {"events": [], "next_after": whole["next_after"]}


ROUTES = [
    ("GET", ""),
    ("GET", "/messages"),
    ("POST", "/messages"),
    ("GET", "/events"),
    ("POST", "/cancel"),
]


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_nobody_but_its_user_sees_or_touches_a_conversation(
    method, path, program, bob, admin_user
):
    said = _say(program)
    revoked = Client(headers={"authorization": "Bearer nonsense"})
    callers = [_program(bob), _program(admin_user), Client(), revoked]

    def ask(client, conversation_id):
        path_ = f"/api/conversations/{conversation_id}{path}"
        return client.generic(method, path_, '{"text": "x"}', "application/json")

    answers = [ask(client, said["conversation_id"]) for client in callers]

    assert [_code(each) for each in answers] == [
        (404, "conversation_not_found"),
        (404, "conversation_not_found"),
        (401, "not_authenticated"),
        (401, "authentication_failed"),
    ]
    assert _code(ask(program, uuid4())) == (404, "conversation_not_found")
    assert models.Message.objects.count() == 2
    assert runtime.Run.objects.get(pk=said["run_id"]).status == "pending"
    assert [len(client.get("/api/conversations/").json()) for client in callers[:2]] == [0, 0]
