"""Where a run is started: a topic, a council, and how far it may go."""

from collections.abc import Sequence
from uuid import UUID

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from experience import access
from experience.dashboard import councils, estimates, told
from runtime import errors, llm, runs


@require_safe
@login_required
def show(request: HttpRequest) -> HttpResponse:
    """The form. `?blueprint=<id>` chooses a council, `?topic=` fills in the topic."""
    found = councils.of(request.user)
    chosen = _chosen(found, request.GET.get("blueprint", ""))
    model = resolved("")
    about = {
        "topic": request.GET.get("topic", ""),
        "longest": runs.LONGEST_TOPIC,
        "longest_shown": told.count(runs.LONGEST_TOPIC),
        "councils": found,
        "chosen": chosen,
        "models": choices_of_model(),
        "default_model": model,
        "estimate": chosen and estimates.of(request.user, chosen.id, model),
    }
    return render(request, "dashboard/start.html", about)


def _chosen(found: Sequence[councils.Council], asked: str) -> councils.Council | None:
    """The council that was asked for, or else the first."""
    return next((each for each in found if str(each.id) == asked), next(iter(found), None))


def choices_of_model() -> list[str]:
    """Names that can be chosen: those of the settings that can be called."""
    return [name for name in settings.MODEL_ALIASES if resolved(name)] + [
        llm.names.DEMO_DEFAULT
    ]


def resolved(name: str) -> str:
    """The full name of a model; empty when it cannot be called."""
    try:
        return llm.resolve(name)
    except errors.Refusal:
        return ""


@require_safe
@login_required
def estimate(request: HttpRequest, blueprint_id: UUID) -> JsonResponse:
    """What earlier runs of a council with `?model=` needed: a sentence, in `text`."""
    try:
        blueprint = access.find_blueprint(request.user, blueprint_id)
    except errors.BlueprintNotFound as refusal:
        return JsonResponse({"text": str(refusal)}, status=404)
    asked = request.GET.get("model", "")
    model = resolved(asked)
    if not model:
        return JsonResponse({"text": "No basis: this model is not set up."})
    return JsonResponse({"text": estimates.of(request.user, blueprint.pk, model).text})
