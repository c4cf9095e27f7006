"""What a client says at a gate, on either socket."""

from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel

from runtime import gates


class Answer(BaseModel):
    """The fields are those of REST."""

    action: Literal["approve", "modify", "reject"]
    gate_id: UUID | None = None
    modified_state: dict[str, Any] | None = None
    next_node: str | None = None
    comment: str | None = None
    limits: dict[str, Any] | None = None

    @property
    def says(self) -> dict[str, Any]:
        """What is said beside the action. Raises errors.AnswerInvalid."""
        named = self.model_dump(include={"next_node", "comment", "limits"}, exclude_none=True)
        return gates.says(self.action, self.modified_state, **named)
