"""Gates: a run waits for a person, who answers once."""

import json
from datetime import timedelta
from functools import partial
from uuid import uuid4

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import Group, User
from django.test import Client
from django.utils import timezone

from experience import access, feed
from runtime import errors, gates, models, runs, tasks
from tests import provider
from tests.conftest import at_once, kinds, nodes_started, the_gate
from tests.sockets import connect
from tests.speech import Answer

GATED = {"gateBefore": {}}
LOOP = ("d > k", "k revise> d", "k approve> w")


@pytest.fixture
def paused(new_run, council, drain):
    """A run that waits before its critic."""
    run = new_run(version=council(*LOOP, k={"gateBefore": {}}))
    drain()
    return run


def _approve(run, **more):
    return gates.answer(the_gate(run).pk, action="approve", by="alice", **more)


def _drafts_of(run):
    done = run.events.filter(kind="node.completed").order_by("seq")
    return [event.data["node"] for event in done]


# --- waiting ---------------------------------------------------------------------------


def test_at_a_gate_the_run_is_paused_and_the_gate_says_what_is_asked(paused):
    gate = the_gate(paused)

    assert (gate.node, gate.place, gate.actions) == (
        "k",
        "before",
        ["approve", "modify", "reject"],
    )
    assert gate.proposal["next_nodes"] == ["k"]
    assert gate.proposal["current_draft"] == paused.current_draft != ""
    assert gate.proposal["may_change"] == ["current_draft", "feedback", "next_node"]
    assert set(gate.targets) == {"d", "w"}
    assert kinds(paused)[-1] == "gate.opened"


def test_a_run_that_waits_needs_no_worker_and_no_job(paused, drain):
    drain()

    assert runs.rescue(silent_for=0) == []
    assert nodes_started(paused) == ["d"]
    assert the_gate(paused)


def test_approved_it_goes_on_and_the_model_of_no_node_is_asked_twice(paused, drain):
    for _ in range(2):
        _approve(paused)
        drain()

    paused.refresh_from_db()
    assert paused.status == "completed"
    assert nodes_started(paused) == ["d", "k", "d", "k", "w"]
    assert [g.answered_by for g in paused.gates.all()] == ["alice", "alice"]


def test_god_mode_puts_a_gate_before_every_node(new_run, drain):
    run = new_run(god_mode=True)
    asked = []
    drain()
    while (run.refresh_from_db() or run.status) == "paused":
        asked.append(the_gate(run).node)
        _approve(run)
        drain()

    assert run.status == "completed"
    assert run.gates.get(number=1, node="writer_agent").proposal["why"] == (
        "Critic decided: approve. Writer is next."
    )
    assert asked == nodes_started(run)
    assert asked == [*["master_agent", "critic_agent"] * 2, "writer_agent"]


def test_where_a_person_sent_the_run_no_node_is_said_to_have_decided_it(new_run, drain):
    run = new_run(god_mode=True)
    drain()
    for _ in range(2):
        _approve(run)
        drain()
    sent = {"next_node": "critic_agent"}
    gates.answer(the_gate(run).pk, action="reject", by="alice", says=sent)
    drain()

    assert the_gate(run).proposal["why"] == "Critic is next."


def test_a_gate_after_a_node_shows_what_it_made_and_its_way_on(new_run, council, drain):
    run = new_run(version=council(*LOOP, k={"gateAfter": {"ask": "Is it fair?"}}))
    drain()

    gate = the_gate(run)

    assert (gate.ask, gate.proposal["next_nodes"]) == ("Is it fair?", ["d"])
    assert "revise" in gate.proposal["why"]
    _approve(run)
    drain()
    assert the_gate(run).proposal["next_nodes"] == ["w"]
    _approve(run)
    drain()
    assert nodes_started(run) == ["d", "k", "d", "k", "w"]


def test_a_gate_before_the_first_node_waits_before_any_model_is_called(new_run, council, drain):
    run = new_run(version=council("d > w", d={"gateBefore": {}}))

    drain()

    assert the_gate(run).node == "d"
    assert nodes_started(run) == []
    assert the_gate(run).proposal["may_change"] == ["feedback", "next_node"]


def test_two_gates_in_parallel_branches_are_answered_in_either_order(new_run, council, drain):
    wide = ("d > d1", "d > d2", "d1 > w", "d2 > w")
    both = {"gateBefore": {}}
    for first, second in ((0, 1), (1, 0)):
        run = new_run(version=council(*wide, d1=both, d2=both))
        drain()
        run.refresh_from_db()
        found = gates.open_of(run)
        assert {gate.node for gate in found} == {"d1", "d2"}

        gates.answer(found[first].pk, action="approve", by="alice")
        drain()
        assert the_gate(run) == found[second]
        assert nodes_started(run) == ["d"]
        gates.answer(found[second].pk, action="approve", by="bob")
        drain()

        run.refresh_from_db()
        assert run.status == "completed"
        assert sorted(nodes_started(run)) == ["d", "d1", "d2", "w"]


def test_a_gate_beside_a_branch_that_works_opens_when_that_has_finished(
    new_run, council, drain
):
    run = new_run(
        version=council("d > d1", "d > d2", "d1 > w", "d2 > w", d1={"gateBefore": {}})
    )

    drain()

    assert the_gate(run).node == "d1"
    assert _drafts_of(run) == ["d", "d2"]
    _approve(run)
    drain()
    assert sorted(nodes_started(run)) == ["d", "d1", "d2", "w"]


# --- answering -------------------------------------------------------------------------


def test_a_second_answer_is_refused_and_says_who_was_first_and_when(paused):
    gate = the_gate(paused)
    first = gates.answer(gate.pk, action="approve", by="alice")

    with pytest.raises(errors.GateAnswered) as refused:
        gates.answer(gate.pk, action="reject", by="bob")

    assert refused.value.detail["by"] == "alice"
    assert refused.value.detail["action"] == "approve"
    assert refused.value.detail["at"].startswith(f"{first.answered_at:%Y-%m-%dT%H:%M:%S}")


async def test_of_answers_at_once_one_acts(new_run, council, adrain):
    run = await sync_to_async(new_run)(version=await sync_to_async(council)(*LOOP, k=GATED))
    await adrain()
    gate = await sync_to_async(the_gate)(run)

    outcomes = await at_once(
        *[partial(gates.answer, gate.pk, action="approve", by=f"{n}") for n in range(8)]
    )

    winners = [each for each in outcomes if isinstance(each, models.Gate)]
    assert len(winners) == 1
    told = {each.detail["by"] for each in outcomes if isinstance(each, errors.GateAnswered)}
    assert told == {winners[0].answered_by}, "all were told of the same one"
    await adrain()
    assert (await sync_to_async(nodes_started)(run))[:3] == ["d", "k", "d"]


async def _prompts_after(openai_answers, new_run, version, settings, say):
    """What a model is sent after a gate was answered by `say`."""
    async with provider.serve() as server:
        settings.OPENAI_API_KEY, settings.OPENAI_BASE_URL = "sk-test", server.url
        server.then(*openai_answers)
        run = await sync_to_async(new_run)(version=version, model="openai:gpt-4o")
        await tasks.work(wait=False)
        gate = await sync_to_async(the_gate)(run)
        await sync_to_async(gates.answer)(gate.pk, by="alice", **say)
        await tasks.work(wait=False)
        return run, [json.dumps(request.body) for request in server.requests]


APPROVAL = Answer('{"feedback": "Fine.", "score": 9, "verdict": "approve"}')


async def test_a_modified_draft_and_feedback_are_what_the_next_node_is_shown(
    new_run, council, settings
):
    version = await sync_to_async(council)(*LOOP, k={"gateBefore": {}})
    says = {"current_draft": "A better draft.", "feedback": "Mind the price."}
    answers = (Answer("A draft."), APPROVAL, Answer("Polished."))

    run, prompts = await _prompts_after(
        answers, new_run, version, settings, {"action": "modify", "says": says}
    )

    await run.arefresh_from_db()
    assert run.final_draft == "Polished."
    assert "A better draft." in prompts[1]
    assert "A draft." not in prompts[1]
    assert "Mind the price." in prompts[1]


async def test_a_rejection_to_a_node_shows_it_the_comment_and_does_the_step_again(
    new_run, council, settings
):
    version = await sync_to_async(council)("d > w", w={"gateBefore": {}})
    says = {"next_node": "d", "comment": "Far too long."}
    answers = (Answer("A draft."), Answer("A shorter one."))

    run, prompts = await _prompts_after(
        answers, new_run, version, settings, {"action": "reject", "says": says}
    )

    assert "Far too long." in prompts[1]
    gate = await sync_to_async(the_gate)(run)
    assert gate.proposal["current_draft"] == "A shorter one."
    assert await sync_to_async(nodes_started)(run) == ["d", "d"]


def test_a_modified_way_skips_what_lies_between(paused, drain):
    gates.answer(the_gate(paused).pk, action="modify", by="alice", says={"next_node": "w"})
    drain()

    paused.refresh_from_db()
    assert paused.status == "completed"
    assert nodes_started(paused) == ["d", "w"]


def test_a_rejection_without_a_node_ends_the_run_as_cancelled_because_rejected(paused, drain):
    gates.answer(the_gate(paused).pk, action="reject", by="alice")
    drain()

    paused.refresh_from_db()
    assert (paused.status, paused.reason) == ("cancelled", "rejected")
    assert paused.current_draft
    assert kinds(paused)[-2:] == ["gate.answered", "run.cancelled"]
    assert nodes_started(paused) == ["d"]


@pytest.mark.parametrize(
    ("action", "says"),
    [
        ("modify", {"route": "approve"}),
        ("modify", {"current_draft": 5}),
        ("modify", {"current_draft": "x" * 100_001}),
        ("modify", {"next_node": "nowhere"}),
        ("modify", {"next_node": "k"}),
        ("modify", {}),
        ("approve", {"current_draft": "x"}),
        ("approve", {"limits": {"calls": 5}}),
        ("reject", {"next_node": "nowhere"}),
        ("reject", {"feedback": "x"}),
        ("escalate", {}),
    ],
)
def test_an_answer_that_cannot_be_is_refused_and_leaves_the_gate_open(paused, action, says):
    gate = the_gate(paused)

    with pytest.raises(errors.AnswerInvalid):
        gates.answer(gate.pk, action=action, by="alice", says=says)

    assert the_gate(paused) == gate
    assert gates.answer(gate.pk, action="approve", by="alice")


def test_a_gate_allows_only_the_actions_that_its_blueprint_states(new_run, council, drain):
    run = new_run(version=council("d > w", w={"gateBefore": {"actions": ["approve"]}}))
    drain()

    with pytest.raises(errors.AnswerInvalid):
        gates.answer(the_gate(run).pk, action="reject", by="alice")


def test_what_was_answered_by_whom_and_when_is_in_the_log(paused):
    says = {"feedback": "Mind the price."}
    gates.answer(the_gate(paused).pk, action="modify", by="alice", says=says)

    told = paused.events.get(kind="gate.answered")

    assert (told.data["by"], told.data["action"]) == ("alice", "modify")
    assert told.data["answer"] == says
    assert kinds(paused)[-2:] == ["gate.answered", "run.resumed"]


def test_a_run_that_was_cancelled_while_it_waited_takes_no_answer(paused):
    gate = the_gate(paused)
    runs.cancel(paused.pk, by="bob")

    with pytest.raises(errors.RunFinished):
        gates.answer(gate.pk, action="approve", by="alice")


def test_an_answer_without_a_name_cannot_mean_a_gate_that_opened_after_it(paused, drain):
    arrived = timezone.now()
    gates.answer(the_gate(paused).pk, action="approve", by="alice")
    drain()
    assert the_gate(paused)

    with pytest.raises(errors.GateAnswered):
        gates.find(paused, None, seen_at=arrived)


# --- deadlines -------------------------------------------------------------------------


def _overdue(new_run, council, drain, what):
    gate = {"deadline": 3600, "onDeadline": what}
    run = new_run(version=council("d > w", w={"gateBefore": gate}))
    drain()
    # The outage: nobody looks for as long as it takes.
    past = timezone.now() - timedelta(seconds=1)
    models.Gate.objects.filter(run=run).update(deadline=past)
    return run


@pytest.mark.parametrize(
    ("what", "status"), [("approve", "completed"), ("reject", "cancelled")]
)
def test_a_deadline_that_passed_during_an_outage_acts_when_somebody_looks(
    new_run, council, drain, what, status
):
    run = _overdue(new_run, council, drain, what)

    assert gates.expire() == [run.pk]
    assert gates.expire() == []
    drain()

    run.refresh_from_db()
    assert run.status == status
    assert run.gates.get().answered_by == "the deadline"


def test_an_answer_that_comes_after_the_deadline_is_refused_though_nobody_had_looked(
    new_run, council, drain
):
    run = _overdue(new_run, council, drain, "approve")

    with pytest.raises(errors.GateAnswered) as refused:
        gates.answer(the_gate(run).pk, action="reject", by="alice")

    assert refused.value.detail["by"] == "the deadline"
    drain()
    run.refresh_from_db()
    assert run.status == "completed"


def test_a_gate_that_is_to_stay_stays_beyond_its_deadline(new_run, council, drain):
    run = _overdue(new_run, council, drain, "stay")

    assert gates.expire() == []
    gates.answer(the_gate(run).pk, action="approve", by="alice")


# --- who -------------------------------------------------------------------------------


@pytest.fixture
def program():
    def of(user):
        secret = access.create_token(user, uuid4().hex)
        return Client(headers={"authorization": f"Bearer {secret}"})

    return of


def _answer(client, run, **body):
    path = f"/api/councils/run/{run.pk}/approve"
    response = client.post(path, json.dumps(body), "application/json")
    return response.status_code, response.json()


def test_by_rest_a_gate_is_shown_and_answered_once(paused, alice, program, drain):
    client = program(alice)
    state = client.get(f"/api/councils/run/{paused.pk}").json()
    assert (state["paused"], state["next_nodes"]) == (True, ["k"])
    assert state["gates"][0]["gate"] == str(the_gate(paused).pk)

    status, body = _answer(client, paused, action="approve")
    again, refusal = _answer(client, paused, action="approve")

    assert (status, body["status"], body["answered_by"]) == (200, "pending", "alice")
    assert (again, refusal["error"]["code"]) == (409, "gate_answered")
    assert refusal["error"]["detail"]["by"] == "alice"
    drain()
    assert nodes_started(paused)[:3] == ["d", "k", "d"]


def test_by_rest_a_modification_is_the_modified_state(paused, alice, program):
    says = {"current_draft": "Mine.", "feedback": "Shorter."}

    status, _ = _answer(program(alice), paused, action="modify", modified_state=says)

    assert status == 200
    assert paused.gates.get().answer == says


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"action": "resume"}, "input_invalid"),
        ({}, "input_invalid"),
        ({"action": "modify", "modified_state": {"status": "x"}}, "answer_invalid"),
        ({"action": "modify", "modified_state": "x"}, "input_invalid"),
        ({"action": "approve", "gate_id": str(uuid4())}, "gate_not_found"),
    ],
)
def test_by_rest_an_answer_that_cannot_be_is_refused(paused, alice, program, body, code):
    status, refusal = _answer(program(alice), paused, **body)

    assert status in (400, 404)
    assert refusal["error"]["code"] == code
    assert the_gate(paused)


def test_with_two_gates_open_an_answer_has_to_name_one(new_run, council, drain, alice, program):
    both = {"gateBefore": {}}
    run = new_run(version=council("d > d1", "d > d2", "d1 > w", "d2 > w", d1=both, d2=both))
    drain()

    status, refusal = _answer(program(alice), run, action="approve")

    assert (status, refusal["error"]["code"]) == (409, "gate_ambiguous")
    for gate in refusal["error"]["detail"]["gates"]:
        assert _answer(program(alice), run, action="approve", gate_id=gate)[0] == 200


def test_a_run_that_does_not_wait_has_no_gate_to_answer(new_run, alice, program):
    status, refusal = _answer(program(alice), new_run(), action="approve")

    assert (status, refusal["error"]["code"]) == (409, "gate_not_open")


def test_who_is_named_may_answer_and_nobody_else_not_even_the_owner(
    new_run, council, drain, alice, bob, program
):
    carol = User.objects.create_user("carol")
    carol.groups.add(Group.objects.create(name="editors"))
    gate = {"answerers": ["group:editors", "user:dave"]}
    run = new_run(version=council("d > w", w={"gateBefore": gate}))
    drain()

    assert _answer(program(bob), run, action="approve")[0] == 404, "sees nothing of it"
    status, refusal = _answer(program(alice), run, action="approve")
    assert (status, refusal["error"]["code"]) == (403, "gate_not_yours")
    assert _answer(program(carol), run, action="approve")[0] == 200


def test_who_may_answer_may_watch_but_not_stop(new_run, council, drain, bob, program):
    gate = {"answerers": ["user:bob"]}
    run = new_run(version=council("d > w", w={"gateBefore": gate}))
    drain()

    client = program(bob)

    assert client.get(f"/api/councils/run/{run.pk}").status_code == 200
    stopped = client.post(f"/api/councils/run/{run.pk}/cancel")
    assert (stopped.status_code, stopped.json()["error"]["code"]) == (403, "run_read_only")


# --- the socket ------------------------------------------------------------------------


@pytest.fixture(autouse=True)
async def _hub_closed():
    yield
    await feed.hub().close()


async def _frames_until(client, name):
    found = []
    while not found or found[-1]["event"] != name:
        frame = await client.frame()
        assert frame is not None, [f["event"] for f in found]
        found.append(frame)
    return found


async def test_on_the_socket_a_gate_is_told_answered_and_seen_to_be_answered(
    new_run, council, alice, adrain
):
    version = await sync_to_async(council)("d > w", w={"gateBefore": {}})
    run = await sync_to_async(new_run)(version=version)
    await adrain()
    async with connect(run.pk, alice) as client:
        told = (await _frames_until(client, "run_paused"))[-1]
        assert told["next_nodes"] == ["w"]
        await client.send(type="answer", gate_id=told["gate"]["gate"], action="approve")
        answered = await _frames_until(client, "run_resumed")
        assert answered[0]["by"] == "alice"
        await client.send(type="answer", gate_id=told["gate"]["gate"], action="approve")
        refused = (await _frames_until(client, "error"))[-1]
        assert (refused["code"], refused["detail"]["by"]) == ("gate_answered", "alice")
        await adrain()
        assert (await client.frames())[-1]["event"] == "run_complete"


async def test_whoever_joins_later_is_told_of_the_open_gate(new_run, council, alice, adrain):
    version = await sync_to_async(council)("d > w", w={"gateBefore": {}})
    run = await sync_to_async(new_run)(version=version)
    await adrain()
    await run.arefresh_from_db()

    async with connect(run.pk, alice, query=f"?after={run.last_seq}") as client:
        first, second = await client.frame(), await client.frame()

    assert (first["event"], first["status"]) == ("connected", "paused")
    assert second["event"] == "run_paused"
    assert "seq" not in second, "it is no step back for a client that counts"


async def test_of_fifty_answers_at_once_by_rest_and_socket_one_acts(
    new_run, council, alice, program, adrain
):
    version = await sync_to_async(council)("d > w", w={"gateBefore": {}})
    run = await sync_to_async(new_run)(version=version)
    await adrain()
    client = await sync_to_async(program)(alice)
    async with connect(run.pk, alice) as socket:
        gate = (await _frames_until(socket, "run_paused"))[-1]["gate"]["gate"]
        for _ in range(25):
            await socket.send(type="answer", gate_id=gate, action="approve")
        answers = await at_once(*[partial(_answer, client, run, action="approve")] * 25)
        frames = [await socket.frame()]
        while sum(frame["event"] == "error" for frame in frames) < 24 + (
            200 in [status for status, _ in answers]
        ):
            frames.append(await socket.frame())

    acted = [status for status, _ in answers].count(200)
    refused = [frame for frame in frames if frame["event"] == "error"]
    assert acted + 25 - len(refused) == 1
    assert {frame["code"] for frame in refused} == {"gate_answered"}
    assert {status for status, _ in answers} <= {200, 409}
    await adrain()
    assert await sync_to_async(nodes_started)(run) == ["d", "w"]


# --- what was left behind, and what was sent in vain -------------------------------------


@pytest.fixture
def left_behind(new_run, council, drain):
    """A run that failed at its limit of tokens while another gate of it was open; and that."""
    run = new_run(
        version=council("d1 > w", "d2 > w", entries=["d1", "d2"], d1=GATED,
                        limits={"tokens": 10, "atLimit": "ask"})
    )  # fmt: skip
    drain()
    gate, limit = sorted(
        gates.open_of(run.__class__.objects.get(pk=run.pk)), key=lambda g: g.place
    )
    gates.answer(limit.pk, action="reject", by="alice")
    run.refresh_from_db()
    assert run.error_code == "token_limit"
    return run, gate


def test_a_gate_that_a_failure_left_open_is_void_and_asked_anew_by_a_retry(left_behind, drain):
    run, gate = left_behind
    with pytest.raises(errors.RunFinished):
        gates.answer(gate.pk, action="approve", by="alice")

    runs.retry(run.pk, by="alice", limits={"tokens": 90_000})

    with pytest.raises(errors.GateNotFound):
        gates.answer(gate.pk, action="approve", by="alice")
    drain()
    assert the_gate(run).pk != gate.pk
    _approve(run)
    drain()
    run.refresh_from_db()
    assert run.status == "completed"


def test_a_deadline_of_a_gate_that_a_failure_left_open_does_nothing(left_behind):
    run, gate = left_behind
    past = timezone.now() - timedelta(seconds=1)
    models.Gate.objects.filter(pk=gate.pk).update(deadline=past, on_deadline="reject")

    assert gates.expire() == []
    runs.retry(run.pk, by="alice")
    assert gates.expire() == []


def test_sent_to_a_node_with_a_gate_of_its_own_a_run_waits_there(new_run, council, drain):
    four_eyes = {"gateBefore": {"answerers": ["user:bob"]}}
    run = new_run(version=council(*LOOP, k=GATED, w=four_eyes))
    drain()

    gates.answer(the_gate(run).pk, action="modify", by="alice", says={"next_node": "w"})
    drain()

    assert (the_gate(run).node, the_gate(run).answerers) == ("w", ["user:bob"])
    assert nodes_started(run) == ["d"]


@pytest.mark.parametrize(
    "body",
    [
        {"limits": 5},
        {"limits": [1]},
        {"limits": {"calls": "many"}},
        {"limits": {"cost": 1e999}},
        {"modified_state": {"limits": {"calls": 5}}},
    ],
)
async def test_limits_that_cannot_be_leave_the_gate_open_by_rest_and_by_socket(
    new_run, council, alice, program, adrain, body
):
    version = await sync_to_async(council)(*LOOP, limits={"calls": 1, "atLimit": "ask"})
    run = await sync_to_async(new_run)(version=version)
    await adrain()

    status, _ = await sync_to_async(_answer)(
        await sync_to_async(program)(alice), run, action="approve", **body
    )
    async with connect(run.pk, alice) as client:
        await _frames_until(client, "run_paused")
        await client.send(type="answer", action="approve", **body)
        refused = await client.frame()

    assert status == 400
    assert refused["event"] == "error"
    assert await sync_to_async(the_gate)(run)


async def test_an_administrator_who_is_one_no_more_answers_no_gate_on_an_open_socket(
    new_run, council, bob, adrain
):
    bob.is_superuser = True
    await bob.asave()
    run = await sync_to_async(new_run)(version=await sync_to_async(council)(*LOOP, k=GATED))
    await adrain()
    async with connect(run.pk, bob) as client:
        await _frames_until(client, "run_paused")
        bob.is_superuser = False
        await bob.asave()
        await client.send(type="answer", action="approve")
        refused = await client.frame()

    assert (refused["event"], refused["code"]) == ("error", "run_not_found")


def test_control_characters_of_people_and_blueprints_reach_no_log(paused):
    evil = "Mine.\x1b]52;c;ZXZpbA==\x07\x9b31m"

    gates.answer(the_gate(paused).pk, action="modify", by="alice", says={"feedback": evil})

    told = paused.events.get(kind="gate.answered").data["answer"]["feedback"]
    assert told == "Mine.\ufffd]52;c;ZXZpbA==\ufffd\ufffd31m"


def test_a_changed_draft_is_the_runs_from_then_on_also_if_it_is_rejected_next(
    council, alice, drain
):
    version = council("d > w", d={"gateAfter": {}}, w={"gateBefore": {}})
    run = runs.create(topic="A topic", version=version, owner=alice, model="demo:instant")
    drain()
    changes = {"current_draft": "Mine."}
    gates.answer(the_gate(run).pk, action="modify", by="alice", says=changes)
    run.refresh_from_db()
    assert (run.current_draft, run.draft_cut) == ("Mine.", False)
    drain()
    gates.answer(the_gate(run).pk, action="reject", by="alice")

    run.refresh_from_db()
    assert (run.status, run.reason) == ("cancelled", "rejected")
    assert run.current_draft == "Mine."
