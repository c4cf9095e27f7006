"""Gathers what a model says into one event for each short while."""

import asyncio
import time
from collections.abc import Callable

from runtime import metrics

# Tokens that arrive within this time become one event (rule 6): short enough to read
# along, long enough that a fast model does not write a row per word.
COALESCE_SECONDS = 0.075


class Pen:
    """Gathers the pieces of text that a model sends into one event for each short while."""

    def __init__(self, log: Callable[[int, str], "asyncio.Future[None]"]) -> None:
        """`log` gets the number of the event and its text; what it gives resolves with the
        commit."""
        self._log = log
        self._pieces: list[str] = []
        self._count = 0
        self._timer: asyncio.TimerHandle | None = None

    def write(self, text: str) -> None:
        self._pieces.append(text)
        if self._timer is None:
            self._begun = time.monotonic()
            self._timer = asyncio.get_running_loop().call_later(COALESCE_SECONDS, self._flush)

    def _flush(self) -> None:
        self._timer = None
        self._count += 1
        begun = self._begun
        done = self._log(self._count, "".join(self._pieces))
        done.add_done_callback(lambda written: _time(begun, written))
        self._pieces.clear()

    def drop(self) -> None:
        """Forget what was not logged: a result, or another try, takes its place."""
        self._pieces.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _time(begun: float, written: "asyncio.Future[None]") -> None:
    if not written.cancelled() and written.exception() is None:
        metrics.token_delay.observe(time.monotonic() - begun)
