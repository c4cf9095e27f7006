"""Somebody at a terminal, for tests of what is shown and asked there."""

import asyncio
import contextlib
import os
import pty
import re
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, NamedTuple

PATIENCE = 20  # seconds
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


class Line(NamedTuple):
    """Descriptors: the person's two ends, and the command's."""

    reads: int
    types: int
    stdin: int
    stdout: int


def terminal() -> Line:
    theirs, ours = pty.openpty()
    return Line(theirs, os.dup(theirs), ours, os.dup(ours))


def pipes() -> Line:
    """The same of another program, which has no terminal."""
    reads, stdout = os.pipe()
    stdin, types = os.pipe()
    return Line(reads, types, stdin, stdout)


class Person:
    """Reads what is shown and types. `code` is the exit code, once all is over."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._heard = ""
        self._read_to = 0
        self._grown = threading.Condition()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()
        self.code: int | None = None

    @property
    def screen(self) -> str:
        """All that was shown, without control sequences and frames."""
        text = _CONTROL.sub("", self._heard).replace("\r", "")
        return " ".join(text.replace("│", " ").split())

    async def reads(self, text: str) -> None:
        """Wait until the text is shown, after what was waited for before."""
        found = await asyncio.to_thread(self._wait_for, text)
        assert found, f"{text!r} was not shown; this was: {self._heard[self._read_to :]}"

    async def answers(self, question: str, line: str) -> None:
        """Type a line when this is asked."""
        await self.reads(question)
        self.types(line)

    def types(self, line: str) -> None:
        self.presses(f"{line}\n".encode())

    def presses(self, key: bytes) -> None:
        os.write(self._line.types, key)

    def leaves(self) -> None:
        """Have no more to say: the end of the input, of a program."""
        os.close(self._line.types)
        self._line = self._line._replace(types=-1)

    def close(self) -> None:
        """Read to the end, which comes when the command has closed its side."""
        self._thread.join(PATIENCE)
        os.close(self._line.reads)
        with contextlib.suppress(OSError):
            os.close(self._line.types)

    def _wait_for(self, text: str) -> bool:
        with self._grown:
            if not self._grown.wait_for(lambda: text in self._heard[self._read_to :], PATIENCE):
                return False
            self._read_to = self._heard.index(text, self._read_to) + len(text)
            return True

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            while piece := os.read(self._line.reads, 65_536):
                with self._grown:
                    self._heard += piece.decode(errors="replace")
                    self._grown.notify_all()


@contextlib.asynccontextmanager
async def sitting(
    command: Coroutine[Any, Any, int], monkeypatch: Any, line: Callable[[], Line] = terminal
) -> AsyncIterator[Person]:
    """Somebody who sits before the command, at a terminal of their own."""
    opened = line()
    person = Person(opened)
    monkeypatch.setenv("TERM", "xterm")
    try:
        with os.fdopen(opened.stdout, "w") as out, os.fdopen(opened.stdin) as typed:
            monkeypatch.setattr(sys, "stdin", typed)
            monkeypatch.setattr(sys, "stdout", out)
            monkeypatch.setattr(sys, "stderr", out)
            working = asyncio.create_task(command)
            try:
                yield person
                person.code = await asyncio.wait_for(working, PATIENCE)
            finally:
                working.cancel()
                with contextlib.suppress(asyncio.CancelledError, Exception):
                    await working
                monkeypatch.undo()
    finally:
        person.close()
