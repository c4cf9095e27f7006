"""Where the nodes of a drawing stand: where the blueprint says, or else in columns from left
to right, loops not counted.

Coordinates are in pixels, x to the right and y downwards; a node's place is the middle of its
left side.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from itertools import pairwise

from runtime.blueprints import placing
from runtime.blueprints.graph import Graph, Link
from runtime.blueprints.placing import GAP, HEIGHT, ROW, WIDTH, Place, crossing, is_right

__all__ = [
    "GAP",
    "HEIGHT",
    "LANE",
    "ROW",
    "WIDTH",
    "Layout",
    "Place",
    "crossing",
    "is_right",
    "lay_out",
]

LANE = 24  # between the ways back, below everything
_SWEEPS = 4  # of putting each node near its neighbours; more change nothing that is seen


@dataclass
class Layout:
    places: dict[str, Place] = field(default_factory=dict)
    ways: dict[Link, list[Place]] = field(default_factory=dict)
    """For each link that goes on: the free places that it passes between its ends."""
    lanes: dict[Link, float] = field(default_factory=dict)
    """For each link that goes back: the height at which it does."""
    lowest: set[str] = field(default_factory=set)
    """The nodes that have no other below them."""
    width: float = 0
    top: float = 0
    bottom: float = 0
    origin: Place | None = None
    """Of a layout that the blueprint states: the position that has become x 0, y 0."""


def lay_out(graph: Graph, stated: Mapping[str, Place] | None = None) -> Layout:
    """Find a place for everything; also in a graph with faults, if it has a node.

    `stated` are the positions that the blueprint states. They count if every node has one, none
    lies upon another, and all are within `placing.FARTHEST`; then the least x and y become 0.
    """
    if stated and placing.counts(graph, stated):
        return _as_stated(graph, stated)
    return _in_columns(graph)


def _as_stated(graph: Graph, stated: Mapping[str, Place]) -> Layout:
    left = min(place.x for place in stated.values())
    top = min(place.y for place in stated.values())
    places = {name: Place(stated[name].x - left, stated[name].y - top) for name in graph.kinds}
    ways = {
        link: placing.way(link, places) if placing.leads_right(link, places) else []
        for link in graph.links
        if placing.leads_right(link, places) or placing.leads_over(link, places)
    }
    layout = Layout(places, ways, lowest=placing.lowest(places), origin=Place(left, top))
    _frame(layout, [*places.values(), *(stop for way in ways.values() for stop in way)])
    columns = {name: round(place.x) for name, place in places.items()}
    _go_back(layout, {*graph.links} - ways.keys(), columns)
    return layout


def _in_columns(graph: Graph) -> Layout:
    back = graph.returns | _closing(graph)
    onward = [link for link in graph.links if link not in back]
    columns = _columns(graph, onward)
    chains = {link: _chain(link, columns) for link in onward}
    order = _ordered(_filled(graph, columns, chains), chains)
    spots = {
        name: Place(number * (WIDTH + GAP), (row - (len(column) - 1) / 2) * ROW)
        for number, column in enumerate(order)
        for row, name in enumerate(column)
    }
    layout = Layout(
        places={name: spots[name] for name in graph.kinds},
        ways={link: [spots[name] for name in chain] for link, chain in chains.items()},
        lowest={[name for name in column if name in graph.kinds][-1] for column in order},
    )
    _frame(layout, spots.values())
    _go_back(layout, back, columns)
    return layout


def _frame(layout: Layout, spots: Collection[Place]) -> None:
    layout.width = max(spot.x for spot in spots) + WIDTH
    layout.top = min(spot.y for spot in spots) - HEIGHT / 2
    layout.bottom = max(spot.y for spot in spots) + HEIGHT / 2


def _go_back(layout: Layout, back: Iterable[Link], columns: Mapping[str, int]) -> None:
    """Give each a lane. The shortest lies highest, so that they cross as little as can be."""
    shortest_first = sorted(back, key=lambda link: _span(link, columns))
    for number, link in enumerate(shortest_first, 1):
        layout.lanes[link] = layout.bottom + number * LANE
    layout.bottom = max(layout.lanes.values(), default=layout.bottom)


def _closing(graph: Graph) -> set[Link]:
    """Links that go round beside the returns: there are some only where there are faults."""
    ahead = {
        node: [link for link in graph.out(node) if link not in graph.returns]
        for node in graph.kinds
    }
    found: set[Link] = set()
    ended: set[str] = set()
    for start in [*graph.entries, *graph.kinds]:
        if start in ended:
            continue
        path, within = [(start, iter(ahead[start]))], {start}
        while path:
            node, links = path[-1]
            link = next(links, None)
            if link is None:
                path.pop()
                within.discard(node)
                ended.add(node)
            elif link.target in within:
                found.add(link)
            elif link.target not in ended:
                path.append((link.target, iter(ahead[link.target])))
                within.add(link.target)
    return found


def _columns(graph: Graph, onward: Iterable[Link]) -> dict[str, int]:
    """How many steps, at most, lead to each node."""
    before: dict[str, list[str]] = {node: [] for node in graph.kinds}
    for link in onward:
        before[link.target].append(link.source)
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
