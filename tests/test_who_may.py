"""Nobody but its owner sees or touches a conversation or a run: a table of every way in.

Each row of REST says what somebody else and an administrator get; without a good credential it
is 401 everywhere. A route or a frame that is not in the tables fails the tests.
"""

import json
import re
import uuid

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User

from experience import access, conversations, feed, urls
from experience import models as kept
from experience.protocol import agent, asyncapi
from runtime import library, models, runs
from tests import councils, sockets
from tests.agents import connect

# method, path, body -> the status for another user and for an administrator
TABLE = [
    ("GET", "/api/councils/run/{run_id}", None, (404, 200)),
    ("GET", "/api/councils/run/{run_id}/state", None, (404, 200)),
    ("GET", "/api/councils/run/{run_id}/events", None, (404, 200)),
    ("POST", "/api/councils/run/{run_id}/approve", {"action": "approve"}, (404, 409)),
    ("POST", "/api/councils/run/{run_id}/retry", {}, (404, 409)),
    ("POST", "/api/councils/run/{run_id}/fork", {"after": 0}, (404, 202)),
    ("GET", "/api/runs/{run_id}", None, (404, 200)),
    ("POST", "/api/councils/run/{run_id}/cancel", {}, (404, 200)),
    ("GET", "/api/conversations/{conversation_id}", None, (404, 404)),
    ("GET", "/api/conversations/{conversation_id}/messages", None, (404, 404)),
    ("POST", "/api/conversations/{conversation_id}/messages", {"text": "Hi"}, (404, 404)),
    ("GET", "/api/conversations/{conversation_id}/events", None, (404, 404)),
    ("POST", "/api/conversations/{conversation_id}/cancel", {}, (404, 404)),
    ("POST", "/api/councils/{blueprint_id}/run", {"input_topic": "Hi"}, (404, 202)),
    ("GET", "/api/councils/{blueprint_id}", None, (404, 200)),
    ("PUT", "/api/councils/{blueprint_id}", {}, (404, 400)),
    ("GET", "/api/councils/{blueprint_id}/versions", None, (404, 200)),
    ("GET", "/api/councils/{blueprint_id}/versions/{number}", None, (404, 200)),
    ("GET", "/api/councils/{blueprint_id}/versions/{number}/diff", None, (404, 200)),
    ("GET", "/api/councils/{blueprint_id}/export", None, (404, 200)),
    ("GET", "/api/councils/{blueprint_id}/drawing", None, (404, 200)),
    ("DELETE", "/api/councils/{blueprint_id}", None, (404, 409)),
    ("DELETE", "/api/tokens/{token_id}", None, (404, 404)),
    ("DELETE", "/api/tickets/{ticket_id}", None, (404, 404)),
]
# Of nobody in particular: what is answered is the caller's own, or everybody's.
OWN = {
    ("POST", "/api/councils/run"),
    ("GET", "/api/councils/"),
    ("POST", "/api/councils/"),
    ("POST", "/api/councils/check"),
    ("GET", "/api/runs/"),
    ("GET", "/api/conversations/"),
    ("POST", "/api/conversations/"),
    ("POST", "/api/messages"),
    ("GET", "/api/agents/"),
    ("GET", "/api/tokens/"),
    ("POST", "/api/tokens/"),
    ("GET", "/api/tickets"),
    ("POST", "/api/tickets"),
}
PUBLIC = {"/api/asyncapi/", "/api/schema/", "/api/docs/", "/sign-in/", "/healthz", "/readyz"}
OTHERWISE = {"/metrics"}  # by its own token, or from this machine: test_metrics


@pytest.fixture
def hers(shipped_blueprints, alice, drain):
    """Everything that alice has, by its name in a path."""
    posted = conversations.post(alice, text="Hello", client_id="hers")
    drain()
    blueprint = library.save(councils.document("d > w"), owner=alice).blueprint
    runs.create(topic="Keep it in use", version=blueprint.newest, owner=alice)
    models.Agent.objects.create(slug="liaison.hers", name="Hers", blueprint=blueprint)
    access.create_token(alice, "hers")
    access.issue_ticket(alice)
    pending = runs.create(topic="Still to do", version=blueprint.newest, owner=alice)
    return {
        "conversation_id": posted.message.conversation_id,
        "run_id": pending.pk,
        "blueprint_id": blueprint.pk,
        "number": 1,
        "token_id": kept.Token.objects.get(user=alice).pk,
        "ticket_id": kept.Ticket.objects.get(user=alice).pk,
    }


def send(client, method, path, body=None, user=None, secret=None):
    if user is not None:
        secret = access.create_token(user, uuid.uuid4().hex)
    headers = {"authorization": f"Bearer {secret}"} if secret else {}
    return client.generic(
        method,
        path,
        data=json.dumps(body) if body is not None else "",
        content_type="application/json",
        headers=headers,
    )


def methods_of(pattern):
    view = getattr(pattern.callback, "cls", None)
    return [m.upper() for m in ("get", "post", "put", "delete") if hasattr(view, m)]


def test_every_route_is_in_a_table():
    known = {row[:2] for row in TABLE} | OWN
    for pattern in urls.urlpatterns:
        path = "/" + re.sub(r"<\w+:(\w+)>", r"{\1}", str(pattern.pattern))
        if path not in PUBLIC | OTHERWISE:
            for method in methods_of(pattern):
                assert (method, path) in known, (method, path)


def test_what_is_somebodys_is_not_found_by_others(client, hers, bob):
    root = User.objects.create_superuser("root")
    for method, path, body, statuses in TABLE:
        here = path.format(**hers)
        found = tuple(send(client, method, here, body, user=u).status_code for u in (bob, root))
        assert found == statuses, (method, path)


def test_without_a_good_credential_nothing_is_told(client, hers, alice):
    secret = access.create_token(alice, "revoked")
    access.revoke_token(alice, "revoked")
    for method, path in [row[:2] for row in TABLE] + sorted(OWN):
        for sent in (None, secret, "cos_guessed"):
            answer = send(client, method, path.format(**hers), {}, secret=sent)
            assert answer.status_code == 401, (method, path, sent)
            assert set(answer.json()) == {"error"}


def test_guessed_ids_and_somebody_elses_look_the_same(client, hers, bob):
    guessed = {**hers, "run_id": uuid.uuid4(), "conversation_id": uuid.uuid4()}
    for method, path, body, _ in TABLE:
        if "{run_id}" in path or "{conversation_id}" in path:
            real = send(client, method, path.format(**hers), body, user=bob)
            none = send(client, method, path.format(**guessed), body, user=bob)
            assert real.content == none.content, path


def test_a_list_has_only_what_is_ones_own(client, hers, bob):
    for path in sorted(path for method, path in OWN if method == "GET"):
        body = send(client, "GET", path, user=bob).content.decode()
        assert str(hers["conversation_id"]) not in body, path
        assert str(hers["run_id"]) not in body, path
    assert (
        str(hers["blueprint_id"])
        not in send(client, "GET", "/api/councils/", user=bob).content.decode()
    )


# --- the sockets -----------------------------------------------------------------------

FRAMES = {
    "agent.message": (
        {"payload": {"text": "Hi", "context": {"conversation_id": "{conversation_id}"}}},
        "conversation_not_found",
    ),
    "agent.cancel": ({"run_id": "{run_id}"}, "run_not_found"),
    "agent.answer": ({"run_id": "{run_id}", "action": "approve"}, "run_not_found"),
    "agent.resume": ({"conversation_id": "{conversation_id}"}, "conversation_not_found"),
    "ack": ({"conversation_id": "{conversation_id}", "seq": 1}, None),
    "ping": ({}, None),
}


def filled(part, ids):
    if isinstance(part, dict):
        return {name: filled(value, ids) for name, value in part.items()}
    return part.format(**ids) if isinstance(part, str) else part


def test_every_frame_of_a_client_is_in_the_table():
    kinds = {
        frame.model_fields["type"].annotation for frame in asyncapi.frames(agent.FromClient)
    }
    assert {kind.__args__[0] for kind in kinds} == FRAMES.keys()


async def test_somebody_elses_is_not_found_on_the_agent_socket(hers, bob):
    async with connect(bob) as client:
        for kind, (fields, code) in FRAMES.items():
            await client.send(type=kind, **filled(fields, hers))
            await client.send(type="ping")
            frames = [await client.frame()]
            while frames[-1]["type"] != "pong":
                frames.append(await client.frame())
            refused = [frame["code"] for frame in frames if frame["type"] == "error"]
            assert refused == ([code] if code else []), kind
            assert not any(frame["type"] == "runtime_event" for frame in frames), kind
            if kind == "ping":
                await client.frame()
    await feed.hub().close()
    run = await models.Run.objects.aget(pk=hers["run_id"])
    assert run.status == "pending"


async def test_not_even_an_administrator_follows_somebodys_conversation(hers):
    root = await sync_to_async(User.objects.create_superuser)("root")
    async with connect(root) as client:
        await client.send(type="agent.resume", conversation_id=str(hers["conversation_id"]))
        assert (await client.frame())["code"] == "conversation_not_found"


async def test_somebody_elses_run_is_not_found_on_the_council_socket(hers, bob):
    async with sockets.connect(hers["run_id"], bob) as client:
        frames = await client.frames()

    assert [frame["code"] for frame in frames] == ["run_not_found"]
    assert client.code == 4404
