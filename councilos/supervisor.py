"""Keep processes running until told to stop: whatever ends is started again."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from councilos import embedded, processes

# What ends sooner than this after its start has failed to start, and is given more time.
STEADY_SECONDS = 30.0
FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 30.0


class Service:
    """A process that is to run until we stop it.

    `start` starts it anew each time; it may raise embedded.Trouble.
    """

    def __init__(self, name: str, start: Callable[[], processes.Child]) -> None:
        self.name = name
        self._start = start
        self._failures = 0
        self._again: float | None = None
        self.start()

    def start(self) -> None:
        self._since = time.monotonic()
        self.child = self._start()

    def tend(self, say: Callable[[str], None]) -> None:
        """Start it again if it has ended and its wait is over; `say` tells of it."""
        if self.child.is_alive():
            return
        now = time.monotonic()
        if self._again is None:
            self._again = now + self._wait(now)
            say(
                f"{self.name} has ended ({self.child.how_it_ended()}) and starts again in "
                f"{self._again - now:.1f} s. Its log: {self.child.log}"
            )
        elif now >= self._again:
            self._again = None
            try:
                self.start()
            except embedded.Trouble as trouble:
                say(str(trouble))

    def _wait(self, now: float) -> float:
        """At once after a long life, then longer and longer."""
        if now - self._since > STEADY_SECONDS:
            self._failures = 0
        self._failures += 1
        doubled = FIRST_WAIT_SECONDS * 2.0 ** (self._failures - 2)
        return 0.0 if self._failures == 1 else min(doubled, LONGEST_WAIT_SECONDS)

    def stop(self) -> None:
        self.child.stop()

    def kill(self) -> None:
        if self.child.is_alive():
            self.child.process.kill()


def stop(services: Sequence[Service]) -> None:
    """Stop all of them at the same time, and wait until they are gone."""
    with ThreadPoolExecutor(max_workers=max(len(services), 1)) as threads:
        list(threads.map(Service.stop, services))
