"""Where branches meet: which edges a node waits for together, and which start it alone.

A run goes through a blueprint in waves. The first starts at the entries; each time a critic
sends back, another starts at the targets of its revise edges. Within a wave every edge is
taken at most once, and its `When` says under which decisions. At a node where several edges
of a wave arrive

- edges with the same `When` always come together: the node waits for all of them (a join);
- edges whose decisions exclude each other never do: each starts the node by itself;
- with anything else the node would wait for ever, or run twice: that is ambiguous.

Two waves must agree on what waits for what, and none may overtake another at a join. A critic
in a loop is taken to approve in the end (its limit sees to that), as long as what it sends back
certainly comes back to it.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from graphlib import TopologicalSorter
from typing import Literal

from runtime.blueprints.graph import APPROVE, REVISE, Graph, Link

# The ways in which something can come about; in each, the decisions that have to be taken.
Way = frozenset[tuple[str, str | None]]
When = frozenset[Way]
ALWAYS: When = frozenset({frozenset()})
NEVER: When = frozenset()
# More ways than this nobody could follow.
_MOST_WAYS = 64

Group = frozenset[Link]


@dataclass
class Joins:
    groups: dict[str, set[Group]] = field(default_factory=dict)
    """For each node the sets of edges that start it: each set when all of it has come."""
    ambiguous: list[str] = field(default_factory=list)
    """The nodes of which this cannot be said."""

    def waits(self, node: str) -> Iterator[Group]:
        """The sets of several edges that a node waits for."""
        return (group for group in self.groups.get(node, ()) if len(group) > 1)


def analyse(graph: Graph) -> Joins:
    """Find out what waits for what. The graph without its returns must have no cycle."""
    steady = {link.source for link in graph.returns}
    while True:
        waves = [_Wave(graph, steady, None, set(graph.entries))]
        for critic in sorted({link.source for link in graph.returns}):
            back = {link.target for link in graph.returns if link.source == critic}
            waves.append(_Wave(graph, steady, critic, back))
        lost = {wave.critic for wave in waves if wave.critic and not wave.comes_back()}
        if not lost & steady:
            return _merged(graph, waves)
        steady -= lost


class _Wave:
    def __init__(
        self, graph: Graph, steady: set[str], critic: str | None, starts: set[str]
    ) -> None:
        self.graph, self.steady, self.critic, self.starts = graph, steady, critic, starts
        self.nodes = graph.reachable(starts, self._takes)
        self.groups: dict[str, list[Group]] = {}
        self.ambiguous: set[str] = set()
        self.when: dict[str, When] = {}
        for node in _in_order(graph, self.nodes, self._takes):
            self.when[node] = self._arrive(node)

    def _takes(self, link: Link) -> bool:
        return link.source != self.critic and link not in self.graph.returns

    def comes_back(self) -> bool:
        """Whether the critic that started the wave is certain to judge again."""
        return self.critic is not None and self.when.get(self.critic) == ALWAYS

    def _arrive(self, node: str) -> When:
        arriving: dict[When, list[Link]] = {}
        for link in self.graph.into(node):
            if link.source in self.nodes and self._takes(link):
                arriving.setdefault(self._when(link), []).append(link)
        if node in self.starts:
            return self._fail(node) if arriving else ALWAYS
        self.groups[node] = [frozenset(links) for links in arriving.values()]
        if any(map(_is_conditional_join, self.groups[node])) or self._is_overtaken(node):
            return self._fail(node)
        return self._either(node, list(arriving))

    def _when(self, link: Link) -> When:
        before = self.when[link.source]
        if link.condition is None or (link.condition == "approve" and self._approves(link)):
            return before
        return frozenset(way | {(link.source, link.condition)} for way in before)

    def _approves(self, link: Link) -> bool:
        return link.source in self.steady

    def _is_overtaken(self, node: str) -> bool:
        """Whether a join, or a loop, lies beside the way back to the critic that judges again.

        The next wave could begin before this one is through there.
        """
        joins = any(len(group) > 1 for group in self.groups[node])
        loops = any(link.source == node for link in self.graph.returns)
        if self.critic is None or not (joins or loops):
            return False
        return self.critic not in self.graph.reachable([node], self._takes)

    def _either(self, node: str, whens: list[When]) -> When:
        ways = [way for when in whens for way in when]
        if len(ways) > _MOST_WAYS or not _exclusive(whens):
            return self._fail(node)
        return _simplified(set(ways), self.graph)

    def _fail(self, node: str) -> When:
        self.ambiguous.add(node)
        return NEVER  # excludes nothing and equals itself: one fault makes no others


def _is_conditional_join(group: Group) -> bool:
    """LangGraph's joins know no conditions."""
    return len(group) > 1 and any(link.condition for link in group)


def _exclusive(whens: list[When]) -> bool:
    return all(
        _contradict(one, other)
        for number, when in enumerate(whens)
        for one in when
        for after in whens[number + 1 :]
        for other in after
    )


def _contradict(one: Way, other: Way) -> bool:
    decisions = dict(one)
    return any(decisions.get(critic, how) != how for critic, how in other)


def _simplified(ways: set[Way], graph: Graph) -> When:
    """Ways that differ in one decision only, and in all of its outcomes, are one without it."""
    while (found := _whole(ways, graph)) is not None:
        rest, outcomes = found
        ways = (ways - outcomes) | {rest}
    return frozenset(ways)


def _whole(ways: set[Way], graph: Graph) -> tuple[Way, set[Way]] | None:
    for way in ways:
        for decision in way:
            rest, decider = way - {decision}, decision[0]
            outcomes = {rest | {(decider, outcome)} for outcome in graph.outcomes(decider)}
            if outcomes <= ways:
                return rest, outcomes
    return None


def _in_order(graph: Graph, nodes: set[str], takes: Callable[[Link], bool]) -> Iterator[str]:
    """The nodes, each after all that lead to it."""
    before = {
        node: {link.source for link in graph.into(node) if link.source in nodes and takes(link)}
        for node in graph.kinds
        if node in nodes
    }
    return iter(TopologicalSorter(before).static_order())


def _merged(graph: Graph, waves: list[_Wave]) -> Joins:
    merged = Joins()
    unclear = set().union(*(wave.ambiguous for wave in waves))
    for node in graph.kinds:
        groups = {group for wave in waves for group in wave.groups.get(node, ())}
        merged.groups[node] = groups
        # An edge in two different groups: one wave would wait for what another brings.
        if node in unclear or sum(map(len, groups)) > len(frozenset().union(*groups)):
            merged.ambiguous.append(node)
    return merged


# --- where a person may send a run -----------------------------------------------------

_GATE, _BEYOND = "|gate", "|beyond"  # no node can be called that
# An edge, whatever its id, and on whichever side of the gate it begins.
Known = set[frozenset[tuple[str, str, str | None]]]


def sound_targets(
    graph: Graph, node: str, place: Literal["before", "after"] = "before"
) -> list[str]:
    """The nodes that a person at a gate may send the run to, in the order of the document.

    The gate is taken for a critic that has the node's place: it approves, and the run goes on,
    or it sends the run elsewhere. That is sound if nothing becomes ambiguous by it and every
    node waits for what it waited for. Never the node itself. Before or after it is the same:
    nothing parts or meets between a node and its gate.
    """
    met = analyse(graph)
    known = {name: _known(met.groups[name], node) for name in graph.kinds}
    return [
        target
        for target in graph.kinds
        if target != node and _is_sound(_with_gate(graph, node, target), known, node)
    ]


def _with_gate(graph: Graph, node: str, target: str) -> Graph:
    """The node's edges out begin beyond the gate that follows it."""
    links = [
        replace(link, source=_BEYOND) if link.source == node else link for link in graph.links
    ]
    links += [
        Link("", node, _GATE, "linear"),
        Link("", _GATE, _BEYOND, "conditional", APPROVE),
        Link("", _GATE, target, "conditional", REVISE),
    ]
    kinds = {**graph.kinds, node: "draft", _GATE: "critic", _BEYOND: graph.kinds[node]}
    return Graph(kinds=kinds, links=tuple(links), marked=graph.entries)


def _is_sound(gated: Graph, known: Mapping[str, Known], node: str) -> bool:
    met = analyse(gated)
    return not met.ambiguous and all(
        _known(met.groups[name], node) == groups for name, groups in known.items()
    )


def _known(groups: set[Group], node: str) -> Known:
    """What a node waits for, but for the gate's own edges."""
    return {
        frozenset(
            (node if link.source == _BEYOND else link.source, link.target, link.condition)
            for link in group
        )
        for group in groups
        if not any(link.source == _GATE for link in group)
    }
