"""Filters of the lists. None reads a whole table to know what can be chosen."""

from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from runtime import budgets, models

# How many runs are looked at for the models that can be chosen.
NEWEST = 1_000
MOST_CHOICES = 50
_REASONS = (
    *("approved", "finished", "iteration_limit", "no_gain", "no_change", "handed_over"),
    *("failed", "cancelled", "rejected"),
)
_SPENT = "spent"


class Reason(admin.SimpleListFilter):
    title = parameter_name = "reason"

    def lookups(self, *args: Any) -> list[tuple[str, str]]:
        ends = [(name, name.replace("_", " ")) for name in _REASONS]
        return [*ends, (_SPENT, "a limit on time, calls, tokens or cost")]

    def queryset(self, request: HttpRequest, runs: QuerySet) -> QuerySet:
        if self.value() == _SPENT:
            return runs.filter(reason__in=budgets.REASONS)
        return runs.filter(reason=self.value()) if self.value() in _REASONS else runs


class Blueprint(admin.SimpleListFilter):
    """The first by name; a link from a blueprint's page may name any other."""

    title = parameter_name = "blueprint"

    def lookups(self, *args: Any) -> list[tuple[str, str]]:
        found = models.Blueprint.objects.filter(is_trial=False, deleted_at=None)
        names = found.order_by("name").values_list("pk", "name")[:MOST_CHOICES]
        return [(str(pk), name) for pk, name in names]

    def queryset(self, request: HttpRequest, runs: QuerySet) -> QuerySet:
        if self.value() is None:
            return runs
        try:
            chosen = UUID(self.value())
        except ValueError:
            return runs.none()
        return runs.filter(blueprint_version__blueprint=chosen)


class Model(admin.SimpleListFilter):
    """The models of the newest runs."""

    title = parameter_name = "model"

    def lookups(self, *args: Any) -> list[tuple[str, str]]:
        newest = models.Run.objects.order_by("-created_at").values_list("model", flat=True)
        return [(name, name) for name in sorted({*newest[:NEWEST]} - {""})]

    def queryset(self, request: HttpRequest, runs: QuerySet) -> QuerySet:
        known = {name for name, _ in self.lookup_choices}
        return runs.filter(model=self.value()) if self.value() in known else runs


class Story(admin.SimpleListFilter):
    """What else has happened to a run."""

    title = parameter_name = "story"
    _ASKED = {  # noqa: RUF012 - never changed
        "going": ("has not ended", Q(ended_at=None)),
        "retried": ("was retried", Q(retries__gt=0)),
        "again": ("more than one attempt", Q(attempt__gt=1)),
        "fork": ("is a fork", Q(parent__isnull=False)),
        "gates": ("a gate before every node", Q(god_mode=True)),
        "trial": ("a trial of the editor", Q(blueprint_version__blueprint__is_trial=True)),
    }

    def lookups(self, *args: Any) -> list[tuple[str, str]]:
        return [(name, told) for name, (told, _asked) in self._ASKED.items()]

    def queryset(self, request: HttpRequest, runs: QuerySet) -> QuerySet:
        asked = self._ASKED.get(self.value() or "")
        return runs.filter(asked[1]) if asked else runs


class Listed(admin.SimpleListFilter):
    """Which blueprints: those that people find in their lists, unless others are asked for."""

    title, parameter_name = "which", "which"

    def lookups(self, *args: Any) -> list[tuple[str, str]]:
        return [("trials", "trials of the editor"), ("deleted", "deleted"), ("all", "all")]

    def choices(self, changelist: Any) -> Any:
        found = list(super().choices(changelist))
        return [{**found[0], "display": "on the lists"}, *found[1:]]

    def queryset(self, request: HttpRequest, blueprints: QuerySet) -> QuerySet:
        match self.value():
            case "trials":
                return blueprints.filter(is_trial=True)
            case "deleted":
                return blueprints.exclude(deleted_at=None)
            case "all":
                return blueprints
        return blueprints.filter(is_trial=False, deleted_at=None)
