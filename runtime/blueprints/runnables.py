"""The nodes of a blueprint as they run: with what they may decide, and what is upstream."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from runtime import nodes
from runtime.blueprints import document, joins
from runtime.blueprints.document import Document
from runtime.blueprints.graph import Graph

RunNode = Callable[[nodes.Node, nodes.State, str], Awaitable[Mapping[str, Any]]]
"""Runs a node: given it, the state, and the id of the task (the same when it is taken up again
after a crash). Returns what changes in the state."""


def runnable(blueprint: Document, node: str) -> nodes.Node:
    """One of its nodes, as the graph runs it."""
    graph = document.graph(blueprint.nodes, blueprint.edges)
    made = runnables(blueprint, graph, joins.analyse(graph))
    return next(each for each in made if each.id == node)


def runnables(blueprint: Document, graph: Graph, met: joins.Joins) -> list[nodes.Node]:
    """All of its nodes, as the graph runs them."""
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
