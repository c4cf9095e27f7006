"""Drawings: everything of a blueprint is in them, and nothing in its texts can get out."""

import json
import re
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experience.dashboard import plan as plans
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


# --- where the blueprint says ----------------------------------------------------------


def at(council, **positions):
    """The document with these positions, by node."""
    for node in council["nodes"]:
        node["position"] = dict(zip("xy", positions[node["id"]], strict=True))
    return council


def placed(council):
    parsed = blueprints.parse(council)
    graph = document.graph(parsed.nodes, parsed.edges)
    return graph, layout.lay_out(graph, document.positions(parsed.nodes))


def link(graph, name):
    source, target = name.split(">")
    return next(each for each in graph.links if (each.source, each.target) == (source, target))


def test_nodes_stand_where_the_blueprint_says():
    _graph, drawn = placed(at(councils.document("d > w"), d=(-40, 7), w=(300, 100)))

    assert drawn.places == {"d": layout.Place(0, 0), "w": layout.Place(340, 93)}
    assert drawn.origin == layout.Place(-40, 7)


@pytest.mark.parametrize(
    ("d", "w"),
    [((0, 0), (100, 40)), ((0, 0), (0, 0)), ((0, 0), (100_001, 0)), ((0, 0), (1e308, -1e308))],
    ids=["touching", "same", "far", "farther"],
)
def test_positions_that_nobody_could_see_do_not_count(d, w):
    _graph, drawn = placed(at(councils.document("d > w"), d=d, w=w))

    assert drawn.places == plan("d > w")[1].places
    assert drawn.origin is None


def test_positions_do_not_count_if_one_is_missing():
    council = at(councils.document("d > w"), d=(0, 500), w=(300, 100))
    del council["nodes"][0]["position"]

    assert placed(council)[1].places == plan("d > w")[1].places


@pytest.mark.parametrize("path", sorted(Path(shipped.__file__).parent.glob("*.json")), ids=str)
def test_what_ships_stands_where_it_says(path):
    assert placed(json.loads(path.read_text()))[1].origin == layout.Place(0, 0)


def test_what_does_not_lead_right_goes_back_below_everything():
    council = at(
        councils.document("d > k", "k revise> d", "k approve> w"),
        d=(600, 0), k=(300, 0), w=(0, 40),
    )  # fmt: skip

    graph, drawn = placed(council)

    assert {*drawn.ways} == {link(graph, "k>d")}
    assert all(lane > 40 + layout.HEIGHT / 2 for lane in drawn.lanes.values())


def test_what_stands_below_is_led_to_straight():
    council = at(
        councils.document("d > k", "k revise> d", "k approve> w"),
        d=(0, 0), k=(20, 100), w=(0, 200),
    )  # fmt: skip

    _graph, drawn = placed(council)

    assert len(drawn.ways) == 3
    assert not drawn.lanes


def test_what_has_a_node_in_between_is_not_led_to_straight():
    council = at(councils.document("d > k", "k > w", "d > w"), d=(0, 0), k=(0, 100), w=(0, 200))

    graph, drawn = placed(council)

    assert {*drawn.lanes} == {link(graph, "d>w")}


@pytest.mark.parametrize("y", [-40, -13, 0, 30])
def test_a_link_runs_around_the_nodes_between(y):
    council = at(
        councils.document("d > d1", "d1 > w", "d > w", "d > d2", "d2 > w"),
        d=(0, 0), d1=(300, y), w=(640, 10), d2=(310, y + 90),
    )  # fmt: skip

    graph, drawn = placed(council)

    passing = drawn.ways[link(graph, "d>w")]
    assert passing or abs(y) > layout.HEIGHT / 2
    for stop in passing:
        for name in ("d1", "d2"):
            assert abs(stop.y - drawn.places[name].y) > layout.HEIGHT / 2


@pytest.mark.parametrize(
    "council",
    [
        at(  # a word above everything
            councils.document("r one> d", "r two> w", "d > w", "w > w2"),
            r=(0, 0), d=(230, 0), w=(460, 0), w2=(460, 90),
        ),
        at(  # ways back beside everything
            councils.document(
                *(f"a{n} > s" for n in "1234"), *(f"k revise> a{n}" for n in "1234"),
                "s > k", "k approve> w",
            ),
            a1=(0, 0), a2=(0, 60), a3=(0, 120), a4=(0, 180),
            s=(230, 90), k=(460, 90), w=(460, 180),
        ),
    ],
)  # fmt: skip
def test_a_picture_with_positions_holds_everything_it_draws(council):
    root = ElementTree.fromstring(blueprints.draw(council, "svg"))

    left, top, width, height = map(float, root.get("viewBox").split())
    paths = " ".join(path.get("d") for path in root.iter(f"{SVG}path"))
    points = re.findall(r"[ML](-?[\d.]+) (-?[\d.]+)", paths)
    words = [float(text.get("y")) for text in root.iter(f"{SVG}text")]
    across = [x for x, _y in points] + re.findall(r"H(-?[\d.]+)", paths)
    down = [y for _x, y in points] + re.findall(r"V(-?[\d.]+)", paths)
    assert all(left < float(x) < left + width for x in across)
    assert all(top < float(y) < top + height for y in down)
    assert all(top + 12 < y < top + height for y in words)


# --- the plan of a page ----------------------------------------------------------------


def test_the_plan_of_a_sketch_says_where_it_was_put():
    council = at(councils.document("d > w"), d=(100, 50), w=(388, 92))

    told = plans.of_sketch(council)

    assert [node["spot"] for node in told["nodes"]] == [(0, 0), (1, 0.5)]
    assert (told["stated"], told["origin"]) == (True, [100, 50])
    assert (told["columns"], told["rows"]) == (2, [0, 0.5])


def test_the_plan_of_a_sketch_with_faults_has_what_can_be_read():
    told = plans.of_sketch(
        {
            "nodes": [
                {"id": "a", "label": "A"}, {"id": "a", "label": "Twice"}, {}, None,
                {"id": "b", "kind": "oracle", "position": {"x": "left"}},
            ],
            "edges": [
                {"id": "on", "source": "a", "target": "b", "type": "linear"},
                {"id": "on", "source": "b", "target": "a", "type": "linear"},
                {"id": "round", "source": "b", "target": "a", "type": "linear"},
                {"id": "self", "source": "b", "target": "b", "type": "conditional"},
                {"id": "away", "source": "b", "target": "nowhere", "type": "linear"},
                {"id": "half", "source": "b"}, 7,
            ],
        }
    )  # fmt: skip

    assert [(node["id"], node["label"]) for node in told["nodes"]] == [("a", "A"), ("b", "b")]
    assert [(edge["id"], edge["back"]) for edge in told["edges"]] == [
        ("on", False), ("round", True), ("self", True)
    ]  # fmt: skip
    assert told["lanes"] == 2


@pytest.mark.parametrize(
    "nodes", [[], None, "a", [{}], [{"id": ""}], [{"id": str(n)} for n in range(201)]]
)
def test_there_is_no_plan_of_a_sketch_without_nodes(nodes):
    assert plans.of_sketch({"nodes": nodes}) is None


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.booleans()), max_size=20),
    st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=6, max_size=6),
)
def test_whatever_leads_wherever_can_be_drawn(edges, positions):
    told = plans.of_sketch(
        {
            "nodes": [
                {"id": str(number), "position": {"x": 90 * x, "y": 30 * y}}
                for number, (x, y) in enumerate(positions)
            ],
            "edges": [
                {"id": str(number), "source": str(source), "target": str(target)}
                | ({"type": "conditional", "condition": "revise"} if asks else {})
                for number, (source, target, asks) in enumerate(edges)
            ],
        }
    )

    assert len(told["nodes"]) == 6
    assert len(told["edges"]) == len(edges)
    assert sorted(edge["lane"] for edge in told["edges"] if edge["back"]) == [
        *range(told["lanes"])
    ]
