"""Runs for inspection in the Django admin, and what they run."""

import json
from typing import cast

from django.contrib import admin
from django.contrib.auth.base_user import AbstractBaseUser
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from runtime import errors, models, runs
from runtime.admin.readonly import ReadOnly


class EventInline(ReadOnly, admin.TabularInline):
    model = models.Event
    fields = ("seq", "at", "kind", "what")
    readonly_fields = fields
    ordering = ("seq",)
    show_change_link = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[models.Event]:
        # Tokens only matter while their node writes, and there may be thousands.
        return super().get_queryset(request).exclude(kind="node.token")

    @admin.display(description="data")
    def what(self, event: models.Event) -> SafeString:
        text = json.dumps(event.data, ensure_ascii=False, indent=1)
        return format_html("<pre>{}</pre>", text)


@admin.register(models.Run)
class RunAdmin(ReadOnly, admin.ModelAdmin):
    class Media:  # styles that stand in the page itself are refused
        css = {"all": ["runtime/admin.css"]}  # noqa: RUF012 - as Django has it

    list_display = (
        "input_topic_short",
        "created_at",
        "status",
        "reason",
        "critic_score",
        "blueprint_version",
        "owner",
        "attempt",
        "worker",
    )
    ordering = ("-created_at",)
    list_filter = ("status", "reason")
    list_select_related = ("blueprint_version__blueprint", "owner")
    search_fields = ("=id", "input_topic")
    date_hierarchy = "created_at"
    actions = ("cancel", "retry", "run_again")
    # The result first, with what a reader must know to trust it; then what led to it.
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("status", "reason", "approved", "handoff"),
                    ("critic_score", "iteration_count"),
                    "current_draft",
                    ("error_code", "error_message"),
                    "usage",
                )
            },
        ),
        ("Asked for", {"fields": ("input_topic", "blueprint_version", "model", "owner")}),
        (
            "Execution",
            {
                "fields": (
                    ("attempt", "worker", "job_id", "last_seq"),
                    ("created_at", "started_at", "ended_at"),
                    ("idempotency_key", "request_digest"),
                )
            },
        ),
    )
    inlines = (EventInline,)

    @admin.display(description="topic")
    def input_topic_short(self, run: models.Run) -> str:
        return run.input_topic[:80]

    @admin.action(description="Cancel the selected runs", permissions=["view"])
    def cancel(self, request: HttpRequest, selected: QuerySet[models.Run]) -> None:
        for run in selected:
            try:
                runs.cancel(run.pk, by=request.user.get_username())
            except errors.RunFinished as refusal:
                self.message_user(request, f"{run.input_topic[:40]}: {refusal}", "WARNING")

    @admin.action(description="Retry the selected runs that failed", permissions=["view"])
    def retry(self, request: HttpRequest, selected: QuerySet[models.Run]) -> None:
        for run in selected:
            try:
                runs.retry(run.pk, by=request.user.get_username())
            except errors.Refusal as refusal:
                self.message_user(request, f"{run.input_topic[:40]}: {refusal}", "WARNING")

    @admin.action(description="Run the selected ones again", permissions=["view"])
    def run_again(self, request: HttpRequest, selected: QuerySet[models.Run]) -> None:
        for run in selected:
            try:
                again = runs.fork(run, owner=cast(AbstractBaseUser, request.user), after=0)
            except errors.Refusal as refusal:
                self.message_user(request, f"{run.input_topic[:40]}: {refusal}", "WARNING")
            else:
                self.message_user(request, f"{run.input_topic[:40]}: runs again as {again.pk}.")


@admin.register(models.BlueprintVersion)
class BlueprintVersionAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("blueprint", "number", "created_at", "created_by")


@admin.register(models.Agent)
class AgentAdmin(admin.ModelAdmin):
    list_display = ("slug", "name", "blueprint", "enabled")
    list_select_related = ("blueprint",)
    filter_horizontal = ("groups",)
    ordering = ("slug",)
