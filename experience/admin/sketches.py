"""Blueprints that somebody is editing, in the admin: whose and since when, not what.

What somebody has typed and neither saved nor run is theirs alone. What they tried out is a
run, and stands in the list of runs.
"""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from experience import models
from runtime.admin import marks
from runtime.admin.readonly import ReadOnly
from runtime.admin.workshop import Workshop


@admin.register(models.Sketch)
class SketchAdmin(ReadOnly, Workshop):
    list_display = ("id", "user", "of", "made_from", "revision", "tried", "updated_at")
    list_select_related = ("user", "blueprint", "trial")
    search_fields = ("user__username", "blueprint__name")
    ordering = ("-updated_at",)
    fields = (
        *("id", "user", "of", "made_from", "revision", "tried", "created_at", "updated_at"),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        found = super().get_queryset(request).defer("document")
        return found.select_related("user", "blueprint", "trial")

    @admin.display(description="next version of", ordering="blueprint__name")
    def of(self, sketch: models.Sketch) -> SafeString | str:
        return marks.link(sketch.blueprint) if sketch.blueprint else "a new blueprint"

    @admin.display(description="tried out as")
    def tried(self, sketch: models.Sketch) -> SafeString | str:
        return marks.link(sketch.trial) if sketch.trial else "never"
