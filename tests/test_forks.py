"""Again, and from here: retry, fork, and the same once more."""

import asyncio
import json
from functools import partial

import pytest
from asgiref.sync import sync_to_async
from django.test import Client

from experience import access, feed
from runtime import checkpoints, errors, gates, models, runs, tasks
from runtime.execution import attempt, steps
from tests import provider
from tests.conftest import at_once, kinds, nodes_started, the_gate
from tests.sockets import connect
from tests.speech import Answer

LOOP = ("d > k", "k revise> d", "k approve> w")
GATED = {"gateBefore": {}}
WIDE = ("d > d1", "d > d2", "d1 > w", "d2 > w")
APPROVAL = Answer('{"feedback": "Fine.", "score": 9, "verdict": "approve"}')


def _completed(run, node=None):
    """The finished steps of a run, or those of one node."""
    found = run.events.filter(kind="node.completed").order_by("seq")
    return [event for event in found if node in (None, event.data["node"])]


@pytest.fixture
def finished(new_run, council, drain):
    run = new_run(version=council(*LOOP))
    drain()
    run.refresh_from_db()
    return run


@pytest.fixture
def openai(settings):
    def aim(server):
        settings.OPENAI_API_KEY, settings.OPENAI_BASE_URL = "sk-test", server.url
        settings.MODEL_MAX_TRIES = 1

    return aim


# --- retry -----------------------------------------------------------------------------


async def _failed(server, new_run, *answers, **more):
    server.then(*answers)
    run = await sync_to_async(new_run)(model="openai:gpt-4o", **more)
    await tasks.work(wait=False)
    await run.arefresh_from_db()
    assert run.status == "failed"
    return run


async def test_a_retry_goes_on_after_the_last_finished_node_in_the_same_log(openai, new_run):
    async with provider.serve() as server:
        openai(server)
        run = await _failed(server, new_run, Answer("A draft."), Answer(status=401))
        server.then(APPROVAL, Answer("Polished."))

        await sync_to_async(runs.retry)(run.pk, by="alice")
        await tasks.work(wait=False)

    await run.arefresh_from_db()
    assert (run.status, run.final_draft, run.error_code) == ("completed", "Polished.", "")
    assert (run.retries, run.attempt) == (1, 2)
    assert len(server.requests) == 4
    told = await sync_to_async(kinds)(run)
    assert told.count("run.failed") == told.count("run.retried") == 1
    assert told[-1] == "run.completed"
    again = await run.events.aget(kind="run.retried")
    assert (again.data["code"], again.data["node"]) == ("model_auth", "critic_agent")
    assert await sync_to_async(nodes_started)(run) == [
        "master_agent",
        "critic_agent",
        "critic_agent",
        "writer_agent",
    ]


async def test_a_retried_run_may_fail_again_and_be_retried_again(openai, new_run):
    async with provider.serve() as server:
        openai(server)
        run = await _failed(server, new_run, Answer(status=401))
        for _ in range(2):
            server.then(Answer(status=401))
            await sync_to_async(runs.retry)(run.pk, by="alice")
            await tasks.work(wait=False)

    await run.arefresh_from_db()
    assert (run.status, run.retries) == ("failed", 2)
    assert (await sync_to_async(kinds)(run)).count("run.failed") == 3


def test_only_a_run_that_has_failed_can_be_retried(finished, new_run):
    for run in (finished, new_run()):
        with pytest.raises(errors.RunNotFailed):
            runs.retry(run.pk, by="alice")


async def test_a_retry_with_the_same_key_is_done_once(openai, new_run):
    async with provider.serve() as server:
        openai(server)
        run = await _failed(server, new_run, Answer(status=401))
    retry = sync_to_async(runs.retry)

    await retry(run.pk, by="alice", idempotency_key="k")
    await retry(run.pk, by="alice", idempotency_key="k")

    assert (await sync_to_async(kinds)(run)).count("run.retried") == 1
    with pytest.raises(errors.RunNotFailed):
        await retry(run.pk, by="alice", idempotency_key="another")


async def test_watchers_of_a_retried_run_see_its_failure_as_past_and_then_its_end(
    openai, new_run, alice
):
    async with provider.serve() as server:
        openai(server)
        run = await _failed(server, new_run, Answer("A draft."), Answer(status=401))
        async with connect(run.pk, alice) as client:
            before = await client.frames()
        server.then(APPROVAL, Answer("Polished."))
        await sync_to_async(runs.retry)(run.pk, by="alice")
        await tasks.work(wait=False)

    async with connect(run.pk, alice) as client:
        whole = [frame["event"] for frame in await client.frames()]
    async with connect(run.pk, alice, query=f"?after={before[-1]['seq']}") as client:
        later = [frame["event"] for frame in await client.frames()]
    await feed.hub().close()

    assert before[-1]["event"] == "run_failed"
    assert "run_failed" not in whole
    assert whole.count("run_retried") == whole.count("run_complete") == 1
    assert later[1] == "run_retried"
    assert later[-1] == "run_complete"


# --- fork ------------------------------------------------------------------------------


@pytest.mark.parametrize("step", range(5))
def test_a_fork_from_any_step_runs_what_follows_and_nothing_before(
    finished, drain, step, alice
):
    until = _completed(finished)[step]

    child = runs.fork(finished, owner=alice, after=until.seq)
    drain()

    child.refresh_from_db()
    assert child.status == "completed"
    assert child.parent == finished
    assert child.parent_seq == until.seq
    assert nodes_started(child) == ["d", "k", "d", "k", "w"][step + 1 :]
    assert child.iteration_count == finished.iteration_count
    assert child.final_draft == finished.final_draft
    assert finished.children.get() == child


def test_the_childs_log_and_the_reused_part_of_the_parents_tell_the_whole_story(
    finished, drain, alice
):
    until = _completed(finished)[1]
    child = runs.fork(finished, owner=alice, after=until.seq)
    drain()

    reused = [event.data["node"] for event in _completed(finished) if event.seq <= until.seq]
    own = [event.data["node"] for event in _completed(child)]

    created = child.events.get(kind="run.created")
    assert (created.data["parent"], created.data["parent_seq"]) == (
        str(finished.pk),
        until.seq,
    )
    assert reused + own == [event.data["node"] for event in _completed(finished)]
    state = checkpoints.state_of(child)
    assert state["run_id"] == str(child.pk)
    assert [m["content"] for m in state["messages"]] == [
        m["content"] for m in checkpoints.state_of(finished)["messages"]
    ]


def test_the_parent_stays_as_it_was(finished, drain, alice):
    before = list(finished.events.values_list("seq", "kind"))
    stored = models.Checkpoint.objects.filter(thread_id=str(finished.pk)).count()

    runs.fork(finished, owner=alice, after=_completed(finished)[0].seq)
    drain()

    assert list(finished.events.values_list("seq", "kind")) == before
    assert models.Checkpoint.objects.filter(thread_id=str(finished.pk)).count() == stored


async def test_a_fork_with_another_prompt_and_model_uses_them_for_what_follows(
    openai, finished, alice, settings
):
    until = (await sync_to_async(_completed)(finished))[2]
    changed = {
        "k": {"systemPrompt": "Be merciless."},
        "w": {"model": "openai:gpt-4o-mini"},
    }
    async with provider.serve() as server:
        openai(server)
        server.then(APPROVAL, Answer("Polished by another."))
        child = await sync_to_async(runs.fork)(
            finished, owner=alice, after=until.seq, model="openai:gpt-4o", overrides=changed
        )
        await tasks.work(wait=False)

    await child.arefresh_from_db()
    assert child.final_draft == "Polished by another."
    asked = [request.body for request in server.requests]
    assert [body["model"] for body in asked] == ["gpt-4o", "gpt-4o-mini"]
    assert "Be merciless." in json.dumps(asked[0])
    assert until.data["output"]["draft"] in asked[0]["messages"][-1]["content"]


def test_a_fork_beside_other_branches_reuses_what_was_finished_by_then(
    new_run, council, drain, alice
):
    run = new_run(version=council(*WIDE))
    drain()
    first, second = _completed(run)[1:3]
    assert {first.data["node"], second.data["node"]} == {"d1", "d2"}

    child = runs.fork(run, owner=alice, after=first.seq)
    drain()

    child.refresh_from_db()
    assert child.status == "completed"
    assert nodes_started(child) == [second.data["node"], "w"]


def test_a_fork_may_go_on_in_another_version_of_the_blueprint(finished, drain, alice):
    document = finished.blueprint_version.document
    changed = {
        **document,
        "nodes": [*document["nodes"], {"id": "w2", "kind": "writer"}],
        "edges": [
            *document["edges"],
            {"id": "w-w2", "source": "w", "target": "w2", "type": "linear"},
        ],
    }
    newer = finished.blueprint_version.blueprint.versions.create(number=2, document=changed)
    until = _completed(finished)[3]

    child = runs.fork(finished, owner=alice, after=until.seq, version=newer)
    drain()

    child.refresh_from_db()
    assert child.status == "completed"
    assert nodes_started(child) == ["w", "w2"]
    assert child.critic_score == finished.critic_score
    assert child.reason == "approved"


def test_a_fork_in_another_version_from_between_branches_is_refused(
    new_run, council, drain, alice
):
    run = new_run(version=council(*WIDE))
    drain()
    other = council(*WIDE, "w > w2")

    with pytest.raises(errors.ForkNotPossible):
        runs.fork(run, owner=alice, after=_completed(run)[1].seq, version=other)
    with pytest.raises(errors.ForkNotPossible):
        runs.fork(run, owner=alice, after=_completed(run)[0].seq, version=council("w > w2"))
    assert not run.children.exists()


def test_a_fork_may_be_given_gates_that_the_parent_did_not_have(finished, drain, alice):
    until = _completed(finished)[3]

    child = runs.fork(finished, owner=alice, after=until.seq, god_mode=True)
    drain()

    assert the_gate(child).node == "w"
    gates.answer(the_gate(child).pk, action="approve", by="alice")
    drain()
    assert nodes_started(child) == ["w"]


def test_a_fork_of_nothing_is_the_same_once_more(finished, drain, alice):
    child = runs.fork(finished, owner=alice, after=0)
    drain()

    child.refresh_from_db()
    assert nodes_started(child) == ["d", "k", "d", "k", "w"]
    assert (child.parent, child.parent_seq) == (finished, 0)
    assert (child.input_topic, child.model) == (finished.input_topic, finished.model)


def test_a_run_that_a_limit_stopped_is_forked_with_a_larger_one(new_run, drain, alice):
    run = new_run(limits={"calls": 3})
    drain()
    run.refresh_from_db()

    child = runs.fork(run, owner=alice, limits={"calls": 2})
    drain()

    child.refresh_from_db()
    assert nodes_started(child) == ["critic_agent", "writer_agent"]
    assert (child.status, child.usage["calls"]) == ("completed", 2)


def test_a_fork_from_the_end_is_refused_unless_it_is_asked_for_by_its_number(finished, alice):
    with pytest.raises(errors.ForkNotPossible, match="Nothing follows"):
        runs.fork(finished, owner=alice)

    assert runs.fork(finished, owner=alice, after=_completed(finished)[-1].seq)


@pytest.mark.parametrize(("node", "again"), [("w", ["w"]), ("k", ["k", "d", "k", "w"])])
def test_a_fork_with_a_changed_node_goes_on_from_before_that(
    finished, drain, alice, node, again
):
    child = runs.fork(finished, owner=alice, overrides={node: {"systemPrompt": "Short."}})
    drain()

    assert nodes_started(child) == again


def test_a_fork_with_another_first_node_begins_anew(finished, alice):
    child = runs.fork(finished, owner=alice, overrides={"d": {"systemPrompt": "Short."}})

    assert child.parent_seq == 0


def test_a_fork_with_the_same_key_is_made_once(finished, alice):
    changed = {"w": {"systemPrompt": "Short."}}
    first = runs.fork(finished, owner=alice, overrides=changed, idempotency_key="k")

    assert runs.fork(finished, owner=alice, overrides=changed, idempotency_key="k") == first
    with pytest.raises(errors.IdempotencyConflict):
        runs.fork(finished, owner=alice, after=0, idempotency_key="k")


def test_a_fork_from_a_step_that_is_none_is_refused(finished, alice):
    with pytest.raises(errors.StepNotFound):
        runs.fork(finished, owner=alice, after=1)


def test_a_fork_of_a_fork_goes_on_from_the_childs_own_steps(finished, drain, alice):
    child = runs.fork(finished, owner=alice, after=_completed(finished)[1].seq)
    drain()

    grandchild = runs.fork(child, owner=alice, after=_completed(child)[0].seq)
    drain()

    grandchild.refresh_from_db()
    assert nodes_started(grandchild) == ["k", "w"]
    assert grandchild.final_draft == finished.final_draft


@pytest.mark.parametrize(
    "overrides", [{"x": {"model": "demo:instant"}}, {"k": {"kind": "draft"}}]
)
def test_a_fork_that_changes_what_there_is_not_is_refused(finished, alice, overrides):
    with pytest.raises(errors.BlueprintInvalid):
        runs.fork(finished, owner=alice, overrides=overrides)


# --- by REST ---------------------------------------------------------------------------


@pytest.fixture
def program(alice):
    secret = access.create_token(alice, "test")
    return Client(headers={"authorization": f"Bearer {secret}"})


def _post(client, path, body=None, **headers):
    return client.post(path, json.dumps(body or {}), "application/json", headers=headers)


def test_by_rest_a_run_is_forked_once_for_a_key(program, finished, drain):
    path = f"/api/councils/run/{finished.pk}/fork"
    body = {"after": _completed(finished)[3].seq, "nodes": {"w": {"systemPrompt": "Short."}}}

    first = _post(program, path, body, **{"Idempotency-Key": "k"})
    again = _post(program, path, body, **{"Idempotency-Key": "k"})

    assert first.status_code == 202
    assert first.json()["run_id"] == again.json()["run_id"]
    child = program.get(f"/api/councils/run/{first.json()['run_id']}").json()
    assert (child["parent"], child["parent_seq"]) == (str(finished.pk), body["after"])
    drain()
    assert nodes_started(models.Run.objects.get(pk=first.json()["run_id"])) == ["w"]


def test_by_rest_what_cannot_be_forked_or_retried_is_refused(program, finished, bob):
    run = f"/api/councils/run/{finished.pk}"
    stranger = Client(headers={"authorization": f"Bearer {access.create_token(bob, 'b')}"})

    assert _post(program, f"{run}/fork", {"after": 1}).status_code == 404
    assert _post(program, f"{run}/fork", {"after": "x"}).status_code == 400
    assert _post(program, f"{run}/fork", {"version": 7}).status_code == 404
    assert _post(program, f"{run}/fork", {"limits": {"calls": 0}}).status_code == 400
    assert _post(program, f"{run}/retry").json()["error"]["code"] == "run_not_failed"
    assert _post(stranger, f"{run}/fork").status_code == 404
    assert _post(stranger, f"{run}/retry").status_code == 404


async def test_two_retries_at_once_are_one(openai, new_run):
    async with provider.serve() as server:
        openai(server)
        run = await _failed(server, new_run, Answer(status=401))

    outcomes = await at_once(*[partial(runs.retry, run.pk, by="alice")] * 5)

    assert sum(isinstance(outcome, models.Run) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, errors.RunNotFailed) for outcome in outcomes) == 4


# --- where a fork cannot go on ----------------------------------------------------------


def _forks_into(run, version, alice, node):
    (step,) = _completed(run, node)
    return lambda: runs.fork(run, owner=alice, after=step.seq, version=version)


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (("d > w", "d2 > w"), "waits for d2"),
        (("k > w",), "no node d"),
        (("w > w2", "w2 > d"), "Nothing follows"),
    ],
)
def test_a_fork_into_a_graph_in_which_it_could_not_go_on_is_refused(
    new_run, council, drain, alice, other, why
):
    run = new_run(version=council("d > w"))
    drain()
    entries = [other[0][:1], "d2"] if "d2 > w" in other else []

    with pytest.raises(errors.ForkNotPossible, match=why):
        _forks_into(run, council(*other, entries=entries), alice, "d")()


def test_a_fork_into_a_graph_without_the_way_that_was_chosen_is_refused(
    new_run, council, drain, alice
):
    run = new_run(version=council("d > r", "r x> w1", "r y> w2"))
    drain()
    run.refresh_from_db()
    assert run.status == "completed"
    other = council("d > r", "r p> w1", "r q> w2")

    with pytest.raises(errors.ForkNotPossible, match="Nothing follows"):
        _forks_into(run, other, alice, "r")()


def test_a_fork_into_a_graph_in_which_the_node_is_of_another_kind_is_refused(
    new_run, council, drain, alice
):
    run = new_run(version=council("d > w"))
    drain()
    other = council("d > k", "k revise> d", "k approve> w")
    document = json.loads(
        json.dumps(other.document).replace('"d"', '"x"').replace('"k"', '"d"')
    )
    newer = other.blueprint.versions.create(number=2, document=document)

    with pytest.raises(errors.ForkNotPossible, match="is a critic"):
        _forks_into(run, newer, alice, "d")()


def test_a_fork_into_god_mode_beside_a_branch_that_is_under_way_is_refused(
    new_run, council, drain, alice
):
    run = new_run(
        version=council("d1 > w", "d2 > w", entries=["d1", "d2"], d2={"gateBefore": {}})
    )
    drain()
    assert the_gate(run).node == "d2"

    with pytest.raises(errors.ForkNotPossible, match="waits for d2"):
        runs.fork(run, owner=alice, god_mode=True)


# --- requests that are sent again --------------------------------------------------------


def test_a_request_that_is_sent_again_is_the_same_though_a_newer_version_was_saved(
    new_run, council, alice
):
    version = council(*LOOP)
    first = new_run(version=version, idempotency_key="k")
    newer = version.blueprint.versions.create(
        number=2, document={**version.document, "name": "newer"}
    )

    assert new_run(version=newer, idempotency_key="k") == first


def test_a_fork_from_the_last_step_is_the_same_though_the_parent_has_gone_on(
    new_run, council, drain, alice
):
    run = new_run(version=council(*LOOP, k={"gateBefore": {}}))
    drain()
    first = runs.fork(run, owner=alice, idempotency_key="k")
    gates.answer(the_gate(run).pk, action="approve", by="alice")
    drain()

    assert runs.fork(run, owner=alice, idempotency_key="k") == first


def test_whoever_only_answers_a_gate_runs_no_other_version_of_the_blueprint(
    new_run, council, drain, bob
):
    version = council("d > w", w={"gateBefore": {"answerers": ["user:bob"]}})
    version.blueprint.versions.create(number=2, document=version.document | {"name": "secret"})
    run = new_run(version=version)
    drain()
    client = Client(headers={"authorization": f"Bearer {access.create_token(bob, 'b')}"})

    own = _post(client, f"/api/councils/run/{run.pk}/fork", {"version": 1, "after": 0})
    other = _post(client, f"/api/councils/run/{run.pk}/fork", {"version": 2, "after": 0})

    assert (own.status_code, other.status_code) == (202, 404)


# --- finished, or not --------------------------------------------------------------------


@pytest.mark.parametrize("turns", range(8))
async def test_what_is_told_to_be_finished_is_stored_though_another_fails_that_moment(
    new_run, council, monkeypatch, turns
):
    version = await sync_to_async(council)("d1 > w", "d2 > w", entries=["d1", "d2"])
    run = await sync_to_async(new_run)(version=version)
    finished = asyncio.Event()
    finish, perform = attempt.Attempt.finish, steps.NodeRun.perform

    def finishing(self, task, change):
        finish(self, task, change)
        finished.set()

    async def failing(self):
        if self.node.id == "d2":
            await finished.wait()
            for _ in range(turns):
                await asyncio.sleep(0)
            raise errors.Fault("model_auth", "No key.")
        return await perform(self)

    monkeypatch.setattr(attempt.Attempt, "finish", finishing)
    monkeypatch.setattr(steps.NodeRun, "perform", failing)
    await tasks.work(wait=False)
    monkeypatch.undo()

    async for event in run.events.filter(kind="node.completed"):
        stored = models.CheckpointWrite.objects.filter(task_id=event.data["task"], idx__gte=0)
        assert await stored.aexists(), "told, and not stored"
    await sync_to_async(runs.retry)(run.pk, by="alice")
    await tasks.work(wait=False)
    await run.arefresh_from_db()
    assert run.status == "completed", run.error_message


def test_a_fork_into_another_graph_beside_a_gate_that_is_open_is_refused(
    new_run, council, drain, alice
):
    run = new_run(version=council("d1 > w1", "d2 > w2", entries=["d1", "d2"], d2=GATED))
    drain()
    assert the_gate(run).node == "d2"

    with pytest.raises(errors.ForkNotPossible, match="Other branches"):
        _forks_into(run, council("d1 > w1"), alice, "d1")()
