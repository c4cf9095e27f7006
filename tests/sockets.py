"""A client of the council socket, in the test's own process."""

import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from asgiref.sync import sync_to_async
from channels.testing import WebsocketCommunicator

from councilos.asgi import application
from experience import access, protocol


class Client:
    """What a client received, and how the socket closed."""

    def __init__(self, communicator: WebsocketCommunicator) -> None:
        self._communicator = communicator
        self.code: int | None = None

    async def frame(self, timeout: float = 10) -> dict[str, Any] | None:
        """The next frame, which is one of the protocol's; None when the socket closed."""
        message = await self._communicator.receive_output(timeout)
        if message["type"] == "websocket.close":
            self.code = message.get("code", 1000)
            return None
        protocol.TO_CLIENT.validate_json(message["text"])
        return json.loads(message["text"])

    async def frames(self) -> list[dict[str, Any]]:
        """All that come until the socket closes."""
        found = []
        while (frame := await self.frame()) is not None:
            found.append(frame)
        return found

    async def say(self, **frame: Any) -> None:
        await self._communicator.send_json_to(frame)

    async def say_text(self, text: str) -> None:
        await self._communicator.send_to(text_data=text)

    async def silent(self, seconds: float) -> bool:
        return await self._communicator.receive_nothing(seconds)


@asynccontextmanager
async def connect(
    run_id: Any, user: Any = None, *, query: str = "", headers: dict[str, str] | None = None
) -> AsyncIterator[Client]:
    """Open the socket of a run, as `user` by a fresh token if one is given."""
    sent = dict(headers or {})
    if user is not None:
        name = secrets.token_hex(8)
        token = await sync_to_async(access.create_token)(user, name)
        sent["authorization"] = f"Bearer {token}"
    communicator = WebsocketCommunicator(
        application,
        f"/ws/council/{run_id}{query}",
        [(key.encode(), value.encode()) for key, value in sent.items()],
    )
    accepted, _ = await communicator.connect(timeout=10)
    client = Client(communicator)
    client.code = None if accepted else 403
    try:
        yield client
    finally:
        await communicator.disconnect(timeout=10)
