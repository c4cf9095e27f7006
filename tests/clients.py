"""A client of one of the sockets, in the test's own process."""

import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar, TypeVar

from asgiref.sync import sync_to_async
from channels.testing import WebsocketCommunicator
from pydantic import TypeAdapter

from councilos.asgi import application
from experience import access


class Client:
    """What a client received, and how the socket closed."""

    protocol: ClassVar[TypeAdapter[Any]]
    """All that the server may send."""

    def __init__(self, communicator: WebsocketCommunicator) -> None:
        self._communicator = communicator
        self.code: int | None = None

    async def frame(self, timeout: float = 10) -> dict[str, Any] | None:
        """The next frame, which is one of the protocol's; None when the socket closed."""
        message = await self._communicator.receive_output(timeout)
        if message["type"] == "websocket.close":
            self.code = message.get("code", 1000)
            return None
        self.protocol.validate_json(message["text"])
        return json.loads(message["text"])

    async def frames(self) -> list[dict[str, Any]]:
        """All that come until the socket closes."""
        found = []
        while (frame := await self.frame()) is not None:
            found.append(frame)
        return found

    async def send(self, **frame: Any) -> None:
        await self._communicator.send_json_to(frame)

    async def send_text(self, text: str) -> None:
        # Not send_to, which refuses an empty one.
        await self._communicator.send_input({"type": "websocket.receive", "text": text})

    async def silent(self, seconds: float) -> bool:
        return await self._communicator.receive_nothing(seconds)


C = TypeVar("C", bound=Client)


@asynccontextmanager
async def connect(
    kind: type[C], path: str, user: Any = None, headers: dict[str, str] | None = None
) -> AsyncIterator[C]:
    """Open a socket, as `user` by a fresh token if one is given."""
    sent = dict(headers or {})
    if user is not None:
        token = await sync_to_async(access.create_token)(user, secrets.token_hex(8))
        sent["authorization"] = f"Bearer {token}"
    communicator = WebsocketCommunicator(
        application, path, [(key.encode(), value.encode()) for key, value in sent.items()]
    )
    accepted, _ = await communicator.connect(timeout=10)
    client = kind(communicator)
    client.code = None if accepted else 403
    try:
        yield client
    finally:
        await communicator.disconnect(timeout=10)
