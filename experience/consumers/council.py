"""The council socket: pump what lies beyond the client's own position in the log of a run.

The pump never waits for a client in the server's memory: beyond a window of what the client
has not acknowledged it stands still (design, rule 5).
"""

import asyncio
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs
from uuid import UUID

from channels.db import database_sync_to_async as in_thread
from django.utils import timezone

from experience import access, feed, protocol
from experience.consumers.base import Closed, Socket
from experience.consumers.window import Window
from experience.protocol import council as frames
from runtime import errors, events, gates, logs, models


class CouncilConsumer(Socket):
    """`/ws/council/{run_id}?after=<seq>`"""

    name = "council"
    frames_from_client = frames.FROM_CLIENT

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self._pump: asyncio.Task[None] | None = None
        self._window = Window()
        self.run_id = scope["url_route"]["kwargs"]["run_id"]
        await super().__call__(scope, receive, send)

    async def join(self, credential: access.Credential) -> None:
        after = self._position()
        run = await in_thread(access.find_run)(credential.user, self._run_uuid())
        logs.bind(run_id=run.pk)
        self._pump = asyncio.create_task(self.while_open(self._pump_frames(run, after)))

    def leave(self) -> None:
        if self._pump is not None:
            self._pump.cancel()

    def _position(self) -> int:
        query = parse_qs(self.scope.get("query_string", b"").decode("latin1"))
        text = query.get("after", ["0"])[0]
        if not text.isdecimal() or len(text) > 9:
            raise Closed(protocol.MALFORMED, "`after` must be a whole number.", "malformed")
        return int(text)

    def _run_uuid(self) -> UUID:
        try:
            return UUID(self.run_id)
        except ValueError as error:
            raise errors.RunNotFound from error

    # --- sending ---

    async def _pump_frames(self, run: models.Run, after: int) -> None:
        await self.send_text(connected(run, after).model_dump_json(), "connected")
        for gate in await in_thread(_told_already)(run, after):
            paused = frames.paused(run.pk, gates.as_json(gate))
            await self.send_text(paused.model_dump_json(), "gate.opened")
        async with feed.hub().watch(run.pk) as followed:
            if after >= followed.head and await in_thread(_is_over)(run.pk, after):
                await self.close(protocol.ENDED)  # it has had the end already
                return
            while True:
                for entry in feed.joined(await followed.after(after)):
                    after = entry.event.seq
                    ends = entry.event.kind in events.ENDS
                    if ends and after < followed.head:
                        continue  # it failed and was retried, as the next frame says
                    await self._window.room()
                    for frame in entry.frames(frames.frames):
                        await self.send_text(frame, entry.event.kind)
                        self._window.sent(entry.event.seq, len(frame))
                    if ends:
                        await self.close(protocol.ENDED)
                        return

    # --- receiving ---

    async def hear(self, said: frames.Ack | frames.Ping | frames.Answer) -> None:
        match said:
            case frames.Ack():
                self._window.acknowledge(said.seq)
            case frames.Ping():
                await self.send_text(frames.Pong().model_dump_json(), "pong")
            case frames.Answer():
                run_id, arrived = self._run_uuid(), timezone.now()
                await in_thread(self.answer_gate)(run_id, said, arrived)

    def complaint(
        self, sentence: str, code: str, detail: Mapping[str, Any], about: str | None
    ) -> str:
        return frames.Error(
            run_id=self.run_id, message=sentence, code=code, detail=dict(detail)
        ).model_dump_json()


def _told_already(run: models.Run, after: int) -> list[models.Gate]:
    """The open gates of which the client will not hear again from the log."""
    found = {f"gate.opened/{gate.pk}": gate for gate in gates.open_of(run)}
    told = run.events.filter(key__in=found, seq__lte=after).order_by("seq")
    return [found[key] for key in told.values_list("key", flat=True)]


def _is_over(run_id: UUID, after: int) -> bool:
    """Whether the run has ended and nothing lies beyond `after`."""
    ended = models.Run.objects.filter(pk=run_id, ended_at__isnull=False)
    return ended.filter(last_seq__lte=after).exists()


def connected(run: models.Run, after: int) -> frames.Connected:
    """The first frame: where the run stands, and the picture that will be watched."""
    document = run.blueprint_version.document
    return frames.Connected(
        run_id=str(run.pk),
        status=run.status,
        seq=after,
        run={
            "input_topic": run.input_topic,
            "model": run.model,
            "attempt": run.attempt,
            "god_mode": run.god_mode,
            "limits": run.limits,
            "parent": str(run.parent_id) if run.parent_id else None,
            "parent_seq": run.parent_seq,
            "last_seq": run.last_seq,
            "created_at": events.stamp(run.created_at),
        },
        blueprint={
            "name": run.blueprint_version.blueprint.name,
            "version": run.blueprint_version.number,
            "nodes": [
                {key: node.get(key) for key in ("id", "label", "kind", "position")}
                for node in document["nodes"]
            ],
            "edges": document["edges"],
        },
    )
