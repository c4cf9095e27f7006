"""The frames of the agent socket, `/api/runtime/agent`: names and fields of protocol.md §2.

`seq` in a frame's data is a position in its conversation: a client that comes back resumes
after the last one it has.
"""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, field_validator

from experience.protocol import answers

LONGEST_ID = 200


# --- to the client ---------------------------------------------------------------------


class Data(BaseModel):
    """What the data of every event has."""

    model_config = ConfigDict(extra="forbid", validate_by_name=True, serialize_by_alias=True)

    agent_id: str
    """The agent's slug."""
    agent_type: str
    """The class in its slug."""
    conversation_id: str
    run_id: str | None
    seq: int
    message_id: str
    """The user's message that is being answered."""
    id: str | None
    """What the client itself has called that message."""


class Event(BaseModel):
    model_config = ConfigDict(extra="forbid")

    type: Literal["runtime_event"] = "runtime_event"
    event_type: str
    timestamp: str


class StartedData(Data):
    routed_by: Literal["asked", "conversation", "surface", "default", "handoff"]
    model: str


class Started(Event):
    event_type: Literal["agent.started"] = "agent.started"
    data: StartedData


class TokenData(Data):
    token: str
    offset: int
    """Where in the answer it goes, in characters. What had been said from there on is void: a
    model was asked again, or another worker took the run up."""


class Token(Event):
    event_type: Literal["agent.token"] = "agent.token"
    data: TokenData


class NodeData(Data):
    node: str
    label: str
    kind: str
    state: Literal["started", "retried", "completed", "failed", "stopped"]
    iteration: int | None
    score: float | None
    detail: str
    """Why it was retried, failed or stopped."""


class Node(Event):
    """A step of a council."""

    event_type: Literal["agent.node"] = "agent.node"
    data: NodeData


class WaitingData(Data):
    gate: dict[str, Any]


class Waiting(Event):
    """A gate opened; `agent.answer` answers it."""

    event_type: Literal["agent.waiting"] = "agent.waiting"
    data: WaitingData


class AnsweredData(Data):
    gate: str
    action: str
    by: str


class Answered(Event):
    """A gate was answered."""

    event_type: Literal["agent.answered"] = "agent.answered"
    data: AnsweredData


class InterruptedData(Data):
    cause: str


class Interrupted(Event):
    """A worker was lost; another takes the run up."""

    event_type: Literal["agent.interrupted"] = "agent.interrupted"
    data: InterruptedData


class HandoffData(Data):
    from_: str = Field(alias="from")
    to: str
    reason: str
    usage: dict[str, Any]
    cost: str | None


class Handoff(Event):
    """Another agent answers the same message; its `agent.started` follows."""

    event_type: Literal["agent.handoff"] = "agent.handoff"
    data: HandoffData


class CompletedData(Data):
    response: str
    reason: str
    approved: bool | None
    critic_score: float | None
    iteration_count: int
    usage: dict[str, Any]
    cost: str | None
    scripted: bool
    members: dict[str, Any]
    draft_cut: bool


class Completed(Event):
    event_type: Literal["agent.completed"] = "agent.completed"
    data: CompletedData


class FailedData(Data):
    error: str
    code: str
    node: str


class Failed(Event):
    event_type: Literal["agent.failed"] = "agent.failed"
    data: FailedData


class CancelledData(Data):
    reason: str
    by: str


class Cancelled(Event):
    event_type: Literal["agent.cancelled"] = "agent.cancelled"
    data: CancelledData


RuntimeEvent = Annotated[
    Started
    | Token
    | Node
    | Waiting
    | Answered
    | Interrupted
    | Handoff
    | Completed
    | Failed
    | Cancelled,
    Field(discriminator="event_type"),
]


class Error(BaseModel):
    """What the client asked for cannot be, or could not be read."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["error"] = "error"
    error: str
    code: str
    id: str | None
    """What the client has called the message that this is about."""
    detail: dict[str, Any] = {}
    timestamp: str


class Pong(BaseModel):
    model_config = ConfigDict(extra="forbid")

    type: Literal["pong"] = "pong"
    timestamp: str


ToClient = Annotated[RuntimeEvent | Error | Pong, Field(discriminator="type")]
TO_CLIENT: TypeAdapter[Any] = TypeAdapter(ToClient)


# --- from the client -------------------------------------------------------------------


# PostgreSQL keeps no NUL.
Name = Annotated[str, Field(max_length=100, pattern=r"^[^\x00]*$")]
LongName = Annotated[str, Field(max_length=LONGEST_ID, pattern=r"^[^\x00]*$")]
Id = Annotated[str, Field(min_length=1, max_length=LONGEST_ID, pattern=r"^[^\x00]*$")]


class Context(BaseModel):
    surface: Name | None = None
    project_id: LongName | None = None
    conversation_id: Name | None = None


class Payload(BaseModel):
    text: str = Field(min_length=1)
    agent: Name | None = None
    """The slug of the agent that is asked for."""
    context: Context = Context()

    @field_validator("context", mode="before")
    @classmethod
    def _may_be_null(cls, value: Any) -> Any:
        return {} if value is None else value


class Message(BaseModel):
    """Something said to an agent. Sent again with the same `id`, it acts once."""

    type: Literal["agent.message"]
    id: Id | None = None
    payload: Payload


class Cancel(BaseModel):
    """Stop a run of one's own."""

    type: Literal["agent.cancel"]
    id: Id | None = None
    run_id: UUID


class Answer(answers.Answer):
    """Answer an open gate; who acts first acts alone."""

    type: Literal["agent.answer"]
    id: Id | None = None
    run_id: UUID


class Resume(BaseModel):
    """Be sent what came in a conversation after a position, and all that follows."""

    type: Literal["agent.resume"]
    id: Id | None = None
    conversation_id: UUID
    after: int = Field(default=0, ge=0, le=2**53, strict=True)


class Ack(BaseModel):
    """The client has everything of a conversation up to `seq`; of all of them if it names
    none."""

    type: Literal["ack"]
    seq: int = Field(ge=0, strict=True)
    conversation_id: UUID | None = None


class Ping(BaseModel):
    type: Literal["ping"]


FromClient = Annotated[
    Message | Cancel | Answer | Resume | Ack | Ping, Field(discriminator="type")
]
FROM_CLIENT: TypeAdapter[Message | Cancel | Answer | Resume | Ack | Ping] = TypeAdapter(
    FromClient
)
