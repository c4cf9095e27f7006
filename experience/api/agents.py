"""The agents that a message can be addressed to."""

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from experience import access, shapes
from runtime import models


class AgentShape(serializers.ModelSerializer[models.Agent]):
    id = serializers.CharField(source="slug", help_text="the slug: class.domain")
    kind = serializers.CharField(help_text="the class in its slug: guide, liaison …")
    blueprint_id = serializers.UUIDField(help_text="what it runs")
    surfaces = serializers.SlugRelatedField(  # type: ignore[var-annotated]
        slug_field="slug", many=True, read_only=True, help_text="those that lead to it"
    )

    class Meta:
        model = models.Agent
        fields = ("id", "name", "description", "kind", "blueprint_id", "surfaces")


@extend_schema(
    operation_id="agents_list", responses={200: AgentShape(many=True), **shapes.problems()}
)
@api_view(["GET"])
def agent_list(request: Request) -> Response:
    """The agents that the caller may ask for, by their slugs."""
    found = access.agents_of(request.user).prefetch_related("surfaces")
    return Response(AgentShape(found, many=True).data)
