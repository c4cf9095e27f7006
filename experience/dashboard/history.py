"""The runs of the past and those under way: looked through, searched, sorted."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.core.paginator import Page, Paginator
from django.db.models import DecimalField, F, IntegerField, OrderBy, QuerySet
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast, Left
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.views.decorators.http import require_safe

from experience import access, outcomes
from experience.dashboard import told
from runtime import events, models

PAGE = 25
# As much of a topic as a line can show; a topic may have thousands of characters.
SHOWN = 160
NEWEST_FIRST = "-when"


def _number(name: str, kind: Any) -> Any:
    return Cast(KeyTextTransform(name, "usage"), kind)


_WHOLE = IntegerField()
# What one can sort by. A run without the value comes last, whichever way.
_SORTS: Mapping[str, Any] = {
    "score": F("critic_score"),
    "rounds": F("iteration_count"),
    "duration": F("ended_at") - F("started_at"),
    "tokens": _number("input_tokens", IntegerField())
    + _number("output_tokens", IntegerField()),
    "cost": _number("cost", DecimalField(max_digits=24, decimal_places=12)),
    "when": F("created_at"),
}


@require_safe
@login_required
def show(request: HttpRequest) -> HttpResponse:
    """A page of the runs that the reader may see. The query string says which: `status`,
    `blueprint` (an id), `q` (in topics), `sort` (a column; `-` before it: downwards), `page`;
    what in it makes no sense is left out."""
    asked = Asked.of(request.GET)
    runs = access.runs_of(request.user)
    page = Paginator(_sorted(_filtered(runs, asked), asked), PAGE).get_page(asked.page)
    about = {
        "asked": asked,
        "page": page,
        "found": told.count(page.paginator.count),
        "rows": [Row(run, request.user) for run in page],
        "councils": _councils(runs),
        "statuses": [(status, asked.link(status=status)) for status in models.Status.values],
        "sorts": {name: Sort.of(name, asked) for name in _SORTS},
        "pages": _pages(page, asked),
    }
    return render(request, "dashboard/history.html", about)


# --- what is asked for -----------------------------------------------------------------


@dataclass(frozen=True)
class Asked:
    """What the query string says, as far as it makes sense."""

    status: str = ""
    blueprint: str = ""
    q: str = ""
    sort: str = NEWEST_FIRST
    page: str = ""

    @classmethod
    def of(cls, said: QueryDict) -> "Asked":
        status, sort = said.get("status", ""), said.get("sort", "")
        return cls(
            status=status if status in models.Status.values else "",
            blueprint=_id(said.get("blueprint", "")),
            q=str(events.clean(said.get("q", ""))).strip(),
            sort=sort if sort.removeprefix("-") in _SORTS else NEWEST_FIRST,
            page=said.get("page", ""),
        )

    @property
    def is_narrowed(self) -> bool:
        return bool(self.status or self.blueprint or self.q)

    def link(self, **other: str) -> str:
        """The address of the same with something changed; a page only if it is stated."""
        said = {"status": self.status, "blueprint": self.blueprint, "q": self.q}
        said |= {"sort": self.sort, **other}
        query = QueryDict(mutable=True)
        query.update({k: v for k, v in said.items() if v and (k, v) != ("sort", NEWEST_FIRST)})
        return f"?{query.urlencode()}"

    @property
    def all_statuses(self) -> str:
        return self.link(status="")


def _id(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError:
        return ""


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
    if asked.q:
        runs = runs.filter(input_topic__icontains=asked.q)
    return runs


def _sorted(runs: QuerySet[models.Run], asked: Asked) -> QuerySet[models.Run]:
    downwards, name = asked.sort.startswith("-"), asked.sort.removeprefix("-")
    order = OrderBy(_SORTS[name], descending=downwards, nulls_last=True)
    runs = runs.select_related("owner").annotate(topic=Left("input_topic", SHOWN + 1))
    # Texts that a line does not show, and that may be long.
    heavy = ("input_topic", "current_draft", "error_message", "context", "handoffs")
    return runs.defer(*heavy, "blueprint_version__document").order_by(
        order, F("created_at").desc(), "pk"
    )


def _councils(runs: QuerySet[models.Run]) -> list[tuple[str, str]]:
    """Id and name of the blueprints that the reader has runs of."""
    names = ("blueprint_version__blueprint_id", "blueprint_version__blueprint__name")
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

    def __init__(self, run: models.Run, user: Any) -> None:
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
    def duration(self) -> str:
        """From when a worker took it up to its end; empty while it goes on."""
        run = self.run
        if run.ended_at is None:
            return ""
        return told.duration(run.ended_at - (run.started_at or run.ended_at))

    @cached_property
    def _least(self) -> str:
        return "at least " if self.run.usage.get("partial") else ""

    @property
    def tokens(self) -> str:
        """In and out together; empty while it goes on, `unknown` if nobody knows."""
        usage = self.run.usage
        if not usage:
            return ""
        both = usage.get("input_tokens"), usage.get("output_tokens")
        known = [each for each in both if each is not None]
        return f"{self._least}{told.count(sum(known))}" if len(known) == 2 else "unknown"

    @property
    def cost(self) -> str:
        usage = self.run.usage
        return outcomes.money(usage.get("cost"), self._least) if usage else ""
