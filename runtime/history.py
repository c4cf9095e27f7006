"""What a run has done so far, as another run, or a retry of it, builds on it.

A step's writes and its event commit together, so the log says which of the stored writes
belong to the time before any event.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, get_type_hints

from runtime import budgets, checkpoints, errors, models, nodes

if TYPE_CHECKING:
    from runtime.blueprints.compiler import Compiled

_SAVER = checkpoints.Saver()
_STEPS = ("node.completed", "node.failed")


def step(run: models.Run, seq: int | None) -> models.Event:
    """The finished step that the event `seq` tells of; None: the last one.

    Raises errors.StepNotFound.
    """
    found = run.events.filter(kind="node.completed").order_by("-seq")
    event = found.first() if seq is None else found.filter(seq=seq).first()
    if event is None:
        raise errors.StepNotFound(seq=seq)
    return event


def step_before(run: models.Run, changed: Iterable[str]) -> models.Event | None:
    """The last step that was finished before any of these nodes began; None: there is none."""
    begun = run.events.filter(kind="node.started", data__node__in=[*changed]).order_by("seq")
    first = begun.first()
    done = run.events.filter(kind="node.completed").order_by("-seq")
    return done.filter(seq__lt=first.seq).first() if first else done.first()


def is_last(run: models.Run, until: models.Event) -> bool:
    """Whether the run went to its end with this step, so that nothing follows it."""
    if run.status != models.Status.COMPLETED or run.reason in budgets.REASONS:
        return False
    return not run.events.filter(kind="node.started", seq__gt=until.seq).exists()


def copy(parent: models.Run, until: models.Event, child: models.Run) -> None:
    """Let the child go on where the parent was right after a step, in the same graph.

    What others of the same step of the graph wrote later is left out: they run anew.
    """
    writes = _writes(parent, until)
    checkpoint = _checkpoint(parent, writes[0].checkpoint_id)
    state = _load(checkpoint)
    state["channel_values"] = {**state["channel_values"], "run_id": str(child.pk)}
    checkpoint.pk = None
    checkpoint.thread_id, checkpoint.parent_id = str(child.pk), ""
    checkpoint.encoding, checkpoint.state = _SAVER.serde.dumps_typed(state)
    checkpoint.save()
    for write in writes:
        write.pk = None
        write.thread_id = str(child.pk)
    models.CheckpointWrite.objects.bulk_create(writes)


def transplant(
    parent: models.Run,
    until: models.Event,
    child: models.Run,
    *,
    old: "Compiled",
    new: "Compiled",
) -> None:
    """Let the child go on after a step of the parent in another graph than the parent's.

    Raises errors.ForkNotPossible when other branches were under way. Whether the new graph
    can go on there, see `blueprints.continuing`.
    """
    if not _is_alone(parent, until, old):
        raise errors.ForkNotPossible(
            "Other branches were under way at this step; choose one where they have met."
        )
    new.checkpointer = _SAVER
    values = {**state_after(parent, until), "run_id": str(child.pk)}
    thread: Any = {"configurable": {"thread_id": str(child.pk)}}
    new.update_state(thread, values, as_node=until.data["node"])


def state_before(run: models.Run, until: models.Event) -> dict[str, Any]:
    """The working state that a finished step was given. Raises errors.StepNotFound."""
    return _folded(_checkpoint(run, _writes(run, until)[0].checkpoint_id), [])


def state_after(run: models.Run, until: models.Event) -> dict[str, Any]:
    """The working state with what was finished right after a step."""
    writes = _writes(run, until)
    return _folded(_checkpoint(run, writes[0].checkpoint_id), writes)


def state_now(run: models.Run) -> dict[str, Any]:
    """The working state with all that is finished, also of a step that came to no end."""
    last = models.Checkpoint.objects.filter(thread_id=str(run.pk), ns="")
    checkpoint = last.order_by("-checkpoint_id").first()
    if checkpoint is None:
        return {}
    writes = models.CheckpointWrite.objects.filter(
        thread_id=str(run.pk), checkpoint_id=checkpoint.checkpoint_id, idx__gte=0
    )
    return _folded(checkpoint, writes.order_by("task_path", "task_id", "idx"))


def _folded(
    checkpoint: models.Checkpoint, writes: Iterable[models.CheckpointWrite]
) -> dict[str, Any]:
    state = dict(_load(checkpoint)["channel_values"])
    reducers = {
        name: hint.__metadata__[0]
        for name, hint in get_type_hints(nodes.State, include_extras=True).items()
    }
    for write in writes:
        if (reduce := reducers.get(write.channel)) is not None:
            value = _SAVER.serde.loads_typed((write.encoding, bytes(write.value)))
            old = state.get(write.channel, value)
            state[write.channel] = reduce(old, value) if write.channel in state else value
    return {name: value for name, value in state.items() if name in reducers}


def rewind(run: models.Run) -> None:
    """Forget that members are missing, from the first step in which one of them failed on.

    What the others of that step wrote stays; what came after it knew of their absence.
    """
    tasks = _absent_tasks(run)
    of_thread = models.CheckpointWrite.objects.filter(thread_id=str(run.pk))
    first = of_thread.filter(task_id__in=tasks).order_by("checkpoint_id").first()
    if first is None:
        return
    at = first.checkpoint_id
    of_thread.filter(task_id__in=tasks, checkpoint_id=at).delete()
    of_thread.filter(checkpoint_id__gt=at).delete()
    models.Checkpoint.objects.filter(thread_id=str(run.pk), checkpoint_id__gt=at).delete()


def _absent_tasks(run: models.Run) -> list[str]:
    """The tasks of the nodes that failed when they had their last turn."""
    turns = run.events.filter(kind__in=_STEPS).order_by("seq")
    last = {event.data["node"]: event for event in turns}
    return [event.data["task"] for event in last.values() if event.kind == "node.failed"]


def _writes(run: models.Run, until: models.Event) -> list[models.CheckpointWrite]:
    """What the tasks of the step had written when the event was told, in LangGraph's order."""
    of_thread = models.CheckpointWrite.objects.filter(thread_id=str(run.pk), idx__gte=0)
    own = of_thread.filter(task_id=until.data["task"]).order_by("-checkpoint_id").first()
    if own is None:
        raise errors.StepNotFound(seq=until.seq)
    finished = run.events.filter(kind__in=_STEPS, seq__lte=until.seq)
    tasks = set(finished.values_list("data__task", flat=True))
    of_step = of_thread.filter(checkpoint_id=own.checkpoint_id, task_id__in=tasks)
    return list(of_step.order_by("task_path", "task_id", "idx"))


def _is_alone(run: models.Run, until: models.Event, graph: "Compiled") -> bool:
    """Whether no other branch was under way: none in the same step, none waiting to be met."""
    at = _writes(run, until)[0].checkpoint_id
    graph.checkpointer = _SAVER
    where: Any = {"configurable": {"thread_id": str(run.pk), "checkpoint_id": at}}
    met = _waiting(_load(_checkpoint(run, at))["channel_values"])
    return len(graph.get_state(where).tasks) == 1 and not met


def _waiting(values: Mapping[str, Any]) -> Iterable[str]:
    return [name for name, seen in values.items() if name.startswith("join:") and seen]


def _checkpoint(run: models.Run, checkpoint_id: str) -> models.Checkpoint:
    return models.Checkpoint.objects.get(
        thread_id=str(run.pk), ns="", checkpoint_id=checkpoint_id
    )


def _load(row: models.Checkpoint) -> dict[str, Any]:
    state: dict[str, Any] = _SAVER.serde.loads_typed((row.encoding, bytes(row.state)))
    return state
