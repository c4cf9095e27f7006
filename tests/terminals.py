"""A person at a terminal, for tests of what is asked there."""

import asyncio
import contextlib
import os
import pty
import re
import sys
import threading
from collections.abc import AsyncIterator
from typing import Any

from experience.terminal import follower

PATIENCE = 20  # seconds
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


class Person:
    """Reads a terminal and types into it. `code` is the exit code, once all is over."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
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

    def types(self, line: str) -> None:
        os.write(self._descriptor, f"{line}\n".encode())

    def presses(self, key: bytes) -> None:
        os.write(self._descriptor, key)

    def _wait_for(self, text: str) -> bool:
        with self._grown:
            if not self._grown.wait_for(lambda: text in self._heard[self._read_to :], PATIENCE):
                return False
            self._read_to = self._heard.index(text, self._read_to) + len(text)
            return True

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            while piece := os.read(self._descriptor, 65_536):
                with self._grown:
                    self._heard += piece.decode(errors="replace")
                    self._grown.notify_all()


@contextlib.asynccontextmanager
async def sitting(run: Any, monkeypatch: Any, user: Any = None) -> AsyncIterator[Person]:
    """A person who follows a run at a terminal of their own."""
    theirs, ours = pty.openpty()
    monkeypatch.setenv("TERM", "xterm")
    with (
        os.fdopen(ours, "w", closefd=False) as out,
        os.fdopen(ours, "r", closefd=False) as typed,
    ):
        monkeypatch.setattr(sys, "stdin", typed)
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "stderr", out)
        person = Person(theirs)
        following = asyncio.create_task(follower.Follower(run, user=user).follow())
        try:
            yield person
            person.code = await asyncio.wait_for(following, PATIENCE)
        finally:
            following.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await following
            monkeypatch.undo()
            os.close(ours)
            person._thread.join(PATIENCE)
            os.close(theirs)
