"""Two hundred people talk at once through two servers and two workers; one of each is killed.

`make chaos` has them say five things each; in `make test` it is two.
"""

import asyncio
import base64
import contextlib
import json
import os
import socket
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
import websockets

from tests.acceptance import stack as stacks

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]

PEOPLE = 200
MESSAGES = int(os.environ.get("MESSAGES", "2"))
ENDS = ("agent.completed", "agent.failed", "agent.cancelled")


@pytest.fixture(scope="module")
def stack() -> Iterator[stacks.Stack]:
    with stacks.running(workers=2, DEMO_TOKENS_PER_SECOND="0", LOG_LEVEL="WARNING") as made:
        made.start_server("server1")
        yield made


class Person:
    """Says one thing after the other, and comes back to whichever server there is."""

    def __init__(self, stack: stacks.Stack, number: int, told: Callable[[], None]) -> None:
        self._stack, self.number, self._told = stack, number, told
        self.conversation_id: str | None = None
        self.position = 0
        self.seqs: list[int] = []
        self.ends: list[tuple[str, str, str]] = []  # the message's id, how, the response
        self._tries = number

    async def talk(self) -> None:
        while len(self.ends) < MESSAGES:
            self._tries += 1
            name = ("server", "server1")[self._tries % 2]
            lost = (OSError, websockets.WebSocketException, TimeoutError)
            with contextlib.suppress(*lost):
                await self._talk_to(self._stack.url_of(name))
            await asyncio.sleep(0.05)  # between two tries to connect, as a browser would

    async def _talk_to(self, url: str) -> None:
        headers = {"Authorization": f"Bearer {self._stack.token}"}
        async with websockets.connect(
            f"{url.replace('http', 'ws')}/api/runtime/agent",
            additional_headers=headers,
            open_timeout=20,
        ) as connection:
            if self.conversation_id:
                resume = {"type": "agent.resume", "after": self.position}
                await _send(connection, **resume, conversation_id=self.conversation_id)
            while len(self.ends) < MESSAGES:
                await self._say(connection, f"{self.number}.{len(self.ends)}")

    async def _say(self, connection: Any, name: str) -> None:
        context = {"conversation_id": self.conversation_id} if self.conversation_id else {}
        payload = {"text": f"This is message {name}.", "context": context}
        # Perhaps it was said before the line was lost: with its id it acts once.
        await _send(connection, type="agent.message", id=name, payload=payload)
        while not any(said == name for said, _, _ in self.ends):
            self._take(json.loads(await connection.recv()))

    def _take(self, frame: dict[str, Any]) -> None:
        if frame["type"] == "error":
            assert frame["code"] == "unavailable", frame
            return
        data = frame["data"]
        if data["seq"] <= self.position:
            return  # an answer that it has had, told again
        self.conversation_id = data["conversation_id"]
        self.position = data["seq"]
        self.seqs.append(data["seq"])
        if frame["event_type"] in ENDS:
            self.ends.append((data["id"], frame["event_type"], data.get("response", "")))
            self._told()


async def _send(connection: Any, **frame: Any) -> None:
    await connection.send(json.dumps(frame))


async def _everybody_talks(stack: stacks.Stack) -> list[Person]:
    left, middle = iter(range(PEOPLE * MESSAGES // 3, 0, -1)), asyncio.Event()

    def told() -> None:
        if next(left, 1) == 1:
            middle.set()

    people = [Person(stack, number, told) for number in range(PEOPLE)]
    talking = asyncio.gather(*(person.talk() for person in people))
    await middle.wait()
    await asyncio.to_thread(stack.restart, "server1")
    await asyncio.to_thread(stack.restart, "worker0")
    await asyncio.wait_for(talking, 240)
    return people


def test_every_message_of_two_hundred_people_is_answered_once_and_in_order(stack):
    people = asyncio.run(_everybody_talks(stack))

    for person in people:
        names = [f"{person.number}.{n}" for n in range(MESSAGES)]
        assert [end[:2] for end in person.ends] == [(n, "agent.completed") for n in names]
        assert all(response for _, _, response in person.ends)
        assert person.seqs == sorted(set(person.seqs))
    with psycopg.connect(stack.environment["DATABASE_URL"]) as database:
        answers = database.execute(
            "SELECT count(*), count(DISTINCT run_id) FROM experience_message"
            " WHERE role = 'agent'"
        ).fetchone()
    assert answers == (PEOPLE * MESSAGES, PEOPLE * MESSAGES)


def test_a_socket_whose_client_answers_no_ping_is_closed(stack):
    stack.start_server("server2", "--ping-interval", "1", "--ping-timeout", "1")
    address = ("127.0.0.1", stack.ports["server2"])
    with socket.create_connection(address, timeout=30) as line:
        key = base64.b64encode(b"sixteen bytes ..").decode()
        line.sendall(
            "GET /api/runtime/agent HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
            f"Authorization: Bearer {stack.token}\r\n\r\n".encode()
        )
        heard = b""
        with contextlib.suppress(ConnectionResetError):
            while chunk := line.recv(4096):  # to the end: the server hangs up
                heard += chunk

    assert heard.startswith(b"HTTP/1.1 101")
    assert b"\x89" in heard  # it was pinged
