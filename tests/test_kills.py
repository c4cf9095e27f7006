"""Rule 8: nothing is lost with a process. kill -9 at every point of a run."""

import random
from collections import Counter
from typing import Any

import pytest

from runtime import gates, models, runs
from tests.conftest import kinds, nodes_started

COUNCIL = ["master_agent", "critic_agent", "master_agent", "critic_agent", "writer_agent"]


def assert_whole(run: models.Run) -> None:
    """The run ended once; no finished node ran twice; the log has no hole and no double."""
    run.refresh_from_db()
    assert run.status == "completed"
    seqs = list(run.events.order_by("seq").values_list("seq", flat=True))
    assert seqs == sorted(set(seqs))
    assert seqs[-1] == run.last_seq
    finished = run.events.filter(kind="node.completed").order_by("seq")
    assert [event.data["node"] for event in finished] == COUNCIL
    for event in finished:
        later = run.events.filter(
            kind="node.started", seq__gt=event.seq, data__task=event.data["task"]
        )
        assert not later.exists(), "a finished node ran again"
    counted = Counter(kinds(run))
    assert counted["run.completed"] == counted["run.created"] == 1
    assert counted["run.started"] == run.attempt == counted["run.interrupted"] + 1


@pytest.mark.timeout(240)
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_worker_killed_around_any_commit_loses_nothing(new_run, drain, zygote, when):
    commit, died = 0, True
    while died:
        commit += 1
        run = new_run()

        died = zygote.work(commit=commit, when=when) == -9

        run.refresh_from_db()
        was_cut = run.status == "running"
        runs.rescue(silent_for=0)
        drain()
        assert_whole(run)
        assert ("run.interrupted" in kinds(run)) == was_cut

    assert commit > 9, "the loop met every commit of a run"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_worker_killed_anywhere_between_a_gate_and_the_end_loses_no_answer(
    new_run, council, drain, zygote, when
):
    gated = {"gateBefore": {}, "gateAfter": {}}
    version = council("d > d1", "d > d2", "d1 > w", "d2 > w", d1=gated, d2=gated)
    commit, died = 0, True
    while died:
        commit += 1
        run = new_run(version=version)
        died = False
        for _ in range(8):
            died = zygote.work(commit=commit, when=when) == -9 or died
            runs.rescue(silent_for=0)
            drain()
            run.refresh_from_db()
            if run.has_ended:
                break
            for gate in gates.open_of(run):
                gates.answer(gate.pk, action="approve", by="alice")

        assert run.status == "completed"
        assert run.gates.count() == 4
        counted = Counter(kinds(run))
        assert counted["gate.opened"] == counted["gate.answered"] == counted["node.completed"]
        assert counted["run.resumed"] == 2
        assert counted["run.started"] == run.attempt
        finished = run.events.filter(kind="node.completed").order_by("seq")
        assert sorted(event.data["node"] for event in finished) == ["d", "d1", "d2", "w"]

    assert commit > 5, "the loop met every commit of a run"


@pytest.mark.parametrize("seed", range(10))
def test_several_runs_whose_workers_are_killed_again_and_again_all_end_whole(
    new_run, drain, zygote, seed
):
    random_ = random.Random(seed)
    made = [new_run() for _ in range(4)]

    for _ in range(6):
        zygote.work(commit=random_.randint(1, 12), when=random_.choice(["before", "after"]))
        runs.rescue(silent_for=0)
    drain()

    for run in made:
        assert_whole(run)
        assert nodes_started(run)[0] == "master_agent"


def test_what_an_unfinished_node_had_said_is_void_once_another_takes_it_up(
    new_run, drain, zygote
):
    run: Any = new_run()
    run.refresh_from_db()
    runs.claim(run.pk, job_id=run.job_id, worker="lost")
    models.Event.objects.create(
        run=run,
        seq=3,
        kind="node.token",
        key="said",
        data={"node": "master_agent", "task": "x", "text": "half a sen"},
        at=run.created_at,
    )
    models.Run.objects.filter(pk=run.pk).update(last_seq=3)
    runs.rescue(silent_for=0)

    drain()

    assert "node.token" not in kinds(run, tokens=True)
    assert_whole(run)
