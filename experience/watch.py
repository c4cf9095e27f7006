"""The open lines of this process, sockets and streams: their credentials, and their end."""

import asyncio
import contextlib
import contextvars
from typing import ClassVar, Protocol

from channels.db import database_sync_to_async as in_thread
from django.db import InterfaceError, OperationalError

from experience import access, rates

# How often open lines' credentials are looked at again: a revoked one is closed within 5 s.
RECHECK_SECONDS = 3.0
GOODBYE_SECONDS = 0.25


class Line(Protocol):
    """One client's open line."""

    id: str

    async def restart(self) -> None:
        """The server is stopping; the client may come back with its position."""

    async def end_session(self) -> None:
        """The credential is no longer good."""


async def close_all() -> None:
    """Ask the clients of all open lines to come back: this server is stopping."""
    for line in Watch.lines():
        await line.restart()
    # Until the frames have left: the server cuts the lines after this.
    await asyncio.sleep(GOODBYE_SECONDS)


class Watch:
    """Looks at the credentials of all open lines of this process at a steady pace."""

    _held: ClassVar[dict[Line, access.Credential]] = {}
    _task: ClassVar[asyncio.Task[None] | None] = None

    @classmethod
    def remember(cls, line: Line, credential: access.Credential) -> None:
        cls._held[line] = credential
        if cls._task is None or cls._task.done():
            # Not as the first of them: it looks after all.
            context = contextvars.Context()
            cls._task = asyncio.create_task(cls._look(), context=context)

    @classmethod
    def forget(cls, line: Line) -> None:
        cls._held.pop(line, None)

    @classmethod
    def lines(cls) -> list[Line]:
        return list(cls._held)

    @classmethod
    async def _look(cls) -> None:
        """Until no line is left."""
        while cls._held:
            await asyncio.sleep(RECHECK_SECONDS)
            with contextlib.suppress(OperationalError, InterfaceError):
                await cls.look_once()

    @classmethod
    async def look_once(cls) -> None:
        """End every line whose credential is no longer good; the others are still there."""
        held = dict(cls._held)
        good = await in_thread(access.still_valid)(held)
        for line in held.keys() - good:
            cls.forget(line)
            await line.end_session()
        left = [(held[line].user, line.id) for line in good]
        await in_thread(rates.keep_sockets)(left)
