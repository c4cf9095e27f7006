"""The AsyncAPI document says of the sockets what is really sent."""

import asyncio

import jsonschema
import pytest

from experience import feed
from experience.protocol import agent, asyncapi, council
from runtime import tasks
from tests import agents, sockets


@pytest.fixture
def document(client):
    answer = client.get("/api/asyncapi/")
    assert answer.status_code == 200
    return answer.json()


def validator(document, name):
    """Checks JSON against one of the document's schemas."""
    there = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
    return jsonschema.Draft202012Validator(there)


def test_every_frame_of_both_ways_is_in_it_and_nothing_else(document):
    for channel in asyncapi.CHANNELS:
        described = document["channels"][channel.name]
        assert described["address"] == channel.address
        frames = {frame.__name__ for frame in channel.heard + channel.told}
        assert described["messages"].keys() == frames


def test_what_it_refers_to_is_in_it(document):
    def look(part):
        if isinstance(part, dict):
            if "$ref" in part:
                found = document
                for name in part["$ref"].removeprefix("#/").split("/"):
                    found = found[name]
            for each in part.values():
                look(each)
        if isinstance(part, list):
            for each in part:
                look(each)

    look(document)


async def test_what_the_sockets_send_is_valid_for_it(document, shipped_blueprints, alice):
    stop = asyncio.Event()
    working = asyncio.create_task(tasks.work(stop=stop))
    async with agents.connect(alice) as client:
        await client.say("Hello", surface="content_pillar")
        told = await client.until_end()
        await client.send(type="nonsense")
        told.append(await client.frame())
        await client.send(type="ping")
        told.append(await client.frame())
    async with sockets.connect(told[0]["data"]["run_id"], alice) as client:
        seen = await client.frames()
    stop.set()
    await working
    await feed.hub().close()

    for frame in told:
        name = type(agent.TO_CLIENT.validate_python(frame)).__name__
        validator(document, f"agent.{name}").validate(frame)
    for frame in seen:
        name = type(council.TO_CLIENT.validate_python(frame)).__name__
        validator(document, f"council.{name}").validate(frame)
    assert len(told) > 10
    assert len(seen) > 10


@pytest.mark.parametrize(
    "frame",
    [
        {"type": "agent.message", "payload": {"text": "Hello"}},
        {
            "type": "agent.message",
            "id": "1",
            "payload": {"text": "Hello", "context": {"surface": "content_pillar"}},
        },
    ],
)
def test_what_fixed_clients_say_is_valid_for_it(document, frame):
    validator(document, "agent.Message").validate(frame)
    assert isinstance(agent.FROM_CLIENT.validate_python(frame), agent.Message)


def test_what_is_told_may_have_more_fields_and_always_says_what_it_is(document):
    frame = {"type": "pong", "timestamp": "2026-11-21T00:00:00.000Z", "news": 1}
    assert validator(document, "agent.Pong").is_valid(frame)
    assert not validator(document, "agent.Pong").is_valid({"timestamp": frame["timestamp"]})
    started = document["components"]["schemas"]["agent.Started"]
    assert {"type", "event_type"} <= set(started["required"])


def test_it_names_the_server_that_was_asked(client):
    asked = client.get("/api/asyncapi/", headers={"host": "localhost:8123"}).json()
    assert asked["servers"] == {"this": {"host": "localhost:8123", "protocol": "ws"}}


def test_a_frame_that_the_socket_refuses_is_not_valid_for_it(document):
    frame = {"type": "agent.message", "payload": {"text": 7}}
    assert not validator(document, "agent.Message").is_valid(frame)
