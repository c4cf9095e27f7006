"""Blueprints in the admin: whose they are, who may see them, what they have been."""

from typing import Any, cast

from django import forms
from django.contrib import admin
from django.db import transaction
from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from runtime import errors, library, models
from runtime.admin import filters, marks, versions
from runtime.admin.workshop import Workshop

MOST = 100  # versions on a blueprint's page


class VisibilityForm(forms.ModelForm):
    """Who may see a blueprint is all that is changed here; what it is made of is a version."""

    class Meta:
        model = models.Blueprint
        fields = ("visibility",)


@admin.register(models.Blueprint)
class BlueprintAdmin(Workshop):
    """Blueprints: who has them, who may see them, their versions and what runs them.

    Nobody deletes one, for its runs keep their version; it can be taken off the lists.
    """

    form = VisibilityForm
    list_display = ("name", "numbered", "owner", "visibility", "kept", "updated_at")
    list_filter = (filters.Listed, "visibility")
    list_select_related = ("owner",)
    search_fields = ("name", "slug", "owner__username")
    ordering = ("-updated_at",)
    actions = ("retire",)
    readonly_fields = (
        *("name", "slug", "belongs_to", "who_may", "kept", "run_by", "its_runs"),
        *("created_at", "updated_at"),
    )
    fieldsets = (
        (None, {"fields": (*readonly_fields[:3], "visibility", *readonly_fields[3:])}),
    )

    def has_add_permission(self, *args: Any) -> bool:
        return False  # one is made in the editor, or from a file

    def has_delete_permission(self, *args: Any) -> bool:
        return False

    def has_change_permission(
        self, request: HttpRequest, obj: models.Blueprint | None = None
    ) -> bool:
        """Those that ship, and others of nobody, are everybody's."""
        is_somebodys = obj is None or (obj.owner_id is not None and obj.deleted_at is None)
        return is_somebodys and super().has_change_permission(request, obj)

    def has_retire_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("runtime.delete_blueprint")

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        newest = models.BlueprintVersion.objects.filter(blueprint=OuterRef("pk"))
        number = newest.order_by("-number").values("number")[:1]
        found = super().get_queryset(request).select_related("owner")
        return cast(QuerySet, found.annotate(newest_number=Subquery(number)))

    def get_search_results(
        self, request: HttpRequest, found: QuerySet, term: str
    ) -> tuple[QuerySet, bool]:
        """Where one is chosen for an agent, only those that can be."""
        if request.resolver_match and request.resolver_match.url_name == "autocomplete":
            found = found.filter(is_trial=False, deleted_at=None)
        return super().get_search_results(request, found, term)

    @admin.action(description="Take the selected off the lists", permissions=["retire"])
    def retire(self, request: HttpRequest, selected: QuerySet[models.Blueprint]) -> None:
        for blueprint in selected:
            if refused := self._retire(request, blueprint):
                self.message_user(request, f"{blueprint}: {refused}", "WARNING")
            else:
                told = f"{blueprint} is on no list any more; its runs keep their version."
                self.message_user(request, told)

    def _retire(self, request: HttpRequest, blueprint: models.Blueprint) -> str:
        """Why it was refused; empty when it was done."""
        if blueprint.owner_id is None:
            return "It is everybody's; only `manage.py blueprint delete` takes it off."
        try:
            with transaction.atomic():
                library.delete(blueprint)
                self.log_change(request, blueprint, "taken off the lists")
        except errors.Refusal as refusal:
            return str(refusal)
        return ""

    # --- columns and fields ---

    @admin.display(description="newest", ordering="newest_number")
    def numbered(self, blueprint: Any) -> str:
        return f"v{blueprint.newest_number}" if blueprint.newest_number else "no version"

    @admin.display(description="kept as")
    def kept(self, blueprint: models.Blueprint) -> str:
        kinds = [
            "a trial of the editor" if blueprint.is_trial else "",
            f"off the lists since {blueprint.deleted_at:%Y-%m-%d}"
            if blueprint.deleted_at
            else "",
            "ships with CouncilOS" if blueprint.slug else "",
        ]
        return ", ".join(filter(None, kinds)) or "a blueprint"

    @admin.display(description="owner")
    def belongs_to(self, blueprint: models.Blueprint) -> SafeString | str:
        return marks.link(blueprint.owner) if blueprint.owner else "nobody: it is everybody's"

    @admin.display(description="who may see and run it")
    def who_may(self, blueprint: models.Blueprint) -> str:
        if blueprint.deleted_at or blueprint.is_trial:
            return "it is on no list; administrators see its runs"
        if blueprint.owner is None or blueprint.visibility == models.Visibility.EVERYONE:
            return "everyone"
        if blueprint.visibility == models.Visibility.OWNER:
            return "its owner, and administrators"
        names = blueprint.owner.groups.order_by("name").values_list("name", flat=True)
        groups = ", ".join(names) or "none yet"
        return f"its owner, administrators, and the members of the owner's groups: {groups}"

    @admin.display(description="agents that run it")
    def run_by(self, blueprint: models.Blueprint) -> SafeString | str:
        agents = blueprint.agents.order_by("slug")
        return format_html_join(", ", "{}", ((marks.link(each),) for each in agents)) or "none"

    @admin.display(description="runs")
    def its_runs(self, blueprint: models.Blueprint) -> SafeString:
        return marks.rows_of(models.Run, f"blueprint={blueprint.pk}", "all runs of it")

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **more: Any
    ) -> HttpResponse:
        blueprint = more.get("obj")
        if isinstance(blueprint, models.Blueprint):
            found = _versions(blueprint)
            context |= {
                "versions": found[:MOST],
                "has_more": len(found) > MOST,
                "drawing": found[0].drawing if found else "",
            }
        return super().render_change_form(request, context, *args, **more)


def _versions(blueprint: models.Blueprint) -> list[Any]:
    """The newest, each with the count of its runs and where it is drawn and listed."""
    rows = blueprint.versions.defer("document").select_related("created_by")
    found: list[Any] = list(rows.order_by("-number")[: MOST + 1])
    runs = models.Run.objects.filter(blueprint_version__in=[row.pk for row in found])
    counts = dict(runs.order_by().values_list("blueprint_version").annotate(Count("pk")))
    for row in found:
        row.address = marks.address(row)
        row.drawing = versions.drawing_address(row)
        row.runs_there = counts.get(row.pk, 0)
        row.runs_address = f"{marks.address(models.Run)}?blueprint_version__id__exact={row.pk}"
    return found
