"""Where a blueprint says itself that its nodes stand: whether that can be drawn, and how its
links go then."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations, pairwise

from runtime.blueprints.graph import Graph, Link

WIDTH, HEIGHT = 176, 52  # of a node
GAP = 112  # between columns: room for a condition and two gates
ROW = HEIGHT + 32
FARTHEST = 100_000  # pixels from one node to another; what lies farther apart nobody can see
_CLEARLY = 32  # pixels to the right: room for an arrow
_BESIDE = 12  # pixels between a node and a link that passes it
_OVERLAP = 48  # pixels: so much of two nodes lies in one column, if a link leads straight down
_APART = 16  # pixels between the sides of nodes that a link leads straight to
_PASSING = 8  # pixels, so that a link down and one up do not lie upon each other
_TURN = 24  # pixels in which a link can go over to another line


@dataclass(frozen=True)
class Place:
    x: float
    y: float


def counts(graph: Graph, stated: Mapping[str, Place]) -> bool:
    """Whether each node has a position, and can be seen there."""
    if graph.kinds.keys() != stated.keys():
        return False
    places = stated.values()
    across = max(place.x for place in places) - min(place.x for place in places)
    down = max(place.y for place in places) - min(place.y for place in places)
    if not (across <= FARTHEST and down <= FARTHEST):  # nor is what is no number
        return False
    return not any(
        abs(one.x - other.x) < WIDTH and abs(one.y - other.y) < HEIGHT
        for one, other in combinations(places, 2)
    )


def leads_right(link: Link, places: Mapping[str, Place]) -> bool:
    """Whether its target lies clearly to the right of its source."""
    return is_right(places[link.source], places[link.target])


def is_right(source: Place, target: Place) -> bool:
    return target.x - source.x >= WIDTH + _CLEARLY


def leads_over(link: Link, places: Mapping[str, Place]) -> bool:
    """Whether it can lead straight down or up, or does so after it went to the right. What
    neither does this nor leads right goes back, below everything."""
    source, target = places[link.source], places[link.target]
    x = crossing(source, target)
    if x is None or abs(target.y - source.y) < HEIGHT + _APART:
        return False
    return not any(
        _is_crossed(place, source, target, x)
        for name, place in places.items()
        if name not in (link.source, link.target)
    )


def crossing(source: Place, target: Place) -> float | None:
    """Where a link from one to the other leads down or up; None if they do not lie so."""
    shift = -_PASSING if target.y > source.y else _PASSING
    if abs(target.x - source.x) <= WIDTH - _OVERLAP:
        return (source.x + target.x + WIDTH) / 2 + shift
    middle = target.x + WIDTH / 2
    return middle if source.x + WIDTH + _APART <= middle else None


def _is_crossed(place: Place, source: Place, target: Place, x: float) -> bool:
    low, high = sorted((source.y, target.y))
    is_below = place.x - _BESIDE < x < place.x + WIDTH + _BESIDE and low < place.y < high
    is_beside = source.x < place.x < x and _is_at(place.y, source.y)
    return is_below or (x > source.x + WIDTH and is_beside)


def lowest(places: Mapping[str, Place]) -> set[str]:
    """The nodes that have no other below them."""
    return {
        name
        for name, place in places.items()
        if not any(
            other.y > place.y and abs(other.x - place.x) < WIDTH for other in places.values()
        )
    }


def way(link: Link, places: Mapping[str, Place]) -> list[Place]:
    """The free places that a link to the right passes, lest it run through a node: the first
    and the last, in one line. None where nothing stands in its way."""
    source, target = places[link.source], places[link.target]
    others = [
        place
        for name, place in places.items()
        if name not in (link.source, link.target) and source.x < place.x and place.x < target.x
    ]
    passed = [place for place in others if _is_in_the_way(place, source, target)]
    first, last = source.x + WIDTH + _TURN, target.x - WIDTH - _TURN
    if not passed or first > last:
        return []
    first = min(max(first, min(place.x for place in passed)), last)
    last = max(min(last, max(place.x for place in passed)), first)
    line = _free_line(
        [place.y for place in others if first - WIDTH < place.x < last + WIDTH], source, target
    )
    return [Place(first, line), *([Place(last, line)] if last > first else [])]


def _is_in_the_way(place: Place, source: Place, target: Place) -> bool:
    """Whether the link would touch it if it went straight on, and over in the last gap."""
    turn = max(source.x + WIDTH, target.x - GAP)
    if place.x < turn and _is_at(place.y, source.y):
        return True
    low, high = sorted((source.y, target.y))
    is_beside = low - HEIGHT / 2 - _BESIDE < place.y < high + HEIGHT / 2 + _BESIDE
    return place.x + WIDTH > turn and is_beside


def _is_at(y: float, line: float) -> bool:
    return abs(y - line) < HEIGHT / 2 + _BESIDE


def _free_line(taken: Iterable[float], source: Place, target: Place) -> float:
    """The line with the least to climb on which no node stands."""
    taken = sorted(taken)
    beside = HEIGHT / 2 + _BESIDE
    free = [line for line in (source.y, target.y) if not any(_is_at(y, line) for y in taken)]
    # Above the first, below the last, and between two where there is room.
    free += [taken[0] - beside, taken[-1] + beside]
    for upper, lower in pairwise(taken):
        if lower - upper >= 2 * beside:
            free += [upper + beside, lower - beside]
    return min(free, key=lambda line: abs(line - source.y) + abs(line - target.y))
