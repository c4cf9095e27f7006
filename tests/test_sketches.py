"""Sketches: blueprints in the editor. Kept, changed by one at a time, saved, tried out."""

import contextlib
import copy
import io
import json
import threading
import uuid

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext

from experience import access, models, sketches
from runtime import blueprints, errors, library, nodes, runs
from runtime import models as runtime
from tests import councils

SENT = '{"revision": 1, "document": '
FARTHER = {"a": 10**308, "b": -(10**308)}
DOCUMENT = councils.document("d > k", "k revise> d", "k approve> w")


@pytest.fixture
def page(client, alice):
    """A browser in which alice is signed in."""
    client.force_login(alice)
    return client


@pytest.fixture
def sketch(alice):
    return sketches.begin(alice, DOCUMENT)


@pytest.fixture
def saved(alice):
    """A blueprint of alice's."""
    return library.save(DOCUMENT, owner=alice).blueprint


@pytest.fixture
def edited(alice, saved):
    """Her sketch of it, in which the name was changed."""
    begun = sketches.begin_of(alice, saved.pk)
    return sketches.change(alice, begun.pk, named("Edited"), revision=1)


def named(name, document=DOCUMENT):
    return {**document, "name": name}


def path(sketch, what=""):
    return f"/blueprints/sketches/{sketch.pk}/{what}"


def put(page, sketch, document, revision):
    return send(page, sketch, "document", method="PUT", revision=revision, document=document)


def send(page, sketch, what, method="POST", **body):
    text = json.dumps(body)
    return page.generic(method, path(sketch, what), text, content_type="application/json")


def code(answer):
    return answer.json()["error"]["code"]


# --- it begins -------------------------------------------------------------------------


def test_a_new_sketch_has_one_node_and_no_fault(alice):
    begun = sketches.begin(alice)

    assert [node["label"] for node in begun.document["nodes"]] == ["Draft"]
    assert blueprints.faults(begun.document) == []
    assert (begun.revision, begun.blueprint, begun.made_from) == (1, None, None)


def test_of_a_blueprint_each_user_has_one_sketch(alice, saved):
    first = sketches.begin_of(alice, saved.pk)

    assert first.document == saved.newest.document
    assert first.made_from == 1
    assert sketches.begin_of(alice, saved.pk) == first


def test_what_was_changed_in_a_sketch_stays_when_it_is_begun_again(alice, saved, edited):
    again = sketches.begin_of(alice, saved.pk, number=1)

    assert again == edited
    assert again.document["name"] == "Edited"
    assert again.revision == 2


def test_an_older_version_can_be_the_start_and_is_saved_on_top_of_the_newest(alice, saved):
    library.save(named("Second"), owner=alice, blueprint=saved)

    begun = sketches.begin_of(alice, saved.pk, number=1)
    version = sketches.save(alice, begun.pk, revision=1)

    assert begun.document["name"] == "A council"
    assert (version.number, version.document["name"]) == (3, "A council")


def test_a_sketch_that_nobody_touched_follows_the_blueprint(alice, saved):
    before = sketches.begin_of(alice, saved.pk)
    library.save(named("Second"), owner=alice, blueprint=saved)

    now = sketches.begin_of(alice, saved.pk)

    assert now == before
    assert (now.document["name"], now.made_from, now.revision) == ("Second", 2, 2)


def test_a_sketch_that_was_begun_of_one_version_can_be_begun_of_another(alice, saved):
    library.save(named("Second"), owner=alice, blueprint=saved)

    begun = [sketches.begin_of(alice, saved.pk, number=number) for number in (1, 2, 1, None)]

    assert [each.document["name"] for each in begun] == [
        "A council", "Second", "A council", "Second"
    ]  # fmt: skip
    assert [each.revision for each in begun] == [1, 2, 3, 4]


def test_what_is_not_ones_own_is_edited_as_a_copy(default, alice):
    begun = sketches.begin_of(alice, default.blueprint_id)

    assert begun.document["name"] == f"Copy of {default.document['name']}"
    assert begun.blueprint is None
    assert blueprints.faults(begun.document) == []


def test_the_name_of_a_copy_is_never_too_long(alice, bob):
    theirs = library.save(named("n" * 200), owner=bob, visibility=runtime.Visibility.EVERYONE)

    begun = sketches.begin_of(alice, theirs.blueprint_id)

    assert blueprints.faults(begun.document) == []


def test_a_blueprint_that_one_may_not_see_cannot_be_edited(saved, bob):
    with pytest.raises(errors.BlueprintNotFound):
        sketches.begin_of(bob, saved.pk)


# --- it is changed ---------------------------------------------------------------------


def test_a_change_is_kept_with_its_faults(alice, sketch):
    broken = {"version": 1, "name": 7, "nodes": [None]}
    sketches.change(alice, sketch.pk, broken, revision=1)

    now = access.find_sketch(alice, sketch.pk)
    assert (now.document, now.revision) == (broken, 2)


def test_a_change_of_an_older_format_is_migrated(alice, sketch):
    old = {"name": "Old", "nodes": [{"id": "writer", "name": "Writer", "prompt": "Write."}]}
    changed = sketches.change(alice, sketch.pk, old, revision=1)

    assert changed.document["version"] == 1
    assert changed.document["nodes"] == [
        {"id": "writer", "label": "Writer", "systemPrompt": "Write."}
    ]


def test_a_change_of_what_is_no_longer_there_is_refused(alice, sketch):
    sketches.change(alice, sketch.pk, named("Mine"), revision=1)

    with pytest.raises(sketches.SketchChanged):
        sketches.change(alice, sketch.pk, named("Other"), revision=1)

    assert access.find_sketch(alice, sketch.pk).document["name"] == "Mine"


def test_the_same_document_again_changes_nothing(alice, sketch):
    first = sketches.change(alice, sketch.pk, named("Mine"), revision=1)

    again = sketches.change(alice, sketch.pk, named("Mine"), revision=1)

    assert again.revision == first.revision == 2


def test_true_is_not_the_same_as_one(alice, sketch):
    sketches.change(alice, sketch.pk, {"a": True}, revision=1)

    assert sketches.change(alice, sketch.pk, {"a": 1}, revision=2).revision == 3


def test_of_two_changes_at_once_one_wins(alice, sketch, monkeypatch):
    both, outcomes, check = threading.Barrier(2), [], sketches._check

    def check_then_wait(*args):
        check(*args)
        with contextlib.suppress(threading.BrokenBarrierError):
            both.wait(timeout=0.3)  # for the other, who must not come so far

    def work(name):
        try:
            sketches.change(alice, sketch.pk, named(name), revision=1)
            outcomes.append(name)
        except sketches.SketchChanged:
            outcomes.append("refused")
        finally:
            connections.close_all()

    monkeypatch.setattr(sketches, "_check", check_then_wait)
    threads = [threading.Thread(target=work, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=10)

    now = access.find_sketch(alice, sketch.pk)
    assert sorted(outcomes) == sorted([now.document["name"], "refused"])
    assert now.revision == 2


# --- it comes to something -------------------------------------------------------------


def test_saving_makes_the_next_version_and_ends_the_sketch(alice, saved, edited):
    version = sketches.save(alice, edited.pk, revision=2)

    assert (version.blueprint, version.number) == (saved, 2)
    assert version.document["name"] == "Edited"
    assert version.created_by == alice
    assert not models.Sketch.objects.exists()


def test_a_new_sketch_is_saved_as_a_new_blueprint(alice, sketch):
    version = sketches.save(alice, sketch.pk, revision=1)

    assert version.number == 1
    assert version.blueprint.owner == alice
    assert version.blueprint in access.blueprints_of(alice)
    assert not models.Sketch.objects.exists()


def test_what_somebody_saved_meanwhile_is_not_overwritten_unasked(alice, saved, edited):
    library.save(named("Theirs"), owner=alice, blueprint=saved)

    with pytest.raises(errors.BlueprintConflict) as refusal:
        sketches.save(alice, edited.pk, revision=2)

    assert refusal.value.detail == {"newest": 2}
    assert sketches.save(alice, edited.pk, revision=2, onto=2).number == 3


def test_with_a_conflict_it_can_be_saved_as_a_new_blueprint(alice, saved, edited):
    library.save(named("Theirs"), owner=alice, blueprint=saved)

    version = sketches.save(alice, edited.pk, revision=2, as_new=True)

    assert (version.number, version.blueprint == saved) == (1, False)


def test_of_a_deleted_blueprint_the_sketch_is_there_and_is_saved_as_new(alice, saved, edited):
    library.delete(saved)

    with pytest.raises(errors.BlueprintNotFound):
        sketches.save(alice, edited.pk, revision=2)
    version = sketches.save(alice, edited.pk, revision=2, as_new=True)

    assert version.document["name"] == "Edited"


def test_a_sketch_with_faults_is_not_saved(alice, sketch):
    sketches.change(alice, sketch.pk, {"name": "No nodes"}, revision=1)

    with pytest.raises(errors.BlueprintInvalid):
        sketches.save(alice, sketch.pk, revision=2)

    assert access.find_sketch(alice, sketch.pk).revision == 2


def test_what_somebody_has_not_seen_is_not_saved(alice, saved, edited):
    with pytest.raises(sketches.SketchChanged):
        sketches.save(alice, edited.pk, revision=1)


def test_version_and_end_of_the_sketch_commit_together(alice, saved, edited, monkeypatch):
    def fail(*args, **named):
        raise ZeroDivisionError

    monkeypatch.setattr(models.Sketch, "delete", fail)
    with pytest.raises(ZeroDivisionError):
        sketches.save(alice, edited.pk, revision=2)

    assert library.version(saved).number == 1


def test_a_trial_runs_what_is_drawn_and_saves_nothing_that_is_listed(alice, saved, edited):
    run = sketches.try_out(
        alice, edited.pk, revision=2, topic="Does it work?", model="demo:instant"
    )

    assert run.owner == alice
    assert runs.document_of(run).name == "Edited"
    assert run.blueprint_version.blueprint.name == "Edited"
    assert run.blueprint_version.blueprint.is_trial
    assert list(access.blueprints_of(alice)) == [saved]
    assert library.version(saved).number == 1


def test_trials_of_one_sketch_are_versions_of_one_hidden_blueprint(alice, sketch):
    asked = {"topic": "Does it work?", "model": "demo:instant"}
    first = sketches.try_out(alice, sketch.pk, revision=1, **asked)
    sketches.change(alice, sketch.pk, named("Better"), revision=1)

    second = sketches.try_out(alice, sketch.pk, revision=2, **asked)

    assert second.blueprint_version.blueprint == first.blueprint_version.blueprint
    assert second.blueprint_version.number == 2
    assert second.blueprint_version.blueprint.name == "Better"


def test_a_trial_that_is_refused_leaves_nothing_behind(alice, sketch):
    with pytest.raises(errors.InputInvalid):
        sketches.try_out(alice, sketch.pk, revision=1, topic=" ", model="demo:instant")

    assert not runtime.Blueprint.objects.exists()
    assert access.find_sketch(alice, sketch.pk).trial is None


def test_the_commands_do_not_know_trials(alice, sketch, capsys):
    run = sketches.try_out(alice, sketch.pk, revision=1, topic="Hi", model="demo:instant")
    trial = run.blueprint_version.blueprint

    call_command("blueprint", "list")

    assert capsys.readouterr().out == ""
    with pytest.raises(Exception, match=f"There is no blueprint {trial.pk}"):
        call_command("blueprint", "export", str(trial.pk))


def test_a_discarded_sketch_is_gone(alice, sketch):
    sketches.discard(alice, sketch.pk)

    with pytest.raises(access.SketchNotFound):
        access.find_sketch(alice, sketch.pk)


# --- the pages -------------------------------------------------------------------------


def test_a_sketch_is_begun_by_a_form_and_opened(page, alice, saved):
    answer = page.post("/blueprints/sketches/", {"blueprint": saved.pk})

    begun = models.Sketch.objects.get()
    assert (answer.status_code, answer["Location"]) == (303, path(begun))
    assert begun.blueprint == saved
    assert page.get(path(begun)).status_code == 200


def test_whoever_wanted_an_older_version_is_told_what_they_see_instead(page, saved, edited):
    form = {"blueprint": saved.pk, "version": 1}

    answer = page.post("/blueprints/sketches/", form, follow=True)

    assert "This is what you had not saved yet" in answer.content.decode()
    assert answer.context["data"]["telling"]["document"]["name"] == "Edited"


def test_nothing_stated_begins_a_new_one(page, alice):
    page.post("/blueprints/sketches/")

    assert models.Sketch.objects.get().document["name"] == "New blueprint"


def test_a_file_begins_a_new_one_in_the_newest_format(page, alice):
    old = {"name": "Old", "nodes": [{"id": "a", "name": "A", "prompt": "Do it."}], "edges": []}
    file = io.BytesIO(json.dumps(old).encode())

    page.post("/blueprints/sketches/", {"file": file})

    document = models.Sketch.objects.get().document
    assert document["version"] == 1
    assert document["nodes"] == [{"id": "a", "label": "A", "systemPrompt": "Do it."}]


@pytest.mark.parametrize(
    "text",
    ["", "no JSON", "[]", "[" * 100_000, '{"nodes":' * 60 + "1" + "}" * 60, '{"nodes":1e999}'],
)
def test_what_is_no_document_makes_no_sketch_and_says_so(page, alice, text):
    answer = page.post("/blueprints/sketches/", {"document": text}, follow=True)

    assert answer.redirect_chain == [("/blueprints/", 302)]
    assert "Nothing was made of this." in answer.content.decode()
    assert not models.Sketch.objects.exists()


def test_json_that_is_no_blueprint_makes_no_sketch_and_says_what_is_missing(page, alice):
    file = io.BytesIO(b'{"name": "left-pad", "version": "1.3.0"}')
    answer = page.post("/blueprints/sketches/", {"file": file}, follow=True)

    assert "no blueprint: it has no `nodes`" in answer.content.decode()
    assert not models.Sketch.objects.exists()


@pytest.mark.parametrize("number", ["2", "0", "x", "9" * 30, "²"])
def test_a_version_that_is_not_there_is_not_found(page, saved, number):
    answer = page.post("/blueprints/sketches/", {"blueprint": saved.pk, "version": number})

    assert answer.status_code == 404


def test_the_page_is_given_all_that_its_script_needs(page, alice, saved, edited):
    data = page.get(path(edited)).context["data"]

    assert data["telling"]["document"]["name"] == "Edited"
    assert (data["telling"]["madeFrom"], data["telling"]["newest"]) == (1, 1)
    assert data["blueprint"] == {
        "id": str(saved.pk), "name": "A council", "url": f"/blueprints/{saved.pk}/"
    }  # fmt: skip
    assert data["urls"]["trial"] == path(edited, "trial")
    assert {kind["name"] for kind in data["kinds"]} == nodes.KINDS.keys()
    assert data["defaultModel"] in data["models"] or data["defaultModel"].startswith("demo:")
    assert data["agent"] is False
    json.dumps(data)


def test_every_kind_and_every_setting_says_what_it_is_for(page, sketch):
    kinds = page.get(path(sketch)).context["data"]["kinds"]

    for kind in kinds:
        assert kind["summary"]
        shapes = [kind["schema"], *kind["schema"].get("$defs", {}).values()]
        for name, field in [each for shape in shapes for each in shape["properties"].items()]:
            assert field["description"], (kind["name"], name)
            assert field["title"], (kind["name"], name)


def test_a_change_is_answered_with_faults_and_plan(page, sketch):
    changed = copy.deepcopy(DOCUMENT)
    changed["nodes"][1]["settings"] = {"threshold": 11}

    told = put(page, sketch, changed, 1).json()

    assert told["revision"] == 2
    assert told["document"] == changed
    assert [(fault["node"], fault["field"]) for fault in told["faults"]] == [
        ("k", "settings.threshold")
    ]
    assert [node["id"] for node in told["plan"]["nodes"]] == ["d", "k", "w"]
    assert page.get(path(sketch, "document")).json() == told


def test_a_change_elsewhere_is_told_with_what_is_there_now(page, alice, sketch):
    sketches.change(alice, sketch.pk, named("Theirs"), revision=1)

    answer = put(page, sketch, named("Mine"), 1)

    assert (answer.status_code, code(answer)) == (409, "sketch_changed")
    assert answer.json()["telling"]["document"]["name"] == "Theirs"
    assert put(page, sketch, named("Mine"), 2).json()["revision"] == 3


def test_saving_leads_to_the_blueprint(page, saved, edited):
    answer = send(page, edited, "save", revision=2)

    assert answer.json() == {"url": f"/blueprints/{saved.pk}/", "version": 2}


def test_a_conflict_names_the_newest_version(page, alice, saved, edited):
    library.save(named("Theirs"), owner=alice, blueprint=saved)

    answer = send(page, edited, "save", revision=2)

    assert (answer.status_code, code(answer)) == (409, "blueprint_conflict")
    assert answer.json()["error"]["detail"] == {"newest": 2}
    assert send(page, edited, "save", revision=2, onto=2, as_new=False).status_code == 200


def test_a_deleted_blueprint_is_told_and_can_be_saved_as_new(page, saved, edited):
    library.delete(saved)

    data = page.get(path(edited)).context["data"]
    refused = send(page, edited, "save", revision=2)
    answer = send(page, edited, "save", revision=2, as_new=True)

    assert data["blueprint"]["url"] is None
    assert data["telling"]["newest"] is None
    assert (refused.status_code, code(refused)) == (404, "blueprint_not_found")
    assert answer.json()["version"] == 1


def test_a_trial_leads_to_its_run(page, alice, sketch):
    body = {"revision": 1, "input_topic": "Does it work?", "model": "demo:instant"}

    answer = send(page, sketch, "trial", **body, god_mode=True, limits={"calls": 9})

    run = runtime.Run.objects.get()
    assert answer.status_code == 202
    assert answer.json() == {"run_id": str(run.pk), "url": f"/runs/{run.pk}/"}
    assert (run.owner, run.god_mode, run.limits) == (alice, True, {"calls": 9})
    assert page.get(f"/runs/{run.pk}/").status_code == 200


def test_the_same_trial_sent_twice_runs_once(page, sketch):
    body = {"revision": 1, "input_topic": "Does it work?", "model": "demo:instant"}
    text, key = json.dumps(body), {"idempotency-key": "one"}
    how = {"content_type": "application/json", "headers": key}

    answers = [page.post(path(sketch, "trial"), text, **how) for _ in range(2)]

    assert answers[0].json() == answers[1].json()
    assert runtime.Run.objects.count() == 1


def test_the_history_calls_a_trial_so(page, alice, sketch):
    sketches.try_out(alice, sketch.pk, revision=1, topic="Hi", model="demo:instant")

    run = runtime.Run.objects.get()
    assert ">trial</span>" in page.get("/runs/").content.decode()
    assert "</bdi>, a trial" in page.get(f"/runs/{run.pk}/").content.decode()


def test_discarding_leads_to_the_blueprint_or_to_all(page, saved, edited, sketch):
    of_one, of_none = page.post(path(edited, "discard")), page.post(path(sketch, "discard"))

    assert (of_one.status_code, of_one["Location"]) == (303, f"/blueprints/{saved.pk}/")
    assert (of_none.status_code, of_none["Location"]) == (303, "/blueprints/")
    assert not models.Sketch.objects.exists()


# --- who may ---------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["bob", "root"])
def test_a_sketch_is_nobody_elses_not_even_an_administrators(client, sketch, who):
    make = User.objects.create_superuser if who == "root" else User.objects.create_user
    client.force_login(make(who))

    answers = [
        client.get(path(sketch)),
        client.post(path(sketch, "discard")),
        client.get(path(sketch, "document")),
        put(client, sketch, named("Theirs"), 1),
        send(client, sketch, "save", revision=1),
        send(client, sketch, "trial", revision=1, input_topic="Hi"),
    ]

    assert [answer.status_code for answer in answers] == [404] * 6
    assert {code(answer) for answer in answers[2:]} == {"sketch_not_found"}
    assert models.Sketch.objects.get().document == DOCUMENT


def test_whoever_is_signed_out_is_told_so(client, sketch):
    show, asked = client.get(path(sketch)), client.get(path(sketch, "document"))

    assert show.status_code == 302
    assert (asked.status_code, code(asked)) == (401, "not_authenticated")


def test_a_foreign_page_can_change_nothing(alice, sketch, client):
    client.handler.enforce_csrf_checks = True
    client.force_login(alice)

    assert put(client, sketch, named("Theirs"), 1).status_code == 403
    assert client.post("/blueprints/sketches/").status_code == 403


# --- what is sent in bad faith ---------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ("", 400, "parse_error"),
        ("[]", 400, "parse_error"),
        ("{}", 400, "parse_error"),
        ('{"revision": 1}', 400, "parse_error"),
        ('{"revision": true, "document": {}}', 400, "parse_error"),
        ('{"revision": "1", "document": {}}', 400, "parse_error"),
        ('{"revision": 1, "document": []}', 400, "blueprint_invalid"),
        ('{"revision": 1, "document": {"a": NaN}}', 400, "blueprint_invalid"),
        ('{"revision": 1, "document": {"a": 1e999}}', 400, "blueprint_invalid"),
        (SENT + "[" * 100_000, 400, "parse_error"),
        (SENT + '{"a":' * 60 + "1" + "}" * 61, 400, "blueprint_invalid"),
        (SENT + '{"a": ' + "9" * 5000 + "}}", 400, "parse_error"),
        (SENT + '{"a": "' + "x" * 1_000_001 + '"}}', 400, "blueprint_invalid"),
        (SENT + '{"a": "' + "x" * 3_000_000 + '"}}', 413, "too_large"),
        ('{"revision": 1, "document": {"a": "\xff"}}'.encode("latin-1"), 400, "parse_error"),
        ('{"revision": 99999999999999999999, "document": {}}', 409, "sketch_changed"),
    ],
)  # fmt: skip
def test_what_cannot_be_kept_is_refused_in_words(page, sketch, body, status, said):
    answer = page.put(path(sketch, "document"), body, content_type="application/json")

    assert (answer.status_code, code(answer)) == (status, said)
    assert len(answer.json()["error"]["message"]) > 20
    assert models.Sketch.objects.get().revision == 1


@pytest.mark.parametrize(
    "part",
    [
        {"nodes": [{"id": "a\0b\ud800", "label": "\0\udfff"}], "\0": "\ud800"},
        {"nodes": [{"id": "a", "position": {"x": 10**300, "y": -(10**4000)}}]},
        {"nodes": [{"id": each, "position": {"x": far}} for each, far in FARTHER.items()]},
        {"nodes": [{"id": str(number)} for number in range(10_000)]},
        {"nodes": [{"id": "a", "settings": dict.fromkeys(map(str, range(5_000)))}]},
        {"nodes": "a", "edges": {"b": 1}, "limits": [], "version": "∞", "name": {}},
        {"nodes": [{"id": ["a"], "kind": {}}], "edges": [[], None, {"id": 1, "source": {}}]},
        {"nodes": [{"id": "a"}] * 3, "edges": [{"id": "e", "source": "a", "target": "a"}] * 3},
        {"nodes": [{"id": "x"}], "edges": [{"id": "e", "source": "x", "target": "y" * 9_999}]},
    ],
    ids=["signs", "far", "farther", "many", "settings", "types", "inner", "twice", "nowhere"],
)  # fmt: skip
def test_a_hostile_document_is_kept_and_its_faults_are_told(page, sketch, part):
    answer = put(page, sketch, {**DOCUMENT, **part}, 1)

    told = answer.json()
    assert answer.status_code == 200
    assert 1 <= len(told["faults"]) <= 200
    assert put(page, sketch, {**DOCUMENT, **part}, 1).json()["revision"] == 2
    assert page.get(path(sketch)).status_code == 200


# --- how much it costs -----------------------------------------------------------------


def test_a_change_takes_few_queries_however_large_the_document(page, saved, edited):
    large = councils.document(*(f"d{number} > d{number + 1}" for number in range(50)))

    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert put(page, edited, large, 2).status_code == 200

    # Session, user, begin, the row, the change, commit, the newest version.
    assert len(queries) <= 7


def test_a_page_takes_few_queries(page, edited):
    with CaptureQueriesContext(connection) as queries:
        page.get(path(edited))

    assert len(queries) <= 7


def test_a_sketch_that_is_unknown_is_not_found(page):
    assert page.get(f"/blueprints/sketches/{uuid.uuid4()}/").status_code == 404
