"""What can be changed in the admin: by whom, what it does, and the trace that it leaves."""

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.urls import reverse

from experience import access, conversations
from experience.models import Surface, Token
from runtime import errors, models, runs
from tests.conftest import kinds, nodes_started, the_gate

RUNS = "admin:runtime_run_changelist"


@pytest.fixture
def page(client, admin_user):
    client.force_login(admin_user)
    return client


@pytest.fixture
def staff(client, transactional_db):
    """Sign somebody in who may do what is named, and is no administrator."""

    def sign_in(*may):
        user = User.objects.create_user("stan", is_staff=True)
        for name in may:
            label, codename = name.split(".")
            user.user_permissions.add(
                Permission.objects.get(content_type__app_label=label, codename=codename)
            )
        client.force_login(user)
        return client

    return sign_in


def act(page, action, *things, **more):
    name = f"admin:{things[0]._meta.app_label}_{things[0]._meta.model_name}_changelist"
    said = {"action": action, "_selected_action": [str(thing.pk) for thing in things], **more}
    return page.post(reverse(name), said, follow=True).content.decode()


def traces(thing):
    """Who did what with it, by the admin's own log."""
    found = LogEntry.objects.filter(object_id=str(thing.pk)).order_by("pk")
    return [(entry.user.get_username(), entry.get_change_message()) for entry in found]


@pytest.fixture
def failed(new_run):
    """A run that failed."""
    run = new_run()
    models.Run.objects.filter(pk=run.pk).update(
        status="failed", reason="failed", error_code="internal", ended_at=run.created_at
    )
    models.Event.objects.create(
        run=run, seq=2, kind="run.failed", key="run.end/0", at=run.created_at,
        data={"code": "internal", "message": "It broke.", "node": ""},
    )  # fmt: skip
    models.Run.objects.filter(pk=run.pk).update(last_seq=2)
    return run


@pytest.fixture
def waiting(new_run, council, drain):
    run = new_run(version=council("d > k", "k revise> d", "k approve> w", k={"gateBefore": {}}))
    drain()
    return run


# --- runs ------------------------------------------------------------------------------


def test_a_run_is_cancelled_in_the_name_of_who_did_it(page, new_run):
    run = new_run()

    act(page, "cancel", run)
    again = act(page, "cancel", run)

    run.refresh_from_db()
    assert run.status == models.Status.CANCELLED
    assert run.events.get(kind="run.cancelled").data["by"] == "admin"
    assert traces(run) == [("admin", "cancelled")]
    assert "already ended" in again


def test_a_failed_run_is_retried_in_the_name_of_who_did_it(page, failed, new_run):
    act(page, "retry", failed)
    refused = act(page, "retry", new_run("Not failed"))

    failed.refresh_from_db()
    assert (failed.status, failed.retries) == ("pending", 1)
    assert failed.events.get(kind="run.retried").data["by"] == "admin"
    assert traces(failed) == [("admin", "retried")]
    assert "Not failed: Only a run that has failed can be retried" in refused


def test_a_run_is_taken_from_its_worker_and_goes_on_at_another(page, new_run, drain):
    run = new_run()
    runs.claim(run.pk, job_id=run.job_id, worker="the first")

    act(page, "reassign", run)
    drain()

    run.refresh_from_db()
    assert (run.status, run.attempt) == ("completed", 2)
    assert run.worker != "the first"
    told = run.events.get(kind="run.interrupted").data
    assert (told["cause"], told["by"]) == ("reassigned", "admin")
    assert traces(run) == [("admin", "taken from its worker")]
    assert kinds(run).count("run.completed") == 1


def test_a_run_that_no_worker_has_is_not_taken_from_one(page, new_run):
    run = new_run()

    refused = act(page, "reassign", run)

    assert "Only a run that a worker has" in refused
    assert traces(run) == []


def test_the_selected_runs_run_again_for_who_asked(page, new_run):
    run = new_run()

    act(page, "run_again", run)

    child = run.children.get()
    assert (child.parent_seq, child.owner.get_username()) == (0, "admin")
    assert traces(run) == [("admin", "run again")]
    assert traces(child) == [("admin", f"run {run.pk} again")]


def test_a_button_on_the_page_of_a_run_acts_and_leads_back_to_it(page, new_run):
    run = new_run()
    url = reverse("admin:runtime_run_change", args=[run.pk])
    assert 'value="cancel"' in page.get(url).content.decode()

    said = {"action": "cancel", "_selected_action": [run.pk], "from_page": "1"}
    answer = page.post(reverse(RUNS), said)

    assert answer["Location"] == url
    after = page.get(url).content.decode()
    assert 'value="cancel"' not in after
    assert 'value="run_again"' in after


def test_too_many_at_once_are_refused_whole(page, new_run, monkeypatch):
    monkeypatch.setattr("runtime.admin.acting.MOST", 1)
    monkeypatch.setattr("experience.admin.runs.MOST", 1)
    one, other = new_run(), new_run()

    assert "Nothing was done: 1 at once at most." in act(page, "cancel", one, other)
    assert "Nothing was exported: 1 at once" in act(page, "export_json", one, other)
    assert not models.Run.objects.filter(status="cancelled").exists()


def test_nobody_adds_changes_or_deletes_by_hand_what_is_written_once(page, new_run, drain):
    new_run()
    drain()
    things = [models.Run.objects.get(), models.BlueprintVersion.objects.first()]
    things += [models.Account.objects.create(period="2026-11", user=User.objects.first())]

    for thing in things:
        name = f"admin:runtime_{thing._meta.model_name}"
        assert page.get(reverse(f"{name}_add")).status_code == 403
        assert page.post(reverse(f"{name}_change", args=[thing.pk]), {}).status_code == 403
        assert page.post(reverse(f"{name}_delete", args=[thing.pk])).status_code == 403
        act(page, "delete_selected", thing, post="yes")
        assert type(thing).objects.filter(pk=thing.pk).exists()


# --- who may ---------------------------------------------------------------------------


def test_who_may_only_view_runs_sees_and_exports_them_and_changes_nothing(staff, new_run):
    run = new_run("Only to look at")
    running = new_run()
    runs.claim(running.pk, job_id=running.job_id, worker="w")
    page = staff("runtime.view_run")

    url = reverse("admin:runtime_run_change", args=[run.pk])
    body = page.get(url).content.decode()
    for action in ("cancel", "retry", "reassign", "run_again"):
        act(page, action, run, running)
    file = page.post(reverse(RUNS), {"action": "export_json", "_selected_action": [run.pk]})

    assert "Only to look at" in body
    assert 'name="action"' not in body
    assert "View on site" not in body  # there it is its owner's
    assert file["Content-Type"] == "application/json"
    statuses = models.Run.objects.order_by("created_at").values_list("status", flat=True)
    assert list(statuses) == ["pending", "running"]
    assert LogEntry.objects.count() == 0


def test_who_may_change_runs_steers_them_and_who_may_add_runs_them_again(staff, new_run):
    run = new_run()
    page = staff("runtime.view_run", "runtime.change_run")

    act(page, "run_again", run)
    assert not run.children.exists()
    act(page, "cancel", run)

    run.refresh_from_db()
    assert run.status == "cancelled"
    assert traces(run) == [("stan", "cancelled")]
    body = page.get(reverse(RUNS)).content.decode()
    assert "Take the selected runs" in body
    assert "Run the selected ones again" not in body


def test_without_the_permission_to_view_there_is_nothing(staff, new_run, default, alice):
    run = new_run()
    state = models.Checkpoint.objects.create(
        thread_id=str(run.pk), checkpoint_id="1", encoding="json", state=b"{}"
    )
    access.create_token(alice, "hers")
    page = staff("auth.view_user")

    for name, args in (
        ("runtime_run_changelist", []),
        ("runtime_run_change", [run.pk]),
        ("runtime_run_state", [run.pk, state.pk]),
        ("runtime_blueprintversion_drawing", [default.pk]),
        ("experience_token_changelist", []),
        ("experience_conversation_changelist", []),
        ("experience_sketch_changelist", []),
        ("procrastinate_procrastinatejob_changelist", []),
    ):
        assert page.get(reverse(f"admin:{name}", args=args)).status_code == 403


def test_who_may_only_view_gates_and_tokens_neither_answers_nor_revokes(staff, waiting, alice):
    secret = access.create_token(alice, "hers")
    gate = the_gate(waiting)
    page = staff("runtime.view_gate", "experience.view_token")

    url = reverse("admin:runtime_gate_change", args=[gate.pk])
    answer = page.post(url, {"action": "approve"})
    act(page, "revoke", Token.objects.get())

    assert answer.status_code == 403
    assert 'name="action"' not in page.get(url).content.decode()
    assert the_gate(waiting)
    assert access.token_of(secret)


def test_a_user_is_not_deleted_but_made_inactive(page, alice):
    url = reverse("admin:auth_user_delete", args=[alice.pk])

    assert page.post(url, {"post": "yes"}).status_code == 403
    act(page, "delete_selected", alice, post="yes")

    assert User.objects.filter(pk=alice.pk).exists()


# --- blueprints, agents, surfaces ------------------------------------------------------


def test_who_may_see_a_blueprint_is_changed_here_and_nothing_else(page, council):
    blueprint = council("d > w").blueprint
    url = reverse("admin:runtime_blueprint_change", args=[blueprint.pk])

    page.post(url, {"visibility": "everyone", "name": "Mine now", "owner": ""})

    blueprint.refresh_from_db()
    assert (blueprint.visibility, blueprint.name) == ("everyone", "A council")
    assert blueprint.owner is not None
    assert traces(blueprint) == [("admin", "Changed Visibility.")]


def test_a_blueprint_is_taken_off_the_lists_unless_an_agent_runs_it(page, council, alice):
    idle, used = council("d > w").blueprint, council("d > w").blueprint
    models.Agent.objects.create(slug="guide.mine", name="Mine", blueprint=used)

    said = act(page, "retire", idle, used)

    idle.refresh_from_db()
    used.refresh_from_db()
    assert idle.deleted_at is not None
    assert idle.versions.exists()
    assert used.deleted_at is None
    assert str(errors.BlueprintInUse()) in said
    assert traces(idle) == [("admin", "taken off the lists")]
    assert traces(used) == []


def test_what_is_everybodys_is_not_changed_here(page, default):
    shipped = default.blueprint
    url = reverse("admin:runtime_blueprint_change", args=[shipped.pk])

    assert page.post(url, {"visibility": "owner"}).status_code == 403
    said = act(page, "retire", shipped)

    assert "only `manage.py blueprint delete`" in said
    shipped.refresh_from_db()
    assert shipped.deleted_at is None


def test_changing_an_agent_leaves_a_trace(page, shipped_blueprints):
    agent = models.Agent.objects.get(slug="guide.general")
    url = reverse("admin:runtime_agent_change", args=[agent.pk])
    as_it_was = {"slug": agent.slug, "name": agent.name, "description": agent.description}

    page.post(url, {**as_it_was, "blueprint": agent.blueprint_id})  # enabled: not ticked

    agent.refresh_from_db()
    assert agent.enabled is False
    assert traces(agent) == [("admin", "Changed Enabled.")]


def test_a_surface_is_given_another_agent_here(page, shipped_blueprints, alice):
    surface = Surface.objects.get(slug="content_pillar")
    agent = models.Agent.objects.get(slug="council.default")

    url = reverse("admin:experience_surface_change", args=[surface.pk])
    page.post(url, {"slug": "content_pillar", "agent": agent.pk})

    reply = conversations.post(alice, text="Hello", surface="content_pillar").reply
    assert reply.agent_slug == "council.default"
    assert traces(surface) == [("admin", "Changed Agent.")]


def test_a_token_is_revoked_here_and_its_secret_is_nowhere(page, alice):
    secret = access.create_token(alice, "mine")
    token = Token.objects.get()

    body = page.get(reverse("admin:experience_token_change", args=[token.pk])).content.decode()
    act(page, "revoke", token)
    act(page, "revoke", token)

    assert secret not in body
    assert token.digest not in body
    assert access.token_of(secret) is None
    assert traces(token) == [("admin", "revoked by admin")]


# --- gates and allowances -------------------------------------------------------------


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
    assert [by for by, _said in traces(gate)] == ["admin"]


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


def test_giving_an_allowance_leaves_a_trace(page, alice):
    page.post(reverse("admin:runtime_allowance_add"), {"user": alice.pk, "daily_tokens": 5})

    allowance = models.Allowance.objects.get()
    assert allowance.daily_tokens == 5
    assert traces(allowance) == [("admin", "Added.")]
