"""The gallery of blueprints, the page of one, and what changed between its versions."""

import copy

import pytest
from django.contrib.auth.models import Group, User
from django.core.files.uploadedfile import SimpleUploadedFile

from experience import models as kept
from experience.dashboard import differences
from runtime import library, models
from tests import councils

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)> \u202etxt.exe {{ 7 }}"
LOOP = ("d > k", "k revise> d", "k approve> w")


@pytest.fixture
def page(client, alice):
    """A browser in which alice is signed in."""
    client.force_login(alice)
    return client


@pytest.fixture
def save(alice):
    """Save a document as a new blueprint, or as the next version of one."""

    def do(*edges, owner=alice, blueprint=None, visibility=None, name="A council", **more):
        document = {**councils.document(*(edges or LOOP)), "name": name, **more}
        return library.save(document, owner=owner, blueprint=blueprint, visibility=visibility)

    return do


@pytest.fixture
def ran(alice):
    """A run as its end has left it, without doing any work."""

    def make(version, *, owner=alice, **more):
        ended = {"status": "completed", "reason": "approved", "approved": True}
        row = {"blueprint_version": version, "owner": owner, "input_topic": "What is it?"}
        return models.Run.objects.create(
            **row | ended | {"ended_at": "2026-01-02T03:04Z"} | more
        )

    return make


def text(page, path):
    answer = page.get(path)
    assert answer.status_code == 200
    return answer.content.decode()


def cards(page, query=""):
    groups = page.get(f"/blueprints/{query}").context["groups"]
    return {name: [card.council.name for card in some] for name, some in groups}


def path_of(version, more=""):
    return f"/blueprints/{version.blueprint_id}/{more}"


# --- the gallery -----------------------------------------------------------------------


def test_own_blueprints_come_first_and_those_of_agents_last(page, default, save, bob):
    save(name="Mine")
    save(name="Bob's, for all", owner=bob, visibility="everyone")
    save(name="Bob's own", owner=bob)

    found = cards(page)

    assert list(found) == ["Yours", "For everyone", "Of others", "What agents run"]
    assert found["Yours"] == ["Mine"]
    assert found["For everyone"][0] == "Draft, critic, writer"
    assert found["Of others"] == ["Bob's, for all"]


def test_a_card_tells_of_use_version_runs_and_agents_and_shows_the_drawing(page, save, ran):
    version = save(goodFor="Letters of complaint")
    ran(save(blueprint=version.blueprint, goodFor="Letters"))
    ran(version)
    models.Agent.objects.create(slug="liaison.mail", name="M", blueprint=version.blueprint)

    body = text(page, "/blueprints/")

    assert "Letters" in body
    assert "version 2" in body
    assert "run by liaison.mail" in body
    assert f'href="/runs/?blueprint={version.blueprint_id}">2 runs</a>' in body
    assert (
        f'src="/api/councils/{version.blueprint_id}/drawing?format=svg&amp;version=2"' in body
    )


def test_what_others_ran_is_not_counted(page, save, ran, bob):
    ran(save(owner=None), owner=bob)

    (card,) = page.get("/blueprints/").context["groups"][0][1]

    assert card.runs == 0


def test_trials_and_what_was_deleted_are_in_no_gallery(page, save):
    models.Blueprint.objects.filter(pk=save(name="Tried").blueprint_id).update(is_trial=True)
    library.delete(save(name="Gone").blueprint)

    assert cards(page) == {}
    assert "Every blueprint that you may run will be here" in text(page, "/blueprints/")


@pytest.mark.parametrize("q", ["LETTERS", "complaint", "ali"])
def test_one_searches_in_names_uses_and_owners(page, save, q):
    save(name="Letters", goodFor="Every kind of complaint")
    save(name="Others", owner=None)

    assert cards(page, f"?q={q}") == {"Yours": ["Letters"]}
    assert "No blueprint has this" in text(page, "/blueprints/?q=nonsense%00%ED%A0%80")


def test_many_blueprints_have_pages_that_keep_the_search(page, save):
    for number in range(30):
        save(name=f"Council {number:02}")
    save(name="Another")

    assert cards(page, "?q=Council&page=2") == {
        "Yours": [f"Council {n}" for n in range(24, 30)]
    }
    assert 'href="?page=1&amp;q=Council"' in text(page, "/blueprints/?q=Council&page=2")
    assert page.get("/blueprints/?page=nonsense").status_code == 200


def test_what_is_not_saved_yet_is_on_top_and_only_ones_own(page, save, alice, bob):
    blueprint = save().blueprint
    mine = kept.Sketch.objects.create(
        user=alice,
        blueprint=blueprint,
        made_from=1,
        revision=2,
        document={"name": HOSTILE},
    )
    kept.Sketch.objects.create(user=alice, document={"name": None})
    kept.Sketch.objects.create(user=bob, document={"name": "Bob's"})

    body = text(page, "/blueprints/")

    assert f'href="/blueprints/sketches/{mine.pk}/"' in body
    assert "without a name" in body
    assert "Bob" not in body
    assert "<script>alert" not in body
    assert page.get("/blueprints/?q=x").context["sketches"] == []


def test_a_new_one_and_a_file_lead_to_the_editor_and_nonsense_is_said(page, alice):
    made = page.post("/blueprints/sketches/")
    file = SimpleUploadedFile("x.json", b"nonsense")
    refused = page.post("/blueprints/sketches/", {"file": file}, follow=True)

    assert made["Location"].startswith("/blueprints/sketches/")
    assert "Nothing was made of this" in refused.content.decode()


@pytest.mark.parametrize("number", [2, 20])
def test_the_gallery_needs_few_queries_however_many_blueprints(
    page, save, ran, alice, number, django_assert_max_num_queries
):
    for each in range(number):
        ran(save(name=f"Council {each}"))
        kept.Sketch.objects.create(user=alice, document={"name": f"Sketch {each}"})

    with django_assert_max_num_queries(11):
        page.get("/blueprints/")


# --- the page of one -------------------------------------------------------------------


def test_the_page_tells_all_that_a_blueprint_is(page, save):
    gate = {"gateBefore": {"ask": "Is it good?", "answerers": ["owner", "group:editors"]}}
    document = councils.document(*LOOP, w=gate, k={"threshold": 7.5})
    document["limits"] = {"calls": 12}
    version = library.save({**document, "goodFor": "Letters", "notFor": "Songs"}, owner=None)

    body = text(page, path_of(version))

    for said in ("Letters", "Songs", "stops at 12 calls", "threshold <bdi>7.5", "You are w."):
        assert said in body, said
    assert "asks owner, group:editors: Is it good?" in body
    assert "on revise leads to d" in body
    assert "Edit a copy" in body
    assert "Delete" not in body


def test_an_older_version_is_shown_as_it_was(page, save):
    first = save(goodFor="Letters")
    save(blueprint=first.blueprint, goodFor="Songs")

    body = text(page, path_of(first, "?version=1"))

    assert "Letters" in body
    assert "This is an older version" in body
    assert "Start from this older version" in body
    assert "drawing?format=svg&amp;version=1" in body
    assert page.get(path_of(first, "?version=3")).status_code == 404
    assert "Songs" in text(page, path_of(first, "?version=nonsense"))


def test_changes_that_are_not_saved_are_told_to_whose_they_are(client, page, save, alice, bob):
    version = save(visibility="everyone")
    sketch = kept.Sketch.objects.create(user=alice, blueprint=version.blueprint, document={})
    assert "not saved yet" not in text(page, path_of(version))  # it was only opened
    assert page.get("/blueprints/").context["sketches"] == []
    kept.Sketch.objects.update(revision=2)

    assert f"/blueprints/sketches/{sketch.pk}/" in text(page, path_of(version))
    client.force_login(bob)
    assert "not saved yet" not in text(client, path_of(version))


def test_the_drawing_of_an_older_version_is_that_versions(page, save):
    first = save("d > w")
    save("d > w", "w > w2", blueprint=first.blueprint)
    drawing = f"/api/councils/{first.blueprint_id}/drawing"

    assert "w2" not in text(page, f"{drawing}?version=1")
    assert "w2" in text(page, drawing)
    assert page.get(f"{drawing}?version=9").status_code == 404


def test_the_versions_have_their_runs_and_how_many_were_approved(page, save, ran, bob):
    first = save()
    second = save("d > w", blueprint=first.blueprint)
    ran(first)
    ran(first, approved=False)
    ran(first, approved=None)
    ran(second)
    ran(second, input_topic="Of the second, and Bob's", owner=bob)

    versions = page.get(path_of(first)).context["versions"]

    assert [tuple(each.runs) for each in versions] == [(1, 1, 1), (3, 2, 1)]
    assert f"/runs/?blueprint={first.blueprint_id}&amp;version=1" in text(page, path_of(first))
    assert len(page.get(path_of(first, "?version=1")).context["rows"]) == 3
    assert "Of the second" not in text(page, path_of(first))


def test_the_history_shows_the_runs_of_one_version(page, save, ran):
    first = save()
    second = save("d > w", blueprint=first.blueprint)
    ran(first, input_topic="Of the first")
    ran(second, input_topic="Of the second")

    body = text(page, f"/runs/?blueprint={first.blueprint_id}&version=1")

    assert "Of the first" in body
    assert "Of the second" not in body
    assert "version 1 only" in body
    assert "Of the second" in text(page, f"/runs/?blueprint={first.blueprint_id}&version=x")
    assert "Of the second" in text(page, "/runs/?version=1")


def test_what_is_not_ones_own_to_see_is_not_found(page, save, bob):
    theirs = save(owner=bob)

    for more in ("", "changes/"):
        assert page.get(path_of(theirs, more)).status_code == 404
    for more in ("visibility/", "delete/"):
        assert page.post(path_of(theirs, more), {"visibility": "everyone"}).status_code == 404


def test_its_owner_lets_others_see_it(client, page, save, bob):
    version = save()
    bobs = User.objects.get(username="bob")

    done = page.post(path_of(version, "visibility/"), {"visibility": "everyone"}, follow=True)

    assert "Now everyone may see and run it" in done.content.decode()
    assert library.history(version.blueprint).count() == 1
    client.force_login(bobs)
    assert client.get(path_of(version)).status_code == 200


def test_who_may_only_see_it_changes_and_deletes_nothing(page, save, bob):
    theirs = save(owner=bob, visibility="everyone")

    shared = page.post(path_of(theirs, "visibility/"), {"visibility": "owner"}, follow=True)
    deleted = page.post(path_of(theirs, "delete/"), follow=True)

    for answer in (shared, deleted):
        assert "not change it" in answer.content.decode()
    blueprint = models.Blueprint.objects.get(pk=theirs.blueprint_id)
    assert (blueprint.visibility, blueprint.deleted_at) == ("everyone", None)


def test_a_visibility_that_is_none_changes_nothing(page, save):
    version = save()

    page.post(path_of(version, "visibility/"), {"visibility": "nonsense"})

    version.blueprint.refresh_from_db()
    assert version.blueprint.visibility == "owner"


def test_deleting_takes_it_off_the_lists_and_keeps_its_runs(page, save, ran):
    run = ran(save(name="Gone"))

    done = page.post(path_of(run.blueprint_version, "delete/"), follow=True)

    assert "“Gone” is deleted" in done.content.decode()
    assert cards(page) == {}
    assert page.get(f"/runs/{run.pk}/").status_code == 200


def test_what_an_agent_runs_is_not_deleted(page, save):
    version = save()
    models.Agent.objects.create(slug="liaison.mail", name="M", blueprint=version.blueprint)

    done = page.post(path_of(version, "delete/"), follow=True)

    assert "It was not deleted" in done.content.decode()
    assert "liaison.mail" in done.content.decode()


def test_a_blueprint_may_say_anything(page, save, alice):
    document = councils.document(*LOOP)
    document["nodes"][0] |= {"label": HOSTILE, "systemPrompt": HOSTILE, "model": "x"}
    document |= {"name": HOSTILE, "goodFor": HOSTILE, "notFor": ["x"], "calls": "many"}
    blueprint = models.Blueprint.objects.create(name=HOSTILE, owner=alice)
    version = blueprint.versions.create(number=1, document=document)
    other = copy.deepcopy(document) | {"notFor": HOSTILE}
    other["nodes"][0] |= {"label": HOSTILE * 2, "systemPrompt": HOSTILE * 3}
    blueprint.versions.create(number=2, document=other)

    for path in ("/blueprints/", path_of(version), path_of(version, "changes/")):
        body = text(page, path)
        assert "<script>alert" not in body, path
        assert "<img src=x" not in body, path


@pytest.mark.parametrize("number", [2, 12])
def test_the_page_needs_few_queries_however_many_versions_and_runs(
    page, save, ran, number, django_assert_max_num_queries
):
    first = save()
    for each in range(number):
        ran(save(blueprint=first.blueprint, goodFor=f"Use {each}"))
        ran(first)

    with django_assert_max_num_queries(14):
        page.get(path_of(first, "?version=1"))


# --- what changed ----------------------------------------------------------------------


def changed(old, new):
    return differences.between(old, new)


def test_a_changed_prompt_is_told_word_by_word():
    old, new = councils.document(*LOOP), councils.document(*LOOP)
    said = "Write a plain text of three paragraphs that answers the whole of the question."
    old["nodes"][0]["systemPrompt"] = said + " Be kind to whoever reads it."
    new["nodes"][0]["systemPrompt"] = said + " Be brief to whoever reads it."

    (part,) = changed(old, new).nodes

    assert (part.became, part.title) == ("changed", "d")
    assert [p.text for p in part.lines[0].words.pieces if p.kind != "same"] == [
        " kind",
        " brief",
    ]


def test_settings_nodes_and_edges_are_told_in_words():
    old = councils.document(*LOOP, k={"maxIterations": 5})
    new = councils.document(
        "d > k", "k revise> d", "k approve> a", "a > w2", k={"minGain": 0.5}
    )
    new["nodes"][2] |= {"label": "Second", "kind": "writer"}

    found = changed(old, new)

    (critic,) = [part for part in found.nodes if part.became == "changed"]
    assert [(line.name, line.before, line.after) for line in critic.lines] == [
        ("max iterations", "5", None),
        ("min gain", None, "0.5"),
    ]
    assert {(p.became, p.title) for p in found.nodes} >= {("added", "Second"), ("removed", "w")}
    assert ("removed", "k, on approve, leads to w") in {
        (p.became, p.title) for p in found.edges
    }
    assert ("added", "Second leads to w2") in {(p.became, p.title) for p in found.edges}


def test_a_node_that_was_moved_says_just_that():
    old, new = councils.document(*LOOP), councils.document(*LOOP)
    new["nodes"][0]["position"] = {"x": 40.5, "y": 3}

    (part,) = changed(old, new).nodes

    assert [(line.name, line.after) for line in part.lines] == [
        ("place in the drawing", "moved")
    ]


def test_versions_that_say_the_same_differ_in_nothing():
    assert not changed(councils.document(*LOOP), councils.document(*LOOP))


def test_long_texts_are_compared_only_as_far_as_a_page_can(monkeypatch):
    monkeypatch.setattr(differences, "MOST_WORDS", 100)
    old, new = councils.document(*LOOP), councils.document(*LOOP)
    for number in range(3):
        old["nodes"][number]["systemPrompt"] = "word " * 20 + "old"
        new["nodes"][number]["systemPrompt"] = "word " * 20 + "new"

    lines = [part.lines[0] for part in changed(old, new).nodes]

    assert [line.words is not None for line in lines] == [True, True, False]
    assert lines[2].before.endswith("old")


def test_a_name_with_a_dot_in_it_is_found():
    old, new = ({**councils.document(*LOOP), "a.b": {"c.d": text}} for text in ("x " * 99, "y"))

    (line,) = changed(old, new).itself

    assert (line.before, line.after) == ("x " * 99, "y")


def test_the_page_of_changes_compares_any_two(page, save):
    first = save(goodFor="Letters")
    save(blueprint=first.blueprint, goodFor="Songs")
    save(blueprint=first.blueprint, goodFor="Plays")

    assert "<bdi>Songs</bdi> → <bdi>Plays</bdi>" in text(page, path_of(first, "changes/"))
    body = text(page, path_of(first, "changes/?from=1&to=3"))
    assert "<bdi>Letters</bdi> → <bdi>Plays</bdi>" in body
    assert "the same version" in text(page, path_of(first, "changes/?from=2&to=2"))
    assert page.get(path_of(first, "changes/?from=1&to=9")).status_code == 404
    assert page.get(path_of(first, "changes/?from=x&to=%00")).status_code == 200


def test_of_one_version_there_is_nothing_to_compare_yet(page, save):
    assert "There is one version so far" in text(page, path_of(save(), "changes/"))


def test_those_who_share_a_group_see_what_is_for_their_groups(page, save, alice, bob):
    group = Group.objects.create(name="editors")
    for user in (alice, bob):
        user.groups.add(group)

    theirs = save(owner=bob, visibility="groups")

    assert page.get(path_of(theirs)).status_code == 200
