"""Whose opinion a council asks for, and without whom it goes on."""

from runtime import nodes
from runtime.blueprints import document
from runtime.blueprints.graph import Graph


def members(blueprint: document.Document) -> list[str]:
    """The nodes that give an opinion of their own: the result says how many of them did."""
    return [node for node, kind in _graph(blueprint).kinds.items() if kind == "answer"]


def dispensable(blueprint: document.Document) -> frozenset[str]:
    """The members whose failure the council survives: somebody after them counts who is there.

    Whether enough are, that one decides by its quorum.
    """
    graph = _graph(blueprint)
    counts = {node for node, kind in graph.kinds.items() if _counts(kind)}
    return frozenset(
        node
        for node, kind in graph.kinds.items()
        if nodes.KINDS[kind].member and counts & (graph.reachable([node]) - {node})
    )


def _counts(kind: str) -> bool:
    return "quorum" in nodes.KINDS[kind].settings.model_fields


def _graph(blueprint: document.Document) -> Graph:
    return document.graph(blueprint.nodes, blueprint.edges)
