"""An agent's reply as the agent socket tells it: folded from the events of its run."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from uuid import UUID

from experience import models
from experience.protocol import agent as frames
from runtime import events

# A position in a conversation is the reply's number times this, plus the run's `seq`: one
# growing number for all its runs. JavaScript counts exactly to nine million messages of these.
SPAN = 1_000_000_000

# What such nodes write is about the answer, or chooses a way; it is none.
_REMARKS = ("critic", "review", "router", "vote")
_STATES = {
    "node.started": "started",
    "node.retried": "retried",
    "node.completed": "completed",
    "node.failed": "failed",
    "node.stopped": "stopped",
}


class Told(NamedTuple):
    """A frame, as JSON text, with its place in the conversation."""

    seq: int
    text: str
    kind: str
    """Its `event_type`."""
    ends: bool
    """Nothing more comes of the message that it answers."""


def position(number: int, seq: int = 0) -> int:
    """The place of a reply's event in its conversation."""
    return number * SPAN + seq


@dataclass
class Reply:
    """Takes the events of a reply's run, from the first on, and gives the frames for each."""

    conversation_id: UUID
    number: int
    agent: str
    routed_by: str
    message_id: UUID
    client_id: str | None
    run_id: UUID | None
    has_ended: bool
    """Its run had, when this was made."""
    last_seq: int
    error: tuple[str, str] | None
    """Code and sentence, where no run could be made."""
    labels: Mapping[str, str]
    last_nodes: frozenset[str]
    """Those from which no edge leads on: what they write is the answer."""
    created_at: str
    _speaker: str = field(default="", init=False)
    _said: int = field(default=0, init=False)

    @classmethod
    def of(cls, message: models.Message) -> "Reply":
        """The reply that an agent's message is; needs `answers` and the run's blueprint."""
        assert message.answers is not None
        run = message.run
        document = run.blueprint_version.document if run else {"nodes": [], "edges": []}
        sources = {edge["source"] for edge in document.get("edges", ())}
        nodes = document["nodes"]
        return cls(
            conversation_id=message.conversation_id,
            number=message.number,
            agent=message.agent_slug,
            routed_by=message.routed_by,
            message_id=message.answers.pk,
            client_id=message.answers.client_id,
            run_id=run.pk if run else None,
            has_ended=run.has_ended if run else True,
            last_seq=run.last_seq if run else 1,
            error=None if run else _error(message),
            labels={node["id"]: node.get("label") or node["id"] for node in nodes},
            last_nodes=frozenset(node["id"] for node in nodes if node["id"] not in sources),
            created_at=events.stamp(message.created_at),
        )

    def without_run(self) -> list[Told]:
        """What is told where no run could be made to answer."""
        assert self.error is not None
        code, sentence = self.error
        data = frames.FailedData(**self._base(1), error=sentence, code=code, node="")
        return [self._told(1, frames.Failed(timestamp=self.created_at, data=data), ends=True)]

    def take(self, event: events.Logged) -> list[Told]:
        """The frames that tell of the run's next event."""
        stamp, data = events.stamp(event.at), event.data
        base = self._base(event.seq)
        match event.kind:
            case "run.created":
                started = frames.StartedData(
                    **base, routed_by=self.routed_by, model=data["model"]
                )
                return [self._told(event.seq, frames.Started(timestamp=stamp, data=started))]
            case "node.token":
                return self._token(event, stamp)
            case kind if kind in _STATES:
                return self._node(event, stamp)
            case "gate.opened":
                waits = frames.WaitingData(**base, gate=data)
                return [self._told(event.seq, frames.Waiting(timestamp=stamp, data=waits))]
            case "gate.answered":
                said = {name: data[name] for name in ("gate", "action", "by")}
                answered = frames.AnsweredData(**base, **said)
                return [self._told(event.seq, frames.Answered(timestamp=stamp, data=answered))]
            case "run.interrupted":
                self._speaker = ""
                cut = frames.InterruptedData(**base, cause=data["cause"])
                return [self._told(event.seq, frames.Interrupted(timestamp=stamp, data=cut))]
            case kind if kind in events.ENDS:
                return [self._end(event, stamp)]
        return []  # the worker's coming and going

    def _token(self, event: events.Logged, stamp: str) -> list[Told]:
        """Only what will be the answer: a client adds these up."""
        if event.data["task"] != self._speaker:
            return []
        text, offset = event.data["text"], self._said
        self._said += len(text)
        data = frames.TokenData(**self._base(event.seq), token=text, offset=offset)
        return [self._told(event.seq, frames.Token(timestamp=stamp, data=data))]

    def _node(self, event: events.Logged, stamp: str) -> list[Told]:
        data = event.data
        if event.kind == "node.started" and self._speaks(data):
            self._speaker, self._said = data["task"], 0
        is_void = event.kind == "node.retried" and data["task"] == self._speaker and self._said
        if is_void:
            self._said = 0
        if len(self.labels) < 2:  # it is no council, and has no steps to tell of
            return [self._void(event, stamp)] if is_void else []
        node = frames.NodeData(
            **self._base(event.seq),
            node=data["node"],
            label=self.labels.get(data["node"], data["node"]),
            kind=data.get("kind", ""),
            state=_STATES[event.kind],
            iteration=data.get("iteration"),
            score=data.get("score"),
            detail=data.get("message") or data.get("limit") or "",
        )
        return [self._told(event.seq, frames.Node(timestamp=stamp, data=node))]

    def _void(self, event: events.Logged, stamp: str) -> Told:
        """What was said until now is not the answer, whatever comes next and when."""
        data = frames.TokenData(**self._base(event.seq), token="", offset=0)
        return self._told(event.seq, frames.Token(timestamp=stamp, data=data))

    def _speaks(self, data: Mapping[str, Any]) -> bool:
        return data["node"] in self.last_nodes and data["kind"] not in _REMARKS

    def _end(self, event: events.Logged, stamp: str) -> Told:
        data, base = event.data, self._base(event.seq)
        match event.kind:
            case "run.failed":
                failed = frames.FailedData(
                    **base, error=data["message"], code=data["code"], node=data["node"]
                )
                frame: frames.Event = frames.Failed(timestamp=stamp, data=failed)
            case "run.cancelled":
                cancelled = frames.CancelledData(**base, reason=data["reason"], by=data["by"])
                frame = frames.Cancelled(timestamp=stamp, data=cancelled)
            case _ if handoff := data.get("handoff"):
                onward = frames.HandoffData(
                    **base,
                    from_=self.agent,
                    to=handoff["to"],
                    reason=handoff["reason"],
                    usage=data["usage"],
                    cost=data["usage"].get("cost"),
                )
                frame = frames.Handoff(timestamp=stamp, data=onward)
                return self._told(event.seq, frame)
            case _:
                frame = frames.Completed(timestamp=stamp, data=_completed(base, data))
        return self._told(event.seq, frame, ends=True)

    def _base(self, seq: int) -> dict[str, Any]:
        return {
            "agent_id": self.agent,
            "agent_type": self.agent.partition(".")[0],
            "conversation_id": str(self.conversation_id),
            "run_id": str(self.run_id) if self.run_id else None,
            "seq": position(self.number, seq),
            "message_id": str(self.message_id),
            "id": self.client_id,
        }

    def _told(self, seq: int, frame: frames.Event, *, ends: bool = False) -> Told:
        return Told(position(self.number, seq), frame.model_dump_json(), frame.event_type, ends)


def _error(message: models.Message) -> tuple[str, str]:
    if message.error_code:
        return message.error_code, message.error_message
    return "run_deleted", "The run that held the answer was deleted."


def _completed(base: Mapping[str, Any], data: Mapping[str, Any]) -> frames.CompletedData:
    names = ("reason", "approved", "critic_score", "iteration_count", "usage")
    usage = data["usage"]
    return frames.CompletedData(
        **base,
        **{name: data[name] for name in names},
        response=data["final_draft"],
        cost=usage.get("cost"),
        scripted=bool(usage.get("scripted")),
        members=data.get("members", {}),
        draft_cut=data.get("draft_cut", False),
    )
