"""The admin opens every page, and nobody changes what is written once."""

import pytest
from django.urls import reverse

from experience import access, conversations
from experience.models import Surface, Token
from runtime import models
from tests.conftest import nodes_started, the_gate


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


@pytest.mark.parametrize(
    "model", ["run", "agent", "blueprintversion", "gate", "allowance", "account"]
)
def test_every_list_opens(page, shipped_blueprints, model):
    assert page.get(reverse(f"admin:runtime_{model}_changelist")).status_code == 200


@pytest.mark.parametrize("model", ["surface", "conversation", "token"])
def test_every_list_of_the_experience_opens(page, shipped_blueprints, model):
    assert page.get(reverse(f"admin:experience_{model}_changelist")).status_code == 200


def test_a_conversations_page_shows_who_said_what_and_leads_to_the_runs(
    page, shipped_blueprints, alice, drain
):
    posted = conversations.post(alice, text="<b>What now?</b>", surface="insights_pillar")
    drain()

    url = reverse("admin:experience_conversation_change", args=[posted.message.conversation_id])
    body = page.get(url).content.decode()

    assert "&lt;b&gt;What now?&lt;/b&gt;" in body
    assert "liaison.insights" in body
    assert reverse("admin:runtime_run_change", args=[posted.reply.run_id]) in body


def test_a_surface_is_given_another_agent_here(page, shipped_blueprints, alice):
    surface = Surface.objects.get(slug="content_pillar")
    agent = models.Agent.objects.get(slug="council.default")

    url = reverse("admin:experience_surface_change", args=[surface.pk])
    page.post(url, {"slug": "content_pillar", "agent": agent.pk})

    reply = conversations.post(alice, text="Hello", surface="content_pillar").reply
    assert reply.agent_slug == "council.default"


def test_a_token_is_revoked_here_and_its_secret_is_nowhere(page, alice):
    secret = access.create_token(alice, "mine")
    token = Token.objects.get()
    url = reverse("admin:experience_token_changelist")

    body = page.get(reverse("admin:experience_token_change", args=[token.pk])).content.decode()
    page.post(url, {"action": "revoke", "_selected_action": [token.pk]})

    assert secret not in body
    assert token.digest not in body
    assert access.token_of(secret) is None


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


@pytest.fixture
def waiting(new_run, council, drain):
    run = new_run(version=council("d > k", "k revise> d", "k approve> w", k={"gateBefore": {}}))
    drain()
    return run


def _answer(page, run, **said):
    url = reverse("admin:runtime_gate_change", args=[the_gate(run).pk])
    return page.post(url, said, follow=True).content.decode()


def test_a_gate_is_answered_on_its_page_once(page, waiting, drain):
    gate = the_gate(waiting)
    shown = page.get(reverse("admin:runtime_gate_change", args=[gate.pk])).content.decode()
    assert gate.proposal["why"] in shown

    _answer(page, waiting, action="modify", current_draft="Mine.", feedback="Shorter.")

    gate.refresh_from_db()
    assert gate.answered_by == "admin"
    assert gate.answer == {"current_draft": "Mine.", "feedback": "Shorter."}
    drain()
    assert nodes_started(waiting)[:2] == ["d", "k"]
    again = page.get(reverse("admin:runtime_gate_change", args=[gate.pk])).content.decode()
    assert "Shorter." in again
    assert 'name="action"' not in again


def test_a_draft_that_the_browser_sends_back_as_it_was_is_not_taken_for_modified(page, waiting):
    models.Gate.objects.update(proposal=the_gate(waiting).proposal | {"current_draft": "a\nb"})

    _answer(page, waiting, action="modify", current_draft="a\r\nb", feedback="Shorter.")

    assert waiting.gates.get().answer == {"feedback": "Shorter."}


def test_an_answer_that_cannot_be_is_refused_on_the_page(page, waiting):
    nothing = _answer(page, waiting, action="modify")
    too_much = _answer(page, waiting, action="approve", feedback="Shorter.")

    assert "Say what to modify" in nothing
    assert "approve knows no feedback" in too_much
    assert the_gate(waiting)


def test_the_selected_runs_run_again(page, waiting):
    url = reverse("admin:runtime_run_changelist")

    page.post(url, {"action": "run_again", "_selected_action": [str(waiting.pk)]})

    assert waiting.children.get().parent_seq == 0
