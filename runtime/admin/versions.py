"""Blueprint versions in the admin: read, drawn, compared with the one before. None changes."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString

from runtime import blueprints, models
from runtime.admin import marks
from runtime.admin.readonly import ReadOnly
from runtime.admin.workshop import Workshop

# Opened by itself a drawing is a page of this server's; it may load and run nothing.
_DRAWING_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def drawing_address(version: models.BlueprintVersion) -> str:
    return reverse("admin:runtime_blueprintversion_drawing", args=[version.pk])


@admin.register(models.BlueprintVersion)
class BlueprintVersionAdmin(ReadOnly, Workshop):
    """A version as it is read, drawn, and compared with the one before. It never changes."""

    list_display = ("__str__", "number", "created_by", "created_at")
    list_select_related = ("blueprint", "created_by")
    search_fields = ("blueprint__name",)
    ordering = ("-created_at",)
    fieldsets = (
        (None, {"fields": ("of", "number", "created_by", "created_at", "its_runs", "whole")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        found = super().get_queryset(request).select_related("blueprint", "created_by")
        match = request.resolver_match
        is_list = match and match.url_name == "runtime_blueprintversion_changelist"
        return found.defer("document") if is_list else found

    @admin.display(description="blueprint")
    def of(self, version: models.BlueprintVersion) -> SafeString | str:
        return marks.link(version.blueprint)

    @admin.display(description="runs")
    def its_runs(self, version: models.BlueprintVersion) -> SafeString:
        query = f"blueprint_version__id__exact={version.pk}"
        return marks.rows_of(models.Run, query, "all runs of this version")

    @admin.display(description="document")
    def whole(self, version: models.BlueprintVersion) -> SafeString | str:
        return marks.folded("as JSON", version.document)

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **more: Any
    ) -> HttpResponse:
        version = more.get("obj")
        if isinstance(version, models.BlueprintVersion):
            document = blueprints.newest(version.document)
            before = _before(version)
            context |= {
                "drawing": drawing_address(version),
                "document": document,
                "nodes": [_node(node) for node in document.get("nodes", [])],
                "before": before,
                "before_address": marks.address(before) if before else "",
                "changes": _changes(before, version) if before else [],
            }
        return super().render_change_form(request, context, *args, **more)

    def get_urls(self) -> list[URLPattern]:
        draw = self.admin_site.admin_view(self.draw)
        name = "runtime_blueprintversion_drawing"
        return [path("<int:pk>/drawing.svg", draw, name=name), *super().get_urls()]

    def draw(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The picture of a version, of trials and of deleted ones too."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        version = get_object_or_404(models.BlueprintVersion, pk=pk)
        drawn = blueprints.draw(version.document, "svg")
        headers = {"Content-Security-Policy": _DRAWING_POLICY}
        return HttpResponse(drawn, content_type="image/svg+xml", headers=headers)


def _before(version: models.BlueprintVersion) -> models.BlueprintVersion | None:
    """The version that this one took the place of."""
    earlier = version.blueprint.versions.filter(number__lt=version.number)
    return earlier.select_related("blueprint").order_by("-number").first()


def _node(node: dict[str, Any]) -> dict[str, Any]:
    """A node as it is read: its prompt as text, the rest of its settings folded."""
    shown = {"id", "label", "kind", "model", "systemPrompt", "position"}
    return {
        "id": node.get("id", ""),
        "label": node.get("label", ""),
        "kind": node.get("kind", ""),
        "model": node.get("model") or "the model of the run",
        "prompt": marks.cut(node.get("systemPrompt", "")),
        "more": marks.as_json({k: v for k, v in node.items() if k not in shown}),
    }


def _changes(
    old: models.BlueprintVersion, new: models.BlueprintVersion
) -> list[tuple[str, list[dict[str, str]]]]:
    """What changed, by the part that it changed in; moves on the canvas stand last."""
    told = blueprints.difference(
        blueprints.newest(old.document), blueprints.newest(new.document)
    )
    found = [("the council itself", [_field(field) for field in told["fields"]])]
    for kind, parts in (("node", told["nodes"]), ("edge", told["edges"])):
        found += [(f"{kind} {each['id']}, added", [_whole(each)]) for each in parts["added"]]
        found += [(f"{kind} {each['id']}, removed", []) for each in parts["removed"]]
        found += [
            (f"{kind} {each['id']}", [_field(field) for field in each["fields"]])
            for each in parts["changed"]
        ]
        if parts["reordered"]:
            found.append((f"{kind}s stand in another order", []))
    return [(part, fields) for part, fields in found if fields or part != "the council itself"]


def _field(change: dict[str, Any]) -> dict[str, str]:
    if "diff" in change:
        return {"field": change["field"], "diff": marks.cut(change["diff"])}
    old, new = (_said(change, side) for side in ("from", "to"))
    return {"field": change["field"], "diff": f"- {old}\n+ {new}"}


def _said(change: dict[str, Any], side: str) -> str:
    return marks.as_json(change[side]) if side in change else "(nothing)"


def _whole(part: dict[str, Any]) -> dict[str, str]:
    return {"field": "", "diff": marks.as_json(part)}
