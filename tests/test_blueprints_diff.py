"""What changed between two documents."""

import copy

import pytest

from runtime import blueprints
from tests import councils

LOOP = ("d > k", "k revise> d", "k approve> w")
NOTHING = {"added": [], "removed": [], "changed": [], "reordered": False}


def test_nothing_changed():
    document = councils.document(*LOOP)

    assert blueprints.difference(document, copy.deepcopy(document)) == {
        "fields": [],
        "nodes": NOTHING,
        "edges": NOTHING,
    }


def test_a_field_is_named_by_its_path_with_what_it_was_and_is():
    old, new = councils.document(*LOOP), councils.document(*LOOP, k={"threshold": 7})
    new["nodes"][1]["tools"]["webSearch"] = True
    new["name"] = "Another"
    del new["nodes"][1]["model"]

    found = blueprints.difference(old, new)

    assert found["fields"] == [{"field": "name", "from": "A council", "to": "Another"}]
    assert found["nodes"]["changed"] == [
        {
            "id": "k",
            "fields": [
                {"field": "model", "from": ""},
                {"field": "tools.webSearch", "from": False, "to": True},
                {"field": "settings", "from": {}},
                {"field": "settings.threshold", "to": 7},
            ],
        }
    ]


def test_a_long_text_is_compared_line_by_line():
    old, new = councils.document(*LOOP), councils.document(*LOOP)
    old["nodes"][0]["systemPrompt"] = "You draft.\nBe brief.\nBe kind."
    new["nodes"][0]["systemPrompt"] = "You draft.\nBe bold.\nBe kind."

    (changed,) = blueprints.difference(old, new)["nodes"]["changed"]

    (field,) = changed["fields"]
    assert field["field"] == "systemPrompt"
    assert field["diff"].splitlines() == [
        "--- from", "+++ to", "@@ -1,3 +1,3 @@", " You draft.", "-Be brief.", "+Be bold.",
        " Be kind.",
    ]  # fmt: skip


def test_parts_are_told_apart_by_their_ids():
    old = councils.document(*LOOP)
    new = councils.document("d > k", "k approve> w", "k revise> d9", "d9 > k")

    found = blueprints.difference(old, new)

    assert [node["id"] for node in found["nodes"]["added"]] == ["d9"]
    assert [edge["id"] for edge in found["edges"]["added"]] == ["k-revise-d9", "d9-k"]
    assert [edge["id"] for edge in found["edges"]["removed"]] == ["k-revise-d"]
    assert not found["nodes"]["reordered"]


def test_another_order_is_a_change():
    old, new = councils.document(*LOOP), councils.document(*LOOP)
    new["nodes"].reverse()

    assert blueprints.difference(old, new)["nodes"] == {**NOTHING, "reordered": True}


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (1, 1.0, True),
        (True, 1, False),
        ([0], [False], False),
        ({"a": [1, None]}, {"a": [1, None]}, True),
        ({"a": 1}, {"a": 1, "b": None}, False),
        ("1", 1, False),
    ],
)
def test_what_is_the_same_in_json(one, other, expected):
    assert blueprints.same(one, other) is expected


def test_everything_is_new_compared_with_nothing():
    document = councils.document(*LOOP)

    found = blueprints.difference({}, document)

    assert found["nodes"]["added"] == document["nodes"]
    assert found["edges"]["added"] == document["edges"]
