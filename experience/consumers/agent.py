"""The agent socket: a client says something in a conversation and is told what comes of it.

For each conversation that the client takes part in or has resumed, a task of its own tells it
what happens there; so an agent at work keeps nobody from being heard.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from channels.db import database_sync_to_async as in_thread
from django.utils import timezone

from experience import access, conversations, rates, turns
from experience.consumers.base import Socket
from experience.consumers.window import Account, Window
from experience.protocol import agent as frames
from experience.replies import Told, position
from runtime import events

# Conversations that one socket follows; beyond it one that is quiet is left.
MOST_CONVERSATIONS = 100


class Line:
    """What one socket is told of one conversation."""

    def __init__(
        self, socket: Socket, conversation_id: UUID, after: int, window: Window
    ) -> None:
        self._socket, self._conversation_id, self._after = socket, conversation_id, after
        self._window = window
        self._reached = after  # the position up to which the client was told
        self.is_quiet = True
        self._again: set[asyncio.Task[None]] = set()
        self._following = asyncio.create_task(socket.while_open(self._follow()))

    @property
    def is_live(self) -> bool:
        return not self._following.done()

    async def _follow(self) -> None:
        source = turns.follow(self._conversation_id, self._after)
        async with contextlib.aclosing(source) as following:
            async for told in following:
                self.is_quiet = told.ends
                await self._tell(told)
                self._reached = told.seq

    def tell_again(self, number: int, end: int) -> None:
        """Tell what began with the reply of this number and ended at this position once more,
        unless it is on its way."""
        if self._reached >= end:
            once_more = asyncio.create_task(self._socket.while_open(self._repeat(number)))
            self._again.add(once_more)
            once_more.add_done_callback(self._again.discard)

    async def _repeat(self, number: int) -> None:
        source = turns.follow(self._conversation_id, position(number))
        async with contextlib.aclosing(source) as following:
            async for told in following:
                await self._tell(told)
                if told.ends:
                    return

    async def _tell(self, told: Told) -> None:
        await self._window.room()
        await self._socket.send_text(told.text, told.kind)
        self._window.sent(told.seq, len(told.text))

    def end(self) -> None:
        for task in (self._following, *self._again):
            task.cancel()


class AgentConsumer(Socket):
    """`/api/runtime/agent`"""

    name = "agent"
    frames_from_client = frames.FROM_CLIENT

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self._lines: dict[UUID, Line] = {}
        self._account = Account()
        # Of every conversation that was told of: what lies in the server's memory stays there
        # when the client begins it anew.
        self._windows: dict[UUID, Window] = {}
        await super().__call__(scope, receive, send)

    def leave(self) -> None:
        for line in self._lines.values():
            line.end()

    async def hear(self, said: Any) -> None:
        match said:
            case frames.Message():
                await self._post(said)
            case frames.Cancel():
                await in_thread(self._cancel)(said.run_id)
            case frames.Answer():
                arrived = timezone.now()
                await in_thread(self.answer_gate)(said.run_id, said, arrived)
            case frames.Resume():
                assert self.credential is not None
                user = self.credential.user
                await in_thread(access.find_conversation)(user, said.conversation_id)
                self._follow(said.conversation_id, said.after)
            case frames.Ack():
                self._acknowledge(said)
            case frames.Ping():
                pong = frames.Pong(timestamp=events.stamp(timezone.now()))
                await self.send_text(pong.model_dump_json(), "pong")

    def complaint(
        self, sentence: str, code: str, detail: Mapping[str, Any], about: str | None
    ) -> str:
        return frames.Error(
            error=sentence,
            code=code,
            id=about,
            detail=dict(detail),
            timestamp=events.stamp(timezone.now()),
        ).model_dump_json()

    # --- messages ---

    async def _post(self, said: frames.Message) -> None:
        posted = await in_thread(self._store)(said)
        conversation_id = posted.message.conversation_id
        line = self._lines.get(conversation_id)
        if line is None or not line.is_live:
            self._follow(conversation_id, position(posted.reply.number))
            return
        self._lines[conversation_id] = self._lines.pop(conversation_id)  # the latest is last
        if posted.is_new:
            # Who goes on in a talk has read what was said.
            self._windows[conversation_id].clear()
        elif (end := await in_thread(turns.end_of)(posted.message)) is not None:
            line.tell_again(posted.reply.number, end)

    def _store(self, said: frames.Message) -> conversations.Posted:
        assert self.credential is not None
        user = access.fresh(self.credential)
        rates.count_message(user)
        context = said.payload.context
        return conversations.post(
            user,
            text=said.payload.text,
            client_id=said.id,
            conversation_id=_uuid(context.conversation_id),
            surface=context.surface or "",
            project_id=context.project_id or "",
            agent=said.payload.agent or "",
        )

    def _cancel(self, run_id: UUID) -> None:
        assert self.credential is not None
        user = access.fresh(self.credential)
        run = access.find_own_run(user, run_id)
        conversations.cancel(run, by=user.get_username())

    # --- following ---

    def _follow(self, conversation_id: UUID, after: int) -> None:
        """Tell of a conversation from a position on, and of nothing before it again."""
        if (line := self._lines.pop(conversation_id, None)) is not None:
            line.end()
        if len(self._lines) >= MOST_CONVERSATIONS:
            quiet = (name for name, line in self._lines.items() if line.is_quiet)
            self._lines.pop(next(quiet, next(iter(self._lines)))).end()
        window = self._windows.setdefault(conversation_id, Window(self._account))
        self._lines[conversation_id] = Line(self, conversation_id, after, window)

    def _acknowledge(self, said: frames.Ack) -> None:
        for conversation_id, window in self._windows.items():
            if said.conversation_id in (None, conversation_id):
                window.acknowledge(said.seq)


def _uuid(text: str | None) -> UUID | None:
    """The conversation that is named, if one is. Raises access.ConversationNotFound."""
    try:
        return UUID(text) if text else None
    except ValueError as error:
        raise access.ConversationNotFound from error
