"""Shows a run in the terminal until it ends or the reader leaves, and asks at its gates."""

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import Coroutine
from typing import Any

from channels.db import database_sync_to_async as in_thread
from rich.console import Console
from rich.live import Live

from experience import feed, story
from experience.terminal import asking, invocation, output
from experience.terminal.board import Board
from runtime import errors, models, runs


class Follower:
    """Follows one run. `user` is in whose name gates are answered; None: the terminal's."""

    def __init__(self, run: models.Run, *, as_json: bool = False, user: Any = None) -> None:
        self.run, self.as_json, self.user = run, as_json, user
        self.interrupted, self.stirred = asyncio.Event(), asyncio.Event()
        self.has_asked = asyncio.Event()  # at a gate, or said how to answer it
        self._is_up_to_date = False
        self._asked: set[str] = set()

    async def follow(self) -> int:
        """Show the run; the exit code."""
        reused = await in_thread(story.reused)(self.run)
        self.board = Board(Console(quiet=self.as_json), reused)
        self.console = self.board.console
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, self.interrupted.set)
        self.live = Live(
            self.board, console=self.console, refresh_per_second=12, transient=True
        )
        self._go_live()
        self.reading = asyncio.create_task(self._read())
        try:
            await self._attend()
            if not self.reading.done():
                self.reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self.reading
        finally:
            self.live.stop()
            await feed.hub().close()
        self.board.print_end()
        return self.board.exit_code

    def _go_live(self) -> None:
        if self.console.is_terminal and not self.as_json:
            self.live.start()

    # --- reading ---

    async def _read(self) -> None:
        after = 0
        async with feed.hub().watch(self.run.pk) as followed:
            # An end with something after it was a failure, and the run was retried.
            while self.board.end is None or after < followed.head:
                for entry in await followed.after(after):
                    after = entry.event.seq
                    self.board.take(entry.event)
                    if self.as_json and not output.line(json.dumps(entry.event.as_json())):
                        return
                self._is_up_to_date = after >= followed.head
                self.stirred.set()

    # --- what the reader is asked ---

    async def _attend(self) -> None:
        while not self.reading.done():
            if self.interrupted.is_set():
                if not await self._stays():
                    return
            elif (opened := self._unasked()) is not None:
                if not await self._stop_at(opened):
                    return
            else:
                await self._something_happens()

    async def _something_happens(self) -> None:
        await _first(self.reading, self.interrupted.wait(), self.stirred.wait())
        self.stirred.clear()

    async def _stays(self) -> bool:
        """At Ctrl-C: whether to go on watching. The question is dropped when the run ends."""
        self.interrupted.clear()
        self.live.stop()
        cancel = False
        if sys.stdin.isatty():
            again = asyncio.create_task(self.interrupted.wait())
            cancel = await asking.wants_to_cancel(self.reading, again)
            again.cancel()
        if cancel:
            with contextlib.suppress(errors.RunFinished):
                await in_thread(runs.cancel)(self.run.pk, by=asking.name_of(self.user))
        elif not self.reading.done():
            output.note(f"It goes on. To see it again: {self._follow_again}")
        return cancel

    @property
    def _follow_again(self) -> str:
        return f"{invocation.of('council')} --follow {self.run.pk}"

    # --- at a gate ---

    def _unasked(self) -> dict[str, Any] | None:
        """An open gate of which the reader does not know yet."""
        if self.as_json or not self._is_up_to_date:
            return None
        new = [data for key, data in self.board.gates.items() if key not in self._asked]
        return new[0] if new else None

    async def _stop_at(self, opened: dict[str, Any]) -> bool:
        """Show a gate and ask; whether to go on watching."""
        self._asked.add(opened["gate"])
        self.live.stop()
        void = asyncio.create_task(self._void(opened["gate"]))
        question = asking.Asking(self.run.pk, opened, self.console, self.user, void)
        question.show(asking.SoFar(self.board.drafts, self.board.cost))
        self.board.before_line = question.break_line
        self.has_asked.set()
        try:
            stays = await question.ask()
        finally:
            void.cancel()
        if stays:
            self._go_live()
        else:
            output.note(f"To see it again: {self._follow_again}")
        return stays

    async def _void(self, gate_id: str) -> None:
        """Wait until the gate is not to be answered here any more."""
        while (
            gate_id in self.board.gates
            and not self.interrupted.is_set()
            and not self.reading.done()
        ):
            await self._something_happens()


async def _first(*waits: "asyncio.Future[Any] | Coroutine[Any, Any, Any]") -> None:
    """Wait for the first of these; the coroutines among the others are cancelled."""
    tasks = [each for each in waits if isinstance(each, asyncio.Future)]
    ours = [asyncio.create_task(each) for each in waits if not isinstance(each, asyncio.Future)]
    try:
        await asyncio.wait([*tasks, *ours], return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in ours:
            each.cancel()
