"""`manage.py blueprint`: blueprints as files."""

import io
import json
import sys
from xml.etree import ElementTree

import pytest
from django.core.management import CommandError, call_command

from runtime import library, models
from tests import councils

LOOP = ("d > k", "k revise> d", "k approve> w")


@pytest.fixture
def blueprint(capsys):
    """Call the command; what it prints."""

    def call(*arguments):
        call_command("blueprint", *arguments)
        return capsys.readouterr().out

    return call


@pytest.fixture
def written(tmp_path):
    """Write a document to a file; its path."""

    def write(document, name="council.json"):
        path = tmp_path / name
        path.write_text(document if isinstance(document, str) else json.dumps(document))
        return str(path)

    return write


def council(name="A council", **more):
    return {**councils.document(*LOOP), "name": name, **more}


def test_a_sound_file_is_checked_without_a_word(blueprint, written):
    assert blueprint("check", written(council())) == ""


def test_every_fault_of_every_file_is_a_line_and_the_exit_is_1(blueprint, written, capsys):
    one = written(council(nodes=[]), "one.json")
    two = written({**council(), "version": 9}, "two.json")

    with pytest.raises(SystemExit) as left:
        blueprint("check", one, two)

    lines = capsys.readouterr().out.splitlines()
    assert left.value.code == 1
    assert {line.split(":")[0] for line in lines} == {one, two}
    assert f"{one}: no_nodes: The blueprint has no nodes; add at least one." in lines
    assert any(line.startswith(f"{two}: unknown_version: ") for line in lines)


def test_checking_needs_no_database(blueprint, written):
    # pytest-django refuses every query of a test that asked for no database.
    blueprint("check", written(council()))


def test_a_file_that_is_loaded_is_the_users(blueprint, written, alice):
    printed = blueprint("load", written(council()), "--user", "alice")

    saved = models.Blueprint.objects.get()
    assert printed == f"{saved.pk}\tversion 1\tA council\n"
    assert (saved.owner, saved.visibility, saved.newest.created_by) == (alice, "owner", alice)


def test_a_file_of_nobody_is_everybodys(blueprint, written, transactional_db):
    blueprint("load", written(council()))

    assert models.Blueprint.objects.get().visibility == "everyone"


def test_the_visibility_is_as_asked(blueprint, written, alice):
    blueprint("load", written(council()), "--user", "alice", "--visibility", "groups")

    assert models.Blueprint.objects.get().visibility == "groups"


def test_an_exported_file_is_loaded_as_its_next_version(blueprint, written, alice):
    saved = library.save(council(), owner=alice)
    exported = json.loads(blueprint("export", str(saved.blueprint_id)))

    blueprint("load", written({**exported, "name": "Changed"}), "--user", "alice")

    assert models.Blueprint.objects.get().name == "Changed"
    assert saved.blueprint.versions.count() == 2


def test_somebody_elses_exported_file_is_loaded_as_a_copy(blueprint, written, alice, bob):
    saved = library.save(council(), owner=alice)
    exported = blueprint("export", str(saved.blueprint_id))

    blueprint("load", written(exported), "--user", "bob")

    assert saved.blueprint.versions.count() == 1
    assert models.Blueprint.objects.get(owner=bob).name == "A council"


def test_of_several_files_all_are_loaded_or_none(blueprint, written, transactional_db):
    good, bad = written(council(), "good.json"), written(council(nodes=[]), "bad.json")

    with pytest.raises(CommandError, match=r"bad\.json: no_nodes"):
        blueprint("load", good, bad)

    assert not models.Blueprint.objects.exists()


def test_an_export_is_the_document_of_the_version_that_was_asked_for(blueprint, alice):
    saved = library.save(council(), owner=alice)
    library.save(council("Ünicode"), owner=alice, blueprint=saved.blueprint)

    newest = blueprint("export", str(saved.blueprint_id))
    first = blueprint("export", str(saved.blueprint_id), "--version", "1")

    assert "Ünicode" in newest
    assert json.loads(first) == library.document(saved)


def test_what_ships_is_found_by_its_slug(blueprint, shipped_blueprints):
    assert json.loads(blueprint("export", "single"))["nodes"]


def test_standard_input_is_a_file_too(blueprint, monkeypatch, alice):
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(council())))

    blueprint("load", "-", "--user", "alice")

    assert models.Blueprint.objects.get().name == "A council"


def test_files_and_saved_blueprints_are_drawn(blueprint, written, alice):
    saved = library.save(council(), owner=alice)

    mermaid = blueprint("draw", str(saved.blueprint_id))
    svg = blueprint("draw", written(council()), "--format", "svg")

    assert mermaid.splitlines()[1] == "flowchart LR"
    assert ElementTree.fromstring(svg).tag.endswith("svg")


def test_the_list_has_a_line_for_each_that_is_not_deleted(blueprint, alice, shipped_blueprints):
    kept = library.save(council("Kept"), owner=alice)
    library.delete(library.save(council("Gone"), owner=alice).blueprint)

    lines = blueprint("list").splitlines()

    assert f"{kept.blueprint_id}\t\t1\talice\tKept" in lines
    assert len(lines) == models.Blueprint.objects.filter(deleted_at=None).count()
    assert any("\tsingle\t1\t\t" in line for line in lines)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["check", "nowhere.json"], r"nowhere\.json cannot be read"),
        (["export", "nothing"], "There is no blueprint nothing"),
        (["draw", "nothing"], "There is no blueprint nothing"),
        (["export", "3e5e0f5c-1111-4222-8333-444455556666"], "There is no blueprint"),
        (["export", "single", "--version", "9"], "no version of this number"),
    ],
)
def test_a_call_that_is_wrong_says_what_is(blueprint, shipped_blueprints, arguments, sentence):
    with pytest.raises(CommandError, match=sentence):
        blueprint(*arguments)


@pytest.mark.parametrize("text", ["{", "", '{"name": "\xff', "[" * 100_000])
def test_a_file_that_is_no_json_is_named(blueprint, tmp_path, text):
    path = tmp_path / "broken.json"
    path.write_text(text, encoding="latin1")

    with pytest.raises(CommandError, match=r"broken\.json is no JSON"):
        blueprint("check", str(path))


def test_loading_for_nobody_there_is_refused(blueprint, written, transactional_db):
    with pytest.raises(CommandError, match="There is no user nobody"):
        blueprint("load", written(council()), "--user", "nobody")
