"""A model provider on this machine: OpenAI's and Anthropic's protocols, and every bad day.

The real clients talk to it over real sockets. What it answers is taken from `server.queue`,
one `Answer` a request; when that is empty, from `server.behave(request)`. As a process of its
own, for tests of the whole system, it plays a council (see `council`):

    python -m tests.provider --port 0      # prints its URL; PROVIDER_TOKENS_PER_SECOND
"""

import argparse
import asyncio
import contextlib
import json
import os
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

from tests import speech
from tests.speech import Answer, Request

_REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found"}


def plain(request: Request) -> Answer:
    """Answer everything with the same few words."""
    return Answer()


def without_structured_output(request: Request) -> Answer:
    """A server that knows no `response_format`."""
    return Answer(status=400, param="response_format") if request.structured else Answer()


class Server:
    """A running provider. `server.url` is the base URL for OpenAI's clients."""

    def __init__(self, behave: Callable[[Request], Answer] = plain) -> None:
        self.behave = behave
        self.queue: deque[Answer] = deque()
        self.requests: list[Request] = []
        self.arrived: asyncio.Queue[Request] = asyncio.Queue()
        self.connections = 0
        self.root = ""
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"{self.root}/v1"

    def then(self, *answers: Answer) -> None:
        """Answer the next requests with these."""
        self.queue.extend(answers)

    async def start(self, port: int = 0) -> asyncio.Server:
        listening = await asyncio.start_server(self._connected, "127.0.0.1", port, backlog=1024)
        self.root = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        return listening

    async def stop(self, listening: asyncio.Server) -> None:
        listening.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await listening.wait_closed()

    async def _connected(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.connections += 1
        try:
            while True:
                request = await _read(reader)
                self.requests.append(request)
                self.arrived.put_nowait(request)
                answer = self.queue.popleft() if self.queue else self.behave(request)
                if not await _respond(request, answer, reader, writer):
                    break
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client left, or the server is being stopped
        finally:
            writer.close()


@contextlib.asynccontextmanager
async def serve(behave: Callable[[Request], Answer] = plain) -> AsyncIterator[Server]:
    """A provider for the length of a `with`."""
    server = Server(behave)
    listening = await server.start()
    try:
        yield server
    finally:
        await server.stop(listening)


# --- HTTP ------------------------------------------------------------------------------


async def _read(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.split("\r\n")
    pairs = (line.split(": ", 1) for line in lines if line)
    headers = {name.lower(): value for name, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Request(path=first.split()[1], headers=headers, body=json.loads(body or b"{}"))


async def _respond(
    request: Request,
    answer: Answer,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> bool:
    """Send the answer; whether the line can be used again."""
    protocol = speech.Anthropic if request.path.endswith("/messages") else speech.OpenAI
    if answer.status != 200:
        writer.write(_whole(answer, protocol.error(answer)))
        await writer.drain()
        return True
    sending = asyncio.create_task(_stream(request, answer, protocol, writer))
    leaving = asyncio.create_task(reader.read(1))  # a client says nothing before the end
    await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
    if not sending.done():
        request.left.set()
    for task in (sending, leaving):
        task.cancel()
    whole, _ = await asyncio.gather(sending, leaving, return_exceptions=True)
    if whole is not True:
        return False
    writer.write(b"0\r\n\r\n")
    await writer.drain()
    return True


async def _stream(
    request: Request,
    answer: Answer,
    protocol: type[speech.Speech],
    writer: asyncio.StreamWriter,
) -> bool:
    """Send all but the very last bytes; False when the line is to be cut."""
    if answer.hangs_at == -1:
        await _hang(request)
    writer.write(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n"
    )
    said = protocol(request, answer)
    writer.write(_chunk(said.opening()))
    # One past the end, so that a fault can also come after the last token.
    for number, token in enumerate([*speech.tokens(answer.text), None]):
        if number == answer.cut_at:
            return False
        if number == answer.hangs_at:
            await _hang(request)
        if number == answer.ends_at:
            return True
        if number == answer.garbled_at:
            writer.write(_chunk(said.garbled()))
        if number == answer.fails_at:
            writer.write(_chunk(said.failing()))
            return True
        if token is not None:
            writer.write(_chunk(said.token(token)))
            await writer.drain()
            request.under_way.set()
            await asyncio.sleep(answer.every)
    writer.write(_chunk(said.closing()))
    await writer.drain()
    return True


async def _hang(request: Request) -> None:
    request.under_way.set()
    await asyncio.Event().wait()


def _whole(answer: Answer, error: dict[str, Any]) -> bytes:
    body = json.dumps(error).encode()
    reason = _REASONS.get(answer.status, "Error")
    pointer = f"Location: {answer.location}\r\n" if answer.location else ""
    return (
        f"HTTP/1.1 {answer.status} {reason}\r\nContent-Type: application/json\r\n"
        f"{pointer}Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def _chunk(text: str) -> bytes:
    data = text.encode()
    return b"%x\r\n%s\r\n" % (len(data), data) if data else b""


# --- a council, for tests of the whole system --------------------------------------------

_ASKED_FOR_MORE = "Name who does what by when."
_IMPROVED = "An improved draft, of the provider in the tests."


def council(request: Request) -> Answer:
    """Play a council without remembering anything, so that many runs may go on at once.

    A critic is known by the schema it asks for; its first feedback makes the next draft an
    improved one, and an improved draft is scored high.
    """
    if request.structured:
        return Answer(text=_score(high=_IMPROVED in request.text))
    if _ASKED_FOR_MORE in request.text:
        return Answer(text=f"{_IMPROVED} It names an owner, a date and a way to stop.")
    return Answer(text="A first draft, of the provider in the tests. It stays general so far.")


def _score(*, high: bool) -> str:
    if high:
        return json.dumps({"score": 8.5, "verdict": "approve", "feedback": "Good as it is."})
    return json.dumps({"score": 6.5, "verdict": "revise", "feedback": _ASKED_FOR_MORE})


async def _main(port: int) -> None:
    rate = float(os.environ.get("PROVIDER_TOKENS_PER_SECOND", "0"))
    pause = 1 / rate if rate else 0.0
    server = Server(lambda request: replace(council(request), every=pause))
    listening = await server.start(port)
    print(server.url, flush=True)
    await listening.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_main(parser.parse_args().port))
