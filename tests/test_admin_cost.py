"""No page of the admin takes more queries because there is more to show."""

import uuid
from datetime import timedelta

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, Permission, User
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from procrastinate.contrib.django.models import ProcrastinateJob, ProcrastinateWorker

from experience import models as kept
from runtime import models, runs
from tests import councils

MOST = 15


@pytest.fixture
def page(client, transactional_db):
    """Somebody who may see and do everything, but by permissions, which are looked up too."""
    user = User.objects.create_user("stan", is_staff=True)
    user.user_permissions.set(Permission.objects.all())
    client.force_login(user)
    return client


def fill(rows, default, alice):
    """So many rows more of everything, and of all that hangs on one of each."""
    for _ in range(rows):
        _everything_once(default, alice)
    first = models.Run.objects.earliest("created_at")
    seq = first.events.count()
    for number in range(seq + 1, seq + rows + 1):
        _a_step_of(first, number)


def _everything_once(default, alice):
    name = uuid.uuid4().hex
    group = Group.objects.create(name=name)
    user = User.objects.create_user(name)
    user.groups.add(group)
    alice.groups.add(group)
    blueprint = models.Blueprint.objects.create(name=name, owner=user)
    version = blueprint.versions.create(number=1, document=councils.document("d > w"))
    agent = models.Agent.objects.create(slug=f"guide.a{name}", name=name, blueprint=blueprint)
    agent.groups.add(group)
    run = runs.create(topic=name, version=version, owner=user, model="demo:instant")
    models.Run.objects.filter(pk=run.pk).update(worker=name, usage={"cost": "0.1"})
    models.Allowance.objects.create(user=user, daily_tokens=1)
    for of in ({"run": run}, {"user": user, "period": "2026-11"}, {"group": group}):
        models.Account.objects.create(**of)
    models.Gate.objects.create(
        run=run, task=name, number=1, node="d", place="before", opened_at=timezone.now()
    )
    kept.Surface.objects.create(slug=name, agent=agent)
    kept.Token.objects.create(user=user, name=name, digest=name)
    kept.Sketch.objects.create(user=user, blueprint=blueprint, document={}, trial=blueprint)
    _said(kept.Conversation.objects.create(user=user, agent=agent), user, agent, run)
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO procrastinate_workers DEFAULT VALUES RETURNING id")
        cursor.execute(
            "UPDATE procrastinate_jobs SET status = 'doing', worker_id = %s WHERE id = %s",
            [cursor.fetchone()[0], run.job_id],
        )


def _said(conversation, user, agent, run=None):
    number = conversation.last_number + 1
    asked = kept.Message.objects.create(
        conversation=conversation, number=number, role="user", text="Hi", sender=user
    )
    kept.Message.objects.create(
        conversation=conversation, number=number + 1, role="agent", answers=asked, run=run,
        agent=agent, agent_slug=agent.slug, settled_at=timezone.now(),
    )  # fmt: skip
    conversation.last_number += 2
    conversation.save()


def _a_step_of(run, number):
    """All that hangs on one run, blueprint, conversation and worker grows."""
    version = run.blueprint_version
    models.Event.objects.create(
        run=run, seq=number + 1, key=str(number), kind="node.completed",
        at=run.created_at + timedelta(seconds=number),
        data={"node": "d", "iteration": number, "output": {"draft": "x"}, "score": None},
    )  # fmt: skip
    models.Checkpoint.objects.create(
        thread_id=str(run.pk), checkpoint_id=str(number), encoding="json", state=b"{}"
    )
    models.Gate.objects.create(
        run=run, task="t", number=number, node="d", place="before", opened_at=timezone.now()
    )
    blueprint, owner = version.blueprint, version.blueprint.owner
    blueprint.versions.create(number=number + 1, document=version.document, created_by=owner)
    fork = models.Run.objects.create(blueprint_version=version, owner=owner, parent=run)
    agent = models.Agent.objects.earliest("pk")
    kept.Surface.objects.create(slug=uuid.uuid4().hex, agent=agent)
    _said(kept.Conversation.objects.earliest("created_at"), owner, agent, fork)
    LogEntry.objects.create(
        user=User.objects.get(username="stan"), object_id=str(run.pk), action_flag=2,
        content_type=ContentType.objects.get_for_model(run), object_repr="run",
    )  # fmt: skip
    job = runs.rows.app.configure_task(runs.TASK, queue=runs.QUEUE).defer(run_id=str(fork.pk))
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE procrastinate_jobs SET status = 'doing', worker_id ="
            " (SELECT min(id) FROM procrastinate_workers) WHERE id = %s",
            [job],
        )


def counted(page):
    """The queries of every page there is, by its address without the ids."""
    run = models.Run.objects.earliest("created_at")
    state = models.Checkpoint.objects.filter(thread_id=str(run.pk)).latest("pk")
    one = reverse("admin:runtime_run_change", args=[run.pk])
    found = {
        "index": _queries(page, reverse("admin:index")),
        "a word": _queries(page, reverse("admin:runtime_run_changelist") + "?q=a+b+c"),
        "page": _queries(page, f"{one}?events=2"),
        "history": _queries(page, reverse("admin:runtime_run_history", args=[run.pk])),
        "state": _queries(page, reverse("admin:runtime_run_state", args=[run.pk, state.pk])),
    }
    for model, shown in admin.site._registry.items():
        name = f"{model._meta.app_label}_{model._meta.model_name}"
        row = run if model is models.Run else model._default_manager.earliest("pk")
        found[f"{name} list"] = _queries(page, reverse(f"admin:{name}_changelist"))
        found[name] = _queries(page, reverse(f"admin:{name}_change", args=[row.pk]))
        if shown.search_fields:
            asked = reverse(f"admin:{name}_changelist") + "?q=a"
            found[f"{name} search"] = _queries(page, asked)
    return found


def _queries(page, path):
    ContentType.objects.clear_cache()
    with CaptureQueriesContext(connection) as queries:
        answer = page.get(path)
    assert answer.status_code == 200, path
    return len(queries)


def test_no_page_takes_more_queries_for_more_rows_and_none_takes_many(
    page, default, alice, monkeypatch
):
    fill(3, default, alice)
    few = counted(page)
    for name in ("states.MOST", "past.MOST_DRAFTS", "past.MOST_FAULTS", "timeline.PAGE"):
        monkeypatch.setattr(f"runtime.admin.{name}", 10)  # and now there is more than is shown
    fill(12, default, alice)
    many = counted(page)

    assert many == few
    assert {name: count for name, count in many.items() if count > MOST} == {}
    assert {ProcrastinateJob, ProcrastinateWorker, models.Run} <= admin.site._registry.keys()
