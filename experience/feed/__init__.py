"""One feed per process and run; each reader holds a cursor, not a queue.

The hub of a server process subscribes once to each run that somebody watches, keeps its
latest events, and wakes the readers; of a conversation it knows the last message's number. A
reader sends what lies beyond its own cursor, from memory or else from the log: replay and
following are the same loop, so there is no seam between them to lose an event in (design,
rules 3 and 4).
"""

from experience.feed.hubs import hub
from experience.feed.latest import Feed, joined

__all__ = ["Feed", "hub", "joined"]
