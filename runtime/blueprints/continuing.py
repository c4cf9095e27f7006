"""Whether a run can go on after a node in a blueprint that it did not begin in."""

from runtime.blueprints import document, joins
from runtime.blueprints.graph import Graph


def obstacle(blueprint: document.Document, node: str, kind: str, decision: str | None) -> str:
    """Why a run in which `node` has finished last, and alone, cannot go on here; empty if it
    can. `decision` is what the node decided."""
    graph = document.graph(blueprint.nodes, blueprint.edges)
    if node not in graph.kinds:
        return f"The other blueprint version has no node {node}."
    if graph.kinds[node] != kind:
        return f"In the other blueprint version node {node} is a {graph.kinds[node]}."
    follows = [
        link.target
        for link in graph.out(node)
        if link.condition is None or link.condition == _way(decision)
    ]
    if not follows:
        return f"Nothing follows node {node} in the other blueprint version."
    return _waits_for_ever(graph, node, graph.reachable(follows))


def _way(decision: str | None) -> str | None:
    """The condition by which it goes on: a limit goes the way of an approval."""
    return "approve" if decision in ("limit", "no_gain", "no_change") else decision


def _waits_for_ever(graph: Graph, node: str, ahead: set[str]) -> str:
    met = joins.analyse(graph)
    for target in sorted(ahead):
        for group in met.waits(target):
            missing = sorted({link.source for link in group} - ahead - {node})
            if missing:
                return (
                    f"In the other blueprint version node {target} waits for "
                    f"{', '.join(missing)} as well, which would not run."
                )
    return ""
