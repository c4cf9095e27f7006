"""REST: protocol.md §4, the part about blueprints."""

import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.utils.text import slugify
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from experience import access, shapes
from experience import blueprint_shapes as told
from runtime import blueprints, library, models

# What stands beside the document in one JSON object, and so is no part of it.
_BESIDE = frozenset({"version_made_from", "version_number", "visibility", "owner", "read_only"})
_ERRORS = {**shapes.ERRORS, 413: shapes.Problem}


# --- what is sent and what is answered -------------------------------------------------


def _save(
    request: Request, blueprint: models.Blueprint | None = None
) -> models.BlueprintVersion:
    sent, beside = _read(request.data)
    return library.save(
        sent,
        owner=shapes.user(request),
        blueprint=blueprint,
        made_from=beside.get("version_made_from") if blueprint else None,
        visibility=beside.get("visibility"),
    )


def _read(sent: object) -> tuple[object, dict[str, Any]]:
    """The document that was sent, and what stood beside it."""
    if not isinstance(sent, Mapping):
        return sent, {}  # a fault of the document, to be named like others
    beside = told.Beside(data=sent)
    beside.is_valid(raise_exception=True)
    document = {name: value for name, value in sent.items() if name not in _BESIDE}
    return document, beside.validated_data


def _saved(user: Any, version: models.BlueprintVersion) -> dict[str, Any]:
    blueprint = version.blueprint
    return {
        **library.document(version),
        "version_number": version.number,
        "visibility": blueprint.visibility if blueprint.owner else models.Visibility.EVERYONE,
        "owner": blueprint.owner.get_username() if blueprint.owner else None,
        "read_only": not access.may_change(user, blueprint),
    }


def _query(shape: type[serializers.Serializer[Any]], request: Request) -> dict[str, Any]:
    query = shape(data=request.query_params)
    query.is_valid(raise_exception=True)
    return dict(query.validated_data)


def _find_version(request: Request, blueprint_id: UUID, number: int) -> models.BlueprintVersion:
    return library.version(access.find_blueprint(request.user, blueprint_id), number)


# --- the routes ------------------------------------------------------------------------


class Blueprints(APIView):
    @extend_schema(
        operation_id="blueprints_list",
        parameters=[told.ListQuery],
        responses={200: told.SAVED_LIST, **_ERRORS},
    )
    def get(self, request: Request) -> Response:
        """The blueprints that the caller may run, the last changed first."""
        query = _query(told.ListQuery, request)
        some = slice(query["offset"], query["offset"] + query["limit"])
        found = access.blueprints_of(request.user).order_by("-updated_at", "pk")[some]
        return Response([_saved(request.user, version) for version in library.newest(found)])

    @extend_schema(
        operation_id="blueprints_create",
        request=told.Unsaved,
        responses={201: told.Saved, **_ERRORS},
    )
    def post(self, request: Request) -> Response:
        """Save a new blueprint. One with faults is refused, with every fault named."""
        return Response(_saved(request.user, _save(request)), status=201)


class Blueprint(APIView):
    @extend_schema(operation_id="blueprints_detail", responses={200: told.Saved, **_ERRORS})
    def get(self, request: Request, blueprint_id: UUID) -> Response:
        """The newest version of a blueprint."""
        blueprint = access.find_blueprint(request.user, blueprint_id)
        return Response(_saved(request.user, library.version(blueprint)))

    @extend_schema(
        operation_id="blueprints_update",
        request=told.Unsaved,
        responses={200: told.Saved, **_ERRORS},
    )
    def put(self, request: Request, blueprint_id: UUID) -> Response:
        """Save the next version. Refused if `version_made_from` is no longer the newest."""
        blueprint = access.find_own_blueprint(request.user, blueprint_id)
        return Response(_saved(request.user, _save(request, blueprint)))

    @extend_schema(operation_id="blueprints_delete", responses={204: None, **_ERRORS})
    def delete(self, request: Request, blueprint_id: UUID) -> Response:
        """Take a blueprint off the lists. Its runs keep the version they ran."""
        library.delete(access.find_own_blueprint(request.user, blueprint_id))
        return Response(status=204)


class Versions(APIView):
    @extend_schema(
        operation_id="blueprints_versions",
        responses={200: told.VersionSummary(many=True), **_ERRORS},
    )
    def get(self, request: Request, blueprint_id: UUID) -> Response:
        """A blueprint's versions, the newest first."""
        blueprint = access.find_blueprint(request.user, blueprint_id)
        return Response(told.VersionSummary(library.history(blueprint), many=True).data)


class Version(APIView):
    @extend_schema(operation_id="blueprints_version", responses={200: told.Saved, **_ERRORS})
    def get(self, request: Request, blueprint_id: UUID, number: int) -> Response:
        """One version of a blueprint, as it will always be."""
        return Response(_saved(request.user, _find_version(request, blueprint_id, number)))


class Compare(APIView):
    @extend_schema(
        operation_id="blueprints_diff",
        parameters=[told.CompareQuery],
        responses={200: told.Difference, **_ERRORS},
    )
    def get(self, request: Request, blueprint_id: UUID, number: int) -> Response:
        """What a version changed, part by part and field by field."""
        older = _query(told.CompareQuery, request).get("from", number - 1)
        new = _find_version(request, blueprint_id, number)
        # Before the first version there was nothing.
        old = library.version(new.blueprint, older).document if older else {}
        difference = blueprints.difference(old, new.document)
        return Response({"from_version": older, "to_version": number, **difference})


class Export(APIView):
    @extend_schema(
        operation_id="blueprints_export",
        parameters=[told.ExportQuery],
        responses={200: blueprints.Document, **_ERRORS},
    )
    def get(self, request: Request, blueprint_id: UUID) -> HttpResponse:
        """A blueprint as a file, which `POST /api/councils/` and `manage.py` take."""
        number = _query(told.ExportQuery, request).get("version")
        version = library.version(access.find_blueprint(request.user, blueprint_id), number)
        text = json.dumps(library.document(version), indent=2, ensure_ascii=False)
        name = f"{slugify(version.document['name']) or 'blueprint'}-v{version.number}.json"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return HttpResponse(f"{text}\n", content_type="application/json", headers=headers)


class Check(APIView):
    @extend_schema(
        operation_id="blueprints_check",
        request=told.Unsaved,
        responses={200: told.Faults, **_ERRORS},
    )
    def post(self, request: Request) -> Response:
        """Everything that is wrong with a blueprint; nothing is saved."""
        sent, _beside = _read(request.data)
        found = blueprints.faults(sent)
        return Response({"faults": told.FaultShape(found, many=True).data})


class _OnlyJSON(BaseContentNegotiation):
    """For a route whose own `format` says what it answers; its refusals are JSON."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        return parsers[0]

    def select_renderer(
        self, request: Request, renderers: Any, format_suffix: Any = None
    ) -> Any:
        return renderers[0], renderers[0].media_type


class Drawing(APIView):
    content_negotiation_class = _OnlyJSON

    @extend_schema(
        operation_id="blueprints_drawing",
        parameters=[told.DrawQuery],
        responses={(200, "image/svg+xml"): str, (200, "text/plain"): str, **_ERRORS},
    )
    def get(self, request: Request, blueprint_id: UUID) -> HttpResponse:
        """A blueprint as a picture (SVG), or as Mermaid's text."""
        query = _query(told.DrawQuery, request)
        wanted, number = query["format"], query.get("version")
        version = library.version(access.find_blueprint(request.user, blueprint_id), number)
        drawing = blueprints.draw(version.document, wanted)
        kind = "image/svg+xml" if wanted == "svg" else "text/plain; charset=utf-8"
        # Opened by itself it is a page of this server's; it may load and run nothing.
        policy = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
        return HttpResponse(drawing, content_type=kind, headers=policy)
