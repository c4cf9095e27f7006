"""Server-Sent Events: the same feed as the sockets', for programs that have HTTP only.

An ASGI server may take whatever it is given (daphne keeps in memory what a client does not
read), so one stream is sent a bounded number of bytes and then ends; the client comes back with
`Last-Event-ID`, as a browser's EventSource does by itself (design, rule 5).
"""

import asyncio
import contextlib
import contextvars
import logging
from collections.abc import AsyncIterator
from typing import Any, NamedTuple, cast
from uuid import uuid4

from asgiref.sync import SyncToAsync
from channels.db import database_sync_to_async as in_thread
from django.conf import settings
from django.db import InterfaceError, OperationalError, close_old_connections
from django.http import HttpResponse, StreamingHttpResponse
from drf_spectacular.utils import OpenApiParameter
from rest_framework import exceptions, renderers, serializers
from rest_framework.request import Request

from experience import access, models, rates, watch
from runtime import errors

logger = logging.getLogger(__name__)

# What one stream is sent. Who does not read costs the server no more than this.
MOST_BYTES = 2 * 1024 * 1024
# Events, of a client that the server cannot send to at once.
READ_AHEAD = 8
# A line that is silent for longer is cut by some proxies; and a dead client is noticed.
SILENT_SECONDS = 15.0
STOP_SECONDS = 5.0
# An EventSource waits so long before it comes back.
RETRY = b"retry: 1000\n\n"
ALIVE = b": alive\n\n"

LAST_EVENT_ID = OpenApiParameter(
    "Last-Event-ID",
    {"type": "integer", "minimum": 0},
    OpenApiParameter.HEADER,
    description="the last event that the client has; goes before `after`",
)
MEDIA_TYPE = "text/event-stream"
LONGEST_NUMBER = 16  # digits


class Overloaded(errors.Refusal):
    """This server has as many open lines as it can hold. Try again a little later."""

    code = "overloaded"


class StreamEvent(serializers.Serializer[Any]):
    """The fields of one event of a stream."""

    id = serializers.CharField(help_text="its seq: `Last-Event-ID` when coming back")
    event = serializers.CharField(help_text="its kind")
    data = serializers.CharField(  # type: ignore[assignment] # a name of the base class, too
        help_text="JSON: the same as in a page"
    )


class Sent(NamedTuple):
    """One event of a stream."""

    block: str
    ends: bool = False
    """Nothing comes after it."""


def block(seq: int, name: str, data: str) -> str:
    """An event as it is sent. `data` is one line of JSON."""
    return f"id: {seq}\nevent: {name}\ndata: {data}\n\n"


class Renderer(renderers.JSONRenderer):
    """Lets `Accept: text/event-stream` be asked for; what is refused is told in JSON."""

    media_type = MEDIA_TYPE
    format = "events"
    charset = None


def is_asked_for(request: Request) -> bool:
    return bool(request.accepted_renderer.format == Renderer.format)


def position(request: Request, after: int, *, most: int) -> int:
    """Where to begin: after `Last-Event-ID`, or else `after`. Raises ValidationError."""
    text = request.headers.get("Last-Event-ID", "").strip()
    if not text:
        return after
    is_number = text.isascii() and text.isdecimal() and len(text) <= LONGEST_NUMBER
    if not is_number or int(text) > most:
        raise exceptions.ValidationError({"Last-Event-ID": ["A whole number is needed."]})
    return int(text)


def over() -> HttpResponse:
    """The client has had the end. An EventSource does not come back after this."""
    return HttpResponse(status=204)


def answer(request: Request, source: AsyncIterator[Sent]) -> StreamingHttpResponse:
    """Send what the source gives until its end, until the credential ends or until the client
    has been sent as much as one stream may have.

    Raises Overloaded, rates.TooManySockets: a stream counts as a socket.
    """
    if len(watch.Watch.lines()) >= settings.MOST_SOCKETS:
        raise Overloaded
    stream = Stream(source, _credential(request))
    rates.take_socket(request.user, stream.id)
    close_old_connections()  # the answer goes on for long, and needs this one no more
    response = StreamingHttpResponse(_send(stream), content_type=MEDIA_TYPE)
    response["Cache-Control"] = "no-store"
    response["X-Accel-Buffering"] = "no"  # nginx would collect it
    return response


def _credential(request: Request) -> access.Credential:
    if (token := cast("models.Token | None", request.auth)) is not None:
        return access.Credential(request.user, token_id=token.pk)
    return access.Credential(request.user, session_key=request.session.session_key)


async def _send(stream: "Stream") -> AsyncIterator[bytes]:
    stream.begin()
    sent = 0
    try:
        yield RETRY  # at once, so that the client knows that it is connected
        while sent < MOST_BYTES and (chunk := await stream.next()) is not None:
            sent += len(chunk)
            yield chunk
    finally:
        await stream.stop()


class Stream:
    """One client's line. Reading ahead of what was sent is bounded by the queue."""

    def __init__(self, source: AsyncIterator[Sent], credential: access.Credential) -> None:
        self.id = uuid4().hex
        self._source = source
        self._credential = credential
        self._waiting: asyncio.Queue[bytes | None] = asyncio.Queue(maxsize=READ_AHEAD)
        self._ended = False
        self._pump: asyncio.Task[None] | None = None

    def begin(self) -> None:
        # Outside of this request's context: the watch, if it begins with this stream, serves
        # others too, and would keep the thread that Django ends with this request.
        context = contextvars.copy_context()
        context.run(SyncToAsync.thread_sensitive_context.set, None)  # type: ignore[arg-type]
        self._pump = asyncio.create_task(self._watched(), context=context)

    async def stop(self) -> None:
        """Leave nothing behind."""
        self._end()
        if self._pump is not None:
            # A library below may swallow one cancellation; nobody shall wait for it.
            await asyncio.wait([self._pump], timeout=STOP_SECONDS)
            watch.Watch.forget(self)

    async def next(self) -> bytes | None:
        """What is to be sent next, a sign of life after a silence; None at the end."""
        if self._ended:
            return None
        try:
            return await asyncio.wait_for(self._waiting.get(), SILENT_SECONDS)
        except TimeoutError:
            return ALIVE

    async def _watched(self) -> None:
        watch.Watch.remember(self, self._credential)
        try:
            await self._read()
        finally:
            watch.Watch.forget(self)
            await in_thread(rates.drop_socket)(self._credential.user, self.id)

    async def _read(self) -> None:
        try:
            async with contextlib.aclosing(self._source) as source:  # type: ignore[type-var]
                async for sent in source:
                    await self._waiting.put(sent.block.encode())
                    if sent.ends:
                        break
        except (OperationalError, InterfaceError) as error:
            logger.warning("a stream ends, the log cannot be read: %s", type(error).__name__)
        except Exception:
            logger.exception("a stream failed by a mistake of ours")
        await self._waiting.put(None)

    # --- what the watch calls ---

    async def restart(self) -> None:
        """The server is stopping; the client may come back with its position."""
        self._end()

    async def end_session(self) -> None:
        """The credential is no longer good."""
        self._end()

    def _end(self) -> None:
        """Now, whatever waits to be sent."""
        self._ended = True
        if self._pump is not None:
            self._pump.cancel()
        while not self._waiting.empty():
            self._waiting.get_nowait()
        self._waiting.put_nowait(None)
