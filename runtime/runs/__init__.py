"""The only code that changes a run's status.

Each verb changes the row and appends the event that tells of it in one transaction. The
verbs that a driving attempt uses (`completed`, `stopped`, `failed`) return a change for its
writer instead, which fences it; the others are called by people, programs and workers at any
time and check the status they expect.
"""

from runtime.runs import ends
from runtime.runs.beginnings import LONGEST_TOPIC, check_prices, create
from runtime.runs.ends import completed, failed, projection, stop, stopped
from runtime.runs.forks import fork
from runtime.runs.rescue import rescue
from runtime.runs.rows import QUEUE, TASK, document_of, enqueued_at, fence_of, lock
from runtime.runs.turns import MOST_LOST, cancel, claim, pause, reassign, release, resume, retry

cancel_locked, end_key = ends.cancel, ends.key

__all__ = [
    "LONGEST_TOPIC",
    "MOST_LOST",
    "QUEUE",
    "TASK",
    "cancel",
    "cancel_locked",
    "check_prices",
    "claim",
    "completed",
    "create",
    "document_of",
    "end_key",
    "enqueued_at",
    "failed",
    "fence_of",
    "fork",
    "lock",
    "pause",
    "projection",
    "reassign",
    "release",
    "rescue",
    "resume",
    "retry",
    "stop",
    "stopped",
]
