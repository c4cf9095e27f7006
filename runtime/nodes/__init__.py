"""What a node of a council does: draft, criticise, answer, join, choose, hand over.

`KINDS` maps the kind that a blueprint states for a node to its `Kind`; `register` adds one. A
node is given a `Step` and returns a `Result`; it knows no graph, no run and no log.
"""

from runtime.nodes import (
    answer,
    asking,
    critic,
    draft,
    guide,
    prompt,
    review,
    router,
    synthesis,
    vote,
    writer,
)
from runtime.nodes.kind import KINDS, Kind, iteration, register
from runtime.nodes.members import absence, attendance
from runtime.nodes.state import Message, State, initial_state
from runtime.nodes.step import (
    CriticSettings,
    GateSettings,
    Handoff,
    Node,
    Result,
    Settings,
    Step,
    TextSettings,
    Turn,
    Upstream,
)

for _part in (draft, critic, writer, answer, review, synthesis, vote, router, guide):
    register(_part.KIND)

__all__ = [
    "KINDS",
    "CriticSettings",
    "GateSettings",
    "Handoff",
    "Kind",
    "Message",
    "Node",
    "Result",
    "Settings",
    "State",
    "Step",
    "TextSettings",
    "Turn",
    "Upstream",
    "absence",
    "asking",
    "attendance",
    "initial_state",
    "iteration",
    "prompt",
    "register",
]
