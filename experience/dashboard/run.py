"""A run, live: its page, and the fragments that the page asks for as it goes on.

What happens the page hears from the council socket. What needs the server's eye comes as a
fragment: texts as harmless HTML, comparisons, the words of the end.
"""

import json
from typing import Any
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import path
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from experience import access, export, outcomes, story
from experience.dashboard import councils, plan, prose, step
from experience.dashboard import gate as gates
from experience.dashboard.conversations import turn
from experience.protocol import council as frames
from runtime import errors, events, models
from runtime.execution import inputs

# Of a fork's steps that its parents have made the page draws these; their texts it asks for.
_REUSED = ("node.started", "node.completed", "node.failed", "node.stopped")


def _find(request: HttpRequest, run_id: UUID) -> models.Run:
    """A run that the reader may see. Somebody else's is not found (Http404)."""
    try:
        return access.find_run(request.user, run_id)
    except errors.RunNotFound as error:
        raise Http404(str(error)) from error


# --- the page --------------------------------------------------------------------------


@never_cache
@login_required
@require_safe
def show(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """The page of one run, wherever it stands."""
    run = _find(request, run_id)
    is_own = request.user.is_superuser or run.owner_id == request.user.pk
    context = {"run": run, "is_own": is_own, "data": _data(request, run), **_end(run)}
    seen = access.blueprints_of(request.user)
    context["may_see_blueprint"] = seen.filter(pk=run.blueprint_version.blueprint_id).exists()
    context["limits"] = councils.limits(run.limits)
    context["answers"] = turn.answered_by(request.user, run)
    return render(request, "dashboard/run.html", context)


def _data(request: HttpRequest, run: models.Run) -> dict[str, Any]:
    """What the page's script is to know before the first frame."""
    return {
        "run": str(run.pk),
        "now": events.stamp(timezone.now()),
        "createdAt": events.stamp(run.created_at),
        "plan": plan.of(run),
        "limits": run.limits,
        "reused": _reused(run),
        "mine": _names(request, run),
    }


def _names(request: HttpRequest, run: models.Run) -> list[str]:
    """How gates may name the reader; `*`: may answer any."""
    user = request.user
    if user.is_superuser:
        return ["*"]
    groups = user.groups.values_list("name", flat=True)
    own = ["owner"] if run.owner_id == user.pk else []
    return [*own, f"user:{user.get_username()}", *(f"group:{name}" for name in groups)]


def _reused(run: models.Run) -> list[dict[str, Any]]:
    """The frames of the steps that a fork has taken over, without their texts.

    `step` is by what the text of one can be asked for.
    """
    found = []
    for number, event in enumerate(story.reused(run)):
        if event.kind in _REUSED:
            frame = json.loads(frames.frames(event)[0])
            told = {"decision": frame.get("output", {}).get("decision")}
            found.append(frame | {"output": told, "step": f"r{number}", "at": None})
    return found


# --- fragments -------------------------------------------------------------------------


@never_cache
@login_required
@require_safe
def show_step(request: HttpRequest, run_id: UUID, which: str) -> HttpResponse:
    """One finished step: its texts, what changed in the draft, what it took."""
    found = step.find(_find(request, run_id), which)
    if found is None:
        raise Http404("No finished step of this run has this number.")
    return render(request, "dashboard/run_step.html", step.about(found))


@never_cache
@login_required
@require_safe
def show_input(request: HttpRequest, run_id: UUID, which: str) -> HttpResponse:
    """What a finished step asked its model, for those who may know."""
    found = step.find(_find(request, run_id), which)
    if found is None or found.event.kind != "node.completed":
        raise Http404("No completed step of this run has this number.")
    # A reused step happened in another run.
    run = models.Run.objects.get(pk=found.event.run_id)
    may = access.may_see_inputs(request.user, run)
    asked = inputs.of(run, found.event.seq) if may else None
    context = {"may": may, "asked": asked, "calls": found.event.data["usage"]["calls"]}
    return render(request, "dashboard/run_input.html", context)


@never_cache
@login_required
@require_safe
def show_gate(request: HttpRequest, run_id: UUID, gate_id: UUID) -> HttpResponse:
    """A gate: what is asked, why, the proposal with its changes, and how to answer."""
    run = _find(request, run_id)
    found = run.gates.filter(pk=gate_id).first()
    if found is None:
        raise Http404("There is no such gate.")
    return render(request, "dashboard/run_gate.html", gates.about(run, found, request.user))


@never_cache
@login_required
@require_safe
def show_result(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """How it ended, and the result; empty while it goes on."""
    run = _find(request, run_id)
    return render(request, "dashboard/run_result.html", {"run": run, **_end(run)})


def _end(run: models.Run) -> dict[str, Any]:
    if not run.has_ended:
        return {"end": None}
    last = run.events.filter(kind__in=events.ENDS).order_by("-seq").first()
    end = events.logged(last) if last else None
    if end is None:
        return {"end": None}
    is_result = end.kind == "run.completed"
    facts = outcomes.facts(end)[1:] if is_result else outcomes.spent(run.usage)
    return {
        "end": end,
        "told": told(end),
        "facts": [fact for fact in facts if fact[0]],
        "scripted": run.usage.get("scripted"),
        "text": run.current_draft,
        "prose": prose.html(run.current_draft),
        "is_result": is_result,
        "handoff": end.data.get("handoff"),
    }


def told(end: events.Logged) -> str:
    """In one sentence, what a reader must know of the end to trust the result."""
    sentence = outcomes.sentence(end)
    score = end.data.get("critic_score")
    last = "" if score is None else f": last score {score:g}"
    return f"{sentence[:1].upper()}{sentence[1:]}{last}"


# --- export ----------------------------------------------------------------------------


@never_cache
@login_required
@require_safe
def export_run(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """The run as a file: `?format=markdown` (default) or `json`."""
    run = _find(request, run_id)
    match request.GET.get("format", "markdown"):
        case "markdown":
            text = export.as_markdown(run)
            answer = HttpResponse(text, content_type="text/markdown; charset=utf-8")
            name = f"run-{run.pk}.md"
        case "json":
            answer = JsonResponse(export.as_json(run), json_dumps_params={"indent": 1})
            name = f"run-{run.pk}.json"
        case _:
            return HttpResponse("The format is markdown or json.", status=400)
    answer["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer


urlpatterns = [
    path("", show, name="run"),
    path("steps/<str:which>/", show_step, name="run-step"),
    path("steps/<str:which>/input/", show_input, name="run-step-input"),
    path("gates/<uuid:gate_id>/", show_gate, name="run-gate"),
    path("result/", show_result, name="run-result"),
    path("export", export_run, name="run-export"),
]
