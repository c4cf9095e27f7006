"""Councils of several members, through the whole runtime: in parallel, and without some."""

import json
import re

import pytest
from asgiref.sync import sync_to_async

from runtime import models, runs, tasks
from tests import provider
from tests.conftest import kinds, nodes_started
from tests.speech import Answer, Request

ANSWERS = {
    "answer": "An opinion of some words.",
    "review": None,
    "synthesis": json.dumps({"text": "The joined text.", "dissent": "One of them doubts it."}),
}
HANGS = Answer(hangs_at=0)


def _kind(request: Request) -> str:
    text = json.dumps(request.body)
    if "dissent" in text:
        return "synthesis"
    return "review" if "ranking" in text else "answer"


def _review(request: Request) -> str:
    shown = request.body["messages"][-1]["content"]
    letters = re.findall(r'name="Answer ([A-Z])"', shown)
    found = [{"answer": each, "strengths": "It is clear.", "weaknesses": "It is short."}
             for each in letters]  # fmt: skip
    return json.dumps({"assessments": found, "ranking": letters})


class Speaker:
    """Answers each kind of node in its form; `bad` are the answers of certain models."""

    def __init__(self, **more) -> None:
        self.more = more
        self.bad: dict[str, Answer] = {}
        self.asked: list[tuple[str, str]] = []

    def __call__(self, request: Request) -> Answer:
        kind = _kind(request)
        self.asked.append((kind, request.body["model"]))
        if request.body["model"] in self.bad:
            return self.bad[request.body["model"]]
        if (kind, "*") in self.bad:
            return self.bad[(kind, "*")]
        return Answer(ANSWERS[kind] or _review(request), **self.more)


@pytest.fixture
async def council_of_three(shipped_blueprints, alice, settings):
    """Three opinions and a chair; each member has a model of its own."""
    settings.MODEL_MAX_TRIES, settings.MODEL_RETRY_SECONDS = 2, 0.01
    settings.OPENAI_API_KEY = "sk-test"
    found = await models.Blueprint.objects.aget(slug="three-opinions")
    document = (await sync_to_async(lambda: found.newest)()).document
    for node in document["nodes"]:
        if node["kind"] == "answer":
            node["model"] = f"openai:model-{node['id'][-1]}"
    own = await models.Blueprint.objects.acreate(name="mine", owner=alice)
    version = await own.versions.acreate(number=1, document=document)

    async def run(server, **more):
        settings.OPENAI_BASE_URL = server.url
        made = await sync_to_async(runs.create)(
            topic="Tabs or spaces?", version=version, owner=alice, model="openai:chair", **more
        )
        await tasks.work(wait=False)
        await made.arefresh_from_db()
        return made

    run.document, run.blueprint = document, own
    return run


async def test_parallel_members_are_asked_at_once_and_the_chair_after_all(council_of_three):
    speaker = Speaker(every=0.01)
    async with provider.serve(speaker) as server:
        run = await council_of_three(server)

    told = [
        (event.kind, event.data["kind"])
        async for event in run.events.filter(
            kind__in=("node.started", "node.completed")
        ).order_by("seq")
    ]
    assert run.status == "completed", run.error_message
    for number, kind in enumerate(("answer", "review")):
        part = told[number * 6 : number * 6 + 6]
        assert part == [("node.started", kind)] * 3 + [("node.completed", kind)] * 3
    assert run.members == {"present": 3, "of": 3, "missing": []}
    assert run.final_draft == "The joined text."
    assert len(speaker.asked) == 7


async def test_without_a_member_the_council_goes_on_and_never_looks_whole(council_of_three):
    speaker = Speaker()
    speaker.bad["model-2"] = Answer(status=401)
    async with provider.serve(speaker) as server:
        run = await council_of_three(server)

    assert run.status == "completed", run.error_message
    assert run.members == {"present": 2, "of": 3, "missing": ["answer_2"]}
    assert "2 of 3 members" in run.final_draft
    failed = await run.events.aget(kind="node.failed")
    assert (failed.data["node"], failed.data["code"]) == ("answer_2", "model_auth")
    end = await run.events.aget(kind="run.completed")
    assert end.data["members"] == run.members
    assert run.usage["partial"] is True


async def test_below_its_quorum_the_run_fails_and_a_retry_asks_the_missing_ones_only(
    council_of_three,
):
    speaker = Speaker()
    speaker.bad = {"model-2": Answer(status=401), "model-3": Answer(status=401)}
    async with provider.serve(speaker) as server:
        run = await council_of_three(server)
        assert (run.status, run.error_code) == ("failed", "quorum_missed")
        asked = len(speaker.asked)
        speaker.bad = {}

        await sync_to_async(runs.retry)(run.pk, by="alice")
        await tasks.work(wait=False)

    await run.arefresh_from_db()
    assert run.status == "completed", run.error_message
    assert run.members["present"] == 3
    assert sorted(speaker.asked[asked : asked + 2]) == [
        ("answer", "model-2"),
        ("answer", "model-3"),
    ]
    assert [kind for kind, _ in speaker.asked[asked + 2 :]] == ["review"] * 3 + ["synthesis"]


async def test_the_chairs_failure_costs_only_the_chairs_call_again(council_of_three):
    speaker = Speaker()
    speaker.bad[("synthesis", "*")] = Answer(status=401)
    async with provider.serve(speaker) as server:
        run = await council_of_three(server)
        assert (run.status, run.error_code) == ("failed", "model_auth")
        asked = len(speaker.asked)
        speaker.bad = {}
        await sync_to_async(runs.retry)(run.pk, by="alice")
        await tasks.work(wait=False)

    await run.arefresh_from_db()
    assert run.status == "completed"
    assert [kind for kind, _ in speaker.asked[asked:]] == ["synthesis"]


async def test_where_a_model_fails_the_fallback_model_answers_and_the_log_says_so(
    council_of_three,
):
    speaker = Speaker()
    speaker.bad["model-2"] = Answer(status=500)
    for node in council_of_three.document["nodes"]:
        node.setdefault("settings", {})["fallbackModel"] = "openai:spare"
    newer = await council_of_three.blueprint.versions.acreate(
        number=2, document=council_of_three.document
    )
    async with provider.serve(speaker) as server:
        first = await council_of_three(server)
        run = await sync_to_async(runs.fork)(first, owner=None, after=0, version=newer)
        await tasks.work(wait=False)

    await run.arefresh_from_db()
    assert run.members == {"present": 3, "of": 3, "missing": []}
    done = await run.events.aget(kind="node.completed", data__node="answer_2")
    assert done.data["model"] == "openai:spare"
    tries = [event async for event in run.events.filter(kind="node.retried")]
    assert [event.data["code"] for event in tries] == ["model_unavailable"] * 2


async def test_a_node_that_takes_longer_than_its_time_limit_has_failed(
    council_of_three, settings
):
    speaker = Speaker()
    speaker.bad["model-2"] = HANGS
    document = council_of_three.document
    for node in document["nodes"]:
        if node["id"] == "answer_2":
            node["settings"]["timeLimit"] = 0.2
    newer = await council_of_three.blueprint.versions.acreate(number=2, document=document)
    async with provider.serve(speaker) as server:
        settings.OPENAI_BASE_URL = server.url
        run = await sync_to_async(runs.create)(
            topic="x", version=newer, owner=None, model="openai:chair"
        )
        await tasks.work(wait=False)

    await run.arefresh_from_db()
    assert run.status == "completed", run.error_message
    failed = await run.events.aget(kind="node.failed")
    assert failed.data["code"] == "node_timeout"
    assert run.members["missing"] == ["answer_2"]


def test_a_run_that_a_limit_stopped_counts_the_members_that_had_their_say(
    shipped_blueprints, alice, drain
):
    version = models.Blueprint.objects.get(slug="vote").newest
    run = runs.create(
        topic="x", version=version, owner=alice, model="demo:instant", limits={"calls": 2}
    )

    drain()

    run.refresh_from_db()
    assert (run.reason, run.members["present"], run.members["of"]) == ("call_limit", 2, 3)


async def test_a_member_whose_model_is_not_set_up_any_more_is_missing_like_any_other(
    council_of_three, settings
):
    for node in council_of_three.document["nodes"]:
        if node["id"] == "answer_2":
            node["model"] = "anthropic:claude"
    settings.ANTHROPIC_API_KEY = "sk-test"
    newer = await council_of_three.blueprint.versions.acreate(
        number=2, document=council_of_three.document
    )
    async with provider.serve(Speaker()) as server:
        settings.OPENAI_BASE_URL = server.url
        run = await sync_to_async(runs.create)(
            topic="x", version=newer, owner=None, model="openai:chair"
        )
        settings.ANTHROPIC_API_KEY = ""
        await tasks.work(wait=False)

    await run.arefresh_from_db()
    assert run.members["missing"] == ["answer_2"], run.error_message
    failed = await run.events.aget(kind="node.failed")
    assert failed.data["code"] == "model_not_configured"


@pytest.mark.parametrize(
    "slug", ["draft-critic-writer", "single", "three-opinions", "vote", "red-team"]
)
def test_every_council_that_ships_runs_within_the_calls_that_it_states(
    shipped_blueprints, alice, drain, slug
):
    version = models.Blueprint.objects.get(slug=slug).newest
    run = runs.create(topic="Should we?", version=version, owner=alice, model="demo:instant")

    drain()

    run.refresh_from_db()
    stated = version.document["calls"]
    assert run.status == "completed", run.error_message
    assert stated["least"] <= run.usage["calls"] <= stated["most"]
    assert run.final_draft
    assert run.usage["scripted"]


def test_a_member_that_is_killed_with_its_worker_is_asked_again_and_the_others_are_not(
    shipped_blueprints, alice, drain, zygote
):
    version = models.Blueprint.objects.get(slug="three-opinions").newest
    for commit in range(2, 14, 2):
        run = runs.create(topic="x", version=version, owner=alice, model="demo:instant")
        zygote.work(commit=commit, when="after")
        runs.rescue(silent_for=0)
        drain()
        run.refresh_from_db()
        assert run.status == "completed", run.error_message
        assert kinds(run).count("node.completed") == 7
        done = run.events.filter(kind="node.completed").values_list("data__task", flat=True)
        assert len(set(done)) == 7
        assert set(nodes_started(run)) == {node["id"] for node in version.document["nodes"]}
