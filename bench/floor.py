"""The floor of part (a): the least that any system has to do which keeps what it shows.

INSERT one row and commit, PUBLISH it, and another process, subscribed, sends it as one
WebSocket frame to a client. As a module it is that other process, bare on the `websockets`
library (`python -m bench.floor`), which is the leanest Python has; or, to tell what the
server itself costs, as an ASGI application under daphne (`daphne bench.floor:application`).
"""

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import psycopg
import redis
import websockets
from redis import asyncio as aredis

CHANNEL = "bench.floor"


async def forward(send: Callable[[str], Awaitable[None]]) -> None:
    """Send on whatever is published. The first frame says that it listens."""
    client = aredis.Redis.from_url(os.environ["REDIS_URL"])
    async with client.pubsub(ignore_subscribe_messages=True) as subscribed:
        await subscribed.subscribe(CHANNEL)
        await send("listening")
        async for message in subscribed.listen():
            await send(message["data"].decode())


async def application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "websocket":
        return
    await receive()
    await send({"type": "websocket.accept"})
    await forward(lambda text: send({"type": "websocket.send", "text": text}))


async def _main() -> None:
    async with websockets.serve(
        lambda connection: forward(connection.send), "127.0.0.1", 0, compression=None
    ) as server:
        print(next(iter(server.sockets)).getsockname()[1], flush=True)
        await server.serve_forever()


# --- the other side ----------------------------------------------------------------------


class Client:
    """A blocking WebSocket client: no loop, no thread, nothing to wait for but the frame."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(
            f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        self._stream = self._socket.makefile("rb")
        while self._stream.readline() not in (b"\r\n", b""):
            pass

    def frame(self) -> bytes:
        _kind, length = self._stream.read(2)
        if length == 126:
            length = int.from_bytes(self._stream.read(2), "big")
        return self._stream.read(length)

    def close(self) -> None:
        self._stream.close()
        self._socket.close()


@contextlib.contextmanager
def measured(
    port: int, environment: dict[str, str]
) -> Iterator[Callable[[str, int], list[float]]]:
    """Gives a function that takes so many measurements, in seconds, one after the other."""
    client = Client(port)
    publisher = redis.Redis.from_url(environment["REDIS_URL"])
    with psycopg.connect(environment["DATABASE_URL"]) as db:
        db.execute(
            "CREATE TABLE IF NOT EXISTS bench_floor (id bigserial PRIMARY KEY, data jsonb)"
        )
        db.commit()
        assert client.frame() == b"listening"

        def sample(payload: str, count: int) -> list[float]:
            taken = []
            for _ in range(count):
                begun = time.perf_counter()
                db.execute("INSERT INTO bench_floor (data) VALUES (%s)", [payload])
                db.commit()
                publisher.publish(CHANNEL, payload)
                client.frame()
                taken.append(time.perf_counter() - begun)
                time.sleep(0.002)  # so that every one begins with all processes at rest
            return taken

        yield sample
    publisher.close()
    client.close()


if __name__ == "__main__":
    asyncio.run(_main())
