"""A client of the agent socket, in the test's own process."""

from contextlib import AbstractAsyncContextManager
from typing import Any

from experience.protocol import agent
from tests import clients

ENDS = ("agent.completed", "agent.failed", "agent.cancelled")


class Client(clients.Client):
    protocol = agent.TO_CLIENT

    async def until_end(self) -> list[dict[str, Any]]:
        """All that come, to the end of a message (or of the socket)."""
        found: list[dict[str, Any]] = []
        while (frame := await self.frame()) is not None:
            found.append(frame)
            if frame.get("event_type") in ENDS:
                break
        return found

    async def until(self, event_type: str) -> list[dict[str, Any]]:
        """All that come, up to the first of this type."""
        found: list[dict[str, Any]] = []
        while not found or found[-1].get("event_type") != event_type:
            found.append(await self.frame())
        return found

    async def say(
        self, text: str, *, id: str | None = None, agent: str | None = None, **context
    ):
        payload = {"text": text, "context": context}
        if agent is not None:
            payload["agent"] = agent
        frame = {"type": "agent.message", "payload": payload}
        await self.send(**(frame if id is None else {**frame, "id": id}))

    async def send_bytes(self, data: bytes) -> None:
        await self._communicator.send_to(bytes_data=data)


def connect(
    user: Any = None,
    *,
    query: str = "",
    headers: dict[str, str] | None = None,
    path: str = "/api/runtime/agent",
) -> AbstractAsyncContextManager[Client]:
    """Open the agent socket, as `user` by a fresh token if one is given."""
    return clients.connect(Client, f"{path}{query}", user, headers)


def types(frames: list[dict[str, Any]], *, tokens: bool = False) -> list[str]:
    """The types of events, in order; tokens only if they are asked for."""
    found = [frame.get("event_type") or frame["type"] for frame in frames]
    return [name for name in found if tokens or name != "agent.token"]


def said(frames: list[dict[str, Any]]) -> str:
    """The answer as somebody has it who only adds up tokens, by their offsets."""
    text = ""
    for frame in frames:
        if frame.get("event_type") == "agent.token":
            text = text[: frame["data"]["offset"]] + frame["data"]["token"]
    return text
