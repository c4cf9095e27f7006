"""REST: protocol.md §4, the part about runs, and tickets."""

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from experience import access, shapes, steering
from runtime import checkpoints, events, gates, models, runs, shipped

PAGE = 500
# The council's working state, by the names of protocol.md §5.
STATE = (
    "input_topic",
    "current_draft",
    "feedback_history",
    "route_decision",
    "messages",
    "iteration_count",
    "critic_score",
    "run_id",
    "active_node",
)


# --- shapes ----------------------------------------------------------------------------


class RunRequest(shapes.Asked):
    input_topic = serializers.CharField(min_length=1, max_length=runs.LONGEST_TOPIC)
    model = serializers.CharField(
        required=False, allow_blank=True, default="", max_length=200,
        help_text="provider:model for the nodes that name none; empty for the default",
    )  # fmt: skip
    god_mode = serializers.BooleanField(
        required=False, default=False, help_text="wait for a person before every node"
    )
    limits = steering.LimitsField(required=False)


class RunAccepted(serializers.Serializer[Any]):
    run_id = serializers.UUIDField()
    status = serializers.CharField()
    message = serializers.CharField()


class RunState(serializers.Serializer[models.Run]):
    run_id = serializers.UUIDField(source="pk")
    status = serializers.ChoiceField(models.Status.choices)
    final_draft = serializers.CharField(allow_null=True)
    critic_score = serializers.FloatField(allow_null=True)
    iteration_count = serializers.IntegerField()
    error = serializers.SerializerMethodField()
    paused = serializers.SerializerMethodField()
    next_nodes = serializers.SerializerMethodField()
    current_draft = serializers.CharField()
    gates = serializers.SerializerMethodField(help_text="those that are open")
    reason = serializers.CharField()
    draft_cut = serializers.BooleanField(help_text="the draft ended at a token limit")
    members = serializers.JSONField(help_text="how many of those asked had their say")
    limits = serializers.JSONField()
    parent = serializers.UUIDField(  # type: ignore[assignment] # a name of the base class, too
        source="parent_id", allow_null=True
    )
    parent_seq = serializers.IntegerField(allow_null=True)
    approved = serializers.BooleanField(allow_null=True)
    usage = serializers.SerializerMethodField(help_text="so far, or in the end")
    last_seq = serializers.IntegerField()

    def get_error(self, run: models.Run) -> str | None:
        return run.error_message or None

    def get_paused(self, run: models.Run) -> bool:
        return run.status == models.Status.PAUSED

    def get_next_nodes(self, run: models.Run) -> list[str]:
        return _next_nodes(gates.open_of(run))

    def get_usage(self, run: models.Run) -> dict[str, Any]:
        return run.usage if run.has_ended else events.total_usage(run.pk)

    def get_gates(self, run: models.Run) -> list[dict[str, Any]]:
        return [gates.as_json(gate) for gate in gates.open_of(run)]


class RunSummary(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    blueprint_id = serializers.UUIDField(source="blueprint_version.blueprint_id")
    input_topic = serializers.CharField()
    status = serializers.ChoiceField(models.Status.choices)
    execution_mode = serializers.SerializerMethodField()
    final_draft = serializers.CharField(allow_null=True)
    critic_score = serializers.FloatField(allow_null=True)
    iteration_count = serializers.IntegerField()
    error = serializers.SerializerMethodField()
    created_at = serializers.DateTimeField()
    completed_at = serializers.DateTimeField(source="ended_at", allow_null=True)

    def get_execution_mode(self, run: models.Run) -> str:
        return "god" if run.god_mode else "auto"

    def get_error(self, run: models.Run) -> str | None:
        return run.error_message or None


class EventShape(serializers.Serializer[Any]):
    seq = serializers.IntegerField()
    kind = serializers.ChoiceField(sorted(events.KINDS))
    data = serializers.DictField()  # type: ignore[assignment] # a name of the base class, too
    at = serializers.DateTimeField()


class EventPage(serializers.Serializer[Any]):
    events = EventShape(many=True)
    next_after = serializers.IntegerField(help_text="`after` for the next page")
    last_seq = serializers.IntegerField(help_text="the end of the log as of now")


class TicketShape(serializers.Serializer[Any]):
    ticket = serializers.CharField()
    expires_at = serializers.DateTimeField()


class PageQuery(serializers.Serializer[Any]):
    limit = serializers.IntegerField(min_value=1, max_value=200, default=50)
    offset = serializers.IntegerField(min_value=0, max_value=2**31 - 1, default=0)


class AfterQuery(serializers.Serializer[Any]):
    after = serializers.IntegerField(min_value=0, max_value=2**31 - 1, default=0)


# --- running ---------------------------------------------------------------------------


@extend_schema(
    operation_id="councils_run_default",
    request=RunRequest,
    responses={202: RunAccepted, **shapes.STARTING},
    parameters=[steering.IDEMPOTENCY],
)
@api_view(["POST"])
def run_default(request: Request) -> Response:
    """Run the default blueprint on a topic."""
    return _run(request, models.Blueprint.objects.get(slug=shipped.DEFAULT))


@extend_schema(
    operation_id="councils_run_blueprint",
    request=RunRequest,
    responses={202: RunAccepted, **shapes.STARTING},
    parameters=[steering.IDEMPOTENCY],
)
@api_view(["POST"])
def run_blueprint(request: Request, blueprint_id: UUID) -> Response:
    """Run a saved blueprint on a topic."""
    return _run(request, access.find_blueprint(request.user, blueprint_id))


def _run(request: Request, blueprint: models.Blueprint) -> Response:
    asked = RunRequest(data=request.data)
    asked.is_valid(raise_exception=True)
    run = runs.create(
        topic=asked.validated_data["input_topic"],
        version=blueprint.newest,
        owner=shapes.user(request),
        model=asked.validated_data["model"],
        god_mode=asked.validated_data["god_mode"],
        limits=asked.validated_data.get("limits"),
        idempotency_key=request.headers.get("Idempotency-Key"),
    )
    message = "The council has been convened."
    return Response({"run_id": run.pk, "status": run.status, "message": message}, status=202)


# --- looking ---------------------------------------------------------------------------


@extend_schema(responses={200: RunState, **shapes.ERRORS})
@api_view(["GET"])
def run_status(request: Request, run_id: UUID) -> Response:
    """Where a run stands."""
    return Response(RunState(access.find_run(request.user, run_id)).data)


@extend_schema(responses={200: dict[str, Any], **shapes.ERRORS})
@api_view(["GET"])
def run_state(request: Request, run_id: UUID) -> Response:
    """The council's working state after the last finished step."""
    run = access.find_run(request.user, run_id)
    state = checkpoints.state_of(run)
    return Response(
        {
            "run_id": str(run.pk),
            "paused": run.status == models.Status.PAUSED,
            "next_nodes": _next_nodes(gates.open_of(run)),
            "current_state": {name: state[name] for name in STATE if name in state},
        }
    )


def _next_nodes(found: list[models.Gate]) -> list[str]:
    """What follows the gates that a run waits at."""
    names = (name for gate in found for name in gate.proposal.get("next_nodes", ()))
    return list(dict.fromkeys(names))


@extend_schema(parameters=[AfterQuery], responses={200: EventPage, **shapes.ERRORS})
@api_view(["GET"])
def run_events(request: Request, run_id: UUID) -> Response:
    """The run's log, in pages: what comes after `after`."""
    run = access.find_run(request.user, run_id)
    query = AfterQuery(data=request.query_params)
    query.is_valid(raise_exception=True)
    after = query.validated_data["after"]
    page = events.since(run.pk, after, limit=PAGE)
    return Response(
        {
            "events": [event.as_json() for event in page],
            "next_after": page[-1].seq if page else after,
            "last_seq": run.last_seq,
        }
    )


@extend_schema(
    operation_id="runs_list",
    parameters=[PageQuery],
    responses={200: RunSummary(many=True), **shapes.ERRORS},
)
@api_view(["GET"])
def run_list(request: Request) -> Response:
    """The caller's runs, newest first."""
    query = PageQuery(data=request.query_params)
    query.is_valid(raise_exception=True)
    limit, offset = query.validated_data["limit"], query.validated_data["offset"]
    found = access.runs_of(request.user).order_by("-created_at")[offset : offset + limit]
    return Response(RunSummary(found, many=True).data)


@extend_schema(operation_id="runs_detail", responses={200: RunSummary, **shapes.ERRORS})
@api_view(["GET"])
def run_detail(request: Request, run_id: UUID) -> Response:
    """One run of the history."""
    return Response(RunSummary(access.find_run(request.user, run_id)).data)


# --- steering --------------------------------------------------------------------------


@extend_schema(request=None, responses={200: RunState, **shapes.ERRORS})
@api_view(["POST"])
def run_cancel(request: Request, run_id: UUID) -> Response:
    """Stop a run. Its model call in flight is broken off; what was written stays."""
    run = access.find_own_run(request.user, run_id)
    runs.cancel(run.pk, by=shapes.user(request).get_username())
    return Response(RunState(access.find_run(request.user, run_id)).data)


@extend_schema(request=None, responses={201: TicketShape, 401: shapes.Problem})
@api_view(["POST"])
def create_ticket(request: Request) -> Response:
    """A ticket for opening one socket, good once and for 30 s."""
    ticket, expires_at = access.issue_ticket(shapes.user(request))
    return Response({"ticket": ticket, "expires_at": expires_at}, status=201)
