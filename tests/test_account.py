"""The account: who one is, what one has used, personal tokens, the password."""

import logging
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group
from django.contrib.sessions.models import Session
from django.test import Client
from django.utils import timezone

from experience import access
from experience import models as kept
from runtime import models

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)> \u202etxt.exe"
SECRET = "cos_"


@pytest.fixture
def page(client, alice):
    """A browser in which alice is signed in."""
    client.force_login(alice)
    return client


def text(page, path="/account/"):
    answer = page.get(path)
    assert answer.status_code == 200
    return answer.content.decode()


def make(page, name="nightly report", days="90"):
    return page.post("/account/", {"name": name, "days": days})


def secret_in(answer):
    body = answer.content.decode()
    return body[body.index(SECRET) :].split('"')[0]


def ended(alice, version, **more):
    usage = {"input_tokens": 1000, "output_tokens": 40, "cost": "0.25", "partial": False}
    return models.Run.objects.create(
        blueprint_version=version,
        owner=alice,
        input_topic="x",
        status="completed",
        reason="approved",
        ended_at=timezone.now(),
        usage=usage | more,
    )


# --- who one is, and what one has used -------------------------------------------------


def test_the_account_names_who_one_is(page, alice):
    alice.email = "alice@example.org"
    alice.save()
    alice.groups.add(Group.objects.create(name=HOSTILE[:150]))

    body = text(page)

    assert "alice@example.org" in body
    assert "&lt;script&gt;alert(1)" in body
    assert "<script>alert" not in body


def test_the_account_sums_up_what_this_months_runs_used(page, alice, council):
    version = council("d > w")
    ended(alice, version)
    ended(alice, version)
    old = ended(alice, version)
    models.Run.objects.filter(pk=old.pk).update(created_at=timezone.now() - timedelta(days=40))

    used = page.get("/account/").context["used"]

    assert (used.runs, used.tokens, used.cost) == (2, "2\u202f080", "$0.5")


def test_what_is_not_known_of_the_runs_is_said(page, alice, council):
    version = council("d > w")
    ended(alice, version, cost=None)
    only = page.get("/account/").context["used"]
    ended(alice, version, partial=True)

    both = page.get("/account/").context["used"]

    assert only.cost == "unknown"
    assert both.cost == "at least $0.25, and unknown of 1 run"


def test_what_one_may_use_is_shown_with_what_was_used_of_it(page, alice):
    group = Group.objects.create(name="editors")
    alice.groups.add(group)
    models.Allowance.objects.create(concurrent_runs=3, daily_tokens=50_000)
    models.Allowance.objects.create(group=group, monthly_cost=25)
    today = f"{timezone.now():%Y-%m-%d}"
    models.Account.objects.create(user=alice, period=today, tokens_spent=1_200)

    limits = page.get("/account/").context["limits"]

    assert [(each.what, each.whose, each.used, each.most) for each in limits] == [
        ("runs at the same time", "you", "", "3"),
        ("tokens today", "you", "1\u202f200", "50\u202f000"),
        ("cost this month", "group editors", "none counted yet", "$25"),
    ]


def test_without_an_allowance_no_limit_is_named(page):
    assert "No limit is set for you" in text(page)


# --- tokens ----------------------------------------------------------------------------


def test_a_new_token_is_shown_once_and_works(page, client, alice, caplog):
    with caplog.at_level(logging.DEBUG):
        answer = make(page)
    secret = secret_in(answer)

    assert access.token_of(secret).user == alice
    assert secret not in text(page)
    assert secret not in caplog.text
    assert secret not in str([each.get_decoded() for each in Session.objects.all()])
    assert not any(secret in cookie.value for cookie in client.cookies.values())
    assert "no-store" in answer["Cache-Control"]


def test_the_same_form_sent_again_shows_no_secret_and_says_why(page):
    make(page)

    again = make(page)

    assert again.status_code == 400
    assert SECRET not in again.content.decode()
    assert "A token of this name is in use" in again.content.decode()
    assert 'value="nightly report"' in again.content.decode()


@pytest.mark.parametrize(("days", "life"), [("30", 30), ("365", 365), ("never", None)])
def test_a_token_is_valid_as_long_as_was_chosen(page, alice, days, life):
    make(page, days=days)

    (token,) = alice.tokens.all()
    left = token.expires_at and round(
        (token.expires_at - timezone.now()).total_seconds() / 86400
    )
    assert left == life


@pytest.mark.parametrize(
    "sent",
    [
        {"name": "", "days": "30"},
        {"name": " ", "days": "30"},
        {"name": "x" * 101, "days": "30"},
        {"name": "x\x00", "days": "30"},
        {"name": "x", "days": "31"},
        {"name": "x"},
        {},
    ],
)
def test_what_makes_no_token_is_said_at_its_place(page, alice, sent):
    answer = page.post("/account/", sent)

    assert answer.status_code == 400
    assert 'role="alert"' in answer.content.decode()
    assert not alice.tokens.exists()


def test_a_name_may_hold_anything_else(page, alice):
    make(page, name=HOSTILE + "\x07")

    body = text(page)

    assert "<script>alert" not in body
    assert "\x07" not in alice.tokens.get().name


def test_the_list_has_ones_own_tokens_each_with_its_state(page, alice, bob):
    access.create_token(alice, "good")
    access.create_token(alice, "past", life=timedelta(seconds=-1))
    access.create_token(alice, "ended")
    access.revoke_token(alice, "ended")
    access.create_token(bob, "not mine")

    about = page.get("/account/").context

    assert {each.name: each.state.word for each in about["tokens"]} == {
        "good": "valid",
        "past": "expired",
    }
    assert [each.name for each in about["revoked"]] == ["ended"]


def test_a_revoked_token_is_good_no_more(page, alice):
    secret = access.create_token(alice, "lost")
    token = alice.tokens.get()

    answer = page.post(f"/account/tokens/{token.pk}/revoke/", follow=True)

    assert access.token_of(secret) is None
    assert "“lost” is revoked" in answer.content.decode()


def test_revoking_one_twice_spares_another_of_the_same_name(page, alice):
    access.create_token(alice, "laptop")
    old = alice.tokens.get()
    page.post(f"/account/tokens/{old.pk}/revoke/")
    secret = access.create_token(alice, "laptop")

    page.post(f"/account/tokens/{old.pk}/revoke/")

    assert access.token_of(secret) is not None


def test_nobody_revokes_somebody_elses_token(page, bob):
    secret = access.create_token(bob, "bob's")
    token = kept.Token.objects.get()

    assert page.post(f"/account/tokens/{token.pk}/revoke/").status_code == 404
    assert access.token_of(secret) is not None


def test_nothing_is_done_without_the_forms_own_key(alice):
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(alice)
    access.create_token(alice, "kept")
    token = alice.tokens.get()

    assert strict.post("/account/", {"name": "x", "days": "30"}).status_code == 403
    assert strict.post(f"/account/tokens/{token.pk}/revoke/").status_code == 403
    assert strict.post("/account/password/", {}).status_code == 403
    assert strict.get(f"/account/tokens/{token.pk}/revoke/").status_code == 405


@pytest.mark.parametrize("number", [1, 30])
def test_the_account_needs_few_queries_however_many_tokens_and_groups(
    page, alice, number, django_assert_max_num_queries
):
    for each in range(number):
        access.create_token(alice, f"token {each}")
        group = Group.objects.create(name=f"group {each}")
        alice.groups.add(group)
        models.Allowance.objects.create(group=group, daily_tokens=10)

    with django_assert_max_num_queries(10):
        page.get("/account/")


# --- the password ----------------------------------------------------------------------


def change(page, old="a good password", new="an even better one", again=None):
    form = {"old_password": old, "new_password1": new, "new_password2": again or new}
    return page.post("/account/password/", form, follow=True)


@pytest.fixture
def known(alice, client):
    """A browser in which alice is signed in, by her password."""
    alice.set_password("a good password")
    alice.save()
    client.force_login(alice)
    return client


def test_the_password_is_changed_and_one_stays_signed_in_here_only(
    known, alice, django_user_model
):
    elsewhere = Client()
    elsewhere.force_login(django_user_model.objects.get(pk=alice.pk))

    answer = change(known)

    assert answer.redirect_chain == [("/account/", 302)]
    assert "Your password is set" in answer.content.decode()
    alice.refresh_from_db()
    assert alice.check_password("an even better one")
    assert elsewhere.get("/account/").status_code == 302


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ({"old": "wrong"}, "Your old password was entered incorrectly"),
        ({"new": "short"}, "too short"),
        ({"again": "another one"}, "match"),
    ],
)
def test_a_password_that_will_not_do_changes_nothing(known, alice, sent, said):
    answer = change(known, **sent)

    assert said in answer.content.decode()
    assert "Your password is as it was" in answer.content.decode()
    alice.refresh_from_db()
    assert alice.check_password("a good password")


def test_who_came_by_a_link_and_has_no_password_sets_one(page, alice):
    alice.set_unusable_password()
    alice.save()
    page.force_login(alice)
    assert "none yet" in text(page)
    assert "Password now" not in text(page, "/account/password/")

    page.post(
        "/account/password/", {"new_password1": "a good one!", "new_password2": "a good one!"}
    )

    alice.refresh_from_db()
    assert alice.check_password("a good one!")


@pytest.mark.parametrize(
    "path", ["/account/", "/account/password/", "/blueprints/", "/runs/rows/"]
)
def test_who_is_not_signed_in_is_led_to_sign_in(client, db, path):
    assert client.get(path)["Location"] == f"/accounts/sign-in/?next={path}"
