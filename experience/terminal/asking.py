"""Asks somebody at the terminal: at a gate until there is an answer, and at Ctrl-C."""

import asyncio
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from channels.db import database_sync_to_async as in_thread
from rich.console import Console

from experience import access, outcomes, story
from experience.terminal import dialogue, gate, keyboard
from runtime import errors, events, gates, models

NOBODY = "the terminal"


def name_of(user: Any) -> str:
    """In whose name something is done here: the user's, or without one the terminal's."""
    return str(user.get_username()) if user else NOBODY


async def wants_to_cancel(*until: "asyncio.Future[Any]") -> bool:
    """At Ctrl-C: whether to cancel it. The question is dropped when one of `until` is done."""
    try:
        said = await keyboard.line("\nLeave it running (l) or cancel it (c)? ", *until)
    except (keyboard.Dropped, EOFError):
        return False
    return said.lower().startswith("c")


class SoFar(NamedTuple):
    """What one needs to know of a run in order to answer its gate."""

    drafts: story.Drafts
    cost: Decimal | str | None


def so_far(gate_id: UUID | str) -> SoFar | None:
    """Of the run that waits at this gate, from its log; None if none does any more."""
    run = models.Run.objects.filter(
        gates__pk=gate_id, gates__answered_at=None, ended_at=None
    ).first()
    if run is None:
        return None
    return SoFar(story.Drafts(story.own(run)), events.total_usage(run.pk)["cost"])


class Asking:
    """One gate of a run, to be answered in the name of `user`; None: in the terminal's.

    `opened` is what the gate's event says. `void` is done as soon as it is not to be answered
    here any more.
    """

    def __init__(
        self,
        run_id: UUID | str,
        opened: Mapping[str, Any],
        console: Console,
        user: Any,
        void: "asyncio.Future[Any]",
    ) -> None:
        self.run_id, self.opened, self.console = run_id, opened, console
        self.user, self.void = user, void
        self._is_mid_line = False  # a question stands on the last line

    def show(self, known: SoFar) -> None:
        """Show what one needs in order to answer."""
        facts = [("cost so far", outcomes.money(known.cost))]
        gate.show(self.console, self.opened, known.drafts, facts)

    async def ask(self) -> bool:
        """Ask until it is answered, by whomever; False when the reader leaves it open."""
        if self.user is not None and not await in_thread(self._may_answer)():
            return True
        if not keyboard.is_there(self.console.is_terminal):
            self._print_commands("To answer it:")
            return True
        asked = dialogue.Dialogue(self.opened, self.console, self.void)
        try:
            while (answer := await self._next(asked)) is not None:
                if await in_thread(self._give)(answer):
                    _forget(asked)
                    await self.void  # until the log says so
                    return True
        except keyboard.Dropped:
            self._keep_draft(asked)
            return True
        self._keep_draft(asked)
        self._print_commands("It goes on waiting. To answer it:")
        return False

    def break_line(self) -> None:
        """End the line that a question stands on, before something else is shown."""
        if self._is_mid_line:
            self.console.print()
            self._is_mid_line = False

    async def _next(self, asked: dialogue.Dialogue) -> dialogue.Answer | None:
        """The next answer that is given; None to leave. Raises keyboard.Dropped."""
        self._is_mid_line = True
        try:
            answer = await asked.ask()
        except EOFError:
            self.break_line()
            return None
        except keyboard.Dropped:
            self.break_line()
            raise
        self._is_mid_line = False
        return answer

    def _may_answer(self) -> bool:
        found = models.Gate.objects.select_related("run").get(pk=self.opened["gate"])
        try:
            access.check_may_answer(self.user, found)
        except errors.GateNotYours as refusal:
            self._say(f"It waits for {', '.join(refusal.detail['answerers'])} to answer.")
            return False
        return True

    def _give(self, answer: dialogue.Answer) -> bool:
        """Answer the gate. False: it cannot be answered like this, and stays open."""
        gate_id, name = UUID(self.opened["gate"]), name_of(self.user)
        try:
            gates.answer(gate_id, action=answer.action, by=name, says=answer.says)
        except (errors.GateAnswered, errors.RunFinished):
            return True  # the log says by whom
        except errors.Refusal as refusal:
            self._say(str(refusal), "red")
            return False
        return True

    def _print_commands(self, title: str) -> None:
        self._say(title)
        who = f" --user {name_of(self.user)}" if self.user else ""
        for command in gate.commands(self.run_id, self.opened):
            self._say(f"  {command}{who}")

    def _keep_draft(self, asked: dialogue.Dialogue) -> None:
        if asked.editor and asked.editor.text == self.opened["current_draft"]:
            asked.editor.forget()
        elif asked.editor:
            self._say(f"What you wrote is in {asked.editor.path}")

    def _say(self, sentence: str, style: str = "") -> None:
        self.console.print(sentence, style=style, markup=False, highlight=False, soft_wrap=True)


def _forget(asked: dialogue.Dialogue) -> None:
    if asked.editor:
        asked.editor.forget()
