"""A conversation as its clients follow it: replay and following are one loop.

What is told is made from the logs of the runs that answer in it; there is no second record.
"""

import contextlib
from collections.abc import AsyncGenerator, Iterator
from uuid import UUID

from channels.db import database_sync_to_async as in_thread

from experience import conversations, feed, models
from experience.replies import SPAN, Reply, Told, position
from runtime import events

# Replies and events that are read at once.
REPLIES = 20
PAGE = 500


async def follow(conversation_id: UUID, after: int) -> AsyncGenerator[Told, None]:
    """What is told of a conversation after a position, for ever: first what there is, then
    what comes. To be closed (contextlib.aclosing) by who reads it."""
    after = await in_thread(_within)(conversation_id, after)
    number = after // SPAN
    async with feed.hub().converse(conversation_id) as head:
        while True:
            known = head.number
            found = await in_thread(_replies)(conversation_id, number)
            for reply in found:
                # Closed here and now when the reader leaves: it holds a place in the hub.
                async with contextlib.aclosing(_tell(reply)) as telling:
                    async for told in telling:
                        if told.seq > after:
                            yield told
                number = reply.number + 1
            if not found:
                # Up to what was known before, there is none: somebody may have deleted it.
                number = max(number, known + 1)
                await head.reach(number)


def until_now(conversation_id: UUID, after: int, limit: int) -> list[Told]:
    """The next frames after a position, at most about `limit` of them, as of now."""
    found: list[Told] = []
    after = _within(conversation_id, after)
    for reply in _replies(conversation_id, after // SPAN):
        for page in _pages(reply):
            found += [told for told in page if told.seq > after]
            if len(found) >= limit:
                return found[:limit]
    return found


def end_of(message: models.Message) -> int | None:
    """The position of the end of what answers a user's message; None while it goes on."""
    last = message.answered_by.select_related("run").latest("number")
    if last.run is None:
        return position(last.number, 1)
    is_over = last.run.has_ended and not last.run.handoff
    return position(last.number, last.run.last_seq) if is_over else None


def _within(conversation_id: UUID, after: int) -> int:
    """The position, or the end as of now: who states one beyond it waits for what comes."""
    there = models.Conversation.objects.filter(pk=conversation_id)
    last = there.values_list("last_number", flat=True).first()
    return min(after, position((last or 0) + 1) - 1)


def _replies(conversation_id: UUID, number: int) -> list[Reply]:
    """The next replies, from that number on."""
    messages = models.Message.objects.filter(
        conversation_id=conversation_id, role=models.Message.Role.AGENT, number__gte=number
    )
    rows = messages.select_related("answers", "run__blueprint_version").order_by("number")
    return [Reply.of(row) for row in rows[:REPLIES]]


async def _tell(reply: Reply) -> AsyncGenerator[Told, None]:
    """All frames of a reply, to its end."""
    if reply.has_ended:
        for told in await in_thread(_whole)(reply):
            yield told
        return
    assert reply.run_id is not None
    seq = 0
    async with feed.hub().watch(reply.run_id) as followed:
        while True:
            for entry in await followed.after(seq):
                seq = entry.event.seq
                is_end = entry.event.kind in events.ENDS
                if is_end and seq < followed.head:
                    continue  # it failed and was retried, as the next event says
                for told in reply.take(entry.event):
                    yield told
                if is_end:
                    # A hand-over is carried out by whoever learns of it first.
                    await in_thread(conversations.settle)(reply.conversation_id)
                    return


def _whole(reply: Reply) -> list[Told]:
    told = [each for page in _pages(reply) for each in page]
    conversations.settle(reply.conversation_id)
    return told


def _pages(reply: Reply) -> Iterator[list[Told]]:
    """The frames of a reply as of now, page by page of its run's log."""
    if reply.run_id is None:
        yield reply.without_run()
        return
    seq = 0
    while page := events.since(reply.run_id, seq, limit=PAGE):
        seq = page[-1].seq
        yield [
            told
            for event in page
            if event.kind not in events.ENDS or event.seq >= reply.last_seq
            for told in reply.take(event)
        ]
