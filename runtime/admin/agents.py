"""Agents in the admin."""

from typing import Any, cast

from django.contrib import admin
from django.db.models import Count, Max, QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from runtime import models
from runtime.admin import marks
from runtime.admin.workshop import Workshop


@admin.register(models.Agent)
class AgentAdmin(Workshop):
    """Agents: what they run, and who may ask for them."""

    list_display = ("slug", "name", "blueprint_link", "enabled", "limited_to")
    list_filter = ("enabled",)
    list_select_related = ("blueprint",)
    search_fields = ("slug", "name", "blueprint__name")
    autocomplete_fields = ("blueprint",)
    filter_horizontal = ("groups",)
    ordering = ("slug",)

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        found = super().get_queryset(request)
        return cast(
            QuerySet, found.annotate(groups_there=Count("groups"), first=Max("groups__name"))
        )

    @admin.display(description="blueprint", ordering="blueprint__name")
    def blueprint_link(self, agent: models.Agent) -> SafeString | str:
        return marks.link(agent.blueprint)

    @admin.display(description="who may ask for it")
    def limited_to(self, agent: Any) -> str:
        match agent.groups_there:
            case 0:
                return "everybody"
            case 1:
                return f"members of {agent.first}"
        return f"members of {agent.groups_there} groups"
