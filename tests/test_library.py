"""Saved blueprints: versions that never change, and saves that do not overwrite each other."""

import copy
import threading

import pytest
from django.db import connection, transaction

from runtime import errors, library, models, runs
from tests import councils


def council(name: str = "A council", *edges: str) -> dict:
    return {**councils.document(*(edges or ("d > w",))), "name": name}


@pytest.fixture
def saved(alice):
    return library.save(council(), owner=alice)


def test_a_new_blueprint_is_its_owners_and_has_one_version(saved, alice):
    blueprint = saved.blueprint

    assert (saved.number, saved.created_by, blueprint.owner) == (1, alice, alice)
    assert (blueprint.name, blueprint.visibility) == ("A council", "owner")
    assert blueprint.newest == saved


def test_a_blueprint_of_nobody_is_everybodys(db):
    assert library.save(council(), owner=None).blueprint.visibility == "everyone"


def test_a_document_comes_back_as_it_was_saved(alice):
    sent = council()
    sent |= {"version": "1.0", "theme": {"dark": True}, "id": "mine", "createdAt": "long ago"}
    sent["nodes"][0]["colour"] = ["red", 1, None, {"alpha": 0.5}]
    before = copy.deepcopy(sent)

    found = library.document(library.save(sent, owner=alice).blueprint.newest)

    assert sent == before
    ours = {"id", "createdAt", "updatedAt"}
    assert {k: v for k, v in found.items() if k not in ours} == {
        k: v for k, v in before.items() if k not in ours
    }
    assert found["id"] != "mine"
    assert found["createdAt"].endswith("Z")


def test_a_changed_document_is_the_next_version_and_the_first_stays(saved, bob):
    second = library.save(council("Another name"), owner=bob, blueprint=saved.blueprint)

    assert (second.number, second.created_by) == (2, bob)
    saved.refresh_from_db()
    assert saved.document["name"] == "A council"
    assert models.Blueprint.objects.get().name == "Another name"
    assert [each.number for each in library.history(saved.blueprint)] == [2, 1]


def test_an_unchanged_document_makes_no_version(saved, alice):
    again = library.save(
        library.document(saved), owner=alice, blueprint=saved.blueprint, made_from=1
    )

    assert again == saved
    assert saved.blueprint.versions.count() == 1


def test_what_only_looks_the_same_is_a_change(alice):
    first = library.save({**council(), "flag": True}, owner=alice)

    second = library.save({**council(), "flag": 1}, owner=alice, blueprint=first.blueprint)

    assert second.number == 2


def test_the_visibility_changes_without_a_version(saved, alice):
    again = library.save(
        council(),
        owner=alice,
        blueprint=saved.blueprint,
        visibility=models.Visibility.EVERYONE,
    )

    assert again.number == 1
    assert models.Blueprint.objects.get().visibility == "everyone"


def test_a_document_with_faults_is_refused_and_nothing_is_kept(alice):
    with pytest.raises(errors.BlueprintInvalid):
        library.save({**council(), "nodes": []}, owner=alice)

    assert not models.Blueprint.objects.exists()


def test_a_save_from_an_older_version_is_refused_and_names_the_newest(saved, alice, bob):
    library.save(council("Bob's"), owner=bob, blueprint=saved.blueprint, made_from=1)

    with pytest.raises(errors.BlueprintConflict) as refused:
        library.save(council("Alice's"), owner=alice, blueprint=saved.blueprint, made_from=1)

    assert refused.value.detail == {"newest": 2}
    assert models.Blueprint.objects.get().name == "Bob's"


def test_a_save_whose_answer_was_lost_may_be_sent_again(saved, alice):
    for _ in range(2):
        again = library.save(
            council("New"), owner=alice, blueprint=saved.blueprint, made_from=1
        )

    assert again.number == 2


def test_of_two_saves_at_once_one_is_refused(saved, alice):
    outcomes = []

    def save():
        try:
            outcomes.append(
                library.save(
                    council("Second"), owner=alice, blueprint=saved.blueprint, made_from=1
                ).number
            )
        except errors.BlueprintConflict as refusal:
            outcomes.append(refusal.detail["newest"])
        finally:
            connection.close()

    # The row is held, as by a save that is under way, until the other waits for it.
    with transaction.atomic():
        library.save(council("First"), owner=alice, blueprint=saved.blueprint, made_from=1)
        other = threading.Thread(target=save)
        other.start()
        _until_somebody_waits_for_a_lock()
    other.join()

    assert outcomes == [2]
    assert [each.document["name"] for each in library.history(saved.blueprint)] == [
        "First",
        "A council",
    ]


def _until_somebody_waits_for_a_lock() -> None:
    with connection.cursor() as cursor:
        while True:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                " AND datname = current_database()"
            )
            if cursor.fetchone()[0]:
                return


def test_saves_without_a_version_follow_each_other(saved, alice):
    def save(name):
        library.save(council(name), owner=alice, blueprint=saved.blueprint)
        connection.close()

    threads = [threading.Thread(target=save, args=[f"Save {n}"]) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [each.number for each in library.history(saved.blueprint)] == [7, 6, 5, 4, 3, 2, 1]


def test_a_deleted_blueprint_keeps_what_its_runs_ran(saved, alice):
    run = runs.create(topic="x", version=saved, owner=alice, model="demo:instant")

    library.delete(saved.blueprint)

    run.refresh_from_db()
    assert run.blueprint_version == saved
    assert saved.blueprint.versions.count() == 1
    for again in (
        lambda: library.delete(saved.blueprint),
        lambda: library.save(council("x"), owner=alice, blueprint=saved.blueprint),
    ):
        with pytest.raises(errors.BlueprintNotFound):
            again()


def test_a_blueprint_that_agents_run_is_not_deleted(saved):
    models.Agent.objects.create(slug="guide.x", name="X", blueprint=saved.blueprint)

    with pytest.raises(errors.BlueprintInUse) as refused:
        library.delete(saved.blueprint)

    assert refused.value.detail == {"agents": ["guide.x"]}
    saved.blueprint.refresh_from_db()
    assert saved.blueprint.deleted_at is None


def test_a_version_is_found_by_its_number(saved, alice):
    library.save(council("New"), owner=alice, blueprint=saved.blueprint)

    assert library.version(saved.blueprint, 1) == saved
    assert library.version(saved.blueprint).number == 2
    with pytest.raises(errors.VersionNotFound):
        library.version(saved.blueprint, 3)


def test_a_document_reads_in_the_order_of_the_reference(saved):
    found = library.document(models.BlueprintVersion.objects.get())

    assert list(found) == [
        "version",
        "id",
        "name",
        "createdAt",
        "updatedAt",
        "nodes",
        "edges",
    ]
    assert list(found["nodes"][0])[:3] == ["id", "label", "kind"]
    assert list(found["edges"][0]) == ["id", "source", "target", "type"]
