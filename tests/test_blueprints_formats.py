"""Formats: older documents are migrated, known ones kept as sent, others refused."""

import pytest

from runtime import blueprints
from runtime.blueprints import formats
from tests import councils

LOOP = ("d > k", "k revise> d", "k approve> w")
OLD = {
    "name": "An old council",
    "theme": "blue",
    "nodes": [
        {"id": "d", "name": "Drafter", "prompt": "You draft.", "entry": True, "x-own": [1]},
        {"id": "k", "name": "Critic", "prompt": "You judge.", "kind": "critic"},
        {"id": "w", "name": "Writer", "prompt": "You write.", "kind": "writer"},
    ],
    "edges": [
        {"id": "e1", "source": "d", "target": "k"},
        {"id": "e2", "source": "k", "target": "d", "condition": "revise"},
        {"id": "e3", "source": "k", "target": "w", "condition": "approve"},
    ],
}


@pytest.mark.parametrize("version", [1, "1", 1.0, "1.0"])
def test_a_known_version_is_taken_however_it_is_written_and_kept_as_sent(version):
    sent = {**councils.document(*LOOP), "version": version}

    kept = blueprints.parse(sent).as_json()

    assert kept == sent
    assert type(kept["version"]) is type(version)


@pytest.mark.parametrize("version", [{}, {"version": 0}, {"version": "0"}, {"version": 0.0}])
def test_what_an_older_client_saved_is_migrated(version):
    migrated = blueprints.parse({**OLD, **version}).as_json()

    assert migrated["version"] == formats.NEWEST
    assert migrated["nodes"][0] == {
        "id": "d", "label": "Drafter", "systemPrompt": "You draft.", "entry": True,
        "x-own": [1],
    }  # fmt: skip
    assert [edge["type"] for edge in migrated["edges"]] == [
        "linear",
        "conditional",
        "conditional",
    ]
    assert migrated["theme"] == "blue"


def test_a_document_of_today_without_a_version_stays_as_it_is():
    sent = councils.document(*LOOP)
    sent["nodes"][0] |= {"name": "not the label", "prompt": "not the prompt"}
    del sent["version"]

    assert blueprints.parse(sent).as_json() == {**sent, "version": 1}


def test_migrating_leaves_what_was_sent_alone():
    before = repr(OLD)

    formats.newest(OLD)

    assert repr(OLD) == before


@pytest.mark.parametrize("nodes", [None, 7, [None, "x", {"prompt": 3}]])
def test_what_is_wrong_with_an_older_document_is_named_as_with_others(nodes):
    found = blueprints.faults({**OLD, "nodes": nodes})

    assert "wrong_type" in [fault.code for fault in found]


def test_every_older_format_has_its_way_to_the_newest():
    for version in formats.MIGRATIONS:
        assert formats.newest({"version": version})["version"] == formats.NEWEST
