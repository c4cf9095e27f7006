"""A blueprint as a drawing: Mermaid's text, or a picture."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from runtime.blueprints import document, formats, picture
from runtime.blueprints.document import Document, Node

Format = Literal["mermaid", "svg"]
# All others are written as numbers, for in a label Mermaid knows quotes, tags, Markdown,
# entities and directives.
_PLAIN = frozenset(" .,:-_/()!?'+")


def draw(blueprint: Mapping[str, Any], how: Format) -> str:
    """The drawing of a document that `faults` finds nothing wrong with."""
    parsed = Document.model_validate(formats.newest(blueprint))
    return picture.svg(parsed) if how == "svg" else mermaid(parsed)


def mermaid(blueprint: Document) -> str:
    """A flowchart in Mermaid's language. Gates stand as diamonds before or after their node."""
    return "".join(f"{line}\n" for line in _lines(blueprint))


def _lines(blueprint: Document) -> Iterator[str]:
    graph = document.graph(blueprint.nodes, blueprint.edges)
    names = {node.id: f"n{number}" for number, node in enumerate(blueprint.nodes, 1)}
    before = {node.id for node in blueprint.nodes if document.has_gate(node, "before")}
    after = {node.id for node in blueprint.nodes if document.has_gate(node, "after")}
    first = {node: f"{name}b" if node in before else name for node, name in names.items()}
    last = {node: f"{name}a" if node in after else name for node, name in names.items()}
    yield f"%% {_escaped(blueprint.name)}"
    yield "flowchart LR"
    yield '    start(("start"))'
    for node in blueprint.nodes:
        yield f'    {names[node.id]}["{_label(node, graph.kinds[node.id])}"]'
    for node in blueprint.nodes:
        name = names[node.id]
        if node.id in before:
            yield f'    {name}b{{"gate"}} --> {name}'
        if node.id in after:
            yield f'    {name} --> {name}a{{"gate"}}'
    for entry in graph.entries:
        yield f"    start --> {first[entry]}"
    for link in graph.links:
        word = f'|"{_escaped(link.condition)}"|' if link.condition else ""
        yield f"    {last[link.source]} -->{word} {first[link.target]}"


def _label(node: Node, kind: str) -> str:
    about = f"{kind}, {node.model}" if node.model else kind
    return f"{_escaped(node.label or node.id)}<br/>{_escaped(about)}"


def _escaped(text: str) -> str:
    line = " ".join(text.split())
    return "".join(
        sign if sign.isalnum() or sign in _PLAIN else f"#{ord(sign)};" for sign in line
    )
