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
    plan = layout.lay_out(graph)
    left, top = -_MARGIN - _START, plan.top - _MARGIN
    width, height = plan.width + 2 * _MARGIN + _START, plan.bottom - plan.top + 2 * _MARGIN
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
        target = plan.places[link.target]
        yield _edge(_way_on(link, plan))
        yield _head(target.x, target.y)
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
    path, here = f"M{source.x + WIDTH:g} {source.y:g}", source.y
    for spot in plan.ways[link]:
        path += _bend(spot.x - GAP, here, spot.x, spot.y) + f"H{spot.x + WIDTH:g}"
        here = spot.y
    return path + _bend(target.x - GAP, here, target.x - _HEAD, target.y)


def _bend(x: float, y: float, to_x: float, to_y: float) -> str:
    if y == to_y:
        return f"H{to_x:g}"
    half = (to_x - x) / 2
    return f"C{x + half:g} {y:g} {to_x - half:g} {to_y:g} {to_x:g} {to_y:g}"


def _way_back(link: Link, plan: Layout) -> str:
    """Down, back and up again: below a node if nothing is there, else beside it."""
    source, target = plan.places[link.source], plan.places[link.target]
    aside, lane = _aside(link, plan), plan.lanes[link]
    if link.source in plan.lowest:
        path = f"M{source.x + WIDTH / 2 + aside:g} {source.y + HEIGHT / 2:g}V{lane:g}"
    else:
        path = f"M{source.x + WIDTH:g} {source.y:g}h{16 + aside:g}V{lane:g}"
    if link.target in plan.lowest:
        return f"{path}H{target.x + WIDTH / 2 - aside:g}V{target.y + HEIGHT / 2 + _HEAD:g}"
    return f"{path}H{target.x - 24 - aside:g}V{target.y:g}H{target.x - _HEAD:g}"


def _aside(link: Link, plan: Layout) -> float:
    """So that two ways back do not lie upon each other."""
    return 12 + 6.0 * (list(plan.lanes).index(link) % 8)


def _words(graph: Graph, plan: Layout) -> Iterator[str]:
    """The conditions, over everything else."""
    for link in graph.links:
        if link.condition is None:
            continue
        word, source = _cut(link.condition, _WORD), plan.places[link.source]
        if link in plan.lanes:
            middle = (source.x + plan.places[link.target].x + WIDTH) / 2
            yield _line("word", middle, plan.lanes[link] + 4, word, "middle")
        else:
            following = [*plan.ways[link], plan.places[link.target]][0]
            y = (source.y + following.y) / 2 - (6 if source.y == following.y else -4)
            yield _line("word", source.x + WIDTH + GAP / 2, y, word, "middle")
