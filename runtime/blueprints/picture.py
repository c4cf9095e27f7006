"""A blueprint as an SVG: the boxes of its nodes, from left to right, and the ways back below.

It loads nothing, runs nothing, follows the reader's choice of light or dark, and every text
of the blueprint is escaped.
"""

import re
from collections.abc import Iterator
from unicodedata import east_asian_width
from xml.sax.saxutils import escape

from runtime.blueprints import document, layout
from runtime.blueprints.document import Document, Node
from runtime.blueprints.graph import Graph, Link
from runtime.blueprints.layout import GAP, HEIGHT, WIDTH, Layout, Place

_MARGIN = 24
_START = 40  # to the left of an entry
_HEAD = 8  # of an arrow
_GATE = 7  # half of a gate's diagonal
_LABEL, _ABOUT, _WORD = 18, 24, 17  # characters that fit; a wide one counts twice
# What XML cannot hold.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_STYLE = """
.council text{font-family:system-ui,-apple-system,"Segoe UI",sans-serif;font-size:12px}
.council .label{font-size:14px;font-weight:600;fill:#1b1f24}
.council .about{fill:#57606a}
.council .word{fill:#57606a;stroke:#fff;stroke-width:4px;paint-order:stroke}
.council .paper{fill:#fff}
.council .box{fill:#fff;stroke:#8c959f}
.council .edge{fill:none;stroke:#57606a}
.council .head{fill:#57606a}
.council .gate{fill:#fff;stroke:#0a58ca;stroke-width:1.5px}
.council .hand{fill:#0a58ca;stroke:#fff;stroke-width:4px;paint-order:stroke}
@media (prefers-color-scheme:dark){
.council .label{fill:#e6edf3}
.council .about{fill:#9ea7b3}
.council .word{fill:#9ea7b3;stroke:#14171c}
.council .paper{fill:#14171c}
.council .box{fill:#14171c;stroke:#6b7480}
.council .edge{stroke:#9ea7b3}
.council .head{fill:#9ea7b3}
.council .gate{fill:#14171c;stroke:#79b8ff}
.council .hand{fill:#79b8ff;stroke:#14171c}
}
"""


def svg(blueprint: Document) -> str:
    """The picture of a blueprint without faults."""
    graph = document.graph(blueprint.nodes, blueprint.edges)
    plan = layout.lay_out(graph, document.positions(blueprint.nodes))
    left, right = _sides(plan)
    top = plan.top - _MARGIN
    width, height = right - left, plan.bottom - plan.top + 2 * _MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="council" role="img" '
        f'viewBox="{left:g} {top:g} {width:g} {height:g}" '
        f'width="{width:g}" height="{height:g}">',
        f"<title>{_text(blueprint.name)}</title>",
        f"<desc>{_text(_told(blueprint, graph))}</desc>",
        f"<style>{_STYLE}</style>",
        _rect("paper", left, top, width, height),
        *_edges(graph, plan),
        *(
            part
            for node in blueprint.nodes
            for part in _node(node, graph.kinds[node.id], plan.places[node.id])
        ),
        *_words(graph, plan),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _sides(plan: Layout) -> tuple[float, float]:
    """How far the drawing goes: some ways back stand out beside the nodes."""
    ins = [_turn_in(link, plan) - _MARGIN for link in plan.lanes]
    outs = [_turn_out(link, plan) + _MARGIN for link in plan.lanes]
    return min([-_MARGIN - _START, *ins]), max([plan.width + _MARGIN, *outs])


def _told(blueprint: Document, graph: Graph) -> str:
    """The same in sentences, for those who do not see it."""
    labels = {node.id: node.label or node.id for node in blueprint.nodes}
    starts = ", ".join(labels[entry] for entry in graph.entries)
    told = [f"It begins with {starts}."]
    for link in graph.links:
        when = f", on {link.condition}," if link.condition else ""
        told.append(f"{labels[link.source]}{when} leads to {labels[link.target]}.")
    gates = [
        f"There is a gate {place} {labels[node.id]}."
        for node in blueprint.nodes
        for place in ("before", "after")
        if document.has_gate(node, place)
    ]
    return " ".join(told + gates)


# --- nodes -----------------------------------------------------------------------------


def _node(node: Node, kind: str, at: Place) -> Iterator[str]:
    about = f"{kind} · {node.model}" if node.model else kind
    title = f"{node.label or node.id}: {about}"
    x = at.x + 12
    yield f"<g><title>{_text(title)}</title>"
    yield _rect("box", at.x, at.y - HEIGHT / 2, WIDTH, HEIGHT, ' rx="4"')
    yield _line("label", x, at.y - 4, _cut(node.label or node.id, _LABEL))
    yield _line("about", x, at.y + 15, _cut(about, _ABOUT))
    yield "</g>"
    if document.has_gate(node, "before"):
        yield from _gate(at.x, at.y)
    if document.has_gate(node, "after"):
        yield from _gate(at.x + WIDTH, at.y)


def _gate(x: float, y: float) -> Iterator[str]:
    yield (
        f'<path class="gate" d="M{x - _GATE:g} {y:g}l{_GATE} {-_GATE}l{_GATE} {_GATE}'
        f'l{-_GATE} {_GATE}z"/>'
    )
    yield _line("hand", x, y - HEIGHT / 2 - 6, "gate", "middle")


def _rect(kind: str, x: float, y: float, width: float, height: float, more: str = "") -> str:
    size = f'width="{width:g}" height="{height:g}"'
    return f'<rect class="{kind}" x="{x:g}" y="{y:g}" {size}{more}/>'


def _line(kind: str, x: float, y: float, text: str, anchor: str = "start") -> str:
    return (
        f'<text class="{kind}" x="{x:g}" y="{y:g}" text-anchor="{anchor}">{_text(text)}</text>'
    )


def _cut(text: str, most: int) -> str:
    if _breadth(text) <= most:
        return text
    while _breadth(text) > most - 1:
        text = text[: min(len(text) - 1, most)]
    return f"{text.rstrip()}…"


def _breadth(text: str) -> int:
    return sum(2 if east_asian_width(sign) in "WF" else 1 for sign in text)


def _text(text: str) -> str:
    return escape(_FORBIDDEN.sub("\ufffd", text))


# --- edges -----------------------------------------------------------------------------


def _edges(graph: Graph, plan: Layout) -> Iterator[str]:
    for entry in graph.entries:
        at = plan.places[entry]
        yield _edge(f"M{at.x - _START:g} {at.y:g}H{at.x - _HEAD:g}")
        yield _head(at.x, at.y)
    for link in plan.ways:
        source, target = plan.places[link.source], plan.places[link.target]
        if layout.is_right(source, target):
            yield _edge(_way_on(link, plan))
            yield _head(target.x, target.y)
        else:
            yield from _way_over(source, target)
    for link in plan.lanes:
        yield _edge(_way_back(link, plan))
        target = plan.places[link.target]
        if link.target in plan.lowest:
            x, y = target.x + WIDTH / 2 - _aside(link, plan), target.y + HEIGHT / 2
            yield f'<path class="head" d="M{x:g} {y:g}l4 {_HEAD}h-8z"/>'
        else:
            yield _head(target.x, target.y)


def _edge(path: str) -> str:
    return f'<path class="edge" d="{path}"/>'


def _head(x: float, y: float) -> str:
    return f'<path class="head" d="M{x:g} {y:g}l{-_HEAD} -4v8z"/>'


def _way_on(link: Link, plan: Layout) -> str:
    source, target = plan.places[link.source], plan.places[link.target]
    path, here = f"M{source.x + WIDTH:g} {source.y:g}", source
    for spot in plan.ways[link]:
        path += _bend(here, spot.x - GAP, spot.x, spot.y) + f"H{spot.x + WIDTH:g}"
        here = spot
    return path + _bend(here, target.x - GAP, target.x - _HEAD, target.y)


def _bend(here: Place, x: float, to_x: float, to_y: float) -> str:
    """From the right side of a place to another line: straight on, and over from x on."""
    if here.y == to_y:
        return f"H{to_x:g}"
    x = max(here.x + WIDTH, x)
    half = (to_x - x) / 2
    return f"H{x:g}C{x + half:g} {here.y:g} {to_x - half:g} {to_y:g} {to_x:g} {to_y:g}"


def _way_over(source: Place, target: Place) -> Iterator[str]:
    """Straight down or up; to a node that stands aside first to the right."""
    x = layout.crossing(source, target)
    assert x is not None, "others go back"
    down = 1 if target.y > source.y else -1
    end = target.y - down * HEIGHT / 2
    if x > source.x + WIDTH:
        start = f"M{source.x + WIDTH:g} {source.y:g}H{x:g}"
    else:
        start = f"M{x:g} {source.y + down * HEIGHT / 2:g}"
    yield _edge(f"{start}V{end - down * _HEAD:g}")
    yield f'<path class="head" d="M{x:g} {end:g}l4 {-down * _HEAD}h-8z"/>'


def _way_back(link: Link, plan: Layout) -> str:
    """Down, back and up again: below a node if nothing is there, else beside it."""
    source, target = plan.places[link.source], plan.places[link.target]
    out, back, lane = _turn_out(link, plan), _turn_in(link, plan), plan.lanes[link]
    if link.source in plan.lowest:
        path = f"M{out:g} {source.y + HEIGHT / 2:g}V{lane:g}H{back:g}"
    else:
        path = f"M{source.x + WIDTH:g} {source.y:g}H{out:g}V{lane:g}H{back:g}"
    if link.target in plan.lowest:
        return f"{path}V{target.y + HEIGHT / 2 + _HEAD:g}"
    return f"{path}V{target.y:g}H{target.x - _HEAD:g}"


def _turn_out(link: Link, plan: Layout) -> float:
    """Where a way back goes down."""
    x, aside = plan.places[link.source].x, _aside(link, plan)
    return x + WIDTH / 2 + aside if link.source in plan.lowest else x + WIDTH + 4 + aside


def _turn_in(link: Link, plan: Layout) -> float:
    """Where a way back goes up."""
    x, aside = plan.places[link.target].x, _aside(link, plan)
    return x + WIDTH / 2 - aside if link.target in plan.lowest else x - 12 - aside


def _aside(link: Link, plan: Layout) -> float:
    """So that two ways back do not lie upon each other."""
    return 12 + 6.0 * (list(plan.lanes).index(link) % 8)


def _words(graph: Graph, plan: Layout) -> Iterator[str]:
    """The conditions, over everything else."""
    for link in graph.links:
        if link.condition is not None:
            x, y, anchor = _place_of_word(link, plan)
            yield _line("word", x, y, _cut(link.condition, _WORD), anchor)


def _place_of_word(link: Link, plan: Layout) -> tuple[float, float, str]:
    source, target = plan.places[link.source], plan.places[link.target]
    if link in plan.lanes:
        return (source.x + target.x + WIDTH) / 2, plan.lanes[link] + 4, "middle"
    if not layout.is_right(source, target):
        x = layout.crossing(source, target)
        assert x is not None, "others go back"
        turn = 0 if x < source.x + WIDTH else HEIGHT / 4 * (1 if target.y < source.y else -1)
        return x + 8, (source.y + target.y) / 2 + turn + 4, "start"
    following = [*plan.ways[link], target][0]
    gap = following.x - source.x - WIDTH
    if plan.ways[link] and gap < GAP / 2:
        return following.x + WIDTH / 2, following.y - 6, "middle"
    x = source.x + WIDTH + min(gap, GAP) / 2
    if source.y == following.y or gap > GAP:  # there it goes straight on
        return x, source.y - 6, "middle"
    return x, (source.y + following.y) / 2 + 4, "middle"
