"""One turn of a conversation in the terminal: a message is answered, until its end."""

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import UUID

from channels.db import database_sync_to_async as in_thread
from rich.console import Console

from experience import conversations, turns
from experience.replies import Told
from experience.terminal import asking, board, keyboard, output
from experience.terminal.transcript import Transcript
from runtime import errors, models

# What a turn comes to, for the exit code.
ENDS = {"agent.completed": 0, "agent.failed": 1, "agent.cancelled": 1}
LEFT = board.EXIT["left"]


class Bell:
    """Rings when something has happened here; `interrupted` is Ctrl-C."""

    def __init__(self) -> None:
        self.interrupted = False
        self._rung = asyncio.Event()

    def ring(self) -> None:
        self._rung.set()

    def interrupt(self) -> None:
        self.interrupted = True
        self.ring()

    @contextlib.asynccontextmanager
    async def until(self, holds: Callable[[], Any]) -> AsyncIterator["asyncio.Task[None]"]:
        """A task that is done as soon as it holds. Nobody else may wait meanwhile."""
        task = asyncio.create_task(self.wait_until(holds))
        try:
            yield task
        finally:
            task.cancel()

    async def wait_until(self, holds: Callable[[], Any]) -> None:
        while not holds():
            self._rung.clear()
            await self._rung.wait()


class Turn:
    """What is told of a conversation from a position on, to the end of a message."""

    def __init__(
        self, conversation_id: UUID, after: int, *, user: Any, console: Console, bell: Bell
    ) -> None:
        self.conversation_id, self.after = conversation_id, after
        self.user, self.console, self.bell = user, console, bell
        self.transcript = Transcript(console)
        self._told: deque[Told] = deque()  # read, and not shown yet
        self._answered: set[str] = set()  # gates
        self._run_id = ""
        self._has_ended = False

    async def show(self, *, as_json: bool = False) -> int:
        """Show it; what it came to, or LEFT when the reader leaves before."""
        reading = asyncio.create_task(self._read())
        reading.add_done_callback(lambda _: self.bell.ring())
        try:
            while True:
                await self.bell.wait_until(
                    lambda: self._told or self.bell.interrupted or reading.done()
                )
                if self.bell.interrupted:
                    if not await self._stays(as_json):
                        return LEFT
                elif self._told:
                    code = await self._take(self._told.popleft(), as_json)
                    if code is not None:
                        return code
                else:
                    reading.result()  # it has failed, and says how
        finally:
            self.transcript.pause()
            reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reading

    async def _read(self) -> None:
        """Read ahead of what is shown: a question is void when its gate is answered."""
        async for each in turns.follow(self.conversation_id, self.after):
            frame = json.loads(each.text)
            self._run_id = frame["data"]["run_id"] or ""
            if frame["event_type"] == "agent.answered":
                self._answered.add(frame["data"]["gate"])
            self._has_ended |= each.ends
            self._told.append(each)
            self.bell.ring()

    async def _take(self, told: Told, as_json: bool) -> int | None:
        if as_json:
            output.line(told.text)  # when nobody reads it, the exit code is still of interest
        frame = json.loads(told.text)
        self.transcript.take(frame["event_type"], frame["data"])
        if frame["event_type"] == "agent.waiting" and not as_json:
            return None if await self._ask(frame["data"]) else LEFT
        return ENDS[frame["event_type"]] if told.ends else None

    # --- what the reader is asked ---

    async def _ask(self, data: dict[str, Any]) -> bool:
        """Ask at a gate, if it is still open; whether to go on."""
        opened = data["gate"]
        known = await in_thread(asking.so_far)(opened["gate"])
        if known is None:
            return True

        def is_void() -> bool:
            answered = opened["gate"] in self._answered
            return answered or self._has_ended or self.bell.interrupted

        async with self.bell.until(is_void) as void:
            question = asking.Asking(data["run_id"], opened, self.console, self.user, void)
            question.show(known)
            return await question.ask()

    async def _stays(self, as_json: bool) -> bool:
        """At Ctrl-C: whether to go on. The question is dropped when the message ends."""
        self.bell.interrupted = False
        self.transcript.pause()
        if as_json or not keyboard.is_there(self.console.is_terminal):
            return False
        async with self.bell.until(lambda: self.bell.interrupted or self._has_ended) as void:
            cancels = await asking.wants_to_cancel(void)
        self.bell.interrupted = False
        if cancels:
            with contextlib.suppress(errors.RunFinished):
                run = await models.Run.objects.aget(pk=self._run_id)
                await in_thread(conversations.cancel)(run, by=self.user.get_username())
            return True
        if self._has_ended:
            self.console.print()
        return self._has_ended
