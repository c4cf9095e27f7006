"""Drawings: everything of a blueprint is in them, and nothing in its texts can get out."""

import json
import re
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree

import pytest

from runtime import blueprints, shipped
from runtime.blueprints import document, layout
from tests import councils

SVG = "{http://www.w3.org/2000/svg}"
BRANCHED = (
    "d > d1", "d > d2", "d1 > d11", "d11 > w", "d2 > w", "w > k", "k revise> d",
    "k approve> w9",
)  # fmt: skip
HOSTILE = [
    "<script>alert(1)</script>",
    '"]; click n1 "javascript:alert(1)"; x["',
    "%%{init: {'securityLevel': 'loose'}}%%",
    "`**bold**` #quot; &lt; ]]> <!--",
    "line one\nline two\r\nend",
    "\x01\x0b\ufffe control",
    "審" * 60,
]


def texts(svg):
    root = ElementTree.fromstring(svg)
    return [element.text for element in root.iter(f"{SVG}text")]


def plan(*edges):
    parsed = blueprints.parse(councils.document(*edges))
    graph = document.graph(parsed.nodes, parsed.edges)
    return graph, layout.lay_out(graph)


def test_mermaid_has_every_node_edge_condition_and_gate():
    council = councils.document(
        "d > k", "k revise> d", "k approve> w", d={"gateAfter": {}}, w={"gateBefore": {}}
    )

    assert blueprints.draw(council, "mermaid").splitlines() == [
        "%% A council",
        "flowchart LR",
        '    start(("start"))',
        '    n1["d<br/>draft"]',
        '    n2["k<br/>critic"]',
        '    n3["w<br/>writer"]',
        '    n1 --> n1a{"gate"}',
        '    n3b{"gate"} --> n3',
        "    start --> n1",
        "    n1a --> n2",
        '    n2 -->|"revise"| n1',
        '    n2 -->|"approve"| n3b',
    ]


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_breaks_out_of_mermaid(text):
    council = councils.document("d > w")
    council["name"] = council["nodes"][0]["label"] = text
    plain = councils.document("d > w")

    lines = blueprints.draw(council, "mermaid").splitlines()

    expected = blueprints.draw(plain, "mermaid").splitlines()
    assert lines[2:3] + lines[4:] == expected[2:3] + expected[4:]
    assert re.fullmatch(r'    n1\["[^"\[\]<>{}`%|\\]*<br/>draft"\]', lines[3])
    assert re.fullmatch(r"%% [^\"\[\]<>{}`%|\\]*", lines[0])


def test_the_picture_has_every_label_kind_condition_and_gate():
    council = councils.document(*BRANCHED, d2={"gateBefore": {}}, w={"gateAfter": {}})
    council["nodes"][1]["model"] = "demo:instant"

    found = texts(blueprints.draw(council, "svg"))

    assert {node["label"] for node in council["nodes"]} <= {*found}
    assert {"draft", "draft · demo:instant", "critic", "writer", "revise", "approve"} <= {
        *found
    }
    assert found.count("gate") == 2


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_breaks_out_of_the_picture(text):
    council = councils.document("d > k", "k revise> d", "k approve> w")
    council["name"] = council["nodes"][0]["label"] = text
    council["nodes"][0]["id"] = council["edges"][0]["source"] = "d"

    root = ElementTree.fromstring(blueprints.draw(council, "svg"))

    known = {"svg", "title", "desc", "style", "rect", "text", "path", "g"}
    assert {element.tag.removeprefix(SVG) for element in root.iter()} == known
    attributes = {name for element in root.iter() for name in element.attrib}
    assert not {name for name in attributes if name.startswith("on") or "href" in name}
    assert len(texts(ElementTree.tostring(root))[0]) <= 18


def test_the_picture_follows_the_reader_and_loads_nothing():
    svg = blueprints.draw(councils.document(*BRANCHED), "svg")

    assert "prefers-color-scheme:dark" in svg
    assert "url(" not in svg
    assert "@import" not in svg
    assert re.findall(r"https?://[^\"]+", svg) == ["http://www.w3.org/2000/svg"]


def test_the_picture_is_told_in_words_too():
    svg = blueprints.draw(councils.document("d > w", w={"gateBefore": {}}), "svg")

    root = ElementTree.fromstring(svg)

    assert root.get("role") == "img"
    assert root.findtext(f"{SVG}title") == "A council"
    said = root.findtext(f"{SVG}desc")
    assert said == "It begins with d. d leads to w. There is a gate before w."


@pytest.mark.parametrize(
    "edges",
    [
        ("d > w",),
        BRANCHED,
        (
            "d > d1", "d > d2", "d > d3", "d1 > k1", "k1 revise> d1", "k1 approve> w1",
            "d2 > k2", "k2 revise> d2", "k2 approve> w2", "w1 > w", "w2 > w", "d3 > w",
        ),
    ],
)  # fmt: skip
def test_nothing_lies_upon_anything_else(edges):
    graph, drawn = plan(*edges)

    passed = [spot for spots in drawn.ways.values() for spot in spots]
    spots = [*drawn.places.values(), *passed]

    assert len(drawn.places) == len(graph.kinds)
    assert all(
        abs(one.x - other.x) >= layout.WIDTH or abs(one.y - other.y) >= layout.HEIGHT
        for one, other in combinations(spots, 2)
    )
    lanes = sorted(drawn.lanes.values())
    assert len(set(lanes)) == len(graph.returns)
    assert all(lane > max(spot.y + layout.HEIGHT / 2 for spot in spots) for lane in lanes)


def test_a_node_stands_right_of_all_that_lead_to_it():
    graph, drawn = plan(*BRANCHED)

    for link in set(graph.links) - graph.returns:
        assert drawn.places[link.source].x < drawn.places[link.target].x


@pytest.mark.parametrize("path", sorted(Path(shipped.__file__).parent.glob("*.json")), ids=str)
def test_what_ships_can_be_drawn(path):
    council = json.loads(path.read_text())

    ElementTree.fromstring(blueprints.draw(council, "svg"))
    assert blueprints.draw(council, "mermaid").startswith("%%")


def test_a_kind_that_is_gone_since_it_was_saved_is_drawn_all_the_same():
    council = councils.document("d > w")
    council["nodes"][1]["kind"] = "oracle"

    assert "oracle" in texts(blueprints.draw(council, "svg"))
