"""Shows a run in the terminal until it ends or the reader leaves, and asks at its gates."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Coroutine
from typing import Any
from uuid import UUID

from channels.db import database_sync_to_async as in_thread
from rich.console import Console
from rich.live import Live

from experience import access, feed, outcomes, story
from experience.terminal import dialogue, gate, keyboard
from experience.terminal.board import Board
from runtime import errors, gates, models, runs

NOBODY = "the terminal"


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
                    if self.as_json and not _print_line(json.dumps(entry.event.as_json())):
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
            question = "\nLeave it running (l) or cancel it (c)? "
            with contextlib.suppress(keyboard.Dropped, EOFError):
                said = await keyboard.line(question, self.reading, again)
                cancel = said.lower().startswith("c")
            again.cancel()
        if cancel:
            with contextlib.suppress(errors.RunFinished):
                await in_thread(runs.cancel)(self.run.pk, by=self._name)
        elif not self.reading.done():
            _say(f"It goes on. To see it again: {self._follow_again}")
        return cancel

    @property
    def _follow_again(self) -> str:
        return f"{gate.COMMAND} --follow {self.run.pk}"

    @property
    def _name(self) -> str:
        return self.user.get_username() if self.user else NOBODY

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
        facts = [("cost so far", outcomes.money(self.board.cost))]
        gate.show(self.console, opened, self.board.drafts, facts)
        self.has_asked.set()
        stays = True
        if await in_thread(self._may_answer)(opened):
            if keyboard.is_there(self.console.is_terminal):
                stays = await self._ask(opened)
            else:
                self._print_commands("To answer it:", opened)
        if stays:
            self._go_live()
        return stays

    def _may_answer(self, opened: dict[str, Any]) -> bool:
        if self.user is None:
            return True
        try:
            access.check_may_answer(self.user, _gate(opened))
        except errors.GateNotYours as refusal:
            who = ", ".join(refusal.detail["answerers"])
            self.console.print(f"It waits for {who} to answer.", markup=False, highlight=False)
            return False
        return True

    def _print_commands(self, title: str, opened: dict[str, Any]) -> None:
        self.console.print(title)
        for command in gate.commands(self.run.pk, opened):
            self.console.print(f"  {command}", markup=False, highlight=False, soft_wrap=True)

    async def _ask(self, opened: dict[str, Any]) -> bool:
        """Ask until the gate is answered, by whomever; False when the reader leaves."""
        void = asyncio.create_task(self._void(opened["gate"]))
        asked = dialogue.Dialogue(opened, self.console, void)
        try:
            while (answer := await self._next(asked)) is not None:
                if await in_thread(self._give)(opened, answer):
                    self._forget_draft(asked)
                    await void  # until the log says so
                    return True
        except keyboard.Dropped:
            self._keep_draft(asked)
            return True
        finally:
            self.board.is_mid_line = False
            void.cancel()
        self._keep_draft(asked)
        self._print_commands("It goes on waiting. To answer it:", opened)
        _say(f"To see it again: {self._follow_again}")
        return False

    async def _next(self, asked: dialogue.Dialogue) -> dialogue.Answer | None:
        self.board.is_mid_line = True
        try:
            return await asked.ask()
        except EOFError:
            print()  # noqa: T201
            return None

    def _give(self, opened: dict[str, Any], answer: dialogue.Answer) -> bool:
        """Answer the gate. False: it cannot be answered like this, and stays open."""
        self.board.is_mid_line = False
        try:
            gates.answer(
                UUID(opened["gate"]), action=answer.action, by=self._name, says=answer.says
            )
        except (errors.GateAnswered, errors.RunFinished):
            return True  # the log says by whom
        except errors.Refusal as refusal:
            self.console.print(str(refusal), style="red", markup=False, highlight=False)
            return False
        return True

    @staticmethod
    def _forget_draft(asked: dialogue.Dialogue) -> None:
        if asked.editor:
            asked.editor.forget()

    @staticmethod
    def _keep_draft(asked: dialogue.Dialogue) -> None:
        if asked.editor and asked.editor.text == asked.gate["current_draft"]:
            asked.editor.forget()
        elif asked.editor:
            _say(f"What you wrote is in {asked.editor.path}")

    async def _void(self, gate_id: str) -> None:
        """Wait until the gate is not to be answered here any more."""
        while (
            gate_id in self.board.gates
            and not self.interrupted.is_set()
            and not self.reading.done()
        ):
            await self._something_happens()


def _gate(opened: dict[str, Any]) -> models.Gate:
    return models.Gate.objects.select_related("run").get(pk=opened["gate"])


async def _first(*waits: "asyncio.Future[Any] | Coroutine[Any, Any, Any]") -> None:
    """Wait for the first of these; the coroutines among the others are cancelled."""
    tasks = [each for each in waits if isinstance(each, asyncio.Future)]
    ours = [asyncio.create_task(each) for each in waits if not isinstance(each, asyncio.Future)]
    try:
        await asyncio.wait([*tasks, *ours], return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in ours:
            each.cancel()


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr)  # noqa: T201


def _print_line(text: str) -> bool:
    """Whether anybody still reads: `| head` leaves early."""
    try:
        print(text, flush=True)  # noqa: T201
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return False
    return True
