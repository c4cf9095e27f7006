"""The editor: the page of a sketch, and what its script keeps, saves and tries out there.

The script sends each change and is told what has become of the sketch: its faults and its
drawing, as of the revision that is kept now.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import RequestDataTooBig
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import redirect, render
from django.urls import path, reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from experience import access, models, sketches
from experience.dashboard import answering, plan, start
from runtime import blueprints, errors, events, nodes
from runtime import models as runtime
from runtime.blueprints.document import Limits

# More than anybody mends at once; a document may have one for each of its values.
MOST_FAULTS = 200


class SeeOther(HttpResponseRedirect):
    """What was posted is done; what came of it is to be got elsewhere."""

    status_code = 303


# --- a sketch begins -------------------------------------------------------------------


@login_required
@require_POST
def begin(request: HttpRequest) -> HttpResponse:
    """Begin a sketch, and lead on to it: of a `blueprint` (its newest version, or `version`),
    of a `file` or a `document` in JSON, or of nothing."""
    try:
        sketch = _begun(request)
    except (errors.BlueprintNotFound, errors.VersionNotFound) as error:
        raise Http404(str(error)) from error
    except (errors.BlueprintInvalid, answering.NotReadable, RequestDataTooBig) as error:
        messages.error(request, f"Nothing was made of this. {error}")
        return redirect("dashboard:blueprints")
    if "version" in request.POST and sketch.blueprint and not sketches.is_untouched(sketch):
        kept = "This is what you had not saved yet, not the version you came from. "
        messages.warning(request, f"{kept}Save or discard it to start from that one.")
    return SeeOther(reverse("dashboard:sketch", args=[sketch.pk]))


def _begun(request: HttpRequest) -> models.Sketch:
    said = request.POST
    if sent := request.FILES.get("file"):
        if (sent.size or 0) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
            raise RequestDataTooBig("The file is too large.")
        return sketches.begin(request.user, _imported(sent.read()))
    if "document" in said:
        return sketches.begin(request.user, _imported(said["document"].encode()))
    if "blueprint" in said:
        number = _number(said["version"]) if "version" in said else None
        return sketches.begin_of(request.user, _id(said["blueprint"]), number=number)
    return sketches.begin(request.user)


def _imported(text: bytes) -> Any:
    """Whatever may be a blueprint, with faults or of an older format."""
    document = answering.parsed(text)
    if isinstance(document, dict) and "nodes" not in document:
        raise answering.NotReadable(
            "It is JSON, but no blueprint: it has no `nodes`. Take a file that was exported."
        )
    return document


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise errors.BlueprintNotFound from error


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise errors.VersionNotFound
    return int(text)


# --- the page --------------------------------------------------------------------------


@never_cache
@login_required
@require_safe
def show(request: HttpRequest, sketch_id: UUID) -> HttpResponse:
    """The editor."""
    try:
        sketch = access.find_sketch(request.user, sketch_id)
    except access.SketchNotFound as error:
        raise Http404(str(error)) from error
    context = {"sketch": sketch, "data": _data(sketch)}
    return render(request, "dashboard/sketch.html", context)


def _data(sketch: models.Sketch) -> dict[str, Any]:
    """What the page's script is to know before the first change."""
    ways = ("document", "save", "trial", "discard")
    blueprint = sketch.blueprint
    return {
        "telling": _told(sketch),
        "id": str(sketch.pk),
        "blueprint": _blueprint(blueprint) if blueprint else None,
        "urls": {way: reverse(f"dashboard:sketch-{way}", args=[sketch.pk]) for way in ways},
        "kinds": [_kind(kind) for kind in nodes.KINDS.values()],
        "limits": Limits.model_json_schema(),
        "models": start.choices_of_model(),
        "defaultModel": start.resolved(""),
        "agent": blueprint is not None and blueprint.agents.exists(),
    }


def _blueprint(blueprint: runtime.Blueprint) -> dict[str, Any]:
    """`url` is None when it was deleted meanwhile: then it has no page."""
    is_there = blueprint.deleted_at is None
    return {
        "id": str(blueprint.pk),
        "name": blueprint.name,
        "url": _page_of(blueprint.pk) if is_there else None,
    }


def _page_of(blueprint_id: UUID) -> str:
    return reverse("dashboard:blueprint", args=[blueprint_id])


def _kind(kind: nodes.Kind) -> dict[str, Any]:
    return {
        "name": kind.name,
        "summary": kind.summary,
        "decides": kind.decides,
        "revises": kind.revises,
        "member": kind.member,
        "prompt": kind.prompt,
        "schema": kind.settings.model_json_schema(),
    }


def _told(sketch: models.Sketch) -> dict[str, Any]:
    """The sketch as it is kept now."""
    found = blueprints.faults(sketch.document)
    return {
        "revision": sketch.revision,
        "document": sketch.document,
        "savedAt": events.stamp(sketch.updated_at),
        "faults": [asdict(fault) for fault in found[:MOST_FAULTS]],
        "plan": plan.of_sketch(sketch.document),
        "madeFrom": sketch.made_from,
        "newest": _newest(sketch.blueprint),
    }


def _newest(blueprint: runtime.Blueprint | None) -> int | None:
    """The number of its newest version; None if there is no blueprint, or none any more."""
    if blueprint is None or blueprint.deleted_at is not None:
        return None
    numbers = blueprint.versions.order_by("-number").values_list("number", flat=True)
    return numbers.first()


# --- what the script asks for ----------------------------------------------------------


@require_http_methods(["GET", "HEAD", "PUT"])
@answering.to_script
def document(request: HttpRequest, sketch_id: UUID) -> HttpResponse:
    """What is kept of a sketch. PUT `{"revision", "document"}` changes it; made of another
    revision it is refused with what is there now, in `telling`."""
    if request.method != "PUT":
        return JsonResponse(_told(access.find_sketch(request.user, sketch_id)))
    said = answering.said(request)
    revision = _revision(said)
    if "document" not in said:
        raise answering.NotReadable("The body has no `document`.")
    try:
        sketch = sketches.change(request.user, sketch_id, said["document"], revision=revision)
    except sketches.SketchChanged as error:
        now = access.find_sketch(request.user, sketch_id)
        return answering.problem(409, error.code, str(error), error.detail, telling=_told(now))
    return JsonResponse(_told(sketch))


@require_POST
@answering.to_script
def save(request: HttpRequest, sketch_id: UUID) -> HttpResponse:
    """Save `{"revision", "onto"?, "as_new"?}` as a version. The sketch is gone then."""
    said = answering.said(request)
    onto = answering.of_type(said, "onto", int)
    version = sketches.save(
        request.user,
        sketch_id,
        revision=_revision(said),
        onto=onto,
        as_new=bool(answering.of_type(said, "as_new", bool)),
    )
    found = {"url": _page_of(version.blueprint_id), "version": version.number}
    return JsonResponse(found)


@require_POST
@answering.to_script
def try_out(request: HttpRequest, sketch_id: UUID) -> HttpResponse:
    """Run `{"revision", "input_topic", "model"?, "god_mode"?, "limits"?}` as a trial. The
    `Idempotency-Key` header counts as it does for other runs."""
    said = answering.said(request)
    run = sketches.try_out(
        request.user,
        sketch_id,
        revision=_revision(said),
        topic=answering.of_type(said, "input_topic", str) or "",
        model=answering.of_type(said, "model", str) or "",
        god_mode=bool(answering.of_type(said, "god_mode", bool)),
        limits=answering.of_type(said, "limits", dict),
        idempotency_key=request.headers.get("Idempotency-Key"),
    )
    address = reverse("dashboard:run", args=[run.pk])
    return JsonResponse({"run_id": str(run.pk), "url": address}, status=202)


@login_required
@require_POST
def discard(request: HttpRequest, sketch_id: UUID) -> HttpResponse:
    """Throw a sketch away, and lead on to its blueprint, or to all of them."""
    try:
        sketch = sketches.discard(request.user, sketch_id)
    except access.SketchNotFound as error:
        raise Http404(str(error)) from error
    blueprint = sketch.blueprint
    is_there = blueprint is not None and blueprint.deleted_at is None
    return SeeOther(
        _page_of(blueprint.pk) if blueprint and is_there else reverse("dashboard:blueprints")
    )


def _revision(said: Mapping[str, Any]) -> int:
    revision = answering.of_type(said, "revision", int)
    if revision is None:
        raise answering.NotReadable("The body has no `revision`.")
    return int(revision)


urlpatterns = [
    path("", begin, name="sketches"),
    path("<uuid:sketch_id>/", show, name="sketch"),
    path("<uuid:sketch_id>/document", document, name="sketch-document"),
    path("<uuid:sketch_id>/save", save, name="sketch-save"),
    path("<uuid:sketch_id>/trial", try_out, name="sketch-trial"),
    path("<uuid:sketch_id>/discard", discard, name="sketch-discard"),
]
