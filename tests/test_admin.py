"""The admin opens every page, and nobody changes what is written once."""

import pytest
from django.urls import reverse

from runtime import models


@pytest.fixture
def page(client, admin_user):
    client.force_login(admin_user)
    return client


def test_a_runs_page_shows_its_timeline(page, new_run, drain):
    run = new_run("What is shown?")
    drain()

    body = page.get(reverse("admin:runtime_run_change", args=[run.pk])).content.decode()

    assert "What is shown?" in body
    assert body.count("<p>node.completed</p>") == 5


def test_text_of_a_model_or_a_person_is_shown_harmless(page, new_run, drain):
    run = new_run("<script>alert(1)</script>")
    drain()

    for url in (
        reverse("admin:runtime_run_change", args=[run.pk]),
        reverse("admin:runtime_run_changelist"),
    ):
        assert "<script>alert(1)</script>" not in page.get(url).content.decode()


@pytest.mark.parametrize("model", ["run", "agent", "blueprintversion"])
def test_every_list_opens(page, shipped_blueprints, model):
    assert page.get(reverse(f"admin:runtime_{model}_changelist")).status_code == 200


def test_the_selected_runs_are_cancelled_and_an_ended_one_is_said_to_be_so(page, new_run):
    run = new_run()
    url = reverse("admin:runtime_run_changelist")
    action = {"action": "cancel", "_selected_action": [str(run.pk)]}

    page.post(url, action)
    again = page.post(url, action, follow=True)

    run.refresh_from_db()
    assert run.status == models.Status.CANCELLED
    assert run.events.get(kind="run.cancelled").data["by"] == "admin"
    assert "already ended" in again.content.decode()


def test_nobody_changes_or_deletes_a_run_by_hand(page, new_run):
    run = new_run()

    assert page.post(reverse("admin:runtime_run_delete", args=[run.pk])).status_code == 403
    assert page.post(reverse("admin:runtime_run_change", args=[run.pk]), {}).status_code == 403
