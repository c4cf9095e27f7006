"""Models by name: `provider:model` in, streamed text out, every failure a stated one.

`llm.resolve(name)` says which model a name means, `await llm.call(...)` asks it once, and
`llm.bound(...)` says what that can use at most.
Keys and base URLs come from the settings alone. Importing this is cheap; the libraries
of a provider are loaded at its first call.
"""

from runtime.llm.calls import call
from runtime.llm.connections import close
from runtime.llm.names import resolve
from runtime.llm.prices import Bound, bound
from runtime.llm.replies import Reply, Usage, clean
from runtime.llm.schemas import Schema

__all__ = [
    "Bound",
    "Reply",
    "Schema",
    "Usage",
    "bound",
    "call",
    "clean",
    "close",
    "resolve",
]
