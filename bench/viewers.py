"""The bench's side of a process full of sockets."""

import contextlib
import json
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

import psutil

from bench import system as systems


class Viewers:
    """Sockets that have joined, in a process of their own (see `bench.sockets`)."""

    def __init__(
        self, system: systems.System, run_ids: Sequence[UUID], *, until: int, seconds: float
    ) -> None:
        self._child = systems.start_child("bench.sockets", env={})
        assert self._child.stdin is not None
        job = {
            "port": system.port,
            "token": system.token,
            "run_ids": [str(run_id) for run_id in run_ids],
            "until": until,
            "seconds": seconds,
        }
        self._child.stdin.write(json.dumps(job) + "\n")
        self._child.stdin.flush()

    @property
    def process(self) -> psutil.Process:
        return psutil.Process(self._child.pid)

    def _line(self) -> str:
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        if not line:
            raise RuntimeError("the process with the sockets died; its error is above")
        return line

    def wait_joined(self) -> None:
        assert self._line() == "joined\n"

    def result(self) -> dict[str, Any]:
        """What they saw, once all have seen it or time is up."""
        told: dict[str, Any] = json.loads(self._line())
        return told

    def end(self) -> None:
        systems.end_child(self._child)


@contextlib.contextmanager
def joined(
    system: systems.System, run_ids: Sequence[UUID], *, until: int = 0, seconds: float = 60.0
) -> Iterator[Viewers]:
    """One socket for each of these runs, all of them connected."""
    viewers = Viewers(system, run_ids, until=until, seconds=seconds)
    try:
        viewers.wait_joined()
        yield viewers
    finally:
        viewers.end()
