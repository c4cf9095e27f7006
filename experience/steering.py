"""REST: what people do with a run besides watching it. protocol.md §4."""

from typing import Any
from uuid import UUID

from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from experience import access, conversations, shapes
from runtime import gates, library, models, runs

IDEMPOTENCY = OpenApiParameter(
    "Idempotency-Key", str, OpenApiParameter.HEADER, description="sent twice, done once"
)
TEXT = gates.LONGEST_TEXT


class LimitsShape(serializers.Serializer[Any]):
    """What a run may use; what is not stated is not limited."""

    iterations = serializers.IntegerField(required=False, min_value=1)
    seconds = serializers.FloatField(required=False, help_text="of work, not of waiting")
    calls = serializers.IntegerField(required=False, min_value=1)
    tokens = serializers.IntegerField(required=False, min_value=1)
    cost = serializers.FloatField(required=False, help_text="US dollars")


@extend_schema_field(LimitsShape)
class LimitsField(serializers.JSONField):
    """Limits as they were sent: the runtime checks them, unknown names too."""

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if not isinstance(data, dict):
            raise serializers.ValidationError("Limits are an object.")
        return data


class ModifiedState(serializers.Serializer[Any]):
    current_draft = serializers.CharField(required=False)
    feedback = serializers.CharField(required=False)
    next_node = serializers.CharField(required=False)


@extend_schema_field(ModifiedState)
class ModifiedStateField(serializers.JSONField):
    """The changes as they were sent: the gate checks them, and refuses unknown ones."""

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if not isinstance(data, dict):
            raise serializers.ValidationError("The modified state is an object.")
        return data


class Answer(shapes.Asked):
    action = serializers.ChoiceField(models.Action.choices)
    gate_id = serializers.UUIDField(
        required=False, help_text="needed if several gates are open; wise in any case"
    )
    modified_state = ModifiedStateField(required=False, help_text="with modify")
    next_node = serializers.CharField(required=False, help_text="with reject: send it there")
    comment = serializers.CharField(required=False, help_text="with reject: for that node")
    limits = LimitsField(required=False, help_text="with approve, at a limit")


class Answered(serializers.Serializer[Any]):
    run_id = serializers.UUIDField()
    gate_id = serializers.UUIDField()
    action = serializers.CharField()
    status = serializers.CharField(help_text="of the run, as of now")
    answered_by = serializers.CharField()
    answered_at = serializers.DateTimeField()


class RetryRequest(shapes.Asked):
    limits = LimitsField(required=False)


class ForkRequest(shapes.Asked):
    after = serializers.IntegerField(
        required=False, min_value=0, max_value=2**31 - 1,
        help_text="the seq of a node.completed event; 0: begin anew; absent: the last step",
    )  # fmt: skip
    model = serializers.CharField(required=False, allow_blank=True, max_length=200)
    blueprint_id = serializers.UUIDField(required=False)
    version = serializers.IntegerField(
        required=False, min_value=1, max_value=2**31 - 1,
        help_text="of that blueprint, or of the run's own; absent: the newest of that one",
    )  # fmt: skip
    nodes = serializers.DictField(
        required=False, child=serializers.DictField(child=serializers.CharField()),
        help_text="by node: model, systemPrompt, for what follows",
    )  # fmt: skip
    god_mode = serializers.BooleanField(required=False)
    limits = LimitsField(required=False)


class Steered(serializers.Serializer[Any]):
    run_id = serializers.UUIDField()
    status = serializers.CharField()
    message = serializers.CharField()


@extend_schema(
    operation_id="run_approve", request=Answer, responses={200: Answered, **shapes.ERRORS}
)
@api_view(["POST"])
def approve(request: Request, run_id: UUID) -> Response:
    """Answer the gate that a run waits at: approve, modify or reject. One answer acts."""
    arrived = timezone.now()
    run = access.find_run(request.user, run_id)
    asked = Answer(data=request.data)
    asked.is_valid(raise_exception=True)
    said = dict(asked.validated_data)
    action, gate_id = said.pop("action"), said.pop("gate_id", None)
    says = gates.says(action, said.pop("modified_state", None), **said)
    gate = gates.find(run, gate_id, seen_at=arrived)
    access.check_may_answer(request.user, gate)
    user = shapes.user(request)
    gate = gates.answer(gate.pk, action=action, by=user.get_username(), says=says)
    run.refresh_from_db()
    return Response(
        Answered(
            {
                "run_id": run.pk,
                "gate_id": gate.pk,
                "action": gate.action,
                "status": run.status,
                "answered_by": gate.answered_by,
                "answered_at": gate.answered_at,
            }
        ).data
    )


@extend_schema(
    operation_id="run_retry",
    request=RetryRequest,
    responses={202: Steered, **shapes.STARTING},
    parameters=[IDEMPOTENCY],
)
@api_view(["POST"])
def retry(request: Request, run_id: UUID) -> Response:
    """Take a failed run up again after its last finished step."""
    found = access.find_own_run(request.user, run_id)
    conversations.check_may_retry(found)
    asked = RetryRequest(data=request.data)
    asked.is_valid(raise_exception=True)
    run = runs.retry(
        found.pk,
        by=shapes.user(request).get_username(),
        limits=asked.validated_data.get("limits"),
        idempotency_key=request.headers.get("Idempotency-Key"),
    )
    return _steered(run, "The council goes on after its last finished step.")


@extend_schema(
    operation_id="run_fork",
    request=ForkRequest,
    responses={202: Steered, **shapes.STARTING},
    parameters=[IDEMPOTENCY],
)
@api_view(["POST"])
def fork(request: Request, run_id: UUID) -> Response:
    """Start a run that goes on from a finished step of this one, reusing what came before."""
    parent = access.find_run(request.user, run_id)
    asked = ForkRequest(data=request.data)
    asked.is_valid(raise_exception=True)
    said = dict(asked.validated_data)
    version = _version(
        request, parent, said.pop("blueprint_id", None), said.pop("version", None)
    )
    run = runs.fork(
        parent,
        owner=shapes.user(request),
        version=version,
        overrides=said.pop("nodes", None),
        idempotency_key=request.headers.get("Idempotency-Key"),
        trace=shapes.trace(request),
        **said,
    )
    return _steered(run, "The council goes on from there in a run of its own.")


def _version(
    request: Request, parent: models.Run, blueprint_id: UUID | None, number: int | None
) -> models.BlueprintVersion | None:
    """The blueprint version that was asked for; None: the parent's own."""
    if blueprint_id is None and number is None:
        return None
    own = parent.blueprint_version
    if number == own.number and blueprint_id in (None, own.blueprint_id):
        return own  # who may see the run sees what it runs, but no other version of it
    blueprint = access.find_blueprint(request.user, blueprint_id or own.blueprint_id)
    return library.version(blueprint, number)


def _steered(run: models.Run, message: str) -> Response:
    return Response({"run_id": run.pk, "status": run.status, "message": message}, status=202)
