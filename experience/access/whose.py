"""Whose it is: the runs, gates, blueprints, sketches, conversations and agents of a user."""

from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.db.models import Exists, OuterRef, Q, QuerySet

from experience import models
from runtime import errors
from runtime import models as runtime


class ConversationNotFound(errors.Refusal):
    """There is no such conversation."""

    code = "conversation_not_found"


class SketchNotFound(errors.Refusal):
    """There is no such sketch: it was saved, or discarded."""

    code = "sketch_not_found"


class AgentNotFound(errors.Refusal):
    """There is no such agent, or it is switched off. GET /api/agents/ lists those there are."""

    code = "agent_not_found"


class AgentNotYours(errors.Refusal):
    """This agent answers only members of certain groups; ask an administrator."""

    code = "agent_not_yours"


def runs_of(user: Any) -> QuerySet[runtime.Run]:
    """The runs that this user may see: their own, and those with a gate that they are named
    to answer; an administrator sees all."""
    runs = runtime.Run.objects.select_related("blueprint_version__blueprint")
    if user.is_superuser:
        return runs
    named = Q()
    for name in _names(user):
        named |= Q(answerers__contains=[name])
    gates = runtime.Gate.objects.filter(named, run=OuterRef("pk"))
    return runs.filter(Q(owner_id=user.pk) | Exists(gates))


def _names(user: Any) -> list[str]:
    """How a gate may name this user as one who is to answer."""
    groups = user.groups.values_list("name", flat=True)
    return [f"user:{user.get_username()}", *(f"group:{name}" for name in groups)]


def find_run(user: Any, run_id: UUID) -> runtime.Run:
    """One of the user's runs. Somebody else's is not found (errors.RunNotFound)."""
    run = runs_of(user).filter(pk=run_id).first()
    if run is None:
        raise errors.RunNotFound
    return run


def find_own_run(user: Any, run_id: UUID) -> runtime.Run:
    """A run this user may stop or take up again: their own; an administrator may any.

    Raises errors.RunNotFound, errors.RunReadOnly for one they may only see.
    """
    run = find_run(user, run_id)
    if not user.is_superuser and run.owner_id != user.pk:
        raise errors.RunReadOnly
    return run


def may_see_inputs(user: Any, run: runtime.Run) -> bool:
    """Whether one who may see the run may see what its models were asked. Who sees a run sees
    what it runs, prompts and all; but of a run that was told of a conversation only the owner,
    for not even an administrator sees another's."""
    return run.owner_id == user.pk or not run.context


def check_may_answer(user: Any, gate: runtime.Gate) -> None:
    """Whether the user is one of those that the gate asks; an administrator may answer any.

    Raises errors.GateNotYours.
    """
    names = {*_names(user), *(["owner"] if gate.run.owner_id == user.pk else [])}
    if not user.is_superuser and names.isdisjoint(gate.answerers):
        raise errors.GateNotYours(answerers=gate.answerers)


def gates_of(user: Any) -> QuerySet[runtime.Gate]:
    """The open gates that this user may answer, as `check_may_answer` says; so an
    administrator has them all, also those of runs that are nobody's."""
    # `ended_at` says nothing new, but has an index of what is under way.
    paused = Q(run__status=runtime.Status.PAUSED, run__ended_at=None)
    gates = runtime.Gate.objects.filter(paused, answered_at=None)
    if user.is_superuser:
        return gates
    named = Q(run__owner_id=user.pk, answerers__contains=["owner"])
    for name in _names(user):
        named |= Q(answerers__contains=[name])
    return gates.filter(named)


def blueprints_of(user: Any) -> QuerySet[runtime.Blueprint]:
    """The blueprints that this user may see and run: their own, those for everyone, and those
    for a group that they share with the owner. An administrator sees all. None was made for a
    trial in the editor."""
    blueprints = runtime.Blueprint.objects.select_related("owner").filter(
        deleted_at=None, is_trial=False
    )
    if user.is_superuser:
        return blueprints
    fellows = User.objects.filter(groups__in=user.groups.all())
    return blueprints.filter(
        Q(owner=None)
        | Q(owner_id=user.pk)
        | Q(visibility=runtime.Visibility.EVERYONE)
        | Q(visibility=runtime.Visibility.GROUPS, owner__in=fellows)
    )


def find_blueprint(user: Any, blueprint_id: UUID) -> runtime.Blueprint:
    """A blueprint this user may see and run.

    Any other is not found (errors.BlueprintNotFound).
    """
    found = blueprints_of(user).filter(pk=blueprint_id).first()
    if found is None:
        raise errors.BlueprintNotFound
    return found


def may_change(user: Any, blueprint: runtime.Blueprint) -> bool:
    """Whether it is the user's own; an administrator may change everybody's.

    Those that ship, and others of nobody, are changed at the terminal only.
    """
    return blueprint.owner_id is not None and (
        user.is_superuser or blueprint.owner_id == user.pk
    )


def find_own_blueprint(user: Any, blueprint_id: UUID) -> runtime.Blueprint:
    """A blueprint this user may change.

    Raises errors.BlueprintReadOnly for one they may only see, errors.BlueprintNotFound.
    """
    found = find_blueprint(user, blueprint_id)
    if not may_change(user, found):
        raise errors.BlueprintReadOnly
    return found


def sketches_of(user: Any) -> QuerySet[models.Sketch]:
    """The user's own sketches; not even an administrator sees another's."""
    return models.Sketch.objects.filter(user_id=user.pk).select_related("blueprint")


def find_sketch(user: Any, sketch_id: UUID) -> models.Sketch:
    """One of the user's sketches. Somebody else's is not found (SketchNotFound)."""
    found = sketches_of(user).filter(pk=sketch_id).first()
    if found is None:
        raise SketchNotFound
    return found


# --- conversations and agents ----------------------------------------------------------


def conversations_of(user: Any) -> QuerySet[models.Conversation]:
    """The user's own conversations; not even an administrator sees another's."""
    return models.Conversation.objects.filter(user_id=user.pk)


def find_conversation(user: Any, conversation_id: UUID) -> models.Conversation:
    """One of the user's conversations. Somebody else's is not found (ConversationNotFound)."""
    found = conversations_of(user).filter(pk=conversation_id).first()
    if found is None:
        raise ConversationNotFound
    return found


def agents_of(user: Any) -> QuerySet[runtime.Agent]:
    """The agents that this user may ask for: enabled, and limited to no group or to one that
    they are in."""
    agents = runtime.Agent.objects.filter(enabled=True).order_by("slug")
    if user.is_superuser:
        return agents
    return agents.filter(Q(groups=None) | Q(groups__in=user.groups.all())).distinct()


def find_agent(user: Any, slug: str) -> runtime.Agent:
    """An agent this user may ask for. Raises AgentNotFound, AgentNotYours."""
    found = agents_of(user).filter(slug=slug).first()
    if found is None:
        known = runtime.Agent.objects.filter(slug=slug, enabled=True).exists()
        raise AgentNotYours(agent=slug) if known else AgentNotFound(agent=slug)
    return found
