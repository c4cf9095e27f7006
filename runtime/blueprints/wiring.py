"""What is wrong with how the nodes of a document are connected, and what follows from that."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence

from runtime.blueprints import document, joins, panels, reading
from runtime.blueprints.document import Edge, Node
from runtime.blueprints.graph import APPROVE, REVISE, Graph, Link
from runtime.blueprints.reading import Fault


def faults(
    nodes: Sequence[Node], edges: Sequence[Edge], *, are_all: bool, unclear: Collection[str]
) -> Iterator[Fault]:
    """`are_all`: every edge of the document could be read, so that what is not connected
    here is not connected there. `unclear`: the nodes of which nobody knows what they are."""
    names = {node.id for node in nodes}
    sound = [edge for edge in edges if {edge.source, edge.target} <= names]
    graph = document.graph(nodes, sound)
    # What such a node may decide nobody knows either.
    torn = {edge.source for edge in edges if edge.target not in names}
    structure = [
        *_twice(nodes, edges),
        *_nowhere(edges, names),
        *_deciders(graph, {*unclear, *torn}),
        *_loops(graph),
    ]
    yield from structure
    yield from _ends(graph)
    for node in nodes:
        yield from reading.settings(node, graph.kinds[node.id])
    if are_all and not unclear:
        yield from panels.faults(nodes, graph)
    if are_all and not structure:
        yield from _joins(graph)


def _twice(nodes: Sequence[Node], edges: Sequence[Edge]) -> Iterator[Fault]:
    for name, count in Counter(node.id for node in nodes).items():
        if count > 1:
            message = f"{count} nodes have the id {name}; give each its own."
            yield Fault("duplicate_node", message, node=name)
    for name, count in Counter(edge.id for edge in edges if edge.id).items():
        if count > 1:
            message = f"{count} edges have the id {name}; give each its own."
            yield Fault("duplicate_edge", message, edge=name)
    seen: set[tuple[str, str, str | None]] = set()
    for edge in edges:
        way = (edge.source, edge.target, edge.condition if edge.type == "conditional" else None)
        if way in seen:
            message = f"Edge {edge.id} repeats another between the same nodes; remove it."
            yield Fault("repeated_edge", message, edge=edge.id or None)
        seen.add(way)


def _nowhere(edges: Sequence[Edge], names: set[str]) -> Iterator[Fault]:
    for edge in edges:
        if edge.target not in names:
            message = f"Edge {edge.id} leads to a node that does not exist; lead it elsewhere."
            yield Fault("edge_to_nowhere", message, edge=edge.id or None)
        if edge.source not in names:
            message = f"Edge {edge.id} comes from a node that does not exist; remove it."
            yield Fault("edge_from_nowhere", message, edge=edge.id or None)


def _deciders(graph: Graph, unclear: Collection[str]) -> Iterator[Fault]:
    for node in graph.kinds:
        if node in unclear:
            continue
        if graph.decides(node) == "verdict":
            yield from _of_critic(graph, node)
        elif graph.decides(node) == "edges":
            yield from _of_router(graph, node)
        elif graph.conditions(node):
            message = (
                f"Node {node} is a {graph.kinds[node]} and decides nothing, but has "
                "conditional edges; make it a critic or a router, or them linear."
            )
            yield Fault("not_a_critic", message, node=node)


def _of_critic(graph: Graph, node: str) -> Iterator[Fault]:
    conditions, name = graph.conditions(node), f"{graph.kinds[node].capitalize()} {node}"
    if conditions and any(link.type == "linear" for link in graph.out(node)):
        message = f"{name} has linear and conditional edges out; make all of them one."
        yield Fault("mixed_edges", message, node=node)
    if conditions and conditions <= {REVISE}:
        message = f"{name} has no way on; add an edge with the condition {APPROVE}."
        yield Fault("no_approve", message, node=node)
    for link in graph.out(node):
        if link.condition not in (None, APPROVE, REVISE):
            message = (
                f"Edge {link.id} has a condition that a {graph.kinds[node]} does not know; "
                f"use {REVISE} or {APPROVE}."
            )
            yield Fault("unknown_condition", message, edge=link.id or None, field="condition")


def _of_router(graph: Graph, node: str) -> Iterator[Fault]:
    name = f"{graph.kinds[node].capitalize()} {node}"
    if any(link.type == "linear" for link in graph.out(node)):
        message = f"{name} chooses among its edges; make all of them conditional."
        yield Fault("mixed_edges", message, node=node)
    if len(graph.conditions(node) - {None}) < 2:
        message = f"{name} has nothing to choose; give it edges with two conditions or more."
        yield Fault("too_few_conditions", message, node=node)


def _loops(graph: Graph) -> Iterator[Fault]:
    """Without the edges that a critic's limit closes, nothing may go round.

    An edge of which nobody knows what it is gets the benefit of the doubt.
    """
    for ring in graph.cycles(lambda link: _is_without_limit(graph, link)):
        message = (
            f"The loop of {', '.join(ring)} has no limit; let it go back only by a critic's "
            f"edge with the condition {REVISE}."
        )
        yield Fault("loop_without_limit", message, node=ring[0])
    for ring in graph.cycles(lambda link: not _touches_draft(graph, link)):
        message = f"The loop of {', '.join(ring)} changes nothing; put a draft node into it."
        yield Fault("loop_without_draft", message, node=ring[0])


def _is_without_limit(graph: Graph, link: Link) -> bool:
    if link.condition is None:
        return link.type == "linear"
    return link.condition == APPROVE or graph.decides(link.source) == "edges"


def _touches_draft(graph: Graph, link: Link) -> bool:
    return graph.revises(link.source) or graph.revises(link.target)


def _ends(graph: Graph) -> Iterator[Fault]:
    reached = graph.reachable(graph.entries)
    ends = {node for node in graph.kinds if _can_end(graph, node)}
    for node in graph.kinds:
        if node not in reached:
            message = (
                f"Node {node} is never reached; lead an edge to it or mark it as an entry."
            )
            yield Fault("unreachable_node", message, node=node)
        if not ends & graph.reachable([node]):
            message = f"From node {node} there is no way out; lead an edge to a last node."
            yield Fault("no_way_out", message, node=node)


def _can_end(graph: Graph, node: str) -> bool:
    """Whether a run may end at a node: nothing follows, or nothing on one of its decisions."""
    conditions = graph.conditions(node)
    return not graph.out(node) or bool(conditions and not graph.outcomes(node) <= conditions)


def _joins(graph: Graph) -> Iterator[Fault]:
    for node in joins.analyse(graph).ambiguous:
        message = (
            f"It is not clear what node {node} waits for: the edges to it come neither always "
            "together nor always apart. Put a node between, so that branches meet before they "
            "get here, or send a critic's draft back to where they part."
        )
        yield Fault("ambiguous_join", message, node=node)
