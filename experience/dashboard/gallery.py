"""The blueprints that the reader may run, each with its drawing; and what is not saved yet."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import Any
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.core.paginator import Page, Paginator
from django.db.models import (
    Case,
    Count,
    Exists,
    IntegerField,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Value,
    When,
)
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Left
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from experience import access
from experience import models as kept
from experience.dashboard import councils, told
from runtime import events, library, models, shipped

PAGE = 24
# Sketches that nobody goes on with pile up; the newest are those one looks for.
MOST_SKETCHES = 24
LONGEST_NAME = 200
_GROUPS = ("Yours", "For everyone", "Of others", "What agents run")


@dataclass(frozen=True)
class Card:
    """A blueprint in the gallery."""

    council: councils.Council
    group: str
    runs: int
    """Of those that the reader may see."""


@never_cache
@require_safe
@login_required
def show(request: HttpRequest) -> HttpResponse:
    """The gallery. `?q=` searches in names, uses and owners, `?page=` leafs."""
    q = str(events.clean(request.GET.get("q", ""))).strip()
    found = _sorted(_searched(access.blueprints_of(request.user), q), request.user)
    page = Paginator(found, PAGE).get_page(request.GET.get("page"))
    cards = _cards(page, request.user)
    is_first = page.number == 1 and not q
    about = {
        "q": q,
        "page": page,
        "found": told.count(page.paginator.count),
        "groups": [(name, list(some)) for name, some in groupby(cards, lambda c: c.group)],
        "sketches": _sketches(request.user) if is_first else [],
        "pages": _pages(page, q),
    }
    return render(request, "dashboard/gallery.html", about)


def _searched(found: QuerySet[models.Blueprint], q: str) -> QuerySet[models.Blueprint]:
    if not q:
        return found
    versions = models.BlueprintVersion.objects.filter(blueprint=OuterRef("pk"))
    use = versions.order_by("-number").values(use=KeyTextTransform("goodFor", "document"))
    named = Q(name__icontains=q) | Q(owner__username__icontains=q)
    return found.annotate(use=Subquery(use[:1])).filter(named | Q(use__icontains=q))


def _sorted(found: QuerySet[models.Blueprint], user: Any) -> QuerySet[models.Blueprint]:
    agents = models.Agent.objects.filter(blueprint=OuterRef("pk"))
    group = Case(
        When(owner_id=user.pk, then=Value(0)),
        When(slug=shipped.DEFAULT, then=Value(1)),
        When(Exists(agents), then=Value(3)),
        When(owner=None, then=Value(1)),
        default=Value(2),
        output_field=IntegerField(),
    )
    is_default = Case(When(slug=shipped.DEFAULT, then=Value(0)), default=Value(1))
    return (
        found.annotate(group=group)
        .order_by("group", is_default, "name", "pk")
        .prefetch_related("agents")
    )


def _cards(found: Iterable[models.Blueprint], user: Any) -> list[Card]:
    blueprints = list(found)
    runs = _runs(blueprints, user)
    groups = {blueprint.pk: _GROUPS[blueprint.group] for blueprint in blueprints}  # type: ignore[attr-defined] # annotated
    return [
        Card(councils.told(version), groups[pk], runs.get(pk, 0))
        for version in library.newest(blueprints)
        for pk in [version.blueprint_id]
    ]


def _runs(found: Iterable[models.Blueprint], user: Any) -> dict[UUID, int]:
    """How many runs of each the reader may see: one query for all of them."""
    runs = access.runs_of(user).filter(blueprint_version__blueprint__in=found)
    counted = runs.values_list("blueprint_version__blueprint").annotate(number=Count("pk"))
    return dict(counted)


def _pages(page: Page[models.Blueprint], q: str) -> list[tuple[str, str]]:
    """The numbers to leaf through, each with its address; a gap has none."""
    query = QueryDict(mutable=True)
    found = []
    for number in page.paginator.get_elided_page_range(page.number, on_each_side=2, on_ends=1):
        query["page"] = str(number)
        if q:
            query["q"] = q
        found.append((str(number), f"?{query.urlencode()}" if isinstance(number, int) else ""))
    return found


def unsaved(user: Any) -> QuerySet[kept.Sketch]:
    """What the user has in the editor and not saved, what was changed last first. A blueprint
    that was only opened there, and not changed, is none of it."""
    rows = access.sketches_of(user).exclude(blueprint__isnull=False, revision=1)
    return rows.defer("document").order_by("-updated_at", "pk")


def _sketches(user: Any) -> list[kept.Sketch]:
    """Each with the `name` that its document states."""
    name = Left(KeyTextTransform("name", "document"), LONGEST_NAME)
    return list(unsaved(user).annotate(name=name)[:MOST_SKETCHES])
