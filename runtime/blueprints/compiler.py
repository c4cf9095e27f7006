"""From a blueprint to a LangGraph."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime
from langgraph.types import RetryPolicy

from runtime import errors, nodes
from runtime.blueprints import document, joins
from runtime.blueprints.document import Document
from runtime.blueprints.graph import APPROVE, Graph

RunNode = Callable[[nodes.Node, nodes.State, str, int], Awaitable[Mapping[str, Any]]]
"""Runs a node: given it, the state, the id of the task (the same when it is taken up again
after a crash) and the number of the try, from 1. Returns what changes in the state."""

Builder = StateGraph[nodes.State, None, nodes.State, nodes.State]
Compiled = CompiledStateGraph[nodes.State, None, nodes.State, nodes.State]


def compile(
    blueprint: Document,
    run_node: RunNode,
    *,
    checkpointer: BaseCheckpointSaver[Any] | None,
    max_tries: int,
    first_wait: float,
) -> Compiled:
    """The graph of a blueprint that `faults` found nothing wrong with.

    A node whose model fails for a transient reason is tried up to `max_tries` times, after
    waits that double from `first_wait` seconds.
    """
    graph = document.graph(blueprint.nodes, blueprint.edges)
    met = joins.analyse(graph)
    builder = StateGraph(nodes.State)
    retries = RetryPolicy(
        initial_interval=first_wait,
        backoff_factor=2.0,
        max_attempts=max_tries,
        retry_on=_may_succeed_later,
    )
    for part in blueprint.nodes:
        waits_for = (link.source for group in met.waits(part.id) for link in group)
        node = document.runnable(part, graph.kinds[part.id], tuple(sorted(waits_for)))
        builder.add_node(part.id, _action(node, run_node), retry_policy=retries)
        _add_decision(builder, graph, node)
    _add_edges(builder, graph, met)
    return builder.compile(checkpointer=checkpointer)


def _may_succeed_later(problem: Exception) -> bool:
    return isinstance(problem, errors.ModelFault) and problem.transient


def _action(node: nodes.Node, run_node: RunNode) -> Callable[..., Awaitable[Any]]:
    async def run(state: nodes.State, runtime: Runtime) -> Mapping[str, Any]:
        info = runtime.execution_info
        assert info is not None, "LangGraph tells every node about its execution"
        return await run_node(node, state, info.task_id, info.node_attempt)

    return run


def _add_edges(builder: Builder, graph: Graph, met: joins.Joins) -> None:
    for entry in graph.entries:
        builder.add_edge(START, entry)
    for target in graph.kinds:
        for group in met.waits(target):
            builder.add_edge(sorted(link.source for link in group), target)
        waited = frozenset().union(*met.waits(target))
        for link in graph.into(target):
            if link.type == "linear" and link not in waited:
                builder.add_edge(link.source, target)


def _add_decision(builder: Builder, graph: Graph, node: nodes.Node) -> None:
    """Conditional edges out of a critic: all that have the condition it decided on."""
    ways: dict[str, list[str]] = {}
    for link in graph.out(node.id):
        if link.condition is not None:
            ways.setdefault(link.condition, []).append(link.target)
    if not ways:
        return
    goes_on = getattr(node.settings, "at_limit", "continue") == "continue"
    ways["limit"] = ways[APPROVE] if goes_on else [END]

    def route(state: nodes.State) -> list[str]:
        return ways.get(state["route_decision"], [END])

    builder.add_conditional_edges(node.id, route, sorted({END}.union(*ways.values())))
