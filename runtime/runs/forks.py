"""A run that goes on from a finished step of another, or begins anew as the other began."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django.contrib.auth.base_user import AbstractBaseUser

from runtime import blueprints, budgets, errors, history, models, nodes
from runtime.runs import beginnings, ends, rows

if TYPE_CHECKING:
    from runtime.blueprints.compiler import Compiled


def fork(
    parent: models.Run,
    *,
    owner: AbstractBaseUser | None,
    after: int | None = None,
    model: str | None = None,
    version: models.BlueprintVersion | None = None,
    overrides: Mapping[str, Mapping[str, str]] | None = None,
    god_mode: bool | None = None,
    limits: Mapping[str, Any] | None = None,
    idempotency_key: str | None = None,
    trace: str = "",
) -> models.Run:
    """Start a run that reuses what another had done up to a finished step, and goes on.

    `after` is the number of the step's `node.completed` event; None: the last finished step,
    or the last one before a node of `overrides` began; 0: nothing is reused, the same is done
    once more. What is not stated is as in the parent:
    `model` for the nodes that name none, `version` of any blueprint with that node,
    `overrides` (by node: model, systemPrompt), `god_mode`, `limits`. It is told of the same
    earlier runs as the parent; a guide in it can hand over to nobody, for nobody waits for it.

    Raises what `create` does, errors.StepNotFound and errors.ForkNotPossible.
    """
    version = version or parent.blueprint_version
    is_same = version.pk == parent.blueprint_version_id
    changes = _merged(parent.overrides if is_same else {}, overrides or {})
    document = blueprints.parse(blueprints.overridden(version.document, changes))
    more = budgets.checked(limits or {})
    until = _step(parent, after, overrides or {})
    run = models.Run(
        blueprint_version=version,
        owner_id=owner.pk if owner else None,
        input_topic=parent.input_topic,
        model=parent.model if model is None else model,
        god_mode=parent.god_mode if god_mode is None else god_mode,
        limits={**parent.limits, **more},
        overrides=changes,
        context=_context(parent, owner),
        parent=parent,
        parent_seq=until.seq if until else 0,
        idempotency_key=idempotency_key,
        trace=trace,
    )
    asked = {
        "fork of": parent.pk,
        "after": after,
        "model": model,
        "version": None if is_same else version.pk,
        "overrides": overrides or {},
        "god_mode": god_mode,
        "limits": limits or {},
    }
    if until is None:
        return beginnings.start(run, owner, document, asked)
    for name, value in ends.projection(history.state_after(parent, until)).items():
        setattr(run, name, value)
    same_graph = is_same and run.god_mode == parent.god_mode
    if not same_graph:
        _check_goes_on(parent, until, document)

    def reuse(child: models.Run) -> None:
        if after is None and history.is_last(parent, until):
            raise errors.ForkNotPossible(
                "Nothing follows the last step. Choose an earlier one, or 0 to begin anew."
            )
        if same_graph:
            history.copy(parent, until, child)
        else:
            history.transplant(parent, until, child, old=_graph(parent), new=_graph(child))

    return beginnings.start(run, owner, document, asked, reuse)


def _context(parent: models.Run, owner: AbstractBaseUser | None) -> list[str]:
    """What the parent was told of is its owner's: nobody else's prompt may ask for it."""
    is_own = parent.owner_id == (owner.pk if owner else None)
    return list(parent.context) if is_own else []


def _step(
    parent: models.Run, after: int | None, overrides: Mapping[str, Any]
) -> models.Event | None:
    """The step after which the child goes on; None: it begins anew."""
    if after is None and overrides:
        return history.step_before(parent, overrides)
    return None if after == 0 else history.step(parent, after)


def _merged(
    old: Mapping[str, Mapping[str, str]], new: Mapping[str, Mapping[str, str]]
) -> dict[str, dict[str, str]]:
    return {name: {**old.get(name, {}), **new.get(name, {})} for name in {*old, *new}}


def _check_goes_on(
    parent: models.Run, until: models.Event, document: blueprints.Document
) -> None:
    node = until.data["node"]
    decision = history.state_after(parent, until).get("decisions", {}).get(node)
    kind = until.data["kind"]
    if reason := blueprints.continuing.obstacle(document, node, kind, decision):
        raise errors.ForkNotPossible(reason)


def _graph(run: models.Run) -> "Compiled":
    """The graph of a run, to be read or written into, not to be run."""
    from runtime.blueprints import compiler  # LangGraph, which else only workers need

    return compiler.compile(rows.document_of(run), _not_run, _not_asked, god_mode=run.god_mode)


async def _not_run(node: nodes.Node, state: nodes.State, task: str) -> Mapping[str, Any]:
    raise errors.RunLost


async def _not_asked(
    gate: blueprints.Gate, state: nodes.State, task: str
) -> blueprints.Passage:
    raise errors.RunLost
