"""Where the nodes of a drawing stand: in columns from left to right, loops not counted.

Coordinates are in pixels, x to the right and y downwards; a node's place is the middle of its
left side.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from itertools import pairwise

from runtime.blueprints.graph import Graph, Link

WIDTH, HEIGHT = 176, 52  # of a node
GAP = 112  # between columns: room for a condition and two gates
ROW = HEIGHT + 32
LANE = 24  # between the ways back, below everything
_SWEEPS = 4  # of putting each node near its neighbours; more change nothing that is seen


@dataclass(frozen=True)
class Place:
    x: float
    y: float


@dataclass
class Layout:
    places: dict[str, Place] = field(default_factory=dict)
    ways: dict[Link, list[Place]] = field(default_factory=dict)
    """For each link that goes on: the free places in the columns between its ends."""
    lanes: dict[Link, float] = field(default_factory=dict)
    """For each link that goes back: the height at which it does."""
    lowest: set[str] = field(default_factory=set)
    """The nodes that have no other below them."""
    width: float = 0
    top: float = 0
    bottom: float = 0


def lay_out(graph: Graph) -> Layout:
    """Find a place for everything. The graph without its returns must have no cycle."""
    columns = _columns(graph)
    onward = [link for link in graph.links if link not in graph.returns]
    chains = {link: _chain(link, columns) for link in onward}
    order = _ordered(_filled(graph, columns, chains), chains)
    layout = Layout(width=len(order) * (WIDTH + GAP) - GAP)
    spots = {
        name: Place(number * (WIDTH + GAP), (row - (len(column) - 1) / 2) * ROW)
        for number, column in enumerate(order)
        for row, name in enumerate(column)
    }
    layout.places = {name: spots[name] for name in graph.kinds}
    layout.ways = {link: [spots[name] for name in chain] for link, chain in chains.items()}
    layout.lowest = {[name for name in column if name in graph.kinds][-1] for column in order}
    layout.top = min(spot.y for spot in spots.values()) - HEIGHT / 2
    layout.bottom = max(spot.y for spot in spots.values()) + HEIGHT / 2
    # The shortest way back lies highest, so that they cross as little as can be.
    back = sorted(graph.returns, key=lambda link: _span(link, columns))
    for number, link in enumerate(back, 1):
        layout.lanes[link] = layout.bottom + number * LANE
    layout.bottom = max(layout.lanes.values(), default=layout.bottom)
    return layout


def _columns(graph: Graph) -> dict[str, int]:
    """How many steps, at most, lead to each node."""
    before = {
        node: [link.source for link in graph.into(node) if link not in graph.returns]
        for node in graph.kinds
    }
    columns: dict[str, int] = {}
    for node in TopologicalSorter(before).static_order():
        columns[node] = max((columns[each] + 1 for each in before[node]), default=0)
    return columns


def _span(link: Link, columns: Mapping[str, int]) -> tuple[int, int, str]:
    return columns[link.source] - columns[link.target], columns[link.source], link.id


def _chain(link: Link, columns: Mapping[str, int]) -> list[str]:
    """A free place in each column that a link passes; no node has a name like these."""
    passed = range(columns[link.source] + 1, columns[link.target])
    return [f"|{link.id}|{number}" for number in passed]


def _filled(
    graph: Graph, columns: Mapping[str, int], chains: Mapping[Link, Sequence[str]]
) -> list[list[str]]:
    filled: list[list[str]] = [[] for _ in range(max(columns.values()) + 1)]
    for node in graph.kinds:
        filled[columns[node]].append(node)
    for link, chain in chains.items():
        for number, name in enumerate(chain, columns[link.source] + 1):
            filled[number].append(name)
    return filled


def _ordered(columns: list[list[str]], chains: Mapping[Link, Sequence[str]]) -> list[list[str]]:
    """Each column in an order in which few links cross: everything near its neighbours."""
    left: dict[str, list[str]] = {}
    right: dict[str, list[str]] = {}
    for link, chain in chains.items():
        steps = [link.source, *chain, link.target]
        for one, next_one in pairwise(steps):
            right.setdefault(one, []).append(next_one)
            left.setdefault(next_one, []).append(one)
    for sweep in range(_SWEEPS):
        forward = sweep % 2 == 0
        pairs = list(pairwise(columns))
        for earlier, later in pairs if forward else reversed(pairs):
            if forward:
                _sort(later, earlier, left)
            else:
                _sort(earlier, later, right)
    return columns


def _sort(column: list[str], fixed: list[str], neighbours: Mapping[str, list[str]]) -> None:
    """Order a column by the middle of each one's neighbours in the column that is fixed."""
    rows = {name: row - len(fixed) / 2 for row, name in enumerate(fixed)}
    own = {name: row - len(column) / 2 for row, name in enumerate(column)}

    def middle(name: str) -> float:
        near = [rows[each] for each in neighbours.get(name, ()) if each in rows]
        return sum(near) / len(near) if near else own[name]

    column.sort(key=middle)
