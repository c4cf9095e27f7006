"""What somebody types, while the run goes on meanwhile."""

import asyncio
import contextlib
import os
import shlex
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any


class Dropped(Exception):
    """The question is no longer to be answered."""


def is_there(stdout_is_terminal: bool) -> bool:
    """Whether there is somebody to ask."""
    return stdout_is_terminal and sys.stdin.isatty()


async def line(question: str, *until: "asyncio.Future[Any]") -> str:
    """Ask, and return the line that was typed, stripped.

    Raises Dropped when one of `until` is done first, EOFError at the end of the input.
    """
    print(question, end="", flush=True)  # noqa: T201
    loop = asyncio.get_running_loop()
    said: asyncio.Future[str] = loop.create_future()

    def hear() -> None:
        loop.remove_reader(sys.stdin)
        said.set_result(sys.stdin.readline())

    loop.add_reader(sys.stdin, hear)
    waiting: Sequence[asyncio.Future[Any]] = [said, *until]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        loop.remove_reader(sys.stdin)
    if not said.done():
        raise Dropped
    if not said.result():
        raise EOFError
    return said.result().strip()


class Editor:
    """A text in a file, to be changed with the editor of whoever sits here."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._is_closed = not text.endswith("\n")  # editors add an end to the last line
        handle, name = tempfile.mkstemp(prefix="council-", suffix=".md")
        self.path = Path(name)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text + "\n" * self._is_closed)

    async def open(self) -> str:
        """The text as it was left. Raises ValueError, saying what to do, when there is no
        editor, or it failed."""
        words = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi")
        try:
            process = await asyncio.create_subprocess_exec(*words, str(self.path))
        except OSError as error:
            raise ValueError(
                f"The editor {words[0]} cannot be started; set EDITOR to one that can."
            ) from error
        if await process.wait():
            raise ValueError(f"The editor {words[0]} failed; nothing was changed.")
        text = self.path.read_text(encoding="utf-8", errors="replace")
        self.text = text.removesuffix("\n") if self._is_closed else text
        return self.text

    def forget(self) -> None:
        with contextlib.suppress(OSError):
            self.path.unlink()
