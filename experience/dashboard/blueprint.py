"""A blueprint: what it is made of, its versions and what changed between them, its runs."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.db.models import Count, Q
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from experience import access
from experience.dashboard import councils, differences, gallery, history
from runtime import blueprints, errors, library, models, nodes
from runtime.blueprints import document as documents
from runtime.blueprints.graph import Graph

VERSIONS = 25
LATEST_RUNS = 8
_GATES = ("gateBefore", "gateAfter")


def _find(request: HttpRequest, blueprint_id: UUID) -> models.Blueprint:
    """A blueprint that the reader may see. Any other is not found (Http404)."""
    try:
        return access.find_blueprint(request.user, blueprint_id)
    except errors.BlueprintNotFound as error:
        raise Http404(str(error)) from error


def _version(blueprint: models.Blueprint, said: str) -> models.BlueprintVersion:
    """The version of this number; the newest if it is no number. Http404 if there is none."""
    number = int(said) if said.isascii() and said.isdecimal() and len(said) < 10 else None
    try:
        return library.version(blueprint, number)
    except errors.VersionNotFound as error:
        raise Http404(str(error)) from error


# --- the page --------------------------------------------------------------------------


@never_cache
@require_safe
@login_required
def show(request: HttpRequest, blueprint_id: UUID) -> HttpResponse:
    """A blueprint, its newest version or `?version=`; `?page=` leafs through its versions."""
    blueprint = _find(request, blueprint_id)
    version = _version(blueprint, request.GET.get("version", ""))
    version.blueprint = blueprint  # with its owner
    runs = access.runs_of(request.user).filter(blueprint_version__blueprint=blueprint)
    past = library.history(blueprint).defer("document")
    page = Paginator(past, VERSIONS).get_page(request.GET.get("page"))
    counted = _counted(runs)
    about = {
        "blueprint": blueprint,
        "version": version,
        "newest": past.values_list("number", flat=True)[0],
        "council": councils.told(version),
        "nodes": _nodes(version),
        "sketch": gallery.unsaved(request.user).filter(blueprint=blueprint).first(),
        "may_change": access.may_change(request.user, blueprint),
        "visibilities": _VISIBILITIES.items(),
        "versions": [Past(each, counted.get(each.number, Runs())) for each in page],
        "page": page,
        "rows": _latest(runs.filter(blueprint_version=version)),
        "runs": counted.get(version.number, Runs()).all,
        "all_runs": sum(each.all for each in counted.values()),
    }
    return render(request, "dashboard/blueprint.html", about)


_VISIBILITIES: Mapping[str, str] = {
    models.Visibility.OWNER: "only its owner",
    models.Visibility.GROUPS: "who shares a group with its owner",
    models.Visibility.EVERYONE: "everyone",
}


class Runs(NamedTuple):
    """Of a version, those that the reader may see."""

    all: int = 0
    judged: int = 0
    """Completed, with a critic's decision."""
    approved: int = 0


class Past(NamedTuple):
    version: models.BlueprintVersion
    runs: Runs


def _counted(runs: Any) -> dict[int, Runs]:
    """The runs of each version, by its number: one query."""
    completed = Q(status=models.Status.COMPLETED)
    rows = runs.values_list("blueprint_version__number").annotate(
        all=Count("pk"),
        judged=Count("pk", filter=completed & Q(approved__isnull=False)),
        agreed=Count("pk", filter=completed & Q(approved=True)),
    )
    return {number: Runs(*counts) for number, *counts in rows}


def _latest(runs: Any) -> list[history.Row]:
    newest = history.light(runs).order_by("-created_at", "pk")[:LATEST_RUNS]
    return [history.Row(run) for run in newest]


# --- its nodes -------------------------------------------------------------------------


@dataclass(frozen=True)
class Node:
    """A node as the list of its page shows it."""

    label: str
    id: str
    """Empty where the label says the same."""
    kind: str
    model: str
    """Empty: the run's."""
    ways: list[str]
    settings: list[tuple[str, str]]
    gates: list[tuple[str, str]]
    """Where, and what is asked of whom."""
    prompt: str
    is_usual: bool
    """The prompt is that of its kind: the blueprint states none."""


def _nodes(version: models.BlueprintVersion) -> list[Node]:
    # It was found sound when it was saved; what has been removed since is not looked for.
    newest = blueprints.newest(version.document)
    blueprint = blueprints.Document.model_validate(newest)
    graph = documents.graph(blueprint.nodes, blueprint.edges)
    labels = {node.id: node.label or node.id for node in blueprint.nodes}
    return [_node(node, graph, labels) for node in blueprint.nodes]


def _node(node: documents.Node, graph: Graph, labels: Mapping[str, str]) -> Node:
    kind = graph.kinds[node.id]
    usual = nodes.KINDS[kind].prompt if kind in nodes.KINDS else ""
    plain = {name: value for name, value in node.settings.items() if name not in _GATES}
    return Node(
        label=labels[node.id],
        id="" if labels[node.id] == node.id else node.id,
        kind=kind,
        model=node.model,
        ways=list(_ways(node.id, graph, labels)),
        settings=[(differences.named(n), differences.shown(v)) for n, v in plain.items()],
        gates=list(_gates(node.settings)),
        prompt=node.system_prompt or usual,
        is_usual=not node.system_prompt,
    )


def _ways(node: str, graph: Graph, labels: Mapping[str, str]) -> Iterator[str]:
    if node in graph.entries:
        yield "begins"
    found = [link for link in graph.links if link.source == node]
    for link in found:
        when = f"on {link.condition} " if link.condition else ""
        yield f"{when}leads to {labels[link.target]}"
    if not found:
        yield "ends"


def _gates(settings: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name in _GATES:
        said = settings.get(name)
        if said is not None:
            whom = ", ".join(said.get("answerers", ["owner"]))
            asked = f"asks {whom}"
            yield (
                differences.named(name),
                f"{asked}: {said['ask']}" if said.get("ask") else asked,
            )


# --- what changed ----------------------------------------------------------------------


@require_safe
@login_required
def show_changes(request: HttpRequest, blueprint_id: UUID) -> HttpResponse:
    """What changed `?from=` one version `?to=` another: by itself the newest and the one
    before it."""
    blueprint = _find(request, blueprint_id)
    new = _version(blueprint, request.GET.get("to", ""))
    old = _version(blueprint, request.GET.get("from", "") or str(max(1, new.number - 1)))
    past = library.history(blueprint)
    about = {
        "blueprint": blueprint,
        "old": old,
        "new": new,
        "numbers": list(past.values_list("number", flat=True)),
        "differences": differences.between(old.document, new.document),
    }
    return render(request, "dashboard/blueprint_changes.html", about)


# --- what its owner does ---------------------------------------------------------------


def _find_own(request: HttpRequest, blueprint_id: UUID) -> models.Blueprint | None:
    """The blueprint if the reader may change it; else None, and they are told. Http404."""
    try:
        return access.find_own_blueprint(request.user, blueprint_id)
    except errors.BlueprintNotFound as error:
        raise Http404(str(error)) from error
    except errors.BlueprintReadOnly as refusal:
        messages.error(request, str(refusal))
        return None


@never_cache
@require_POST
@login_required
def share(request: HttpRequest, blueprint_id: UUID) -> HttpResponse:
    """Let others see and run it, or not: `visibility`."""
    asked = request.POST.get("visibility", "")
    if (blueprint := _find_own(request, blueprint_id)) and asked in _VISIBILITIES:
        try:
            _share(request.user, blueprint, models.Visibility(asked))
        except errors.Refusal as refusal:
            messages.error(request, f"Who may see it stays as it was. {refusal}")
        else:
            messages.success(request, f"Now {_VISIBILITIES[asked]} may see and run it.")
    return redirect("dashboard:blueprint", blueprint_id)


def _share(user: Any, blueprint: models.Blueprint, visibility: models.Visibility) -> None:
    newest = library.version(blueprint)
    # The same document makes no new version; one that somebody saves meanwhile is refused.
    library.save(
        newest.document,
        owner=user,
        blueprint=blueprint,
        made_from=newest.number,
        visibility=visibility,
    )


@never_cache
@require_POST
@login_required
def delete(request: HttpRequest, blueprint_id: UUID) -> HttpResponse:
    """Take it off the lists, for good."""
    blueprint = _find_own(request, blueprint_id)
    if blueprint is None:
        return redirect("dashboard:blueprint", blueprint_id)
    try:
        library.delete(blueprint)
    except errors.BlueprintInUse as refusal:
        agents = ", ".join(refusal.detail["agents"])
        messages.error(request, f"It was not deleted. {refusal} ({agents})")
        return redirect("dashboard:blueprint", blueprint_id)
    messages.success(request, f"“{blueprint.name}” is deleted. Its runs keep what they ran.")
    return redirect("dashboard:blueprints")


urlpatterns = [
    path("", show, name="blueprint"),
    path("changes/", show_changes, name="blueprint-changes"),
    path("visibility/", share, name="blueprint-share"),
    path("delete/", delete, name="blueprint-delete"),
]
