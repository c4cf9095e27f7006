"""A blueprint for the page that watches it: a grid of nodes, and what each is to reach.

The same columns and rows as in `runtime.blueprints.picture`; how large they are, and whether
they lie or stand, the page decides by its width.
"""

from typing import Any

from runtime import models, nodes, runs
from runtime.blueprints import document as documents
from runtime.blueprints import layout
from runtime.blueprints.document import Document, Node
from runtime.blueprints.graph import Graph, Link


def of(run: models.Run) -> dict[str, Any]:
    """`nodes` and `edges` in the order of the document, and the size of the grid."""
    blueprint = runs.document_of(run)
    graph = documents.graph(blueprint.nodes, blueprint.edges)
    grid = layout.lay_out(graph)
    lanes = list(grid.lanes)
    spots = [_spot(place) for place in grid.places.values()]
    return {
        "name": run.blueprint_version.blueprint.name,
        "columns": max(column for column, _ in spots) + 1,
        "rows": [min(row for _, row in spots), max(row for _, row in spots)],
        "lanes": len(lanes),
        "entries": list(graph.entries),
        "nodes": [_node(node, graph, grid, run.god_mode) for node in blueprint.nodes],
        "edges": [_edge(link, grid, lanes) for link in graph.links],
        "rounds": _rounds(blueprint, graph, run),
    }


def _spot(place: layout.Place) -> tuple[int, float]:
    return round(place.x / (layout.WIDTH + layout.GAP)), place.y / layout.ROW


def _node(node: Node, graph: Graph, grid: layout.Layout, is_gated: bool) -> dict[str, Any]:
    kind = graph.kinds[node.id]
    found = {
        "id": node.id,
        "label": node.label or node.id,
        "kind": kind,
        "spot": _spot(grid.places[node.id]),
        "lowest": node.id in grid.lowest,
        "gates": [
            place
            for place in ("before", "after")
            if documents.has_gate(node, place) or (is_gated and place == "before")
        ],
    }
    return found | (_goal(node) if graph.decides(node.id) == "verdict" else {})


def _goal(node: Node) -> dict[str, Any]:
    """What a critic's score is held against."""
    unsaid = nodes.CriticSettings()
    return {
        "threshold": node.settings.get("threshold", unsaid.threshold),
        "atLimit": node.settings.get("atLimit", unsaid.at_limit),
    }


def _edge(link: Link, grid: layout.Layout, lanes: list[Link]) -> dict[str, Any]:
    back = link in grid.lanes
    return {
        "id": link.id,
        "source": link.source,
        "target": link.target,
        "condition": link.condition,
        "back": back,
        "lane": lanes.index(link) if back else None,
        "way": [] if back else [_spot(place) for place in grid.ways[link]],
    }


def _rounds(blueprint: Document, graph: Graph, run: models.Run) -> int | None:
    """How many rounds there are at most, where one number says so."""
    unsaid = nodes.CriticSettings().max_iterations
    critics = [
        node.settings.get("maxIterations", unsaid)
        for node in blueprint.nodes
        if graph.decides(node.id) == "verdict"
    ]
    own: int | None = run.limits.get("iterations")
    if len(critics) != 1:
        return own
    return min(critics[0], own) if own else int(critics[0])
