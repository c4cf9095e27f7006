"""A client of Server-Sent Events, against the whole ASGI application in the test's process."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator

from councilos.asgi import application
from experience import access


class Event(NamedTuple):
    id: int
    name: str
    data: dict[str, Any]


class Client:
    """What a client received: the status, the headers, and the stream."""

    def __init__(self, communicator: ApplicationCommunicator) -> None:
        self._communicator = communicator
        self._text = ""
        self._more = True
        self.status = 0
        self.headers: dict[str, str] = {}

    async def begin(self, timeout: float = 10) -> None:
        start = await self._communicator.receive_output(timeout)
        self.status = start["status"]
        self.headers = {
            name.decode().lower(): value.decode() for name, value in start["headers"]
        }

    async def block(self, timeout: float = 10) -> str | None:
        """The next block, comments included; None when the server has ended the stream."""
        while "\n\n" not in self._text:
            if not self._more:
                return None
            message = await self._communicator.receive_output(timeout)
            self._text += message.get("body", b"").decode()
            self._more = message.get("more_body", False)
        found, self._text = self._text.split("\n\n", 1)
        return found

    async def event(self) -> Event | None:
        while (found := await self.block()) is not None:
            fields = dict(line.split(": ", 1) for line in found.split("\n"))
            if "data" in fields:
                return Event(int(fields["id"]), fields["event"], json.loads(fields["data"]))
        return None

    async def events(self) -> list[Event]:
        """All that come until the stream ends."""
        found = []
        while (event := await self.event()) is not None:
            found.append(event)
        return found

    async def body(self) -> Any:
        """Of an answer that is no stream."""
        while self._more:
            message = await self._communicator.receive_output(10)
            self._text += message.get("body", b"").decode()
            self._more = message.get("more_body", False)
        return json.loads(self._text) if self._text else None


async def token(user: Any) -> str:
    return await sync_to_async(access.create_token)(user, secrets.token_hex(8))


@asynccontextmanager
async def ask(
    path: str,
    user: Any = None,
    *,
    method: str = "GET",
    accept: str = "text/event-stream",
    headers: dict[str, str] | None = None,
) -> AsyncIterator[Client]:
    """Send a request, as `user` by a fresh token if one is given."""
    sent = {"host": "testserver", "accept": accept, **(headers or {})}
    if user is not None:
        sent["authorization"] = f"Bearer {await token(user)}"
    path, _, query = path.partition("?")
    communicator = ApplicationCommunicator(
        application,
        {
            "type": "http",
            "http_version": "1.1",
            "asgi": {"version": "3.0"},
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
        },
    )
    await communicator.send_input({"type": "http.request", "body": b"", "more_body": False})
    client = Client(communicator)
    try:
        await client.begin()
        yield client
    finally:
        await communicator.send_input({"type": "http.disconnect"})
        await communicator.wait(10)
        # What Django has still to do in threads.
        await asyncio.sleep(0)
