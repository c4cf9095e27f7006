"""The runs of the past and those under way: looked through, searched, sorted."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.core.paginator import Page, Paginator
from django.db.models import DecimalField, F, IntegerField, OrderBy, Q, QuerySet
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast, Left
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from experience import access, outcomes
from experience.dashboard import told
from runtime import events, models

PAGE = 25
# As much of a topic as a line can show; a topic may have thousands of characters.
SHOWN = 160
NEWEST_FIRST = "-when"
WHOLE = IntegerField()
MONEY = DecimalField(max_digits=24, decimal_places=12)


def used(name: str, kind: Any) -> Any:
    """A number of a run's usage, for the database; nothing where it is not known."""
    return Cast(KeyTextTransform(name, "usage"), kind)


# What one can sort by. A run without the value comes last, whichever way.
_SORTS: Mapping[str, Any] = {
    "score": F("critic_score"),
    "rounds": F("iteration_count"),
    "duration": F("ended_at") - F("started_at"),
    "tokens": used("input_tokens", WHOLE) + used("output_tokens", WHOLE),
    "cost": used("cost", MONEY),
    "when": F("created_at"),
}


@require_safe
@login_required
def show(request: HttpRequest) -> HttpResponse:
    """A page of the runs that the reader may see. The query string says which: `status`,
    `blueprint` (an id), `version` (a number of that), `q` (in topics), `sort` (a column; `-`
    before it: downwards), `page`; what in it makes no sense is left out."""
    asked = Asked.of(request.GET)
    runs = access.runs_of(request.user)
    found = _sorted(light(_filtered(runs, asked)), asked)
    page = Paginator(found, PAGE).get_page(asked.page)
    about = {
        "asked": asked,
        "page": page,
        "found": told.count(page.paginator.count),
        "rows": [Row(run) for run in page],
        "councils": _councils(runs, asked),
        "statuses": [(status, asked.link(status=status)) for status in models.Status.values],
        "sorts": {name: Sort.of(name, asked) for name in _SORTS},
        "pages": _pages(page, asked),
    }
    return render(request, "dashboard/history.html", about)


@require_safe
@never_cache
@login_required
def show_rows(request: HttpRequest) -> HttpResponse:
    """The rows of the runs `?id=`, which may be stated several times, as they are now."""
    wanted = [each for each in request.GET.getlist("id")[:PAGE] if _id(each)]
    found = light(access.runs_of(request.user)).filter(pk__in=wanted)
    return render(request, "dashboard/history_rows.html", {"rows": map(Row, found)})


# --- what is asked for -----------------------------------------------------------------


@dataclass(frozen=True)
class Asked:
    """What the query string says, as far as it makes sense."""

    status: str = ""
    blueprint: str = ""
    version: str = ""
    """A number; without a blueprint it says nothing."""
    q: str = ""
    sort: str = NEWEST_FIRST
    page: str = ""

    @classmethod
    def of(cls, said: QueryDict) -> "Asked":
        status, sort = said.get("status", ""), said.get("sort", "")
        blueprint = _id(said.get("blueprint", ""))
        return cls(
            status=status if status in models.Status.values else "",
            blueprint=blueprint,
            version=_number(said.get("version", "")) if blueprint else "",
            q=str(events.clean(said.get("q", ""))).strip(),
            sort=sort if sort.removeprefix("-") in _SORTS else NEWEST_FIRST,
            page=said.get("page", ""),
        )

    @property
    def is_narrowed(self) -> bool:
        return bool(self.status or self.blueprint or self.q)

    def link(self, **other: str) -> str:
        """The address of the same with something changed; a page only if it is stated."""
        said = {"status": self.status, "blueprint": self.blueprint, "version": self.version}
        said |= {"q": self.q, "sort": self.sort, **other}
        query = QueryDict(mutable=True)
        query.update({k: v for k, v in said.items() if v and (k, v) != ("sort", NEWEST_FIRST)})
        return f"?{query.urlencode()}"

    @property
    def all_statuses(self) -> str:
        return self.link(status="")

    @property
    def all_versions(self) -> str:
        return self.link(version="")


def _id(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError:
        return ""


def _number(text: str) -> str:
    """A number that a version can have; empty if it is none."""
    return text if text.isascii() and text.isdecimal() and len(text) < 10 else ""


@dataclass(frozen=True)
class Sort:
    """A column's head: where it leads, and how it is sorted now."""

    link: str
    now: str
    """As in `aria-sort`; empty when the table is sorted by something else."""

    @classmethod
    def of(cls, name: str, asked: Asked) -> "Sort":
        now = {f"-{name}": "descending", name: "ascending"}.get(asked.sort, "")
        return cls(asked.link(sort=name if now == "descending" else f"-{name}"), now)


def _filtered(runs: QuerySet[models.Run], asked: Asked) -> QuerySet[models.Run]:
    if asked.status:
        runs = runs.filter(status=asked.status)
    if asked.blueprint:
        runs = runs.filter(blueprint_version__blueprint=UUID(asked.blueprint))
    if asked.version:
        runs = runs.filter(blueprint_version__number=int(asked.version))
    if asked.q:
        runs = runs.filter(input_topic__icontains=asked.q)
    return runs


def light(runs: QuerySet[models.Run]) -> QuerySet[models.Run]:
    """The runs with what a line shows of them, and without texts that may be long."""
    heavy = ("input_topic", "current_draft", "error_message", "context", "handoffs")
    runs = runs.select_related("owner").annotate(topic=Left("input_topic", SHOWN + 1))
    return runs.defer(*heavy, "blueprint_version__document")


def _sorted(runs: QuerySet[models.Run], asked: Asked) -> QuerySet[models.Run]:
    downwards, name = asked.sort.startswith("-"), asked.sort.removeprefix("-")
    order = OrderBy(_SORTS[name], descending=downwards, nulls_last=True)
    return runs.order_by(order, F("created_at").desc(), "pk")


def _councils(runs: QuerySet[models.Run], asked: Asked) -> list[tuple[str, str]]:
    """Id and name of the blueprints that the reader has runs of. A trial's is named only
    where it is the one that was asked for."""
    names = ("blueprint_version__blueprint_id", "blueprint_version__blueprint__name")
    listed = Q(blueprint_version__blueprint__is_trial=False)
    if asked.blueprint:
        listed |= Q(blueprint_version__blueprint=UUID(asked.blueprint))
    runs = runs.filter(listed)
    found = runs.order_by(names[1], names[0]).values_list(*names).distinct()
    return [(str(pk), name) for pk, name in found]


def _pages(page: Page[models.Run], asked: Asked) -> list[tuple[str, str]]:
    """The numbers to leaf through, each with its address; a gap has none, nor has this one."""
    numbers = page.paginator.get_elided_page_range(page.number, on_each_side=2, on_ends=1)
    return [
        (str(number), asked.link(page=str(number)) if isinstance(number, int) else "")
        for number in numbers
    ]


# --- what is shown ---------------------------------------------------------------------


class Row:
    """A run as a line of the table."""

    def __init__(self, run: models.Run) -> None:
        self.run = run
        self.state = told.state(run)
        topic: str = run.topic  # type: ignore[attr-defined] # annotated
        self.topic = topic[:SHOWN].rstrip() + "…" if len(topic) > SHOWN else topic
        self.owner = run.owner.get_username() if run.owner else "nobody"

    @property
    def why(self) -> str:
        """Why it ended as it did; empty for what was simply approved, and what goes on."""
        run = self.run
        if run.status != models.Status.COMPLETED:
            return run.error_code.replace("_", " ")
        return "" if run.approved else outcomes.reason(run.reason, run.approved)

    @property
    def score(self) -> str:
        return "" if self.run.critic_score is None else f"{self.run.critic_score:g}"

    @property
    def goes_on(self) -> bool:
        return not self.run.has_ended

    @property
    def duration(self) -> str:
        return took(self.run)

    @property
    def tokens(self) -> str:
        return tokens(self.run.usage)

    @property
    def cost(self) -> str:
        return cost(self.run.usage)


def took(run: models.Run) -> str:
    """From when a worker took it up to its end; empty while it goes on."""
    if run.ended_at is None:
        return ""
    return told.duration(run.ended_at - (run.started_at or run.ended_at))


def tokens(usage: Mapping[str, Any]) -> str:
    """In and out together; empty while it goes on, `unknown` if nobody knows."""
    if not usage:
        return ""
    both = usage.get("input_tokens"), usage.get("output_tokens")
    known = [each for each in both if each is not None]
    return f"{least(usage)}{told.count(sum(known))}" if len(known) == 2 else "unknown"


def cost(usage: Mapping[str, Any]) -> str:
    """In US dollars; empty while it goes on, `unknown` if nobody knows."""
    return outcomes.money(usage.get("cost"), least(usage)) if usage else ""


def least(usage: Mapping[str, Any]) -> str:
    """What stands before its numbers where calls were broken off."""
    return "at least " if usage.get("partial") else ""
