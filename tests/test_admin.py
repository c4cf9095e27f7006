"""The admin's pages: what runs, blueprints, conversations and the queue show there."""

import io
import json
import pickle
import zipfile

import ormsgpack
import pytest
from django.contrib import admin
from django.db import connection
from django.urls import reverse
from django.utils import timezone
from procrastinate.contrib.django.models import ProcrastinateJob, ProcrastinateWorker

from experience import conversations
from experience.models import Sketch
from runtime import library, models, runs
from runtime.admin import timeline
from tests import councils


@pytest.fixture
def page(client, admin_user):
    client.force_login(admin_user)
    return client


def test_a_runs_page_shows_its_timeline(page, new_run, drain):
    run = new_run("What is shown?")
    drain()

    body = page.get(reverse("admin:runtime_run_change", args=[run.pk])).content.decode()

    assert "What is shown?" in body
    assert body.count('<td class="kind">node.completed</td>') == 5


def shown(page, thing, query=""):
    name = f"admin:{thing._meta.app_label}_{thing._meta.model_name}_change"
    answer = page.get(reverse(name, args=[thing.pk]) + query)
    assert answer.status_code == 200
    return answer.content.decode()


def listed(page, model, query=""):
    name = f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist"
    answer = page.get(reverse(name) + query)
    assert answer.status_code == 200
    return answer.content.decode()


def test_a_run_is_listed_with_all_that_one_looks_for(page, new_run, drain):
    run = new_run("What is listed?")
    drain()

    line = listed(page, models.Run)

    run.refresh_from_db()
    facts = ["What is listed?", "completed", "approved", f"{run.critic_score:g}"]
    for fact in (*facts, str(run.blueprint_version), "alice", run.worker):
        assert fact in line


ALL = {"good", "broken", "waiting"}
FOUND = {
    "?status__exact=failed": {"broken"},
    "?reason=approved": {"good"},
    "?approved__exact=1": {"good"},
    "?story=retried": {"broken"},
    "?story=going": {"waiting"},
    "?model=demo:other": {"broken"},
    "?model=nobody:knows": ALL,
    "?blueprint=nonsense": set(),
    "?q=GOO": {"good"},
    "?q=alice": {"good", "waiting"},
    "?q=alice+wait": {"waiting"},
    "?q=host-7": {"broken"},
    "?q=nothing+of+this": set(),
    "?q=%00": ALL,
}


def test_runs_are_found_by_how_they_stand_and_by_words(page, new_run):
    now = timezone.now()
    good, broken = new_run("good"), new_run("broken", owner=None)
    new_run("waiting")
    ended = models.Run.objects.filter(pk=good.pk)
    ended.update(status="completed", reason="approved", approved=True, ended_at=now)
    models.Run.objects.filter(pk=broken.pk).update(
        status="failed", reason="failed", error_code="internal", ended_at=now, retries=1,
        model="demo:other", worker="host-7:1",
    )  # fmt: skip

    bodies = {query: listed(page, models.Run, query) for query in FOUND}

    found = {
        q: {name for name in ALL if f">{name}</bdi>" in body} for q, body in bodies.items()
    }
    assert found == FOUND


def test_a_run_is_found_by_its_id_and_so_are_its_forks(page, new_run, alice, drain):
    run = new_run("the first")
    new_run("another")
    drain()
    fork = runs.fork(run, owner=alice, after=0)

    body = listed(page, models.Run, f"?q={run.pk}")

    assert str(run.pk) in body
    assert str(fork.pk) in body
    assert "another" not in body


def test_runs_of_a_blueprint_are_one_click_from_its_page(page, new_run, council, alice):
    version = council("d > w")
    mine = runs.create(topic="mine", version=version, owner=alice, model="demo:instant")
    new_run("of another")

    query = f"?blueprint={version.blueprint_id}"
    assert query in shown(page, version.blueprint)
    body = listed(page, models.Run, query)

    assert str(mine.pk) in body
    assert "of another" not in body


def test_a_runs_page_shows_drafts_with_scores_and_states_and_links_both_ways(
    page, new_run, alice, drain
):
    run = new_run("What led to it?")
    drain()
    fork = runs.fork(run, owner=alice, after=0)

    body = shown(page, run)

    assert "Draft 3 by <bdi>writer_agent</bdi>" in body
    assert "scored 6.5 / 10" in body
    for thing in (run.blueprint_version, run.blueprint_version.blueprint, alice, fork):
        name = f"admin:{thing._meta.app_label}_{thing._meta.model_name}_change"
        assert reverse(name, args=[thing.pk]) in body
    assert f'href="/runs/{run.pk}/"' in body
    assert reverse("admin:runtime_run_change", args=[run.pk]) in shown(page, fork)


def test_the_job_behind_a_run_and_the_run_behind_a_job_are_linked(page, new_run):
    run = new_run()
    job = ProcrastinateJob.objects.get(pk=run.job_id)

    assert reverse("admin:procrastinate_procrastinatejob_change", args=[job.pk]) in shown(
        page, run
    )
    assert reverse("admin:runtime_run_change", args=[run.pk]) in shown(page, job)
    assert str(run.pk) in listed(page, ProcrastinateJob, f"?q={run.pk}")


def _state(run, encoding, data):
    return models.Checkpoint.objects.create(
        thread_id=str(run.pk), checkpoint_id="1", encoding=encoding, state=data
    )


def _state_page(page, run, state):
    return page.get(reverse("admin:runtime_run_state", args=[run.pk, state.pk]))


def test_the_state_after_each_step_is_shown_decoded(page, new_run, drain):
    run = new_run("What is kept?")
    drain()
    last = models.Checkpoint.objects.filter(thread_id=str(run.pk)).latest("checkpoint_id")

    body = _state_page(page, run, last).content.decode()

    run.refresh_from_db()
    assert reverse("admin:runtime_run_state", args=[run.pk, last.pk]) in shown(page, run)
    assert "<code>current_draft</code>" in body
    assert "<code>feedback_history</code>" in body


class Trap:
    """Whoever unpickles it has run its code."""

    sprung = False

    def __reduce__(self):
        return (setattr, (Trap, "sprung", True))


def test_nothing_in_a_stored_state_is_run_and_what_is_refused_is_said(page, new_run):
    run = new_run()
    # As LangGraph writes an object: module, name, arguments.
    call = ormsgpack.packb(("tests.test_admin", "_spring", []))
    packed = ormsgpack.packb({"channel_values": {"current_draft": ormsgpack.Ext(0, call)}})
    pickled = _state(run, "pickle", pickle.dumps(Trap()))

    refused = _state_page(page, run, pickled).content.decode()
    models.Checkpoint.objects.all().delete()
    shown_as_data = _state_page(page, run, _state(run, "msgpack", packed))

    assert "It cannot be decoded (pickle)" in refused
    assert shown_as_data.status_code == 200
    assert not Trap.sprung


def _spring(*arguments):
    Trap.sprung = True


def test_a_state_of_another_run_is_not_found(page, new_run):
    state = _state(new_run(), "json", b"{}")

    assert _state_page(page, new_run(), state).status_code == 404


def test_a_long_log_is_shown_in_pages_without_its_tokens(page, new_run):
    run = new_run()
    events = [
        models.Event(
            run=run, seq=seq, kind=kind, key=str(seq), at=timezone.now(),
            data={"node": f"n{seq}", "kind": "draft", "text": "a"},
        )
        for seq, kind in [(n, "node.started") for n in range(2, 402)]
        + [(n, "node.token") for n in range(402, 452)]
    ]  # fmt: skip
    models.Event.objects.bulk_create(events)

    first, last = shown(page, run), shown(page, run, "?events=3")

    assert "401 events, page 1 of 3" in first
    assert "50 pieces of text are left out" in first
    assert first.count('<td class="kind">') == timeline.PAGE
    assert "n201" not in first
    assert last.count('<td class="kind">') == 1
    assert "page 3 of 3" in shown(page, run, "?events=999")
    assert "page 1 of 3" in shown(page, run, "?events=nonsense")


def test_every_kind_of_event_is_told_in_a_line_even_without_its_data():
    from runtime import events

    told = {kind: timeline.telling(kind, {}) for kind in events.KINDS if kind != timeline.TOKEN}

    assert timeline._TELLING.keys() == told.keys()
    assert timeline.telling("a.kind.of.tomorrow", {"x": 1}) == ""


def test_one_run_is_exported_as_a_file_and_several_as_an_archive(page, new_run, drain):
    one, other = new_run("The first?"), new_run("The second?")
    drain()
    url = reverse("admin:runtime_run_changelist")

    text = page.post(url, {"action": "export_markdown", "_selected_action": [one.pk]})
    whole = page.post(url, {"action": "export_json", "_selected_action": [one.pk]})
    both = page.post(url, {"action": "export_json", "_selected_action": [one.pk, other.pk]})

    assert "The first?" in text.content.decode()
    assert text["Content-Disposition"] == f'attachment; filename="run-{one.pk}.md"'
    assert len(json.loads(whole.content)["events"]) == one.events.count()
    archive = zipfile.ZipFile(io.BytesIO(both.content))
    assert set(archive.namelist()) == {f"run-{run.pk}.json" for run in (one, other)}
    assert (
        json.loads(archive.read(f"run-{other.pk}.json"))["run"]["input_topic"] == "The second?"
    )


# --- blueprints ------------------------------------------------------------------------


def test_a_versions_page_shows_prompts_drawing_and_what_has_changed(page, alice):
    document = councils.document("d > w")
    blueprint = library.save(document, owner=alice).blueprint
    document["nodes"][0]["systemPrompt"] = "<b>Write</b> less."
    second = library.save(document, owner=alice, blueprint=blueprint)

    body = shown(page, second)
    drawing = page.get(reverse("admin:runtime_blueprintversion_drawing", args=[second.pk]))

    assert "- &quot;You are d.&quot;" in body
    assert "&lt;b&gt;Write&lt;/b&gt; less." in body
    assert reverse("admin:runtime_blueprintversion_drawing", args=[second.pk]) in body
    assert drawing["Content-Type"] == "image/svg+xml"
    assert "default-src 'none'" in drawing["Content-Security-Policy"]
    assert "This is the first version." in shown(page, blueprint.versions.get(number=1))


def test_a_blueprints_page_shows_versions_runs_agents_and_who_may(page, alice, council):
    version = council("d > w")
    blueprint = version.blueprint
    agent = models.Agent.objects.create(slug="guide.mine", name="Mine", blueprint=blueprint)

    body = shown(page, blueprint)

    assert "its owner, and administrators" in body
    for thing in (version, agent):
        name = f"admin:runtime_{thing._meta.model_name}_change"
        assert reverse(name, args=[thing.pk]) in body


def test_trials_and_deleted_blueprints_are_listed_only_where_they_are_asked_for(page, alice):
    models.Blueprint.objects.create(name="kept one", owner=alice)
    models.Blueprint.objects.create(name="tried one", owner=alice, is_trial=True)
    models.Blueprint.objects.create(name="gone one", owner=alice, deleted_at=timezone.now())

    def names(query):
        body = listed(page, models.Blueprint, query)
        return [name for name in ("kept", "tried", "gone") if f"{name} one" in body]

    assert names("") == ["kept"]
    assert names("?which=trials") == ["tried"]
    assert names("?which=deleted") == ["gone"]
    assert names("?which=all") == ["kept", "tried", "gone"]


def test_only_a_blueprint_that_people_find_can_be_chosen_for_an_agent(page, alice):
    models.Blueprint.objects.create(name="kept one", owner=alice)
    models.Blueprint.objects.create(name="tried one", owner=alice, is_trial=True)

    asked = {"app_label": "runtime", "model_name": "agent", "field_name": "blueprint"}
    found = page.get(reverse("admin:autocomplete"), {**asked, "term": "one"}).json()

    assert [each["text"] for each in found["results"]] == ["kept one"]


# --- the queue -------------------------------------------------------------------------


def _worker(silent_for):
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO procrastinate_workers (last_heartbeat)"
            " VALUES (now() - make_interval(secs => %s)) RETURNING id",
            [silent_for],
        )
        (worker,) = cursor.fetchone()
    return worker


def test_workers_are_listed_with_their_heartbeat_and_a_stalled_one_is_said_to_be_so(
    page, new_run
):
    run = new_run()
    runs.claim(run.pk, job_id=run.job_id, worker="host:4711")
    alive, stalled = _worker(0), _worker(600)
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE procrastinate_jobs SET status = 'doing', worker_id = %s", [alive]
        )

    body = listed(page, ProcrastinateWorker)

    assert body.count(">alive<") == 1
    assert "stalled: silent for 10 m 0 s" in body
    assert "host:4711" in body
    assert f"run {run.pk}" in shown(page, ProcrastinateWorker.objects.get(pk=alive))
    assert "none" in shown(page, ProcrastinateWorker.objects.get(pk=stalled))


# --- what is whose ---------------------------------------------------------------------


def test_of_a_sketch_one_sees_whose_it_is_but_not_what(page, alice):
    sketch = Sketch.objects.create(user=alice, document={"name": "A secret idea"})

    assert "alice" in listed(page, Sketch)
    assert "A secret idea" not in shown(page, sketch)


def test_tickets_checkpoints_and_events_have_no_pages_of_their_own():
    names = {model._meta.model_name for model in admin.site._registry}

    assert not names & {"ticket", "checkpoint", "checkpointwrite", "event", "reservation"}


def test_text_of_a_model_or_a_person_is_shown_harmless(page, new_run, drain):
    run = new_run("<script>alert(1)</script>")
    drain()

    for url in (
        reverse("admin:runtime_run_change", args=[run.pk]),
        reverse("admin:runtime_run_changelist"),
    ):
        assert "<script>alert(1)</script>" not in page.get(url).content.decode()


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


@pytest.mark.parametrize("model", list(admin.site._registry), ids=lambda m: m._meta.label)
def test_a_filter_that_the_database_cannot_compare_with_makes_the_whole_list(
    page, transactional_db, model
):
    path = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    fields = [field.name for field in model._meta.concrete_fields if not field.is_relation]
    for query in ["?q=a%00b", *(f"?{name}__exact=%00" for name in fields)]:
        answer = page.get(path + query, follow=True)
        assert answer.status_code in {200, 400}  # 400: by this nobody may filter


def test_a_status_that_no_job_has_makes_the_whole_list(page, transactional_db):
    path = reverse("admin:procrastinate_procrastinatejob_changelist")
    answer = page.get(f"{path}?status__exact=nonsense")

    assert answer["Location"] == f"{path}?e=1"
