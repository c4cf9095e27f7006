"""Many council sockets in one process, as cheap as Python makes them.

    python -m bench.sockets < job.json

Bare asyncio and not the `websockets` library: clients and server share two cores, and the
bench is not to measure itself. This knows just what daphne sends: frames without masks,
fragments or compression. Like any client it acknowledges, every 32 events or
250 ms (protocol.md §3, design rule 5).

It prints `joined` when every socket has had its `connected` frame, and one line of JSON when
every socket has had the event `until`, or was closed if that is 0, or time is up.
"""

import asyncio
import contextlib
import json
import re
import sys
import time
from dataclasses import dataclass
from typing import Any

ACK_EVENTS = 32
ACK_SECONDS = 0.25
HANDSHAKES_AT_ONCE = 32
TEXT, CLOSE, PING = 0x1, 0x8, 0x9
# The provider of part (d) puts the moment of sending into every token.
STAMP = re.compile(rb"\d{10}\.\d{3}")


@dataclass
class Job:
    port: int
    token: str
    run_ids: list[str]  # one for each socket
    until: int
    seconds: float


class Socket(asyncio.Protocol):
    """One viewer. Keeps what it received, and when; nothing is parsed before the end."""

    def __init__(self, job: Job, run_id: str) -> None:
        self._job, self._run_id = job, run_id
        self._buffer = b""
        self._upgraded = False
        self._acked = 0
        self.frames: list[tuple[float, bytes]] = []
        self.seq = 0
        self.code = 0
        loop = asyncio.get_running_loop()
        self.joined: asyncio.Future[None] = loop.create_future()
        self.finished: asyncio.Future[None] = loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(
            f"GET /ws/council/{self._run_id} HTTP/1.1\r\nHost: 127.0.0.1:{self._job.port}\r\n"
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            f"Authorization: Bearer {self._job.token}\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        now = time.time()
        data = self._buffer + data
        position = 0
        if not self._upgraded:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self._buffer = data
                return
            if b" 101 " not in data[:20]:
                self._transport.abort()
                return
            self._upgraded, position = True, end + 4
        self._buffer = data[self._take(data, position, now) :]

    def _take(self, data: bytes, position: int, now: float) -> int:
        """Take the whole frames there are; where the next one begins."""
        while len(data) - position >= 2:
            kind, length, start = data[position] & 15, data[position + 1], position + 2
            if length == 126:
                length, start = int.from_bytes(data[start : start + 2], "big"), start + 2
            elif length == 127:
                length, start = int.from_bytes(data[start : start + 8], "big"), start + 8
            if len(data) < start + length:
                break
            position = start + length
            self._heard(kind, data[start:position], now)
        return position

    def _heard(self, kind: int, payload: bytes, now: float) -> None:
        if kind == TEXT:
            self.frames.append((now, payload))
            if not self.joined.done():
                self.joined.set_result(None)
                return
            self.seq = int(payload[payload.find(b'"seq":') + 6 :].split(b",", 1)[0])
            if self.seq - self._acked >= ACK_EVENTS:
                self.acknowledge()
            if self._job.until and self.seq >= self._job.until:
                self.finish()
        elif kind == CLOSE:
            self.code = int.from_bytes(payload[:2], "big")
            self._transport.close()
        elif kind == PING:
            self._send(0x8A, payload)

    def acknowledge(self) -> None:
        if self.seq > self._acked and not self._transport.is_closing():
            self._acked = self.seq
            self._send(0x81, b'{"type":"ack","seq":%d}' % self.seq)

    def _send(self, kind: int, payload: bytes) -> None:
        # Masked, as a client must, with a mask of zeros.
        self._transport.write(bytes((kind, 0x80 | len(payload))) + b"\0\0\0\0" + payload)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.joined.done():
            self.joined.set_exception(exc or ConnectionError("closed before it had joined"))
        self.finish()

    def finish(self) -> None:
        if not self.finished.done():
            self.finished.set_result(None)


async def _follow(job: Job) -> list[Socket]:
    loop = asyncio.get_running_loop()
    gate = asyncio.Semaphore(HANDSHAKES_AT_ONCE)

    async def join(run_id: str) -> Socket:
        async with gate:
            _, socket = await loop.create_connection(
                lambda: Socket(job, run_id), "127.0.0.1", job.port
            )
            await socket.joined
            return socket

    sockets = await asyncio.gather(*(join(run_id) for run_id in job.run_ids))
    print("joined", flush=True)
    acknowledging = asyncio.create_task(_acknowledge_always(sockets))
    with contextlib.suppress(TimeoutError):
        waiting = asyncio.gather(*(socket.finished for socket in sockets))
        await asyncio.wait_for(waiting, job.seconds)
    acknowledging.cancel()
    return sockets


async def _acknowledge_always(sockets: list[Socket]) -> None:
    while True:
        await asyncio.sleep(ACK_SECONDS)
        for socket in sockets:
            socket.acknowledge()


# --- afterwards --------------------------------------------------------------------------


def _told(sockets: list[Socket]) -> dict[str, Any]:
    """What was seen. `seen`: for each seq how many sockets had it, and the last one when."""
    seen: dict[int, tuple[int, float]] = {}
    completions: list[tuple[int, int, float, float | None]] = []
    delays: list[list[tuple[float, float]]] = []
    for number, socket in enumerate(sockets):
        stamps: dict[bytes, float] = {}
        told: set[int] = set()
        for at, payload in socket.frames[1:]:
            frame = json.loads(payload)
            if "seq" not in frame:
                continue
            told.add(frame["seq"])
            before = seen.get(frame["seq"], (0, 0.0))
            seen[frame["seq"]] = (before[0], max(before[1], at))
            if frame["event"] == "node_complete":
                returned = frame["output"].get("returned_at")
                completions.append((number, frame["seq"], at, returned))
            for stamp in STAMP.findall(payload):
                # A node's result repeats what its tokens have said.
                stamps.setdefault(stamp, at)
        for seq in told:
            seen[seq] = (seen[seq][0] + 1, seen[seq][1])
        delays.append([(float(stamp), at) for stamp, at in stamps.items()])
    return {
        "seen": seen,
        "completions": completions,
        "delays": delays,
        "codes": [socket.code for socket in sockets],
        "frames": sum(len(socket.frames) for socket in sockets),
        "finished": sum(socket.finished.done() for socket in sockets),
    }


def main() -> None:
    job = Job(**json.loads(sys.stdin.readline()))
    sockets = asyncio.run(_follow(job))
    print(json.dumps(_told(sockets)), flush=True)


if __name__ == "__main__":
    main()
