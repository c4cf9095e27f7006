"""From a blueprint to a LangGraph.

A gate is a node of the graph, of its own: going on after an answer runs the gate again, never
the model. `X~before` takes X's edges in, `X~after` its edges out, which then hang on `X~on`.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, NamedTuple

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime
from langgraph.types import Command

from runtime import nodes
from runtime.blueprints import document, joins
from runtime.blueprints.document import Document
from runtime.blueprints.graph import APPROVE, Graph

RunNode = Callable[[nodes.Node, nodes.State, str], Awaitable[Mapping[str, Any]]]
"""Runs a node: given it, the state, and the id of the task (the same when it is taken up again
after a crash). Returns what changes in the state."""

Builder = StateGraph[nodes.State, None, nodes.State, nodes.State]
Compiled = CompiledStateGraph[nodes.State, None, nodes.State, nodes.State]

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
        return sorted(way for way in _ways(self.graph, self.node, state) if way != END)


Ask = Callable[[Gate, nodes.State, str], Awaitable[Passage]]
"""Waits at a gate, given it, the state and the task's id; how the run goes on from there."""


def compile(
    blueprint: Document,
    run_node: RunNode,
    ask: Ask,
    *,
    god_mode: bool = False,
    checkpointer: BaseCheckpointSaver[Any] | None = None,
) -> Compiled:
    """The graph of a blueprint that `faults` found nothing wrong with.

    `god_mode` puts a gate before every node.
    """
    graph = document.graph(blueprint.nodes, blueprint.edges)
    met = joins.analyse(graph)
    builder = StateGraph(nodes.State)
    made = _runnables(blueprint, graph, met)
    gates = [gate for node in made for gate in _gates(blueprint, graph, node, god_mode)]
    for node in made:
        builder.add_node(node.id, _action(node, run_node))
    for gate in gates:
        _add_gate(builder, gate, _Doors(gates), ask)
    _add_edges(builder, graph, met, gates)
    for node in made:
        _add_decision(builder, graph, node, gates)
    return builder.compile(checkpointer=checkpointer)


def runnable(blueprint: Document, node: str) -> nodes.Node:
    """One of its nodes, as the graph runs it."""
    graph = document.graph(blueprint.nodes, blueprint.edges)
    made = _runnables(blueprint, graph, joins.analyse(graph))
    return next(each for each in made if each.id == node)


def _runnables(blueprint: Document, graph: Graph, met: joins.Joins) -> list[nodes.Node]:
    return [_runnable(blueprint, part, graph, met) for part in blueprint.nodes]


def _runnable(
    blueprint: Document, part: document.Node, graph: Graph, met: joins.Joins
) -> nodes.Node:
    waits_for = (link.source for group in met.waits(part.id) for link in group)
    node = document.runnable(part, graph.kinds[part.id], tuple(sorted(waits_for)))
    choices = (link.condition for link in graph.out(part.id) if link.condition is not None)
    return replace(
        node,
        choices=tuple(dict.fromkeys(choices)),
        upstream=tuple(_upstream(blueprint, part.id, graph)),
    )


def _upstream(blueprint: Document, node: str, graph: Graph) -> Sequence[nodes.Upstream]:
    ahead = (each for each in blueprint.nodes if each.id != node)
    return [
        nodes.Upstream(each.id, graph.kinds[each.id], each.label or each.id, each.model)
        for each in ahead
        if node in graph.reachable([each.id])
    ]


# --- gates -----------------------------------------------------------------------------


def _gates(blueprint: Document, graph: Graph, node: nodes.Node, god_mode: bool) -> list[Gate]:
    before = node.settings.gate_before or (nodes.GateSettings() if god_mode else None)
    after, place = node.settings.gate_after, "after"
    asks = blueprint.limits is not None and blueprint.limits.at_limit == "ask"
    if after is None and asks and nodes.KINDS[node.kind].decides == "verdict":
        after, place = nodes.GateSettings(actions=["approve", "reject"]), "iterations"
    found = [Gate(node, "before", before, graph)] if before else []
    if after:
        found.append(Gate(node, "after" if place == "after" else "iterations", after, graph))
    return found


def _add_gate(builder: Builder, gate: Gate, doors: "_Doors", ask: Ask) -> None:
    node = gate.node.id
    on = node if gate.place == "before" else f"{node}~on"

    async def wait(state: nodes.State, runtime: Runtime) -> Command[Any]:
        passage = await ask(gate, state, _task(runtime))
        # Sent to a node that has a gate of its own it meets that: others may have to answer it.
        goto = doors.into(passage.to) if passage.to else on
        return Command(update=dict(passage.updates), goto=goto)

    builder.add_node(_name(gate), wait, destinations=(*map(doors.into, gate.graph.kinds), on))
    if gate.place != "before":
        builder.add_edge(node, _name(gate))
        builder.add_node(on, _go_on)


def _name(gate: Gate) -> str:
    # No id has a tilde (`reading._ID`), so this is nobody's.
    return f"{gate.node.id}~before" if gate.place == "before" else f"{gate.node.id}~after"


async def _go_on(state: nodes.State) -> Mapping[str, Any]:
    return {"active_node": state["active_node"]}  # LangGraph wants something written


# --- nodes and edges -------------------------------------------------------------------


def _action(node: nodes.Node, run_node: RunNode) -> Callable[..., Awaitable[Any]]:
    async def run(state: nodes.State, runtime: Runtime) -> Mapping[str, Any]:
        return await run_node(node, state, _task(runtime))

    return run


def _task(runtime: Runtime) -> str:
    info = runtime.execution_info
    assert info is not None, "LangGraph tells every node about its execution"
    return info.task_id


class _Doors:
    """Where the edges of a node really begin and end, given the gates."""

    def __init__(self, gates: Sequence[Gate]) -> None:
        self._before = {gate.node.id for gate in gates if gate.place == "before"}
        self._after = {gate.node.id for gate in gates if gate.place != "before"}

    def into(self, node: str) -> str:
        return f"{node}~before" if node in self._before else node

    def out(self, node: str) -> str:
        return f"{node}~on" if node in self._after else node


def _add_edges(builder: Builder, graph: Graph, met: joins.Joins, gates: Sequence[Gate]) -> None:
    doors = _Doors(gates)
    for entry in graph.entries:
        builder.add_edge(START, doors.into(entry))
    for target in graph.kinds:
        for group in met.waits(target):
            sources = sorted(doors.out(link.source) for link in group)
            builder.add_edge(sources, doors.into(target))
        waited = frozenset().union(*met.waits(target))
        for link in graph.into(target):
            if link.type == "linear" and link not in waited:
                builder.add_edge(doors.out(link.source), doors.into(target))


def _add_decision(
    builder: Builder, graph: Graph, node: nodes.Node, gates: Sequence[Gate]
) -> None:
    """Conditional edges: all those that have the condition which the node decided on."""
    targets = {link.target for link in graph.out(node.id) if link.condition is not None}
    if not targets:
        return
    doors = _Doors(gates)

    def route(state: nodes.State) -> list[str]:
        return [way if way == END else doors.into(way) for way in _ways(graph, node, state)]

    ways = sorted({END, *map(doors.into, targets)})
    builder.add_conditional_edges(doors.out(node.id), route, ways)


def _ways(graph: Graph, node: nodes.Node, state: nodes.State) -> list[str]:
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
