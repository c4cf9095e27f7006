"""REST: what each call answers, its refusals included."""

import json
import re
from pathlib import Path
from uuid import uuid4

import pytest
from django.core.management import call_command
from django.db import OperationalError
from django.test import Client

from experience import access, urls
from runtime import models, runs


@pytest.fixture
def program(alice):
    return _program(alice)


def _program(user):
    secret = access.create_token(user, "test")
    return Client(headers={"authorization": f"Bearer {secret}"})


def _post(client, path, body=None, **headers):
    return client.post(path, json.dumps(body or {}), "application/json", headers=headers)


def test_a_run_is_accepted_worked_on_and_reported(program, default, drain):
    accepted = _post(program, "/api/councils/run", {"input_topic": "Tabs or spaces?"})
    assert accepted.status_code == 202
    assert accepted.json().keys() == {"run_id", "status", "message"}

    drain()

    state = program.get(f"/api/councils/run/{accepted.json()['run_id']}").json()
    assert state["status"] == "completed"
    assert state["final_draft"]
    assert (state["critic_score"], state["iteration_count"]) == (8.5, 2)
    assert (state["error"], state["paused"], state["next_nodes"]) == (None, False, [])
    assert state["current_draft"] == state["final_draft"]


def test_a_saved_blueprint_is_run_by_its_id(program, default):
    accepted = _post(program, f"/api/councils/{default.blueprint_id}/run", {"input_topic": "x"})

    assert accepted.status_code == 202
    unknown = _post(program, f"/api/councils/{uuid4()}/run", {"input_topic": "x"})
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (
        404,
        "blueprint_not_found",
    )


@pytest.mark.parametrize(
    "body",
    [{}, {"input_topic": ""}, {"input_topic": "x" * 10_001}, {"input_topic": None}, [], "text"],
)
def test_a_request_that_is_not_valid_is_refused_in_the_one_envelope(program, default, body):
    response = program.post("/api/councils/run", json.dumps(body), "application/json")

    assert response.status_code == 400
    assert response.json()["error"].keys() == {"code", "message", "detail"}


@pytest.mark.parametrize("body", ["[" * 200_000, '{"a":' * 5_000 + "1" + "}" * 5_000])
def test_json_that_is_nested_too_deeply_is_refused(program, default, body):
    response = program.post("/api/councils/run", body, "application/json")

    assert (response.status_code, response.json()["error"]["code"]) == (400, "parse_error")


def test_an_offset_beyond_all_numbers_is_refused(program, transactional_db):
    assert program.get("/api/runs/?offset=99999999999999999999999").status_code == 400


def test_a_database_that_is_away_is_said_to_be_so(program, new_run, monkeypatch):
    def away(*args, **more):
        raise OperationalError("connection refused")

    monkeypatch.setattr(runs, "cancel", away)

    response = _post(program, f"/api/councils/run/{new_run().pk}/cancel")

    assert (response.status_code, response.json()["error"]["code"]) == (503, "unavailable")


def test_a_body_that_is_no_json_is_refused(program, default):
    response = program.post("/api/councils/run", "{", "application/json")

    assert response.status_code == 400
    assert response.json()["error"]["code"] == "parse_error"


def test_god_mode_and_limits_are_taken_with_a_request_and_shown_again(program, default, drain):
    body = {"input_topic": "x", "god_mode": True, "limits": {"calls": 9, "cost": 0.5}}
    accepted = _post(program, "/api/councils/run", body).json()
    drain()

    state = program.get(f"/api/councils/run/{accepted['run_id']}").json()

    assert (state["status"], state["next_nodes"]) == ("paused", ["master_agent"])
    assert state["limits"] == {"calls": 9, "cost": 0.5}
    (listed,) = program.get("/api/runs/").json()
    assert listed["execution_mode"] == "god"
    working = program.get(f"/api/councils/run/{accepted['run_id']}/state").json()
    assert (working["paused"], working["next_nodes"]) == (True, ["master_agent"])


@pytest.mark.parametrize("name", ["godmode", "god_mod", "limit", "input_topics"])
def test_a_misspelled_field_is_refused_and_a_strange_one_left_alone(program, default, name):
    body = {"input_topic": "x", "session": "of an older client"}

    strange = _post(program, "/api/councils/run", body)
    misspelled = _post(program, "/api/councils/run", body | {name: True})

    assert strange.status_code == 202
    assert misspelled.status_code == 400
    assert "Do you mean" in misspelled.json()["error"]["detail"][name][0]


def test_god_mode_off_is_accepted(program, default):
    response = _post(program, "/api/councils/run", {"input_topic": "x", "god_mode": False})

    assert response.status_code == 202


@pytest.mark.parametrize("limits", [{"calls": 0}, {"words": 5}, {"cost": "much"}, [], "x"])
def test_limits_that_cannot_be_are_refused(program, default, limits):
    response = _post(program, "/api/councils/run", {"input_topic": "x", "limits": limits})

    assert response.status_code == 400
    assert response.json()["error"]["code"] in ("limits_invalid", "input_invalid")


def test_more_runs_than_are_allowed_are_refused(program, default, alice):
    models.Allowance.objects.create(user=alice, concurrent_runs=0)

    response = _post(program, "/api/councils/run", {"input_topic": "x"})

    assert (response.status_code, response.json()["error"]["code"]) == (429, "too_many_runs")


def test_an_unknown_model_is_refused_before_anything_starts(program, default):
    response = _post(program, "/api/councils/run", {"input_topic": "x", "model": "nonsense"})

    assert response.json()["error"]["code"] == "model_unknown"
    assert not models.Run.objects.exists()


def test_the_same_request_with_the_same_key_is_one_run(program, default):
    ids = {
        _post(
            program, "/api/councils/run", {"input_topic": "x"}, **{"idempotency-key": "k"}
        ).json()["run_id"]
        for _ in range(3)
    }
    other = _post(
        program, "/api/councils/run", {"input_topic": "y"}, **{"idempotency-key": "k"}
    )

    assert len(ids) == 1
    assert (other.status_code, other.json()["error"]["code"]) == (409, "idempotency_conflict")


def test_the_log_comes_in_pages(program, new_run, drain):
    run = new_run()
    drain()
    path = f"/api/councils/run/{run.pk}/events"

    whole = program.get(path).json()
    rest = program.get(path, {"after": 3}).json()

    assert whole["events"][0]["seq"] == 1
    assert whole["events"][-1]["kind"] == "run.completed"
    assert [e for e in whole["events"] if e["seq"] > 3] == rest["events"]
    assert whole["next_after"] == whole["last_seq"]
    assert whole["events"][0]["at"].endswith("Z")


def test_the_working_state_has_the_fixed_names(program, new_run, drain):
    run = new_run()
    drain()

    body = program.get(f"/api/councils/run/{run.pk}/state").json()

    assert body.keys() == {"run_id", "paused", "next_nodes", "current_state"}
    assert body["current_state"].keys() == {
        "input_topic",
        "current_draft",
        "feedback_history",
        "route_decision",
        "messages",
        "iteration_count",
        "critic_score",
        "run_id",
        "active_node",
    }


def test_a_run_is_cancelled_once(program, new_run):
    run = new_run()
    path = f"/api/councils/run/{run.pk}/cancel"

    first, second = _post(program, path), _post(program, path)

    assert (first.status_code, first.json()["status"]) == (200, "cancelled")
    assert (second.status_code, second.json()["error"]["code"]) == (409, "run_finished")


def test_the_history_has_the_fixed_fields_newest_first(program, new_run):
    made = [str(new_run(f"topic {n}").pk) for n in range(3)]

    listed = program.get("/api/runs/", {"limit": 2}).json()

    assert [run["id"] for run in listed] == [made[2], made[1]]
    assert listed[0].keys() == {
        "id",
        "blueprint_id",
        "input_topic",
        "status",
        "execution_mode",
        "final_draft",
        "critic_score",
        "iteration_count",
        "error",
        "created_at",
        "completed_at",
    }
    assert program.get(f"/api/runs/{made[0]}").json()["id"] == made[0]


ROUTES = [
    ("GET", "/api/councils/run/{id}"),
    ("GET", "/api/councils/run/{id}/state"),
    ("GET", "/api/councils/run/{id}/events"),
    ("POST", "/api/councils/run/{id}/cancel"),
    ("GET", "/api/runs/{id}"),
]


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_somebody_elses_run_is_not_found_and_an_anonymous_caller_is_told_to_sign_in(
    method, path, new_run, bob
):
    run = new_run()
    path = path.format(id=run.pk)

    foreign = _program(bob).generic(method, path)
    anonymous = Client().generic(method, path)
    revoked = Client(headers={"authorization": "Bearer nonsense"}).generic(method, path)

    assert (foreign.status_code, foreign.json()["error"]["code"]) == (404, "run_not_found")
    assert anonymous.status_code == 401
    assert revoked.status_code == 401
    run.refresh_from_db()
    assert run.status == "pending"


def test_an_administrator_sees_every_run(new_run, admin_user):
    run = new_run()

    assert _program(admin_user).get(f"/api/runs/{run.pk}").status_code == 200


def test_a_session_needs_the_csrf_token_to_change_anything(alice, new_run):
    run = new_run()
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(alice)

    response = browser.post(f"/api/councils/run/{run.pk}/cancel")

    assert response.status_code == 403


def test_a_ticket_is_given_for_thirty_seconds(program):
    response = _post(program, "/api/tickets")

    assert response.status_code == 201
    assert response.json().keys() == {"ticket", "expires_at"}


def test_alive_asks_nobody_and_ready_names_what_is_missing(client, transactional_db):
    assert client.get("/healthz").json() == {"status": "ok"}

    ready = client.get("/readyz")

    assert ready.status_code == 503
    assert ready.json() == {
        "status": "not ready",
        "channel_layer": "ok",
        "database": "ok",
        "worker": "none is alive",
    }


def test_the_schema_is_valid_openapi_without_a_warning(capsys):
    call_command("spectacular", validate=True, fail_on_warn=True)

    assert "personalToken" in capsys.readouterr().out


def test_the_page_of_the_documentation_loads_nothing_from_other_hosts(client):
    body = client.get("/api/docs/").content.decode()

    assert "swagger-ui-bundle.js" in body
    assert "https://" not in body


def test_an_address_that_does_not_exist_is_answered_in_the_envelope(client):
    response = client.get("/api/nonsense")

    assert (response.status_code, response.json()["error"]["code"]) == (404, "not_found")


def test_a_mistake_of_ours_is_logged_under_a_number_that_the_caller_is_told(
    program, new_run, monkeypatch, caplog
):
    def broken(*args, **more):
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(runs, "cancel", broken)

    response = _post(program, f"/api/councils/run/{new_run().pk}/cancel")

    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (500, "internal")
    assert error["detail"]["number"] in caplog.text
    assert "secret detail" not in response.content.decode()


@pytest.mark.parametrize("key", ["", "k" * 201])
def test_an_idempotency_key_that_is_too_long_or_empty_is_refused(program, default, key):
    response = _post(
        program, "/api/councils/run", {"input_topic": "x"}, **{"idempotency-key": key}
    )

    assert response.json()["error"]["code"] == "idempotency_key_invalid"


DESCRIPTIONS = ("/api/schema/", "/api/docs/", "/api/asyncapi/")


def test_the_schema_names_every_route_of_the_api(client):
    schema = client.get("/api/schema/", headers={"accept": "application/json"}).json()

    routes = {f"/{pattern.pattern}" for pattern in urls.urlpatterns}
    named = {re.sub(r"<\w+:(\w+)>", r"{\1}", route) for route in routes}
    assert {*schema["paths"]} == {
        route for route in named if route.startswith("/api/") and route not in DESCRIPTIONS
    }


def test_every_route_documents_the_statuses_that_the_reference_names(client):
    """But for those that the reference states once for all routes."""
    schema = client.get("/api/schema/", headers={"accept": "application/json"}).json()
    reference = (Path(__file__).parents[1] / "docs" / "reference.md").read_text()
    rows = re.findall(r"^\| `([A-Z]+) (/api/\S+)` \| ([\d, ]+) \|", reference, re.M)

    missing = {
        (method, path): absent
        for method, path, statuses in rows
        if path not in DESCRIPTIONS
        and (absent := set(statuses.split(", ")) - {*_statuses(schema, method, path)})
    }

    assert missing == {}
    assert len(rows) > 30


def _statuses(schema, method, path):
    return schema["paths"][path][method.lower()]["responses"]


def test_a_run_that_failed_says_why_without_any_word_of_the_provider(
    program, new_run, drain, settings
):
    settings.OPENAI_API_KEY, settings.OPENAI_BASE_URL = "k", "http://127.0.0.1:1/v1"
    settings.MODEL_RETRY_SECONDS = 0.01
    run = new_run(model="openai:gpt-4o")
    drain()

    body = program.get(f"/api/councils/run/{run.pk}").json()

    assert body["status"] == "failed"
    assert "openai:gpt-4o" in body["error"]
    run.refresh_from_db()
    assert run.error_code == "model_unavailable"
    assert runs.end_key(run) in run.events.values_list("key", flat=True)
