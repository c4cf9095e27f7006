"""Tell the servers that a run's log has grown (design, rule 3). Latency only.

Rings go out from a thread with an event loop of its own: whoever writes the log waits
neither for Redis nor for its client, and what grows meanwhile goes in the next ring. A ring
that is lost costs time, never an event: the readers look at the log at a steady pace anyway.
"""

import asyncio
import json
import logging
import threading
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from channels.layers import get_channel_layer

logger = logging.getLogger(__name__)

Event = Mapping[str, Any]
"""An event as JSON, with its `seq`."""

# A message that is larger than this carries no events: the reader then reads the log. Redis
# copies it to every server process.
MOST_BYTES = 32 * 1024
# Events of one run that may wait for the next ring.
MOST_EVENTS = 200


_making = threading.Lock()


def layer() -> Any:
    """The channel layer of this process.

    channels makes it on first use, without a lock: of two threads that ask at once each would
    get one of its own, and what listens at the one cannot be reached through the other.
    """
    with _making:
        return get_channel_layer()


def group(run_id: UUID) -> str:
    """The channel-layer group that is rung when the run's log grows."""
    return f"run.{run_id}"


class Bell:
    """Rings for many runs, in the background."""

    def __init__(self) -> None:
        self._grown: dict[UUID, list[Event]] = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    def ring(self, run_id: UUID, new: Sequence[Event]) -> None:
        """Tell whoever listens, soon. Never waits and never raises."""
        with self._lock:
            grown = self._grown.setdefault(run_id, [])
            grown.extend(new)
            if len(grown) > MOST_EVENTS:
                del grown[:-1]  # Redis is slow: the reader shall read the log
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="doorbell", daemon=True)
                self._thread.start()
        self._wake.set()

    def _run(self) -> None:
        with asyncio.Runner() as runner:
            while True:
                self._wake.wait()
                self._wake.clear()
                with self._lock:
                    grown, self._grown = self._grown, {}
                runner.run(_send_all(grown))


_bell = Bell()
ring = _bell.ring


async def _send_all(grown: Mapping[UUID, Sequence[Event]]) -> None:
    await asyncio.gather(*(_send(run_id, new) for run_id, new in grown.items()))


async def _send(run_id: UUID, new: Sequence[Event]) -> None:
    message = {"type": "run.events", "run": str(run_id), "seq": new[-1]["seq"]}
    payload = json.dumps(new)
    if len(payload) <= MOST_BYTES:
        message["events"] = payload
    try:
        await layer().group_send(group(run_id), message)
    except Exception as error:
        # Redis away, its time limit, a broken pool: whatever it is, the poll makes up for it.
        logger.warning(
            "doorbell of run %s not rung: %s",
            run_id,
            type(error).__name__,
            extra={"run_id": run_id},
        )
