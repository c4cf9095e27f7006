"""What an agent made of a message: its text, or what happened instead, and what it took."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.utils.safestring import SafeString

from experience import models, outcomes, routing, story
from experience.dashboard import prose, told
from experience.replies import Reply
from runtime import events
from runtime import models as runtime

# Of a run without a result, the events that say what was written, and what it waits for.
TOLD = (
    *("node.started", "node.token", "node.retried", "run.interrupted"),
    *("gate.opened", "gate.answered"),
)


@dataclass(frozen=True)
class Answer:
    slug: str
    name: str
    """Of the agent; its slug where it is not there any more."""
    why: str
    run_id: UUID | None
    state: told.State
    sentence: str
    """What happened instead of an answer, or what keeps one from being whole; else empty."""
    text: str
    prose: SafeString | None
    used: str
    """Tokens and money; empty where no call was made, or it goes on."""
    facts: list[str]
    """What else there is to know, and what it used."""
    scripted: bool
    ask: str
    """What a gate asks, while it waits."""
    handoff: dict[str, str] | None
    """`name` of whom it has handed over to, and the `reason`."""
    asked: str
    """The slug that was asked for, if one was: to send the message again."""
    waits: bool
    """Whether a person is to answer a gate of its run."""
    is_live: bool

    @property
    def has_failed(self) -> bool:
        """Whether the message may be sent again: nobody has answered it."""
        return self.state.shape == "failed" or self.state.word == "cancelled"


def of(reply: Reply, row: models.Message, log: Sequence[events.Logged]) -> Answer:
    """`log`: the end of its run, and what TOLD names where that is no result."""
    run, end = row.run, story.end(log)
    text = _text(reply, row, log)
    gates = story.open_gates(log)
    return Answer(
        slug=row.agent_slug,
        name=row.agent.name if row.agent else row.agent_slug,
        why=routing.WHY.get(row.routed_by, ""),
        run_id=row.run_id,
        state=told.state(run) if run else told.State("failed", "failed"),
        sentence=_sentence(reply, end),
        text=text,
        prose=prose.html(text),
        used=_used(run) if run else "",
        facts=list(_facts(reply, run, end)),
        scripted=bool(run and run.usage.get("scripted")),
        ask=" ".join(str(gate.data["ask"]) for gate in gates.values() if gate.data["ask"]),
        handoff=_handoff(run),
        waits=bool(gates),
        is_live=bool(run and not run.has_ended),
        asked=row.agent_slug if row.routed_by == "asked" else "",
    )


def _text(reply: Reply, row: models.Message, log: Sequence[events.Logged]) -> str:
    """The answer; while there is none, what was written of it."""
    if row.run is None or row.run.handoff:
        return ""
    if row.run.status == runtime.Status.COMPLETED:
        return row.run.final_draft or ""
    text = ""
    for event in log:
        if event.kind == "gate.opened":
            text = event.data["current_draft"] or ""
        for frame in reply.take(event):
            text = _added(text, frame.kind, frame.text)
    return text


def _added(text: str, kind: str, frame: str) -> str:
    if kind == "agent.interrupted":
        return ""  # it is written anew
    if kind != "agent.token":
        return text
    data = json.loads(frame)["data"]
    return text[: data["offset"]] + str(data["token"])


def _handoff(run: runtime.Run | None) -> dict[str, str] | None:
    if run is None or not run.handoff:
        return None
    names = {each["to"]: each["name"] for each in run.handoffs}
    slug = run.handoff["to"]
    return {"name": names.get(slug, slug), "reason": run.handoff["reason"]}


# --- what happened ---------------------------------------------------------------------


def _sentence(reply: Reply, end: events.Logged | None) -> str:
    if reply.error is not None:
        return f"Failed: {reply.error[1]}"
    if end is None:
        return ""
    if end.kind == "run.failed":
        node = end.data["node"]
        where = f" in {reply.labels.get(node, node)}" if node and _is_council(reply) else ""
        return f"Failed{where}: {end.data['message']}"
    if end.kind == "run.cancelled":
        return _capitalised(f"{outcomes.sentence(end)}.")
    kept = outcomes.reserve(end.data)
    if end.data["approved"] is False or end.data["reason"].endswith("_limit"):
        kept = [outcomes.reason(end.data["reason"], end.data["approved"]), *kept]
    return _capitalised("; ".join(kept)) + "." if kept else ""


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]


def _is_council(reply: Reply) -> bool:
    return len(reply.labels) > 1


def _facts(reply: Reply, run: runtime.Run | None, end: events.Logged | None) -> Iterator[str]:
    """What it took, in a line; of a council also what its critic said."""
    if run is None or end is None:
        return
    if _is_council(reply) and run.approved:
        yield outcomes.reason(run.reason, run.approved)
    if run.critic_score is not None:
        yield f"last score {run.critic_score:g} / 10"
    if used := _used(run):
        yield used
        yield ", ".join(run.usage["models"])


def _used(run: runtime.Run) -> str:
    usage = run.usage
    if not usage.get("calls"):
        return ""
    least = "at least " if usage["partial"] else ""
    both = usage["input_tokens"], usage["output_tokens"]
    tokens = "unknown" if None in both else least + told.count(sum(both))
    cost = outcomes.money(usage["cost"], least)
    return f"{tokens} tokens, {'cost unknown' if usage['cost'] is None else cost}"
