"""What both sockets are: signed in, looked at again, bounded, and closed with a reason."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from channels.consumer import AsyncConsumer
from channels.db import database_sync_to_async as in_thread
from channels.exceptions import StopConsumer
from django.conf import settings
from django.db import InterfaceError, OperationalError
from pydantic import TypeAdapter, ValidationError

from experience import access, metrics, protocol, rates, watch
from experience.protocol import answers
from runtime import errors, gates, logs

logger = logging.getLogger(__name__)

LARGEST_FRAME = 64 * 1024  # bytes
# The close code where nobody has sent one (RFC 6455, 7.4.1).
NO_CODE = 1005
# A client that says more is broken or hostile; one that acknowledges a fast council is far
# below.
MOST_FRAMES = 10_000
FRAMES_SECONDS = 10.0


class Closed(Exception):
    """The socket is to be closed with this code."""

    def __init__(self, code: int, message: str = "", error: str = "", **detail: Any) -> None:
        super().__init__(message)
        self.code, self.message, self.error, self.detail = code, message, error, detail


class Socket(AsyncConsumer):
    """One open socket. Receiving and sending are apart: `join` starts what sends."""

    # No channel of its own in the channel layer: the process's feed listens for all.
    channel_layer_alias = "none"
    frames_from_client: TypeAdapter[Any]
    name: str
    """Of the protocol, for those who count."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.credential: access.Credential | None = None
        self.id = uuid4().hex
        self.is_open = self._was_open = False
        self._code = NO_CODE
        self._heard, self._heard_since = 0, time.monotonic()
        logs.bind(request_id=self.id)
        try:
            await super().__call__(scope, receive, send)  # type: ignore[no-untyped-call]
        finally:
            await self._gone()

    async def _gone(self) -> None:
        watch.Watch.forget(self)
        self.leave()
        if self._was_open:
            metrics.closed(self.name, self._code)
        if self.credential is not None:
            await in_thread(rates.drop_socket)(self.credential.user, self.id)

    async def dispatch(self, message: dict[str, Any]) -> None:
        # Not the parent's: it visits a thread for each message to close old connections,
        # which is what costs most when five hundred clients acknowledge.
        match message["type"]:
            case "websocket.connect":
                await self._connect()
            case "websocket.receive":
                await self._receive(message)
            case "websocket.disconnect":
                self.is_open = False
                raise StopConsumer

    # --- what a socket of each kind does ---

    async def join(self, credential: access.Credential) -> None:
        """Begin, for a client that is signed in. Raises Closed and errors.Refusal."""

    async def hear(self, said: Any) -> None:
        """Do what the client says. Raises errors.Refusal."""
        raise NotImplementedError

    def leave(self) -> None:
        """End what `join` and `hear` have started. May be called twice."""

    def complaint(
        self, sentence: str, code: str, detail: Mapping[str, Any], about: str | None
    ) -> str:
        """The error frame; `about` is what the client has called what it said."""
        raise NotImplementedError

    # --- joining ---

    async def _connect(self) -> None:
        if (reason := self._unwelcome()) is not None:
            metrics.refused(self.name, reason)
            await self.base_send({"type": "websocket.close"})  # before accept: 403
            return
        await self.base_send({"type": "websocket.accept"})
        self.is_open = self._was_open = True
        metrics.opened(self.name)
        try:
            self.credential = credential = await in_thread(self._sign_in)()
            logs.bind(user_id=credential.user.pk)
            watch.Watch.remember(self, credential)
            await self.join(credential)
        except rates.TooManySockets as refusal:
            await self.refuse(
                Closed(protocol.TOO_MANY, str(refusal), refusal.code, **refusal.detail)
            )
        except errors.Refusal as refusal:
            await self.refuse(Closed(protocol.NOT_FOUND, str(refusal), refusal.code))
        except Closed as closed:
            await self.refuse(closed)
        except (OperationalError, InterfaceError):
            await self.close(protocol.OVERLOADED)

    def _unwelcome(self) -> str | None:
        """Why there is to be no handshake. A browser is told nothing, so the log is."""
        if not access.may_connect_from(self.scope):
            logger.warning("a socket from the origin %r was refused", _origin(self.scope))
            return "origin_forbidden"
        if len(watch.Watch.lines()) >= settings.MOST_SOCKETS:
            logger.warning("a socket was refused: %d are open", settings.MOST_SOCKETS)
            return "overloaded"
        return None

    def _sign_in(self) -> access.Credential:
        credential = access.credential(self.scope)
        if credential is None:
            raise Closed(protocol.NOT_SIGNED_IN, "Sign in first.", "not_signed_in")
        rates.take_socket(credential.user, self.id)
        return credential

    # --- receiving ---

    async def _receive(self, message: dict[str, Any]) -> None:
        if self.credential is None or not self.is_open:
            return  # not signed in, or not any more, and told so
        if self._is_flooding():
            sentence = f"More than {MOST_FRAMES} frames in {FRAMES_SECONDS:g} s."
            closed = Closed(
                protocol.TOO_MANY, sentence, "too_many_frames", retry_after=FRAMES_SECONDS
            )
            await self.refuse(closed)
            return
        text = message.get("text")
        if text is None or len(text.encode(errors="replace")) > LARGEST_FRAME:
            await self.complain("A frame is JSON text of at most 64 KiB.", "too_large")
            return
        try:
            said = self.frames_from_client.validate_json(text)
        except ValidationError as error:
            metrics.received(self.name, metrics.UNKNOWN, ())
            await self._complain_of(error, text)
            return
        metrics.received(self.name, said.type, (said.type,))
        await self._do(said)

    def _is_flooding(self) -> bool:
        now = time.monotonic()
        if now - self._heard_since > FRAMES_SECONDS:
            self._heard, self._heard_since = 0, now
        self._heard += 1
        return self._heard > MOST_FRAMES

    async def _do(self, said: Any) -> None:
        about = getattr(said, "id", None)
        try:
            await self.hear(said)
        except errors.Refusal as refusal:
            await self.complain(str(refusal), refusal.code, refusal.detail, about)
        except (OperationalError, InterfaceError):
            sentence = "The database does not answer. Try again."
            await self.complain(sentence, "unavailable", about=about)
        except Exception:
            logger.exception("a frame %s failed by a mistake of ours", said.type)
            await self.complain(
                "Something went wrong inside CouncilOS.", "internal", about=about
            )

    async def _complain_of(self, error: ValidationError, text: str) -> None:
        first = error.errors(include_url=False, include_input=False)[0]
        # Before the field stands the type of the frame, once that is known.
        where = ".".join(str(part) for part in first["loc"][1:])
        match first["type"]:
            case "union_tag_not_found" | "union_tag_invalid":
                known = first.get("ctx", {}).get("expected_tags")
                where, what = "type", f"`type` must be one of {known or 'those there are'}."
            case "json_invalid":
                what = "A frame is one JSON object; this is no JSON."
            case _:
                what = f"{where or 'The frame'}: {first['msg']}."
        detail = {"field": where or "frame"}
        await self.complain(what, "malformed", detail, _id_in(text))

    async def complain(
        self,
        sentence: str,
        code: str,
        detail: Mapping[str, Any] | None = None,
        about: str | None = None,
    ) -> None:
        metrics.refused(self.name, code)
        await self.send_text(self.complaint(sentence, code, detail or {}, about), "error")

    def answer_gate(self, run_id: UUID, said: answers.Answer, arrived: datetime) -> None:
        """Answer a gate of a run. That it was taken, the log says to everybody."""
        assert self.credential is not None
        user = access.fresh(self.credential)
        run = access.find_run(user, run_id)
        gate = gates.find(run, said.gate_id, seen_at=arrived)
        access.check_may_answer(user, gate)
        gates.answer(gate.pk, action=said.action, by=user.get_username(), says=said.says)

    # --- sending and closing ---

    async def send_text(self, text: str, kind: str) -> None:
        """Send a frame; `kind` is its type, for those who count."""
        if self.is_open:
            await self.base_send({"type": "websocket.send", "text": text})
            metrics.sent(self.name, kind)

    async def close(self, code: int) -> None:
        if self.is_open:
            self.is_open, self._code = False, code
            with contextlib.suppress(Exception):
                await self.base_send({"type": "websocket.close", "code": code})

    async def refuse(self, closed: Closed) -> None:
        await self.complain(closed.message, closed.error, closed.detail)
        await self.close(closed.code)
        self.leave()

    async def restart(self) -> None:
        """The server is stopping; the client may come back with its position."""
        await self.close(protocol.RESTARTING)

    async def end_session(self) -> None:
        """The credential is no longer good."""
        await self.refuse(Closed(protocol.NOT_SIGNED_IN, "Signed out.", "not_signed_in"))

    async def while_open(self, sending: Any) -> None:
        """Await what sends to the client; close with the reason why it cannot go on."""
        try:
            await sending
        except TimeoutError:
            await self.close(protocol.TOO_SLOW)
        except (OperationalError, InterfaceError):
            await self.close(protocol.OVERLOADED)
        except asyncio.CancelledError:
            raise
        except Exception:
            logger.exception("a socket failed by a mistake of ours")
            await self.close(protocol.OVERLOADED)


def _origin(scope: Mapping[str, Any]) -> str:
    found = dict(scope["headers"]).get(b"origin", b"")
    return str(found[:200].decode("latin1"))


def _id_in(text: str) -> str | None:
    """What the client calls a frame that cannot be read otherwise."""
    try:
        found = _JUST_ID.validate_json(text).get("id")
    except ValidationError:
        return None
    return found[:200] if isinstance(found, str) else None


_JUST_ID: TypeAdapter[dict[str, Any]] = TypeAdapter(dict[str, Any])


class Nowhere(AsyncConsumer):
    """Refuses a socket at an address that there is not (404 is not to be had: 403)."""

    channel_layer_alias = "none"

    async def websocket_connect(self, message: Any) -> None:
        await self.base_send({"type": "websocket.close"})

    async def websocket_disconnect(self, message: Any) -> None:
        raise StopConsumer
