"""From a blueprint to a LangGraph.

A gate is a node of the graph, of its own: going on after an answer runs the gate again, never
the model. `X~before` takes X's edges in, `X~after` its edges out, which then hang on `X~on`.

For workers: LangGraph is a third of what a process imports, and this module and `execution` are
the ones that ask for it.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime
from langgraph.types import Command

from runtime import nodes
from runtime.blueprints import document, gating, joins, runnables
from runtime.blueprints.document import Document
from runtime.blueprints.gating import Ask, Gate
from runtime.blueprints.graph import Graph
from runtime.blueprints.runnables import RunNode

Builder = StateGraph[nodes.State, None, nodes.State, nodes.State]
Compiled = CompiledStateGraph[nodes.State, None, nodes.State, nodes.State]


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
    made = runnables.runnables(blueprint, graph, met)
    gates = [gate for node in made for gate in gating.of(blueprint, graph, node, god_mode)]
    for node in made:
        builder.add_node(node.id, _action(node, run_node))
    for gate in gates:
        _add_gate(builder, gate, _Doors(gates), ask)
    _add_edges(builder, graph, met, gates)
    for node in made:
        _add_decision(builder, graph, node, gates)
    return builder.compile(checkpointer=checkpointer)


# --- gates -----------------------------------------------------------------------------


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
        return [
            way if way == END else doors.into(way) for way in gating.ways(graph, node, state)
        ]

    ways = sorted({END, *map(doors.into, targets)})
    builder.add_conditional_edges(doors.out(node.id), route, ways)
