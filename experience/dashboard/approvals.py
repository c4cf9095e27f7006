"""What waits for the reader: gates, oldest first, to be decided in place."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from experience import access
from experience.dashboard import told
from runtime import gates, models

# More than anybody decides in one go; the rest moves up.
MOST = 50
# Of a proposal, as much as shows what it is about; the run's page has all of it.
EXCERPT = 1_200
_APPROVE = {"limit": "Extend the limit", "iterations": "One more round"}
_REJECT = {"limit": "Stop here", "iterations": "End the loop"}


@never_cache
@login_required
@require_safe
def show(request: HttpRequest) -> HttpResponse:
    """The gates that the reader may answer."""
    found = access.gates_of(request.user).order_by("opened_at", "pk")
    found = found.select_related("run__owner", "run__blueprint_version")
    heavy = ("run__current_draft", "run__context", "run__handoffs")
    asked = [_told(gate, request.user) for gate in found.defer(*heavy)[:MOST]]
    more = found.count() - MOST if len(asked) == MOST else 0
    return render(request, "dashboard/approvals.html", {"asked": asked, "more": max(more, 0)})


@never_cache
@login_required
@require_safe
def count(request: HttpRequest) -> HttpResponse:
    """`{"waiting": n}`: how many gates the reader may answer, for the navigation."""
    return JsonResponse({"waiting": access.gates_of(request.user).count()})


@dataclass(frozen=True)
class Asked:
    """A gate as the list shows it."""

    gate: models.Gate
    where: str
    why: str
    score: str
    draft: str
    is_cut: bool
    whose: str
    """Whose run it is, if it is not the reader's."""
    deadline: datetime | None
    then: str
    """What happens at the deadline."""
    approve: str
    """What the button says; empty where it cannot be approved. Likewise `reject`."""
    reject: str
    targets: list[tuple[str, str]]
    """Where it can be sent back to: id and label."""


def _told(gate: models.Gate, user: Any) -> Asked:
    run, asked = gate.run, gates.as_json(gate)
    labels = _labels(run.blueprint_version.document)
    draft = str(asked.get("current_draft") or "")
    score = asked.get("critic_score")
    may = gate.actions
    return Asked(
        gate=gate,
        where=told.where(asked, labels),
        why=str(asked.get("why") or ""),
        score="" if score is None else f"{score:g} / 10",
        draft=draft[:EXCERPT],
        is_cut=len(draft) > EXCERPT,
        whose="" if run.owner_id == user.pk else str(run.owner or "nobody"),
        deadline=gate.deadline,
        then=told.then(gate.on_deadline),
        approve=_APPROVE.get(gate.place, "Approve") if "approve" in may else "",
        reject=_REJECT.get(gate.place, "Reject …") if "reject" in may else "",
        targets=[(target, labels.get(target, target)) for target in gate.targets],
    )


def _labels(document: Mapping[str, Any]) -> dict[str, str]:
    nodes = document["nodes"]
    return {node["id"]: told.plain(node.get("label") or node["id"]) for node in nodes}
