"""Tokens, tickets, sign-in links, and whose run it is."""

from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from experience import access, models


def test_only_the_digest_of_a_token_is_kept(alice):
    secret = access.create_token(alice, "laptop")

    row = models.Token.objects.get()
    assert secret not in str(row.__dict__)
    assert access.token_of(secret) == row


def test_a_token_ends_by_being_revoked_by_its_date_and_with_its_user(alice, bob):
    revoked = access.create_token(alice, "a")
    access.revoke_token(alice, "a")
    expired = access.create_token(alice, "b", life=timedelta(seconds=-1))
    deactivated = access.create_token(bob, "c")
    bob.is_active = False
    bob.save()

    assert [access.token_of(secret) for secret in (revoked, expired, deactivated)] == [None] * 3


def test_the_last_use_of_a_token_is_known(alice):
    secret = access.create_token(alice, "a")
    assert models.Token.objects.get().last_used_at is None

    access.token_of(secret)

    assert timezone.now() - models.Token.objects.get().last_used_at < timedelta(minutes=1)


def test_the_command_prints_the_new_token_and_nothing_else(alice):
    out = StringIO()

    call_command("token", "create", "alice", stdout=out)

    (secret,) = out.getvalue().splitlines()
    assert access.token_of(secret) is not None


def test_the_commands_list_and_revoke_tokens_and_never_show_a_secret(alice):
    secret = access.create_token(alice, "laptop")
    call_command("token", "revoke", "alice", "laptop")
    out = StringIO()

    call_command("token", "list", "alice", stdout=out)

    assert "laptop\trevoked" in out.getvalue()
    assert secret not in out.getvalue()


def test_a_second_token_of_the_same_name_is_refused_with_a_sentence(alice):
    access.create_token(alice, "laptop")

    with pytest.raises(CommandError, match="revoke it first"):
        call_command("token", "create", "alice", "--name", "laptop")


def test_a_token_for_nobody_is_refused(db):
    with pytest.raises(CommandError, match="There is no user nobody"):
        call_command("token", "create", "nobody")


def test_the_sign_in_link_signs_in_once_and_leads_on(alice):
    link = access.sign_in_link(alice, "http://testserver", "/admin/")

    first = Client().get(link)
    second = Client().get(link)

    assert (first.status_code, first.url) == (302, "/admin/")
    assert "sessionid" in first.cookies
    assert second.status_code == 403
    assert "sessionid" not in second.cookies


@pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example", "javascript:x"])
def test_the_sign_in_link_leads_nowhere_else(alice, target):
    link = access.sign_in_link(alice, "http://testserver", target)

    assert Client().get(link).url == "/"


def test_a_ticket_for_a_socket_does_not_sign_in(alice):
    ticket, _ = access.issue_ticket(alice)

    assert Client().get(f"/sign-in/?ticket={ticket}").status_code == 403
