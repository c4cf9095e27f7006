"""Personal tokens and tickets by REST."""

import json
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from experience import access, models


@pytest.fixture
def program(alice):
    return _program(access.create_token(alice, "first"))


def _program(secret):
    return Client(headers={"authorization": f"Bearer {secret}"})


def _post(client, path, body=None):
    return client.post(path, json.dumps(body or {}), "application/json")


def _code(response):
    return response.status_code, response.json()["error"]["code"]


def test_a_token_is_made_shown_once_and_signs_in(program):
    made = _post(program, "/api/tokens/", {"name": "laptop"})

    assert made.status_code == 201
    secret = made.json()["token"]
    listed = _program(secret).get("/api/tokens/")
    assert [token["name"] for token in listed.json()] == ["laptop", "first"]
    assert secret not in listed.content.decode()
    assert listed.json()[0] == {k: v for k, v in made.json().items() if k != "token"} | {
        "last_used_at": listed.json()[0]["last_used_at"]
    }


def test_a_token_is_valid_for_the_days_asked_for(program):
    made = _post(program, "/api/tokens/", {"name": "a", "days": 7}).json()
    for_ever = _post(program, "/api/tokens/", {"name": "b"}).json()

    left = parse_datetime(made["expires_at"]) - timezone.now()
    assert timedelta(days=6, hours=23) < left <= timedelta(days=7)
    assert for_ever["expires_at"] is None


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": ""},
        {"name": "x" * 101},
        {"name": "a\0b"},
        {"name": "x", "days": 0},
        {"name": "x", "days": 10**30},
        {"name": "x", "day": 3},
        [],
    ],
)
def test_a_token_that_cannot_be_is_refused(program, body):
    response = program.post("/api/tokens/", json.dumps(body), "application/json")

    assert _code(response) == (400, "input_invalid")


def test_a_name_is_used_once_among_valid_tokens(program):
    assert _code(_post(program, "/api/tokens/", {"name": "first"})) == (409, "token_name_taken")


def test_a_token_made_with_a_token_does_not_outlast_it(alice):
    guest = _program(access.create_token(alice, "guest", life=timedelta(days=1)))

    longer = _post(guest, "/api/tokens/", {"name": "a", "days": 90}).json()
    unlimited = _post(guest, "/api/tokens/", {"name": "b"}).json()
    shorter = access.create_token(alice, "short", life=timedelta(hours=1))
    from_shorter = _post(_program(shorter), "/api/tokens/", {"name": "c", "days": 1}).json()

    tomorrow = timezone.now() + timedelta(days=1)
    assert parse_datetime(longer["expires_at"]) <= tomorrow
    assert parse_datetime(unlimited["expires_at"]) <= tomorrow
    assert parse_datetime(from_shorter["expires_at"]) <= timezone.now() + timedelta(hours=1)


def test_a_revoked_token_is_refused_and_gone_from_the_list(program):
    made = _post(program, "/api/tokens/", {"name": "laptop"}).json()

    revoked = program.delete(f"/api/tokens/{made['id']}")

    assert revoked.status_code == 204
    assert _code(_program(made["token"]).get("/api/tokens/")) == (401, "authentication_failed")
    assert [token["name"] for token in program.get("/api/tokens/").json()] == ["first"]
    again = program.delete(f"/api/tokens/{made['id']}")
    assert _code(again) == (404, "token_not_found")


def test_an_expired_token_can_be_put_away(program, alice):
    access.create_token(alice, "old", life=timedelta(seconds=-1))
    token = models.Token.objects.get(name="old")

    assert program.delete(f"/api/tokens/{token.pk}").status_code == 204


def test_nobody_sees_or_revokes_somebody_elses_tokens_not_even_an_administrator(
    program, alice, bob, admin_user
):
    token = models.Token.objects.get(user=alice)
    strangers = [_program(access.create_token(user, "x")) for user in (bob, admin_user)]

    refused = [stranger.delete(f"/api/tokens/{token.pk}") for stranger in strangers]

    assert [_code(each) for each in refused] == [(404, "token_not_found")] * 2
    assert [len(stranger.get("/api/tokens/").json()) for stranger in strangers] == [1, 1]
    assert program.get("/api/tokens/").status_code == 200


@pytest.mark.parametrize("path", ["/api/tokens/", "/api/tickets", "/api/agents/"])
def test_an_anonymous_caller_is_told_to_sign_in(path, transactional_db):
    assert _code(Client().get(path)) == (401, "not_authenticated")


@pytest.mark.parametrize("path", ["/api/tokens/", "/api/tickets"])
def test_a_session_makes_none_without_its_csrf_token(path, alice):
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(alice)

    response = browser.post(path, json.dumps({"name": "x"}), "application/json")

    assert _code(response) == (403, "permission_denied")


def test_a_ticket_is_bound_to_what_its_maker_is_signed_in_with(program, alice):
    browser = Client()
    browser.force_login(alice)

    by_token = _post(program, "/api/tickets").json()["ticket"]
    by_session = _post(browser, "/api/tickets").json()["ticket"]

    used = [
        access.use_ticket(secret, purpose=models.Ticket.Purpose.SOCKET)
        for secret in (by_token, by_session)
    ]
    assert [(ticket.token, ticket.session_key) for ticket in used] == [
        (models.Token.objects.get(name="first"), ""),
        (None, browser.session.session_key),
    ]


def test_ones_own_tickets_are_listed_until_they_are_used_or_ended(program, alice, bob):
    used, ended = (_post(program, "/api/tickets").json()["ticket"] for _ in range(2))
    access.issue_ticket(bob)
    access.issue_ticket(alice, life=timedelta(seconds=-1))
    access.sign_in_link(alice, "http://x", "/")
    listed = program.get("/api/tickets").json()
    assert [ticket.keys() for ticket in listed] == [{"id", "expires_at"}] * 2

    access.use_ticket(used, purpose=models.Ticket.Purpose.SOCKET)
    (left,) = program.get("/api/tickets").json()
    stranger = _program(access.create_token(bob, "x"))
    foreign = stranger.delete(f"/api/tickets/{left['id']}")
    own = program.delete(f"/api/tickets/{left['id']}")

    assert _code(foreign) == (404, "ticket_not_found")
    assert own.status_code == 204
    assert access.use_ticket(ended, purpose=models.Ticket.Purpose.SOCKET) is None
    assert program.get("/api/tickets").json() == []
