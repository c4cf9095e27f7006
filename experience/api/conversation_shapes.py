"""Conversations and messages as the API is sent and answers them."""

from typing import Any

from rest_framework import serializers

from experience import conversations, models, shapes
from runtime import models as runtime
from runtime import runs

# The largest number that JavaScript counts exactly.
LAST_POSITION = 2**53


class ConversationRequest(shapes.Asked):
    project_id = serializers.CharField(
        required=False, allow_blank=True, default="", max_length=200
    )
    agent = serializers.CharField(
        required=False, allow_blank=True, default="", max_length=100,
        help_text="the slug of who answers first, unless a surface or a message says otherwise",
    )  # fmt: skip


class ConversationShape(serializers.ModelSerializer[models.Conversation]):
    agent = serializers.CharField(
        source="agent.slug", default=None, allow_null=True, help_text="who answers next"
    )
    last_number = serializers.IntegerField(help_text="of its messages; 0: there is none")
    title = serializers.CharField(help_text="how its first message begins")

    class Meta:
        model = models.Conversation
        fields = (
            "id",
            "title",
            "agent",
            "surface",
            "project_id",
            "last_number",
            "created_at",
            "updated_at",
        )


class MessageRequest(shapes.Asked):
    text = serializers.CharField(min_length=1, max_length=runs.LONGEST_TOPIC)
    id = serializers.CharField(
        required=False, allow_null=True, min_length=1, max_length=conversations.LONGEST_ID,
        help_text="your own name for it: sent twice, acted on once",
    )  # fmt: skip
    surface = serializers.CharField(
        required=False, allow_blank=True, default="", max_length=100,
        help_text="where in your product it was written",
    )  # fmt: skip
    agent = serializers.CharField(
        required=False, allow_blank=True, default="", max_length=100,
        help_text="the slug of the agent that is asked for",
    )  # fmt: skip
    project_id = serializers.CharField(
        required=False, allow_blank=True, default="", max_length=200
    )


class MessageAccepted(serializers.Serializer[Any]):
    conversation_id = serializers.UUIDField()
    message_id = serializers.UUIDField()
    run_id = serializers.UUIDField(allow_null=True, help_text="null: it was deleted since")
    agent_id = serializers.CharField(help_text="the slug of who answers first")
    routed_by = serializers.CharField(help_text="asked, conversation, surface or default")
    after = serializers.IntegerField(help_text="follow the events from here")


class MessageShape(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    number = serializers.IntegerField()
    role = serializers.ChoiceField(models.Message.Role.choices)
    text = serializers.SerializerMethodField(
        help_text="of an agent's: what its run has ended with; null until then, or if it failed"
    )
    created_at = serializers.DateTimeField()
    client_id = serializers.CharField(allow_null=True, help_text="of a user's: its own id")
    surface = serializers.CharField(help_text="of a user's")
    answers = serializers.UUIDField(
        source="answers_id", allow_null=True, help_text="of an agent's: to which message"
    )
    agent = serializers.CharField(source="agent_slug", help_text="of an agent's: its slug")
    routed_by = serializers.CharField(help_text="of an agent's")
    run_id = serializers.UUIDField(allow_null=True)
    status = serializers.SerializerMethodField(help_text="of an agent's: of its run")
    reason = serializers.SerializerMethodField()
    error = serializers.SerializerMethodField()
    handoff = serializers.SerializerMethodField(help_text="to whom it was handed over, and why")

    def get_text(self, message: models.Message) -> str | None:
        if message.role == models.Message.Role.USER:
            return message.text
        return message.run.final_draft if message.run and not message.run.handoff else None

    def get_status(self, message: models.Message) -> str | None:
        if message.role == models.Message.Role.USER:
            return None
        return message.run.status if message.run else runtime.Status.FAILED

    def get_reason(self, message: models.Message) -> str | None:
        return (message.run.reason or None) if message.run else None

    def get_error(self, message: models.Message) -> dict[str, str] | None:
        said = message.run or message
        if not said.error_code:
            return None
        return {"code": said.error_code, "message": said.error_message}

    def get_handoff(self, message: models.Message) -> dict[str, str] | None:
        return message.run.handoff if message.run else None


class MessageQuery(serializers.Serializer[Any]):
    after = serializers.IntegerField(
        min_value=0, max_value=2**31 - 1, default=0, help_text="the number of a message"
    )
    limit = serializers.IntegerField(min_value=1, max_value=200, default=50)


class PositionQuery(serializers.Serializer[Any]):
    after = serializers.IntegerField(min_value=0, max_value=LAST_POSITION, default=0)


class FramePage(serializers.Serializer[Any]):
    events = serializers.ListField(
        child=serializers.DictField(), help_text="frames of the agent socket"
    )
    next_after = serializers.IntegerField(help_text="`after` for the next page")
