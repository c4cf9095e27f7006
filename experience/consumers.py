"""The council socket: sign in, then pump what lies beyond the client's own position.

Receiving and sending are apart. The pump never waits for a client in the server's memory:
beyond a window of what the client has not acknowledged it stands still (design, rule 5).
"""

import asyncio
import contextlib
import logging
from collections import deque
from datetime import datetime
from typing import Any, ClassVar
from urllib.parse import parse_qs
from uuid import UUID

from channels.consumer import AsyncConsumer
from channels.db import database_sync_to_async as in_thread
from channels.exceptions import StopConsumer
from django.db import InterfaceError, OperationalError
from django.utils import timezone
from pydantic import ValidationError

from experience import access, feed, protocol
from runtime import errors, events, gates, models

logger = logging.getLogger(__name__)

# A client that acknowledges may be this far behind …
WINDOW_EVENTS = 256
WINDOW_BYTES = 256 * 1024
# … one that never does gets this much, and then must come back with `after`.
SILENT_WINDOW_BYTES = 2 * 1024 * 1024
SLOW_SECONDS = 30.0
# How often open sockets' credentials are looked at again: a revoked one is closed within 5 s.
RECHECK_SECONDS = 3.0
GOODBYE_SECONDS = 0.25
LARGEST_FRAME = 64 * 1024


class Window:
    """What was sent and not acknowledged. `room` waits until more may be sent."""

    def __init__(self) -> None:
        self._sent: deque[tuple[int, int]] = deque()
        self._bytes = 0
        self._acknowledges = False
        self._changed = asyncio.Event()

    def sent(self, seq: int, size: int) -> None:
        self._sent.append((seq, size))
        self._bytes += size

    def acknowledge(self, seq: int) -> None:
        self._acknowledges = True
        while self._sent and self._sent[0][0] <= seq:
            self._bytes -= self._sent.popleft()[1]
        self._changed.set()

    @property
    def is_full(self) -> bool:
        if self._acknowledges:
            return len(self._sent) >= WINDOW_EVENTS or self._bytes >= WINDOW_BYTES
        return self._bytes >= SILENT_WINDOW_BYTES

    async def room(self) -> None:
        """Wait for room. Raises TimeoutError when the client makes none for 30 s."""
        while self.is_full:
            self._changed.clear()
            await asyncio.wait_for(self._changed.wait(), SLOW_SECONDS)


class Closed(Exception):
    """The socket is to be closed with this code."""

    def __init__(self, code: int, message: str = "", error: str = "") -> None:
        super().__init__(message)
        self.code, self.message, self.error = code, message, error


class CouncilConsumer(AsyncConsumer):
    """`/ws/council/{run_id}?after=<seq>`"""

    # No channel of its own in the channel layer: the process's feed listens for all.
    channel_layer_alias = "none"

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self._pump: asyncio.Task[None] | None = None
        self._window = Window()
        self._is_open = False
        self.run_id = scope["url_route"]["kwargs"]["run_id"]
        try:
            await super().__call__(scope, receive, send)  # type: ignore[no-untyped-call]
        finally:
            Watch.forget(self)
            if self._pump is not None:
                self._pump.cancel()

    async def dispatch(self, message: dict[str, Any]) -> None:
        # Not the parent's: it visits a thread for each message to close old connections,
        # which is what costs most when five hundred clients acknowledge.
        match message["type"]:
            case "websocket.connect":
                await self._connect()
            case "websocket.receive":
                await self._receive(message)
            case "websocket.disconnect":
                self._is_open = False
                raise StopConsumer

    # --- joining ---

    async def _connect(self) -> None:
        if not access.may_connect_from(self.scope):
            await self.base_send({"type": "websocket.close"})  # before accept: 403
            return
        await self.base_send({"type": "websocket.accept"})
        self._is_open = True
        try:
            after = self._position()
            self.credential = await in_thread(access.credential)(self.scope)
            if self.credential is None:
                raise Closed(protocol.NOT_SIGNED_IN, "Sign in first.", "not_signed_in")
            run = await in_thread(access.find_run)(self.credential.user, self._run_uuid())
        except errors.RunNotFound as refusal:
            await self._refuse(Closed(protocol.NOT_FOUND, str(refusal), refusal.code))
        except Closed as closed:
            await self._refuse(closed)
        except (OperationalError, InterfaceError):
            await self._close(protocol.OVERLOADED)
        else:
            Watch.remember(self, self.credential)
            self._pump = asyncio.create_task(self._pump_safely(run, after))

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

    async def _refuse(self, closed: Closed) -> None:
        await self._send(
            protocol.Error(
                run_id=self.run_id, message=closed.message, code=closed.error
            ).model_dump_json()
        )
        await self._close(closed.code)

    # --- sending ---

    async def _pump_safely(self, run: models.Run, after: int) -> None:
        try:
            await self._pump_frames(run, after)
        except TimeoutError:
            await self._close(protocol.TOO_SLOW)
        except (OperationalError, InterfaceError):
            await self._close(protocol.OVERLOADED)
        except Exception:
            logger.exception("the socket of run %s failed by a mistake of ours", run.pk)
            await self._close(protocol.OVERLOADED)

    async def _pump_frames(self, run: models.Run, after: int) -> None:
        await self._send(connected(run, after).model_dump_json())
        for gate in await in_thread(_told_already)(run, after):
            await self._send(protocol.paused(run.pk, gates.as_json(gate)).model_dump_json())
        async with feed.hub().watch(run.pk) as followed:
            if after >= followed.head and await in_thread(_is_over)(run.pk, after):
                await self._close(protocol.ENDED)  # it has had the end already
                return
            while True:
                for entry in await followed.after(after):
                    after = entry.event.seq
                    ends = entry.event.kind in events.ENDS
                    if ends and after < followed.head:
                        continue  # it failed and was retried, as the next frame says
                    await self._window.room()
                    for frame in entry.frames(protocol.council_frames):
                        await self._send(frame)
                        self._window.sent(entry.event.seq, len(frame))
                    if ends:
                        await self._close(protocol.ENDED)
                        return

    async def _send(self, text: str) -> None:
        if self._is_open:
            await self.base_send({"type": "websocket.send", "text": text})

    async def _close(self, code: int) -> None:
        if self._is_open:
            self._is_open = False
            with contextlib.suppress(Exception):
                await self.base_send({"type": "websocket.close", "code": code})

    # --- receiving ---

    async def _receive(self, message: dict[str, Any]) -> None:
        text = message.get("text")
        if text is None or len(text) > LARGEST_FRAME:
            await self._complain("A frame is JSON text of at most 64 KiB.", "too_large")
            return
        try:
            said = protocol.FROM_CLIENT.validate_json(text)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "frame"
            await self._complain(f"{where}: {first['msg']}", "malformed")
            return
        match said:
            case protocol.Ack():
                self._window.acknowledge(said.seq)
            case protocol.Ping():
                await self._send('{"event":"pong"}')
            case protocol.Answer():
                await self._answer(said)

    async def _answer(self, said: protocol.Answer) -> None:
        """Answer a gate. That it was taken, the log says to everybody."""
        if self._pump is None:
            return  # not signed in, and about to be told so
        arrived = timezone.now()
        try:
            await in_thread(self._answer_gate)(said, arrived)
        except errors.Refusal as refusal:
            await self._complain(str(refusal), refusal.code, dict(refusal.detail))
        except (OperationalError, InterfaceError):
            await self._complain("The database does not answer. Try again.", "unavailable")
        except Exception:
            logger.exception("an answer to run %s failed by a mistake of ours", self.run_id)
            await self._complain("Something went wrong inside CouncilOS.", "internal")

    def _answer_gate(self, said: protocol.Answer, arrived: datetime) -> None:
        user = access.fresh(self.credential)
        run = access.find_run(user, self._run_uuid())
        gate = gates.find(run, said.gate_id, seen_at=arrived)
        access.check_may_answer(user, gate)
        gates.answer(gate.pk, action=said.action, by=user.get_username(), says=said.says)

    async def _complain(
        self, sentence: str, code: str, detail: dict[str, Any] | None = None
    ) -> None:
        frame = protocol.Error(
            run_id=self.run_id, message=sentence, code=code, detail=detail or {}
        )
        await self._send(frame.model_dump_json())

    async def restart(self) -> None:
        """The server is stopping; the client may come back with its position."""
        await self._close(protocol.RESTARTING)

    async def end_session(self) -> None:
        """The credential is no longer good."""
        await self._refuse(Closed(protocol.NOT_SIGNED_IN, "Signed out.", "not_signed_in"))
        if self._pump is not None:
            self._pump.cancel()


def _told_already(run: models.Run, after: int) -> list[models.Gate]:
    """The open gates of which the client will not hear again from the log."""
    found = {f"gate.opened/{gate.pk}": gate for gate in gates.open_of(run)}
    told = run.events.filter(key__in=found, seq__lte=after).order_by("seq")
    return [found[key] for key in told.values_list("key", flat=True)]


def _is_over(run_id: UUID, after: int) -> bool:
    """Whether the run has ended and nothing lies beyond `after`."""
    ended = models.Run.objects.filter(pk=run_id, ended_at__isnull=False)
    return ended.filter(last_seq__lte=after).exists()


class Nowhere(AsyncConsumer):
    """Refuses a socket at an address that there is not (404 is not to be had: 403)."""

    channel_layer_alias = "none"

    async def websocket_connect(self, message: Any) -> None:
        await self.base_send({"type": "websocket.close"})

    async def websocket_disconnect(self, message: Any) -> None:
        raise StopConsumer


def connected(run: models.Run, after: int) -> protocol.Connected:
    """The first frame: where the run stands, and the picture that will be watched."""
    document = run.blueprint_version.document
    return protocol.Connected(
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


async def close_all() -> None:
    """Ask the clients of all open sockets to come back: this server is stopping."""
    for socket in Watch.sockets():
        await socket.restart()
    # Until the frames have left: the server cuts the lines after this.
    await asyncio.sleep(GOODBYE_SECONDS)


class Watch:
    """Looks at the credentials of all open sockets of this process at a steady pace."""

    _held: ClassVar[dict[CouncilConsumer, access.Credential]] = {}
    _task: ClassVar[asyncio.Task[None] | None] = None

    @classmethod
    def remember(cls, socket: CouncilConsumer, credential: access.Credential) -> None:
        cls._held[socket] = credential
        if cls._task is None or cls._task.done():
            cls._task = asyncio.create_task(cls._look())

    @classmethod
    def forget(cls, socket: CouncilConsumer) -> None:
        cls._held.pop(socket, None)

    @classmethod
    def sockets(cls) -> list[CouncilConsumer]:
        return list(cls._held)

    @classmethod
    async def _look(cls) -> None:
        """Until no socket is left."""
        while cls._held:
            await asyncio.sleep(RECHECK_SECONDS)
            with contextlib.suppress(OperationalError, InterfaceError):
                await cls.look_once()

    @classmethod
    async def look_once(cls) -> None:
        """Close every socket whose credential is no longer good."""
        held = dict(cls._held)
        good = await in_thread(access.still_valid)(held)
        for socket in held.keys() - good:
            cls.forget(socket)
            await socket.end_session()
