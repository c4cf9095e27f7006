"""A blueprint for the page that draws it: a grid of nodes, and what each is to reach.

The same columns and rows as in `runtime.blueprints.picture`; how large they are, and whether
they lie or stand, the page decides by its width. Where the blueprint states positions a column
and a row may be fractions.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from experience.dashboard import told
from runtime import blueprints, models, nodes, runs
from runtime.blueprints import document as documents
from runtime.blueprints import layout
from runtime.blueprints.document import Document, Edge, Node
from runtime.blueprints.graph import Graph, Link


def of(run: models.Run) -> dict[str, Any]:
    """`nodes` and `edges` in the order of the document, and the size of the grid."""
    blueprint = runs.document_of(run)
    graph = documents.graph(blueprint.nodes, blueprint.edges)
    plan = _plan(blueprint.nodes, graph, run.god_mode)
    for drawn, node in zip(plan["nodes"], blueprint.nodes, strict=True):
        drawn |= _goal(node) if graph.decides(node.id) == "verdict" else {}
    return {
        "name": run.blueprint_version.blueprint.name,
        **plan,
        "rounds": _rounds(blueprint, graph, run),
    }


def of_sketch(document: Mapping[str, Any]) -> dict[str, Any] | None:
    """What of a document that may have faults can be drawn: of nodes and of edges with the same
    id the first, and edges that lead from one of these nodes to another. None: no node can."""
    parts, edges = blueprints.readable(document)
    by_id = {node.id: node for node in reversed(parts)}
    if not by_id:
        return None
    parts = [node for node in parts if by_id[node.id] is node]
    return _plan(parts, documents.graph(parts, _sound(edges, by_id)))


def _sound(edges: Iterable[Edge], nodes: Mapping[str, Node]) -> list[Edge]:
    found: dict[str, Edge] = {}
    for edge in edges:
        if edge.id and edge.source in nodes and edge.target in nodes:
            found.setdefault(edge.id, edge)
    return list(found.values())


def _plan(parts: Iterable[Node], graph: Graph, is_gated: bool = False) -> dict[str, Any]:
    grid = layout.lay_out(graph, documents.positions(parts))
    lanes = {link: number for number, link in enumerate(grid.lanes)}
    stops = [stop for way in grid.ways.values() for stop in way]
    spots = [_spot(place) for place in (*grid.places.values(), *stops)]
    origin = grid.origin or layout.Place(0, 0)
    return {
        "columns": max(column for column, _ in spots) + 1,
        "rows": [min(row for _, row in spots), max(row for _, row in spots)],
        "lanes": len(lanes),
        "stated": grid.origin is not None,
        # The position that a document would state for column 0, row 0.
        "origin": [origin.x, origin.y],
        "entries": list(graph.entries),
        "nodes": [_node(node, graph, grid, is_gated) for node in parts],
        "edges": [_edge(link, grid, lanes) for link in graph.links],
    }


def _spot(place: layout.Place) -> tuple[float, float]:
    column, row = place.x / (layout.WIDTH + layout.GAP), place.y / layout.ROW
    return round(column, 4), round(row, 4)


def _node(node: Node, graph: Graph, grid: layout.Layout, is_gated: bool) -> dict[str, Any]:
    return {
        "id": node.id,
        "label": told.plain(node.label or node.id),
        "kind": graph.kinds[node.id],
        "spot": _spot(grid.places[node.id]),
        "lowest": node.id in grid.lowest,
        "gates": [
            place
            for place in ("before", "after")
            if documents.has_gate(node, place) or (is_gated and place == "before")
        ],
    }


def _goal(node: Node) -> dict[str, Any]:
    """What a critic's score is held against."""
    unsaid = nodes.CriticSettings()
    return {
        "threshold": node.settings.get("threshold", unsaid.threshold),
        "atLimit": node.settings.get("atLimit", unsaid.at_limit),
    }


def _edge(link: Link, grid: layout.Layout, lanes: Mapping[Link, int]) -> dict[str, Any]:
    back = link in lanes
    return {
        "id": link.id,
        "source": link.source,
        "target": link.target,
        "condition": link.condition,
        "back": back,
        "lane": lanes.get(link),
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
