"""What is wrong with how the nodes of a document are connected, and what follows from that."""

from collections import Counter
from collections.abc import Iterator, Sequence

from runtime.blueprints import document, joins, reading
from runtime.blueprints.document import Edge, Node
from runtime.blueprints.graph import APPROVE, REVISE, Graph, Link
from runtime.blueprints.reading import Fault


def faults(nodes: Sequence[Node], edges: Sequence[Edge], *, are_all: bool) -> Iterator[Fault]:
    """`are_all`: every edge of the document could be read, so that what is not connected
    here is not connected there."""
    names = {node.id for node in nodes}
    sound = [edge for edge in edges if {edge.source, edge.target} <= names]
    graph = document.graph(nodes, sound)
    structure = [
        *_twice(nodes, edges),
        *_nowhere(edges, names),
        *_critics(graph),
        *_loops(graph),
    ]
    yield from structure
    yield from _ends(graph)
    for node in nodes:
        yield from reading.settings(node, graph.kinds[node.id])
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


def _critics(graph: Graph) -> Iterator[Fault]:
    for node, kind in graph.kinds.items():
        conditions = graph.conditions(node)
        if not conditions:
            continue
        if kind != "critic":
            message = (
                f"Node {node} is a {kind} and decides nothing, but has conditional edges; "
            )
            yield Fault("not_a_critic", f"{message}make it a critic or them linear.", node=node)
        elif any(link.type == "linear" for link in graph.out(node)):
            message = (
                f"Critic {node} has linear and conditional edges out; make all of them one."
            )
            yield Fault("mixed_edges", message, node=node)
        if kind == "critic" and conditions <= {REVISE}:
            message = f"Critic {node} has no way on; add an edge with the condition {APPROVE}."
            yield Fault("no_approve", message, node=node)


def _loops(graph: Graph) -> Iterator[Fault]:
    """Without the edges that a critic's limit closes, nothing may go round.

    An edge of which nobody knows what it is gets the benefit of the doubt.
    """
    for ring in graph.cycles(lambda link: link.type == "linear" or link.condition == APPROVE):
        message = (
            f"The loop of {', '.join(ring)} has no limit; let it go back only by a critic's "
            f"edge with the condition {REVISE}."
        )
        yield Fault("loop_without_limit", message, node=ring[0])
    for ring in graph.cycles(lambda link: "draft" not in _kinds(graph, link)):
        message = f"The loop of {', '.join(ring)} changes nothing; put a draft node into it."
        yield Fault("loop_without_draft", message, node=ring[0])


def _kinds(graph: Graph, link: Link) -> set[str]:
    return {graph.kinds[link.source], graph.kinds[link.target]}


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
    return not graph.out(node) or bool(conditions and not {APPROVE, REVISE} <= conditions)


def _joins(graph: Graph) -> Iterator[Fault]:
    for node in joins.analyse(graph).ambiguous:
        message = (
            f"It is not clear what node {node} waits for: the edges to it come neither always "
            "together nor always apart. Put a node between, so that branches meet before they "
            "get here, or send a critic's draft back to where they part."
        )
        yield Fault("ambiguous_join", message, node=node)
