"""A talk with agents in the terminal: what is said goes to them, and they answer here."""

import asyncio
import shlex
import signal
from typing import Any
from uuid import UUID

from channels.db import database_sync_to_async as in_thread
from django.conf import settings
from django.db.models import Min
from rich.console import Console
from rich.text import Text

from experience import access, conversations, feed, models
from experience.replies import position
from experience.terminal import addressing, invocation, keyboard, output, transcript, turn
from experience.terminal.lines import Lines
from runtime import errors, tasks

# Of a conversation that is taken up again.
SHOWN_TURNS = 3
# Characters of a message that is repeated in a command.
LONGEST_IN_COMMAND = 300


class Talk:
    """`context`: surface and project_id, which go along with every message, and the agent who
    is asked to answer the first."""

    def __init__(
        self,
        user: Any,
        *,
        conversation_id: UUID | None = None,
        as_json: bool = False,
        **context: str,
    ) -> None:
        self.user, self.conversation_id, self.context = user, conversation_id, context
        self.as_json = as_json
        self.console = Console(quiet=as_json)
        self._addressing = addressing.Addressing(user, self.console, self.context)
        self._unanswered = ""  # what was said last, if that has failed

    async def once(self, text: str) -> int:
        """Say this, and show the answer; the exit code. Raises errors.Refusal."""
        try:
            self._begin()
            code = await self._say(text)
            if code == 1:
                output.note(f"To send it again: {self._again(text)}")
            return code
        finally:
            await feed.hub().close()

    async def on(self) -> int:
        """Talk until the reader has no more to say, or leaves; the exit code."""
        try:
            self._begin()
            code = await self._show_last() if self.conversation_id else 0
            if code == turn.LEFT:
                return code
            if keyboard.is_there(self.console.is_terminal):
                return await self._with_person()
            return await self._with_program()
        finally:
            await feed.hub().close()

    def _begin(self) -> None:
        self.bell = turn.Bell()
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, self.bell.interrupt)

    # --- who talks ---

    async def _with_person(self) -> int:
        name = self.user.get_username()
        self.console.print(Text(f"You are {name}. Ctrl-D leaves. {addressing.HINT}", "dim"))
        while (text := await self._typed()) is not None:
            if await self._try(text) == turn.LEFT:
                return turn.LEFT
        if self.conversation_id:
            output.note(f"To come back: {self._back}")
        return 0

    async def _typed(self) -> str | None:
        """What to say next; None to leave. After a failure, nothing is the same again."""
        while True:
            async with self.bell.until(lambda: self.bell.interrupted) as leaves:
                try:
                    said = await keyboard.line("you: ", leaves)
                except (EOFError, keyboard.Dropped):
                    self.console.print()
                    return None
            if text := await self._left_to_say(said) if said else self._unanswered:
                return text

    async def _left_to_say(self, line: str) -> str:
        try:
            left: str = await in_thread(self._addressing.take)(line)
        except errors.Refusal as refusal:
            self._refuse(str(refusal))
            return ""
        return left

    async def _with_program(self) -> int:
        """Every line is a message. 1 if one of them was not answered."""
        lines, worst = Lines(), 0
        while (text := await lines.next()) is not None:
            self._repeat(text)
            worst = max(worst, code := await self._try(text))
            if code == turn.LEFT:
                break
        return worst

    def _repeat(self, text: str) -> None:
        """Show what was said, where nobody has typed it here."""
        said = Text(f"you: {transcript.visible(text)}", "bold")
        self.console.print(said, soft_wrap=not self.console.is_terminal)

    # --- a message ---

    async def _try(self, text: str) -> int:
        """Say it. What cannot be said is explained, and is no reason to leave."""
        try:
            code = await self._say(text)
        except access.AgentNotFound as refusal:
            slug = refusal.detail["agent"]
            self._refuse(await in_thread(addressing.no_agent)(self.user, slug))
            return 1
        except errors.Refusal as refusal:
            self._refuse(str(refusal))
            return 1
        self._unanswered = text if code == 1 else ""
        if code == 1:
            is_person = keyboard.is_there(self.console.is_terminal)
            how = "press Enter" if is_person else self._again(text)
            output.note(f"To send it again: {how}")
        return code

    def _refuse(self, sentence: str) -> None:
        self.console.print(Text(sentence, "red"))

    async def _say(self, text: str) -> int:
        posted = await in_thread(conversations.post)(
            self.user, text=text, conversation_id=self.conversation_id, **self.context
        )
        self.conversation_id = posted.message.conversation_id
        # From now on the conversation is with them, and with whom they hand over to.
        self.context.pop("agent", None)
        return await self._follow(position(posted.reply.number))

    async def _follow(self, after: int) -> int:
        assert self.conversation_id is not None
        following = turn.Turn(
            self.conversation_id, after, user=self.user, console=self.console, bell=self.bell
        )
        await self._look_for_worker()
        code = await following.show(as_json=self.as_json)
        self.console.print()
        if code == turn.LEFT:
            output.note(f"It goes on. To see it again: {self._back}")
        return code

    async def _look_for_worker(self) -> None:
        silent = settings.WORKER_STALLED_SECONDS
        if not await in_thread(tasks.live_workers)(silent_for=silent):
            output.note(
                "No worker is alive, so nobody answers yet. Start one in another terminal: "
                + invocation.of("worker")
            )

    # --- coming back ---

    async def _show_last(self) -> int:
        """The last turns, the present one to its end."""
        code = 0
        for said, number in await in_thread(self._last)():
            self._repeat(said)
            code = await self._follow(position(number))
            self._unanswered = said if code == 1 else ""
        return code

    def _last(self) -> list[tuple[str, int]]:
        """What was said last, with the number of its first answer."""
        assert self.conversation_id is not None
        said = models.Message.objects.filter(
            conversation_id=self.conversation_id, role=models.Message.Role.USER
        )
        first = said.annotate(first=Min("answered_by__number")).exclude(first=None)
        last = first.order_by("-number").values_list("text", "first")[:SHOWN_TURNS]
        return [*reversed(last)]

    @property
    def _back(self) -> str:
        name = shlex.quote(self.user.get_username())
        return f"{invocation.of('chat')} --user {name} --resume {self.conversation_id}"

    def _again(self, text: str) -> str:
        words = shlex.quote(text) if len(text) <= LONGEST_IN_COMMAND else "MESSAGE"
        return f"{self._back} {words}"
