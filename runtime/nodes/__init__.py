"""What a node of a council does: draft, criticise, write.

`KINDS` maps the kind that a blueprint states for a node to its function. A node is given a
`Step` and returns a `Result`; it knows no graph, no run and no log.
"""

from collections.abc import Awaitable, Callable, Mapping

from runtime.nodes import critic, draft, writer
from runtime.nodes.state import State, initial_state
from runtime.nodes.step import SETTINGS, CriticSettings, Node, Result, Settings, Step, iteration

Kind = Callable[[Step], Awaitable[Result]]

KINDS: Mapping[str, Kind] = {
    "draft": draft.draft,
    "critic": critic.critic,
    "writer": writer.writer,
}

__all__ = [
    "KINDS",
    "SETTINGS",
    "CriticSettings",
    "Kind",
    "Node",
    "Result",
    "Settings",
    "State",
    "Step",
    "initial_state",
    "iteration",
]
