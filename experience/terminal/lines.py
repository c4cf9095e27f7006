"""The lines that another program writes to standard input."""

import asyncio
import contextlib
import os
import sys


class Lines:
    """Read one after the other; while one is waited for, the event loop goes on."""

    def __init__(self) -> None:
        self._descriptor = sys.stdin.fileno()
        self._read = b""

    async def next(self) -> str | None:
        """The next line that says something, stripped; None at the end of the input."""
        while True:
            line, has_end, rest = self._read.partition(b"\n")
            if has_end:
                self._read = rest
            elif piece := await self._piece():
                self._read += piece
                continue
            else:
                self._read = b""
            if text := line.decode(errors="replace").strip():
                return text
            if not has_end:
                return None

    async def _piece(self) -> bytes:
        await _readable(self._descriptor)
        return os.read(self._descriptor, 65_536)


async def _readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    try:
        loop.add_reader(descriptor, ready.set)
    except PermissionError:
        return  # a file, which always is
    try:
        await ready.wait()
    finally:
        with contextlib.suppress(OSError):
            loop.remove_reader(descriptor)
