"""Any blueprint is refused with every fault named, or runs to its end within its limits."""

from collections import Counter
from typing import Any

from hypothesis import HealthCheck, given
from hypothesis import settings as limits
from hypothesis import strategies as st

from runtime import blueprints, gates, models, runs
from tests.test_joins import any_blueprint, likely_blueprint

MOST_CALLS = 40


@limits(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(blueprint=any_blueprint() | likely_blueprint(), god_mode=st.booleans())
def test_any_blueprint_is_refused_or_runs_to_its_end_with_each_step_in_the_log(
    alice, drain, blueprint, god_mode
):
    found = blueprints.faults(blueprint)
    if found:
        assert all(fault.code and fault.message for fault in found)
        return
    run = _started(blueprint, alice, god_mode)

    drain()
    while run.refresh_from_db() or run.status == "paused":
        for gate in gates.open_of(run):
            gates.answer(gate.pk, action="approve", by="alice")
        drain()

    assert run.status == "completed", run.error_message
    assert run.usage["calls"] <= MOST_CALLS
    _assert_told_whole(run)


def _started(blueprint: dict[str, Any], owner: Any, god_mode: bool) -> models.Run:
    made = models.Blueprint.objects.create(name="any", owner=owner)
    version = made.versions.create(number=1, document=blueprint)
    return runs.create(
        topic="Should we?",
        version=version,
        owner=owner,
        model="demo:instant",
        god_mode=god_mode,
        limits={"calls": MOST_CALLS, "iterations": 3},
    )


def _assert_told_whole(run: models.Run) -> None:
    log = list(run.events.exclude(kind="node.token").order_by("seq"))
    turns = [event for event in log if event.kind in ("node.started", "node.completed")]
    begun: Counter[str] = Counter()
    for event in turns:
        begun[event.data["task"]] += 1 if event.kind == "node.started" else -1
        assert begun[event.data["task"]] in (0, 1), "begun once, then done once"
    unfinished = {task for task, open_ in begun.items() if open_}
    stopped = {event.data["task"] for event in log if event.kind == "node.stopped"}
    assert unfinished == stopped
    assert len({event.data["task"] for event in turns}) >= 1
