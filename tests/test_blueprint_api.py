"""REST of blueprints: what each call answers, its refusals included."""

import json
from uuid import uuid4

import pytest
from django.contrib.auth.models import Group
from django.core.management import call_command
from django.test import Client

from experience import access
from runtime import library, models
from tests import councils

LOOP = ("d > k", "k revise> d", "k approve> w")
SERVERS_OWN = {
    "id", "createdAt", "updatedAt", "version_number", "visibility", "owner", "read_only",
}  # fmt: skip


class Program:
    """A client with a token, that speaks JSON."""

    def __init__(self, user):
        secret = access.create_token(user, "test")
        self.client = Client(headers={"authorization": f"Bearer {secret}"})

    def get(self, path, **query):
        return self.client.get(path, query)

    def post(self, path, body):
        return self.client.post(path, json.dumps(body), "application/json")

    def put(self, path, body):
        return self.client.put(path, json.dumps(body), "application/json")

    def delete(self, path):
        return self.client.delete(path)


@pytest.fixture
def program(alice):
    return Program(alice)


@pytest.fixture
def other(bob):
    return Program(bob)


@pytest.fixture
def saved(alice):
    return library.save(council(), owner=alice)


def council(name="A council", **more):
    return {**councils.document(*LOOP), "name": name, **more}


def path_of(saved, *rest):
    return "/".join([f"/api/councils/{saved.blueprint_id}", *map(str, rest)])


def refusal(response):
    return response.status_code, response.json()["error"]["code"]


# --- the fixed shape -------------------------------------------------------------------


def as_a_front_end_sends_it():
    return {
        "version": "1.0",
        "id": "local-17",
        "name": "Übung & <Proof>",
        "nodes": [
            {"id": "master", "label": "Master", "systemPrompt": "You draft.",
             "model": "claude-3-5-sonnet",
             "tools": {"webSearch": True, "pdfReader": False, "codeRunner": True},
             "position": {"x": 12.5, "y": -40}, "data": {"selected": None, "width": 180}},
            {"id": "critic", "label": "Critic", "systemPrompt": "You judge.",
             "model": "gpt-4o", "tools": {"webSearch": False, "pdfReader": True},
             "position": {"x": 300, "y": 0}},
            {"id": "writer", "label": "Writer", "systemPrompt": "", "model": "",
             "tools": {"webSearch": False, "pdfReader": False}, "position": {"x": 600, "y": 0}},
        ],
        "edges": [
            {"id": "1", "source": "master", "target": "critic", "type": "linear"},
            {"id": "2", "source": "critic", "target": "master", "type": "conditional",
             "condition": "revise", "animated": True},
            {"id": "3", "source": "critic", "target": "writer", "type": "conditional",
             "condition": "approve"},
        ],
        "createdAt": "2025-01-01T00:00:00.000Z",
        "updatedAt": "2025-01-02T00:00:00.000Z",
        "viewport": {"zoom": 0.75},
    }  # fmt: skip


def as_text(document):
    """The document without what is the server's; as text, for in Python 1 is 1.0."""
    kept = {name: part for name, part in document.items() if name not in SERVERS_OWN}
    return json.dumps(kept, sort_keys=True)


def test_what_a_known_front_end_sends_comes_back_unchanged(program):
    sent = as_a_front_end_sends_it()

    made = program.post("/api/councils/", sent)
    found = program.get(f"/api/councils/{made.json()['id']}").json()

    assert made.status_code == 201
    assert found == made.json()
    assert as_text(found) == as_text(sent)
    assert found["id"] != sent["id"]
    assert found["createdAt"].endswith("Z")
    assert found["createdAt"] != sent["createdAt"]
    assert (found["version_number"], found["visibility"]) == (1, "owner")
    assert (found["owner"], found["read_only"]) == ("alice", False)


def test_what_was_answered_can_be_sent_back_whole(program, saved):
    found = program.get(path_of(saved)).json()

    again = program.put(path_of(saved), found)

    assert (again.status_code, again.json()["version_number"]) == (200, 1)
    assert again.json() == found


def test_the_list_has_whole_blueprints_the_last_changed_first(program, saved, alice):
    library.save(council("Second"), owner=alice)
    library.save(council("First, changed"), owner=alice, blueprint=saved.blueprint)

    listed = program.get("/api/councils/").json()

    assert [each["name"] for each in listed] == ["First, changed", "Second"]
    assert listed[0] == program.get(path_of(saved)).json()
    assert program.get("/api/councils/", limit=1, offset=1).json() == listed[1:]
    assert refusal(program.get("/api/councils/", limit=0)) == (400, "input_invalid")


def test_the_list_takes_as_many_queries_for_many_as_for_one(
    program, alice, saved, django_assert_max_num_queries
):
    for number in range(5):
        library.save(council(f"Number {number}"), owner=alice)

    with django_assert_max_num_queries(4):
        assert len(program.get("/api/councils/").json()) == 6


# --- saving ----------------------------------------------------------------------------


def test_a_put_makes_a_new_version(program, saved):
    changed = program.put(path_of(saved), council("New", version_made_from=1))

    assert (changed.status_code, changed.json()["version_number"]) == (200, 2)
    assert program.get(path_of(saved)).json()["name"] == "New"


def test_a_put_from_an_older_version_is_refused_and_names_the_newest(program, saved):
    program.put(path_of(saved), council("Meanwhile"))

    refused = program.put(path_of(saved), council("Mine", version_made_from=1))

    assert refusal(refused) == (409, "blueprint_conflict")
    assert refused.json()["error"]["detail"] == {"newest": 2}
    assert program.get(path_of(saved)).json()["name"] == "Meanwhile"


def test_a_bad_graph_is_refused_with_every_fault_named(program):
    bad = council()
    bad["nodes"][0]["kind"] = "sage"
    bad["edges"][2]["target"] = "nobody"

    refused = program.post("/api/councils/", bad)

    assert refusal(refused) == (400, "blueprint_invalid")
    faults = refused.json()["error"]["detail"]["faults"]
    assert {"unknown_kind", "edge_to_nowhere"} <= {fault["code"] for fault in faults}
    assert {*faults[0]} == {"code", "message", "node", "edge", "field"}
    assert not models.Blueprint.objects.exists()


def test_the_visibility_is_set_beside_the_document(program, saved):
    made = program.post("/api/councils/", council(visibility="everyone")).json()
    program.put(path_of(saved), council(visibility="groups"))
    program.put(path_of(saved), council("Unsaid"))

    assert made["visibility"] == "everyone"
    assert program.get(path_of(saved)).json()["visibility"] == "groups"
    assert "visibility" not in saved.blueprint.newest.document
    unknown = program.post("/api/councils/", council(visibility="mine"))
    assert refusal(unknown) == (400, "input_invalid")
    assert "visibility" in unknown.json()["error"]["detail"]


def test_checking_names_the_faults_and_saves_nothing(program):
    bad = program.post("/api/councils/check", council(nodes=[]))
    good = program.post("/api/councils/check", council())
    worse = program.post("/api/councils/check", [1])

    assert (bad.status_code, good.json()) == (200, {"faults": []})
    assert "no_nodes" in [fault["code"] for fault in bad.json()["faults"]]
    assert [fault["code"] for fault in worse.json()["faults"]] == ["not_an_object"]
    assert not models.Blueprint.objects.exists()


def test_a_deleted_blueprint_is_gone_and_its_run_stays(program, saved, alice):
    started = program.post(f"{path_of(saved)}/run", {"input_topic": "x"}).json()["run_id"]

    assert program.delete(path_of(saved)).status_code == 204

    assert refusal(program.get(path_of(saved))) == (404, "blueprint_not_found")
    assert refusal(program.delete(path_of(saved))) == (404, "blueprint_not_found")
    assert refusal(program.post(f"{path_of(saved)}/run", {"input_topic": "x"})) == (
        404,
        "blueprint_not_found",
    )
    assert program.get("/api/councils/").json() == []
    assert program.get(f"/api/runs/{started}").status_code == 200


def test_what_agents_run_is_not_deleted(program, saved):
    models.Agent.objects.create(slug="guide.x", name="X", blueprint=saved.blueprint)

    assert refusal(program.delete(path_of(saved))) == (409, "blueprint_in_use")


# --- hostile bodies --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ("", 400, "blueprint_invalid"),
        ("{", 400, "parse_error"),
        ("[1, 2]", 400, "blueprint_invalid"),
        ('"text"', 400, "blueprint_invalid"),
        ("[" * 100_000, 400, "parse_error"),
        ('{"a":' * 800 + "1" + "}" * 800, 400, "blueprint_invalid"),
        ('{"name": NaN, "nodes": []}', 400, "parse_error"),
        ('{"name": "x", "weight": 1e999, "nodes": [{"id": "d"}]}', 400, "blueprint_invalid"),
        ('{"name": "x", "nodes": [{"id": "\\ud800"}]}', 400, "blueprint_invalid"),
        ('{"name": "\\u0000", "nodes": [{"id": "d"}]}', 400, "blueprint_invalid"),
        ('{"name": "x", "nodes": [{"id": "' + "i" * 90_000 + '"}]}', 400, "blueprint_invalid"),
        ('{"name": "x", "version": ' + "9" * 5_000 + "}", 400, "parse_error"),
        ('{"name": "x", "version": ' + "9" * 4_000 + "}", 400, "blueprint_invalid"),
        ('{"name": "' + "x" * 3_000_000 + '"}', 413, "too_large"),
        ('{"name": "x", "notes": "' + "x" * 1_000_001 + '"}', 400, "blueprint_invalid"),
        ("\x00", 400, "parse_error"),
    ],
    ids=lambda value: str(value)[:20],
)
@pytest.mark.parametrize("path", ["/api/councils/", "/api/councils/check"])
def test_a_hostile_body_is_answered_in_the_envelope(program, path, body, status, code):
    response = program.client.post(path, body, "application/json")

    if path.endswith("check") and code == "blueprint_invalid":
        assert response.status_code == 200
        assert response.json()["faults"]
        return
    assert refusal(response) == (status, code)
    assert len(response.content) < 20_000
    assert not models.Blueprint.objects.exists()


def test_a_body_that_is_too_large_is_refused_wherever_it_is_sent(program, default):
    refused = program.post("/api/councils/run", {"input_topic": "x" * 3_000_000})

    assert refusal(refused) == (413, "too_large")


def test_a_body_that_is_not_utf8_is_answered_in_the_envelope(program):
    response = program.client.post("/api/councils/", b'{"name": "\xff"}', "application/json")

    assert refusal(response) == (400, "parse_error")


# --- versions --------------------------------------------------------------------------


def test_every_version_can_be_listed_seen_and_compared(program, saved):
    program.put(path_of(saved), council("Second"))

    listed = program.get(path_of(saved, "versions")).json()
    first = program.get(path_of(saved, "versions", 1)).json()
    changes = program.get(path_of(saved, "versions", 2, "diff")).json()

    assert [(each["number"], each["name"]) for each in listed] == [
        (2, "Second"),
        (1, "A council"),
    ]
    assert {each["created_by"] for each in listed} == {"alice"}
    assert (first["name"], first["version_number"]) == ("A council", 1)
    assert (changes["from_version"], changes["to_version"]) == (1, 2)
    assert changes["fields"] == [{"field": "name", "from": "A council", "to": "Second"}]
    assert changes["nodes"] == {"added": [], "removed": [], "changed": [], "reordered": False}


def test_versions_are_compared_in_either_direction_and_with_nothing(program, saved):
    program.put(path_of(saved), council("Second"))

    back = program.client.get(path_of(saved, "versions", 1, "diff") + "?from=2").json()
    first = program.get(path_of(saved, "versions", 1, "diff")).json()

    assert back["fields"] == [{"field": "name", "from": "Second", "to": "A council"}]
    assert (first["from_version"], len(first["nodes"]["added"])) == (0, 3)


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("versions/9", 404, "version_not_found"),
        ("versions/99999999999999999999", 404, "version_not_found"),
        ("versions/9/diff", 404, "version_not_found"),
        ("versions/1/diff?from=9", 404, "version_not_found"),
        ("versions/1/diff?from=99999999999999999999", 404, "version_not_found"),
        ("versions/1/diff?from=x", 400, "input_invalid"),
        ("export?version=9", 404, "version_not_found"),
        ("drawing?format=png", 400, "input_invalid"),
    ],
)
def test_a_version_that_does_not_exist_is_not_found(program, saved, path, status, code):
    assert refusal(program.get(path_of(saved, path))) == (status, code)


# --- files and drawings ----------------------------------------------------------------


def test_an_export_is_a_file_that_can_be_saved_again(program, saved):
    exported = program.get(path_of(saved, "export"))
    copied = program.post("/api/councils/", json.loads(exported.content)).json()

    disposition = exported.headers["Content-Disposition"]
    assert disposition == 'attachment; filename="a-council-v1.json"'
    assert exported.headers["Content-Type"] == "application/json"
    assert copied["id"] != str(saved.blueprint_id)
    assert copied["nodes"] == council()["nodes"]


def test_the_name_of_an_exported_file_is_harmless(program, alice):
    saved = library.save(council('x"; evil=\r\n"../../ü'), owner=alice)

    exported = program.get(path_of(saved, "export"))

    assert exported.headers["Content-Disposition"] == 'attachment; filename="x-evil-u-v1.json"'


@pytest.mark.parametrize(
    ("wanted", "kind", "begins"),
    [
        ("svg", "image/svg+xml", "<svg"),
        ("mermaid", "text/plain; charset=utf-8", "%%"),
        (None, "image/svg+xml", "<svg"),
    ],
)
def test_a_blueprint_is_drawn(program, saved, wanted, kind, begins):
    drawn = program.get(path_of(saved, "drawing"), **({"format": wanted} if wanted else {}))

    assert (drawn.status_code, drawn.headers["Content-Type"]) == (200, kind)
    assert drawn.content.decode().startswith(begins)
    assert "default-src 'none'" in drawn.headers["Content-Security-Policy"]


# --- whose it is -----------------------------------------------------------------------

READING = ["", "/versions", "/versions/1", "/versions/1/diff", "/export", "/drawing"]


@pytest.mark.parametrize("rest", READING)
def test_what_somebody_keeps_to_themselves_is_not_found_by_others(other, saved, rest):
    assert refusal(other.get(path_of(saved) + rest)) == (404, "blueprint_not_found")
    assert refusal(Program.get(_Anonymous(), path_of(saved) + rest))[0] == 401


def test_what_somebody_keeps_to_themselves_is_changed_and_run_by_nobody_else(other, saved):
    assert refusal(other.put(path_of(saved), council("Bob's")))[0] == 404
    assert refusal(other.delete(path_of(saved)))[0] == 404
    assert refusal(other.post(f"{path_of(saved)}/run", {"input_topic": "x"}))[0] == 404
    assert other.get("/api/councils/").json() == []
    saved.blueprint.refresh_from_db()
    assert (saved.blueprint.name, saved.blueprint.deleted_at) == ("A council", None)


class _Anonymous:
    client = Client()


@pytest.mark.parametrize("visibility", ["everyone", "groups"])
def test_what_others_may_see_they_may_run_and_copy_but_not_change(
    other, saved, alice, bob, visibility
):
    for user in (alice, bob):
        user.groups.add(Group.objects.get_or_create(name="a group")[0])
    library.save(council(), owner=alice, blueprint=saved.blueprint, visibility=visibility)

    found = other.get(path_of(saved)).json()

    assert (found["owner"], found["read_only"]) == ("alice", True)
    assert [each["id"] for each in other.get("/api/councils/").json()] == [found["id"]]
    assert refusal(other.put(path_of(saved), council("x"))) == (403, "blueprint_read_only")
    assert refusal(other.delete(path_of(saved))) == (403, "blueprint_read_only")
    assert other.post(f"{path_of(saved)}/run", {"input_topic": "x"}).status_code == 202
    copy = other.post("/api/councils/", found).json()
    assert (copy["owner"], copy["read_only"], copy["visibility"]) == ("bob", False, visibility)
    assert copy["id"] != found["id"]


def test_a_group_that_is_not_shared_shows_nothing(other, saved, alice, bob):
    alice.groups.add(Group.objects.create(name="hers"))
    bob.groups.add(Group.objects.create(name="his"))
    library.save(council(), owner=alice, blueprint=saved.blueprint, visibility="groups")

    assert refusal(other.get(path_of(saved))) == (404, "blueprint_not_found")


def test_an_administrator_sees_and_changes_everybodys(saved, admin_user):
    administrator = Program(admin_user)

    assert administrator.get(path_of(saved)).json()["read_only"] is False
    assert administrator.put(path_of(saved), council("Changed")).status_code == 200
    saved.blueprint.refresh_from_db()
    assert saved.blueprint.owner.username == "alice"
    assert administrator.delete(path_of(saved)).status_code == 204


def test_what_ships_is_everybodys_to_run_and_nobodys_to_change(program, default, admin_user):
    for who in (program, Program(admin_user)):
        found = who.get(path_of(default)).json()
        assert (found["owner"], found["read_only"]) == (None, True)
        assert refusal(who.put(path_of(default), council())) == (403, "blueprint_read_only")
        assert refusal(who.delete(path_of(default))) == (403, "blueprint_read_only")


def test_a_session_needs_the_csrf_token_to_save(alice):
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(alice)

    response = browser.post("/api/councils/", json.dumps(council()), "application/json")

    assert refusal(response) == (403, "permission_denied")
    assert not models.Blueprint.objects.exists()


def test_an_unknown_blueprint_is_not_found(program, transactional_db):
    assert refusal(program.get(f"/api/councils/{uuid4()}")) == (404, "blueprint_not_found")


# --- OpenAPI ---------------------------------------------------------------------------


def test_the_schema_has_these_routes_without_a_warning(capsys):
    call_command("spectacular", validate=True, fail_on_warn=True, format="openapi-json")

    paths = json.loads(capsys.readouterr().out)["paths"]
    one = "/api/councils/{blueprint_id}"
    assert {
        path: {method for method in paths[path] if method != "parameters"}
        for path in paths
        if path.startswith("/api/councils/")
        and not path.endswith("/run")
        and "/run/" not in path
    } == {
        "/api/councils/": {"get", "post"},
        "/api/councils/check": {"post"},
        one: {"get", "put", "delete"},
        f"{one}/versions": {"get"},
        f"{one}/versions/{{number}}": {"get"},
        f"{one}/versions/{{number}}/diff": {"get"},
        f"{one}/export": {"get"},
        f"{one}/drawing": {"get"},
    }
    assert {"200", "400", "401", "403", "404", "409", "413"} <= {
        *paths[one]["put"]["responses"]
    }
