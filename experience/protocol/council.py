"""The frames of the council socket, `/ws/council/{run_id}`.

Names and fields are those of protocol.md §3. A frame that comes from the log carries the
event's `seq`; a client comes back with `?after=` the last one it has.
"""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from experience.protocol import answers
from runtime import events


class Frame(BaseModel):
    """What every frame to the client has."""

    model_config = ConfigDict(extra="forbid")

    run_id: str


class FromLog(Frame):
    seq: int
    at: str
    """When it happened, in ISO 8601 and UTC."""


class Connected(Frame):
    event: Literal["connected"] = "connected"
    status: str
    seq: int
    run: dict[str, Any]
    blueprint: dict[str, Any]


class RunCreated(FromLog):
    event: Literal["run_created"] = "run_created"
    input_topic: str
    model: str
    blueprint: str
    god_mode: bool = False
    limits: dict[str, Any] = {}
    parent: str | None = None
    parent_seq: int | None = None


class RunStarted(FromLog):
    event: Literal["run_started"] = "run_started"
    attempt: int


class RunInterrupted(FromLog):
    event: Literal["run_interrupted"] = "run_interrupted"
    attempt: int
    cause: str


class NodeStart(FromLog):
    event: Literal["node_start"] = "node_start"
    node: str
    iteration: int
    kind: str
    model: str


class NodeActive(FromLog):
    """The same as node_start, under the name that older clients listen for."""

    event: Literal["node_active"] = "node_active"
    node: str
    iteration: int
    kind: str
    model: str


class NodeToken(FromLog):
    event: Literal["node_token"] = "node_token"
    node: str
    text: str


class NodeRetry(FromLog):
    event: Literal["node_retry"] = "node_retry"
    node: str
    code: str
    message: str
    next_try: int


class NodeComplete(FromLog):
    event: Literal["node_complete"] = "node_complete"
    node: str
    iteration: int
    kind: str
    score: float | None = None
    output: dict[str, Any]
    duration_ms: int
    first_token_ms: int | None = None
    usage: dict[str, Any]
    model: str
    scripted: bool
    cut: bool = False


class NodeFailed(FromLog):
    """A member failed; the council goes on without it."""

    event: Literal["node_failed"] = "node_failed"
    node: str
    iteration: int
    kind: str
    code: str
    message: str
    duration_ms: int


class NodeStopped(FromLog):
    """A limit left no room for the node's next call."""

    event: Literal["node_stopped"] = "node_stopped"
    node: str
    iteration: int
    kind: str
    limit: str


class RunPaused(Frame):
    """A gate opened. Without `seq` it tells somebody who joins later what is open."""

    event: Literal["run_paused"] = "run_paused"
    seq: int | None = Field(default=None, exclude_if=lambda seq: seq is None)
    at: str | None = Field(default=None, exclude_if=lambda at: at is None)
    next_nodes: list[str]
    current_draft: str
    critic_score: float | None
    iteration_count: int
    gate: dict[str, Any]


class GateAnswered(FromLog):
    event: Literal["gate_answered"] = "gate_answered"
    gate: str
    node: str
    action: str
    by: str
    answer: dict[str, Any]


class RunResumed(FromLog):
    event: Literal["run_resumed"] = "run_resumed"
    by: str


class RunRetried(FromLog):
    """A failed run goes on; `code`, `error` and `node` say what it had failed of."""

    event: Literal["run_retried"] = "run_retried"
    by: str
    retry: int
    code: str
    error: str
    node: str


class RunComplete(FromLog):
    event: Literal["run_complete"] = "run_complete"
    final_draft: str
    critic_score: float | None
    iteration_count: int
    reason: str
    approved: bool | None
    usage: dict[str, Any]
    cost: str | None
    members: dict[str, Any] = {}
    draft_cut: bool = False
    handoff: dict[str, Any] | None = None


class RunFailed(FromLog):
    event: Literal["run_failed"] = "run_failed"
    error: str
    code: str
    node: str


class RunCancelled(FromLog):
    event: Literal["run_cancelled"] = "run_cancelled"
    reason: str
    by: str


class Error(BaseModel):
    event: Literal["error"] = "error"
    run_id: str
    message: str
    code: str
    detail: dict[str, Any] = {}


class Pong(BaseModel):
    event: Literal["pong"] = "pong"


ToClient = Annotated[
    Connected
    | RunCreated
    | RunStarted
    | RunInterrupted
    | NodeStart
    | NodeActive
    | NodeToken
    | NodeRetry
    | NodeComplete
    | NodeFailed
    | NodeStopped
    | RunPaused
    | GateAnswered
    | RunResumed
    | RunRetried
    | RunComplete
    | RunFailed
    | RunCancelled
    | Error
    | Pong,
    Field(discriminator="event"),
]


class Ack(BaseModel):
    """The client has everything up to `seq`."""

    type: Literal["ack"]
    seq: int = Field(ge=0, strict=True)


class Ping(BaseModel):
    type: Literal["ping"]


class Answer(answers.Answer):
    """Answer an open gate; who acts first acts alone. The fields are those of REST."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["answer"]


FromClient = Annotated[Ack | Ping | Answer, Field(discriminator="type")]
FROM_CLIENT: TypeAdapter[Ack | Ping | Answer] = TypeAdapter(FromClient)
TO_CLIENT: TypeAdapter[Any] = TypeAdapter(ToClient)


def frames(event: events.Logged) -> tuple[str, ...]:
    """The frames, as JSON text, that tell of an event."""
    return tuple(frame.model_dump_json() for frame in _frames(event))


def _frames(event: events.Logged) -> list[Any]:
    data = event.data
    at = events.stamp(event.at)
    where: dict[str, Any] = {"run_id": str(event.run_id), "seq": event.seq, "at": at}
    match event.kind:
        case "run.created":
            more = {name: data[name] for name in _SINCE_2 if name in data}
            return [
                RunCreated(**where, **_pick(data, "input_topic", "model", "blueprint"), **more)
            ]
        case "run.started":
            return [RunStarted(**where, attempt=data["attempt"])]
        case "run.interrupted":
            return [RunInterrupted(**where, **_pick(data, "attempt", "cause"))]
        case "node.started":
            fields = where | _pick(data, "node", "iteration", "kind", "model")
            return [NodeStart(**fields), NodeActive(**fields)]
        case "node.token":
            return [NodeToken(**where, **_pick(data, "node", "text"))]
        case "node.retried":
            return [NodeRetry(**where, **_pick(data, "node", "code", "message", "next_try"))]
        case "node.completed":
            told = {name: value for name, value in data.items() if name not in _NOT_SENT}
            return [NodeComplete(**where, **told)]
        case "node.failed":
            return [
                NodeFailed(
                    **where,
                    **_pick(
                        data, "node", "iteration", "kind", "code", "message", "duration_ms"
                    ),
                )
            ]
        case "node.stopped":
            return [NodeStopped(**where, **_pick(data, "node", "iteration", "kind", "limit"))]
        case "gate.opened":
            return [paused(event.run_id, data, event.seq, at)]
        case "gate.answered":
            return [
                GateAnswered(**where, **_pick(data, "gate", "node", "action", "by", "answer"))
            ]
        case "run.resumed":
            return [RunResumed(**where, by=data["by"])]
        case "run.retried":
            return [
                RunRetried(
                    **where, **_pick(data, "by", "retry", "code", "node"), error=data["message"]
                )
            ]
        case "run.completed":
            return [RunComplete(**where, **data, cost=data["usage"].get("cost"))]
        case "run.failed":
            return [RunFailed(**where, error=data["message"], **_pick(data, "code", "node"))]
        case "run.cancelled":
            return [RunCancelled(**where, **_pick(data, "reason", "by"))]
    raise ValueError(f"no frame tells of {event.kind}")


# What of a finished step is for those who look back.
_NOT_SENT = ("task", "asked")
# Logs of runs before gates and forks have none of these.
_SINCE_2 = ("god_mode", "limits", "parent", "parent_seq")


def paused(
    run_id: UUID, gate: dict[str, Any], seq: int | None = None, at: str | None = None
) -> RunPaused:
    """The frame that tells of an open gate, by what its event says of it."""
    names = ("next_nodes", "current_draft", "critic_score", "iteration_count")
    return RunPaused(run_id=str(run_id), seq=seq, at=at, gate=gate, **_pick(gate, *names))


def _pick(data: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: data[name] for name in names}
