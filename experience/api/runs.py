"""Runs: start, look, cancel."""

import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

from django.http.response import HttpResponseBase
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import api_view, renderer_classes
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from experience import access, conversations, feed, shapes, steering
from experience.api import streams
from runtime import checkpoints, events, gates, models, runs, shipped

PAGE = 500
LAST_SEQ = 2**31 - 1
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


class AfterQuery(serializers.Serializer[Any]):
    after = serializers.IntegerField(min_value=0, max_value=LAST_SEQ, default=0)


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
    asked = shapes.body(RunRequest, request)
    run = runs.create(
        topic=asked["input_topic"],
        version=blueprint.newest,
        owner=shapes.user(request),
        model=asked["model"],
        god_mode=asked["god_mode"],
        limits=asked.get("limits"),
        idempotency_key=request.headers.get("Idempotency-Key"),
        trace=shapes.trace(request),
    )
    message = "The council has been convened."
    return Response({"run_id": run.pk, "status": run.status, "message": message}, status=202)


# --- looking ---------------------------------------------------------------------------


@extend_schema(responses={200: RunState, **shapes.problems(404)})
@api_view(["GET"])
def run_status(request: Request, run_id: UUID) -> Response:
    """Where a run stands."""
    return Response(RunState(access.find_run(request.user, run_id)).data)


@extend_schema(responses={200: dict[str, Any], **shapes.problems(404)})
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


@extend_schema(
    operation_id="run_events",
    parameters=[AfterQuery, streams.LAST_EVENT_ID],
    responses={
        (200, "application/json"): EventPage,
        (200, streams.MEDIA_TYPE): streams.StreamEvent,
        204: None,
        **shapes.problems(400, 404, 429),
    },
)
@api_view(["GET"])
@renderer_classes([JSONRenderer, streams.Renderer])
def run_events(request: Request, run_id: UUID) -> HttpResponseBase:
    """The run's log after `after`: in pages; or with `Accept: text/event-stream` as a stream
    to its end, each event as in a page. 204 when a stream's client has had the end."""
    run = access.find_run(request.user, run_id)
    after = shapes.query(AfterQuery, request)["after"]
    after = streams.position(request, after, most=LAST_SEQ)
    if streams.is_asked_for(request):
        if run.has_ended and run.last_seq <= after:
            return streams.over()
        return streams.answer(request, _follow(run_id, after))
    page = events.since(run.pk, after, limit=PAGE)
    return Response(
        {
            "events": [event.as_json() for event in page],
            "next_after": page[-1].seq if page else after,
            "last_seq": run.last_seq,
        }
    )


async def _follow(run_id: UUID, after: int) -> AsyncIterator[streams.Sent]:
    """The log from there to its end, as a stream."""
    async with feed.hub().watch(run_id) as followed:
        while True:
            for entry in await followed.after(after):
                after = entry.event.seq
                # A failed run may have been retried since.
                ends = entry.event.kind in events.ENDS and after >= followed.head
                (block,) = entry.frames(_blocks)
                yield streams.Sent(block, ends)


def _blocks(event: events.Logged) -> tuple[str]:
    data = json.dumps(event.as_json(), ensure_ascii=False)
    return (streams.block(event.seq, event.kind, data),)


@extend_schema(
    operation_id="runs_list",
    parameters=[shapes.PageQuery],
    responses={200: RunSummary(many=True), **shapes.problems(400)},
)
@api_view(["GET"])
def run_list(request: Request) -> Response:
    """The caller's runs, newest first."""
    some = shapes.page(request)
    found = access.runs_of(request.user).order_by("-created_at", "pk")[some]
    return Response(RunSummary(found, many=True).data)


@extend_schema(operation_id="runs_detail", responses={200: RunSummary, **shapes.problems(404)})
@api_view(["GET"])
def run_detail(request: Request, run_id: UUID) -> Response:
    """One run of the history."""
    return Response(RunSummary(access.find_run(request.user, run_id)).data)


# --- steering --------------------------------------------------------------------------


@extend_schema(request=None, responses={200: RunState, **shapes.problems(403, 404, 409)})
@api_view(["POST"])
def run_cancel(request: Request, run_id: UUID) -> Response:
    """Stop a run. Its model call in flight is broken off; what was written stays. Of a guide's
    that has handed over, the run in its place is stopped."""
    run = access.find_own_run(request.user, run_id)
    conversations.cancel(run, by=shapes.user(request).get_username())
    return Response(RunState(access.find_run(request.user, run_id)).data)
