"""What a run asks at a gate, and how it goes on from there."""

from collections.abc import Mapping
from typing import Any

from runtime import blueprints, gates, models, nodes

_WRITES_DRAFTS = ("draft", "writer", "answer", "synthesis", "guide")


def question(gate: blueprints.Gate, state: nodes.State, task: str) -> gates.Question:
    """What a person is asked. Finding the targets takes a moment: not on the event loop."""
    settings = gate.settings
    return gates.Question(
        task=task,
        node=gate.node.id,
        place=gate.place,
        ask=settings.ask,
        proposal={
            "why": _why(gate, state),
            "next_nodes": gate.next_nodes(state),
            "current_draft": state["current_draft"],
            "critic_score": state["critic_score"],
            "iteration_count": state["iteration_count"],
            "feedback": (state["feedback_history"] or [""])[-1],
            "may_change": _may_change(gate, state),
        },
        targets=gate.targets,
        actions=tuple(settings.actions),
        answerers=tuple(settings.answerers),
        patience=settings.deadline,
        on_deadline=settings.on_deadline,
    )


def _why(gate: blueprints.Gate, state: nodes.State) -> str:
    label = gate.node.label or gate.node.id
    if gate.place == "iterations":
        return f"{label} has reached its limit without approving the draft."
    before = state["active_node"] if gate.place == "before" else gate.node.id
    decision = state["decisions"].get(before, "")
    if gate.place == "before":
        said = {each.id: each.label for each in gate.node.upstream}.get(before) or before
        # Where a person has sent the run here, no node has decided it.
        leads = any(link.source == before for link in gate.graph.into(gate.node.id))
        decided = f"{said} decided: {decision}. " if decision and leads else ""
        return f"{decided}{label} is next."
    handed_over = state.get("handoff")
    if handed_over and gate.node.kind == "guide":
        return f"{label} hands over to {handed_over['to']}: {handed_over['reason']}"
    return f"{label} has finished{f' and decided: {decision}' if decision else ''}."


def _may_change(gate: blueprints.Gate, state: nodes.State) -> list[str]:
    """What `modify` can change here: what the node that follows will look at."""
    node = gate.node
    # A node that joins branches reads what each of them said, not the one current draft.
    joins = len(node.joins) > 1 or hasattr(node.settings, "quorum") or node.kind == "answer"
    found = ["feedback"]
    if state["current_draft"] and not (gate.place == "before" and joins):
        found.insert(0, "current_draft")
    return [*found, *(["next_node"] if gate.targets else [])]


def passage(
    gate: blueprints.Gate, state: nodes.State, answered: models.Gate
) -> blueprints.Passage:
    """How the run goes on, by what was answered."""
    if gate.place == "iterations":
        again = {"route_decision": "revise", "decisions": {gate.node.id: "revise"}}
        return blueprints.Passage(again if answered.action == "approve" else {})
    says = answered.answer
    updates: dict[str, Any] = {}
    if remark := says.get("feedback") or says.get("comment"):
        updates["feedback_history"] = [remark]
    if (draft := says.get("current_draft")) is not None:
        updates["current_draft"] = draft
        updates["draft_cut"] = False
        updates["messages"] = [_changed(gate, state, draft)]
    return blueprints.Passage(updates, says.get("next_node") or None)


def _changed(gate: blueprints.Gate, state: nodes.State, draft: str) -> Mapping[str, Any]:
    """The draft as a person left it, in the place of the node's own words."""
    own = [each for each in state["messages"] if each["node"] == gate.node.id]
    if gate.place == "after" and own and own[-1]["role"] in _WRITES_DRAFTS:
        return {**own[-1], "content": draft}
    iteration = state["iteration_count"]
    return {"node": "", "role": "person", "content": draft, "iteration": iteration}


def limit_question(
    node: nodes.Node, task: str, limit: str, run: models.Run, state: nodes.State, number: int
) -> gates.Question:
    """Whether a run may go on beyond a limit. Approved, it may as much again."""
    name = _LIMITS[limit]
    label = node.label or node.id
    return gates.Question(
        task=task,
        number=number,
        node=node.id,
        place="limit",
        ask="",
        proposal={
            "why": f"The {limit.replace('_', ' ')} leaves no room for {label}'s next call.",
            "limit": limit,
            "limits": run.limits,
            "step": run.limits[name],
            "next_nodes": [node.id],
            "current_draft": state["current_draft"],
            "critic_score": state["critic_score"],
            "iteration_count": state["iteration_count"],
            "feedback": (state["feedback_history"] or [""])[-1],
            "may_change": [],
        },
        actions=("approve", "reject"),
    )


# The reasons to stop for which a person may extend, and what they extend.
_LIMITS = {
    "call_limit": "calls",
    "token_limit": "tokens",
    "cost_limit": "cost",
    "time_limit": "seconds",
}


def can_be_extended(limit: str, document: blueprints.Document) -> bool:
    """Whether the blueprint wants a person asked. A user's or a group's limit is not theirs
    to extend."""
    return (
        limit in _LIMITS and document.limits is not None and document.limits.at_limit == "ask"
    )
