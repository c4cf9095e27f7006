"""(f) The admin's pages with 10 000 runs and 1 000 000 events in the database.

Each list, with the filters, searches and sorts of the runs, and a page of each kind: how many
queries it takes, and how long until it is rendered, in this process and without a network.
What is in the way of a page is its size: the rows here are as long as those of real runs.
"""

import statistics
import time
from typing import Any

from bench import report
from bench import system as systems

RUNS, EVENTS_EACH = 10_000, 100
STEPS_OF_THE_LARGE = 1_000
TIMES = 5
MOST_QUERIES, MOST_SECONDS = 15, 0.3

# A run: a topic of 200 characters (of one in 20: 9 000), a draft of 3 kB; every tenth has
# failed, the newest 50 go on.
_RUNS = """
INSERT INTO runtime_run (id, blueprint_version_id, owner_id, input_topic, model, god_mode,
    limits, overrides, context, handoffs, trace, status, attempt, last_seq, retries, worker,
    request_digest, current_draft, critic_score, iteration_count, reason, approved, error_code,
    error_message, usage, draft_cut, members, created_at, started_at, ended_at)
SELECT gen_random_uuid(), version.id, who.id,
    'topic ' || n || ' ' || repeat(md5(n::text), CASE WHEN n %% 20 = 0 THEN 280 ELSE 6 END),
    'demo:instant', false,
    '{}', '{}', '[]', '[]', '',
    CASE WHEN n <= 50 THEN 'running' WHEN n %% 10 = 0 THEN 'failed' ELSE 'completed' END,
    1, %(each)s, 0, 'host-' || n %% 7 || ':4711', '', repeat(md5(n::text) || ' ', 90),
    (n %% 100) / 10.0, n %% 5,
    CASE WHEN n <= 50 THEN '' WHEN n %% 10 = 0 THEN 'failed' ELSE 'approved' END,
    CASE WHEN n > 50 AND n %% 10 > 0 THEN true END,
    CASE WHEN n > 50 AND n %% 10 = 0 THEN 'model_unavailable' ELSE '' END, '',
    CASE WHEN n <= 50 THEN '{}'::jsonb ELSE '{"calls": 5, "input_tokens": 1000,
        "output_tokens": 900, "cost": "0.0125", "models": ["demo:instant"],
        "scripted": true, "partial": false}'::jsonb END, false, '{}',
    now() - n * interval '1 hour', now() - n * interval '1 hour',
    CASE WHEN n > 50 THEN now() - n * interval '1 hour' + interval '72 s' END
FROM generate_series(1, %(runs)s) n
JOIN (SELECT id, row_number() OVER () - 1 AS place FROM runtime_blueprintversion) version
    ON version.place = n %% (SELECT count(*) FROM runtime_blueprintversion)
CROSS JOIN (SELECT id FROM auth_user WHERE username = %(owner)s) who
"""
_EVENTS = """
INSERT INTO runtime_event (run_id, seq, kind, key, data, at)
SELECT run.id, n, CASE n %% 2 WHEN 0 THEN 'node.completed' ELSE 'node.started' END, 'k' || n,
    CASE n %% 2 WHEN 0 THEN jsonb_build_object('node', 'master_agent', 'kind', 'draft',
        'iteration', n / 2, 'duration_ms', 1200, 'model', 'demo:instant', 'score', null,
        'usage', '{"calls": 1, "cost": "0.001"}'::jsonb, 'cut', false,
        'output', jsonb_build_object('draft', repeat(md5(n::text) || ' ', 30)))
    ELSE '{"node": "master_agent", "kind": "draft", "iteration": 1,
        "model": "demo:instant"}'::jsonb END,
    run.created_at + n * interval '0.7 s'
FROM runtime_run run, generate_series(%(first)s, %(last)s) n WHERE run.id = ANY(%(ids)s)
"""
_TOKENS = """
INSERT INTO runtime_event (run_id, seq, kind, key, data, at)
SELECT %(run)s, n, 'node.token', 'k' || n, '{"node": "master_agent", "text": "a word "}', now()
FROM generate_series(%(first)s, %(last)s) n
"""
_STATES = """
INSERT INTO runtime_checkpoint (thread_id, ns, checkpoint_id, parent_id, encoding, state,
    metadata, created_at)
SELECT run.id::text, '', lpad(n::text, 6, '0'), '', 'json',
    convert_to('{"channel_values": {"current_draft": "' || repeat('word ', 400) || '"}}',
        'UTF8'), jsonb_build_object('step', n, 'source', 'loop'), run.created_at
FROM runtime_run run, generate_series(1, %(count)s) n WHERE run.id = ANY(%(ids)s)
"""
_OTHERS = (
    """INSERT INTO runtime_gate (id, run_id, task, number, node, place, ask, proposal, actions,
        targets, answerers, opened_at, on_deadline, action, answer, answered_by, answered_at)
    SELECT gen_random_uuid(), id, 'task', 1, 'writer_agent', 'before', '',
        jsonb_build_object('why', 'asked', 'current_draft', repeat(md5(id::text), 90)),
        '["approve"]', '[]', '["owner"]', created_at, 'stay', 'approve', '{}', 'tester', now()
    FROM runtime_run""",
    """INSERT INTO runtime_account (run_id, period, calls, tokens_spent, tokens_reserved,
        cost_spent, cost_reserved) SELECT id, '', 5, 1900, 0, 0.0125, 0 FROM runtime_run""",
    """INSERT INTO experience_conversation (id, user_id, project_id, surface, last_number,
        created_at, updated_at)
    SELECT gen_random_uuid(), who.id, '', 'insights_pillar', 100, now(), now()
    FROM generate_series(1, 2000) n, (SELECT id FROM auth_user LIMIT 1) who""",
    """INSERT INTO experience_message (id, conversation_id, number, role, created_at, text,
        sender_id, request_digest, surface, agent_slug, routed_by, error_code, error_message,
        settled_at)
    SELECT gen_random_uuid(), of.id, n, 'user', now(), repeat('said ', 100), of.user_id, '', '',
        '', '', '', '', now()
    FROM experience_conversation of, generate_series(1, 20) n""",
    """INSERT INTO experience_token (user_id, name, digest, created_at)
    SELECT who.id, 'token ' || n, md5(n::text) || md5(n::text), now()
    FROM generate_series(1, 1000) n, (SELECT id FROM auth_user LIMIT 1) who""",
    """INSERT INTO experience_sketch (id, user_id, document, revision, created_at, updated_at)
    SELECT gen_random_uuid(), who.id, jsonb_build_object('name', repeat(md5(n::text), 200)), 1,
        now(), now()
    FROM generate_series(1, 1000) n, (SELECT id FROM auth_user LIMIT 1) who""",
    """INSERT INTO procrastinate_workers (last_heartbeat)
    SELECT now() - n * interval '2 s' FROM generate_series(0, 20) n""",
    """INSERT INTO procrastinate_jobs (queue_name, task_name, args, status, worker_id)
    SELECT 'runs', 'runtime.execute', jsonb_build_object('run_id', run.id),
        (CASE WHEN run.status = 'running' THEN 'doing' ELSE 'todo' END)
            ::procrastinate_job_status,
        CASE WHEN run.status = 'running' THEN (SELECT min(id) FROM procrastinate_workers) END
    FROM runtime_run run""",
    """INSERT INTO django_admin_log (action_time, user_id, content_type_id, object_id,
        object_repr, action_flag, change_message)
    SELECT now(), who.id, (SELECT id FROM django_content_type WHERE model = 'run'),
        run.id::text, 'run', 2, 'cancelled'
    FROM runtime_run run, (SELECT id FROM auth_user LIMIT 1) who""",
)
_BLUEPRINTS = 100  # with 5 versions each


def measure(system: systems.System, *, quick: bool) -> report.Table:
    from django.contrib.auth.models import User

    from runtime import models

    scale = 20 if quick else 1
    large = fill(RUNS // scale, EVENTS_EACH)
    root, _made = User.objects.get_or_create(
        username="root", defaults={"is_staff": True, "is_superuser": True}
    )
    table = report.Table(
        f"(f) The admin, with {models.Run.objects.count():,} runs and"
        f" {models.Event.objects.count():,} events",
        ["page", "queries", "ms", "slowest, ms", "kB"],
    )
    worst = {"queries": 0.0, "list": 0.0, "page": 0.0}
    for name, path in pages(large).items():
        queries, seconds, size = _looked_at(root, path, 2 if quick else TIMES)
        median = statistics.median(seconds)
        table.add(
            name, str(queries), report.ms(median), report.ms(max(seconds)), f"{size / 1e3:.0f}"
        )
        kind = "page" if name.startswith("one ") else "list"
        worst["queries"] = max(worst["queries"], queries)
        worst[kind] = max(worst[kind], median)
    table.mark("queries of any page", worst["queries"], MOST_QUERIES)
    table.mark("seconds until any list is rendered", worst["list"], MOST_SECONDS)
    table.mark("seconds until any page is rendered", worst["page"], MOST_SECONDS)
    table.notes.append(
        f"Medians of {2 if quick else TIMES}, after one that is not counted. Rendered by Django"
        " alone, as an administrator, in one process."
    )
    return table


# --- what is there -----------------------------------------------------------------------


def fill(count: int, each: int) -> Any:
    """Fill the database, and return a large run: 1 000 steps, and a node that is writing."""
    from django.db import connection

    from runtime import models

    _blueprints()
    with connection.cursor() as cursor:
        # Only what the runs themselves need is checked; they are as the runtime writes them.
        cursor.execute(_RUNS, {"runs": count, "each": each, "owner": systems.OWNER})
        made = models.Run.objects.filter(worker__startswith="host-")  # (e) has left others
        ids = list(made.order_by("-created_at").values_list("pk", flat=True))
        cursor.execute(_EVENTS, {"ids": ids, "first": 1, "last": each})
        cursor.execute(_STATES, {"ids": ids, "count": 7})
        large = made.filter(status="running").latest("created_at")
        more = {"ids": [large.pk], "first": each + 1, "last": each + STEPS_OF_THE_LARGE}
        cursor.execute(_EVENTS, more)
        tokens = {"run": large.pk, "first": more["last"] + 1, "last": more["last"] + 5_000}
        cursor.execute(_TOKENS, tokens)
        for statement in _OTHERS:
            cursor.execute(statement)
        cursor.execute("ANALYZE")
    return large


def _blueprints() -> None:
    from django.contrib.auth.models import User

    from runtime import models

    owner = User.objects.get(username=systems.OWNER)
    like = models.BlueprintVersion.objects.order_by("pk").first()
    assert like is not None
    made = models.Blueprint.objects.bulk_create(
        models.Blueprint(name=f"Council {number}", owner=owner) for number in range(_BLUEPRINTS)
    )
    models.BlueprintVersion.objects.bulk_create(
        models.BlueprintVersion(blueprint=blueprint, number=number, document=like.document)
        for blueprint in made
        for number in range(1, 6)
    )


# --- what is looked at -------------------------------------------------------------------


def pages(large: Any) -> dict[str, str]:
    """What is asked for, by its name: every list, and a page of each kind."""
    from django.contrib import admin
    from django.urls import reverse

    from runtime import models

    runs = reverse("admin:runtime_run_changelist")
    day = large.created_at
    blueprint = models.Blueprint.objects.latest("created_at").pk
    found = {
        "the index": reverse("admin:index"),
        "runs": runs,
        "runs, the last page": f"{runs}?p={max(1, models.Run.objects.count() // 50)}",
        "runs that failed": f"{runs}?status__exact=failed",
        "runs for a reason": f"{runs}?reason=approved",
        "runs of a blueprint": f"{runs}?blueprint={blueprint}",
        "runs of a model": f"{runs}?model=demo:instant",
        "runs under way": f"{runs}?story=going",
        "runs of a day": f"{runs}?created_at__year={day.year}&created_at__month={day.month}"
        f"&created_at__day={day.day}",
        "runs, a word": f"{runs}?q=4711",
        "runs, a word that none has": f"{runs}?q=nowhere",
        "runs, two words": f"{runs}?q=topic+{systems.OWNER}",
        "runs, an id": f"{runs}?q={large.pk}",
        "runs by cost": f"{runs}?o=-6",
        "runs by duration": f"{runs}?o=5",
    }
    for model in admin.site._registry:
        name = f"{model._meta.app_label}_{model._meta.model_name}"
        if model is not models.Run:
            found[str(model._meta.verbose_name_plural)] = reverse(f"admin:{name}_changelist")
        row = model._default_manager.order_by("-pk").first()
        if model is models.Run:
            row = large
        if row is not None:
            one = f"one {model._meta.verbose_name}"
            found[one] = reverse(f"admin:{name}_change", args=[row.pk])
    found["one run, the last page"] = f"{found['one run']}?events=999"
    found["one run, its history"] = reverse("admin:runtime_run_history", args=[large.pk])
    state = models.Checkpoint.objects.filter(thread_id=str(large.pk)).latest("pk")
    found["one state"] = reverse("admin:runtime_run_state", args=[large.pk, state.pk])
    return found


def _looked_at(user: Any, path: str, times: int) -> tuple[int, list[float], int]:
    """Queries, seconds of each look, and the size of a page."""
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    client = Client(SERVER_NAME="localhost")
    client.force_login(user)
    with CaptureQueriesContext(connection) as queries:
        answer = client.get(path)
    count = len(queries)  # later requests reset what was captured
    assert answer.status_code == 200, (path, answer.status_code)
    seconds = []
    for _ in range(times):
        begun = time.perf_counter()
        client.get(path)
        seconds.append(time.perf_counter() - begun)
    return count, seconds, len(answer.content)
