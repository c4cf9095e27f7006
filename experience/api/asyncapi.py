"""The sockets, described for programs."""

from django.conf import settings
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import api_view, permission_classes
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from experience.protocol import asyncapi


@extend_schema(exclude=True)
@api_view(["GET"])
@permission_classes([AllowAny])  # as the OpenAPI document's, it tells nothing about anybody
def document(request: Request) -> Response:
    """The AsyncAPI document of both sockets."""
    version = str(settings.SPECTACULAR_SETTINGS["VERSION"])
    return Response(
        asyncapi.document(version, host=request.get_host(), secure=request.is_secure())
    )
