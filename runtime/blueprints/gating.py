"""Where in a graph a run may wait for a person, and how it goes on from there."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

from langgraph.constants import END

from runtime import nodes
from runtime.blueprints import joins
from runtime.blueprints.document import Document
from runtime.blueprints.graph import APPROVE, Graph

Place = Literal["before", "after", "iterations"]


class Passage(NamedTuple):
    """How a run goes on from a gate: what changes in the state, and the node that it is sent
    to; None is the way it would have gone."""

    updates: Mapping[str, Any]
    to: str | None = None


@dataclass(frozen=True)
class Gate:
    """A place in a graph where a run may wait for a person."""

    node: nodes.Node
    place: Place
    """Before or after the node, or (iterations) after it when it has reached its limit."""
    settings: nodes.GateSettings
    graph: Graph

    @cached_property
    def targets(self) -> list[str]:
        """The nodes that a person may send the run to."""
        place: Literal["before", "after"] = "before" if self.place == "before" else "after"
        return joins.sound_targets(self.graph, self.node.id, place)

    def next_nodes(self, state: nodes.State) -> list[str]:
        """Where the run goes if nobody changes its way."""
        if self.place == "before":
            return [self.node.id]
        return sorted(way for way in ways(self.graph, self.node, state) if way != END)


Ask = Callable[[Gate, nodes.State, str], Awaitable[Passage]]
"""Waits at a gate, given it, the state and the task's id; how the run goes on from there."""


def of(blueprint: Document, graph: Graph, node: nodes.Node, god_mode: bool) -> list[Gate]:
    """The gates of a node; `god_mode` puts one before every node."""
    before = node.settings.gate_before or (nodes.GateSettings() if god_mode else None)
    after, place = node.settings.gate_after, "after"
    asks = blueprint.limits is not None and blueprint.limits.at_limit == "ask"
    if after is None and asks and nodes.KINDS[node.kind].decides == "verdict":
        after, place = nodes.GateSettings(actions=["approve", "reject"]), "iterations"
    found = [Gate(node, "before", before, graph)] if before else []
    if after:
        found.append(Gate(node, "after" if place == "after" else "iterations", after, graph))
    return found


def ways(graph: Graph, node: nodes.Node, state: nodes.State) -> list[str]:
    """The nodes that follow a node, by what it has decided."""
    links = graph.out(node.id)
    decision = state["decisions"].get(node.id)
    kind = nodes.KINDS[node.kind]
    if kind.decides == "verdict" and decision not in (None, "approve", "revise"):
        # A limit: the way it would have gone with a good score, unless it is to end.
        goes_on = getattr(node.settings, "at_limit", "continue") == "continue"
        decision = APPROVE if goes_on else None
    return [
        link.target for link in links if link.condition is None or link.condition == decision
    ] or [END]
