"""Conversations and surfaces in the admin.

Whoever may view conversations reads what was said in them, as whoever may view runs reads the
same texts there. The pages and the API show a conversation to its user alone.
"""

from typing import Any, cast

from django.contrib import admin
from django.db.models import OuterRef, QuerySet, Subquery
from django.db.models.functions import Left
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from experience import models
from runtime import models as runtime
from runtime.admin import agents, marks, words
from runtime.admin.readonly import ReadOnly
from runtime.admin.workshop import Workshop

LONGEST_SHOWN = 2_000  # characters of a message
MOST_MESSAGES = 100


@admin.register(models.Surface)
class SurfaceAdmin(Workshop):
    """The table of routing: which agent answers from where."""

    list_display = ("slug", "agent")
    list_select_related = ("agent",)
    search_fields = ("slug", "agent__slug")
    ordering = ("slug",)


class SurfaceFilter(admin.SimpleListFilter):
    """The surfaces that have an agent; clients may name any."""

    title = parameter_name = "surface"

    def lookups(self, *args: Any) -> list[tuple[str, str]]:
        found = models.Surface.objects.order_by("slug").values_list("slug", flat=True)
        return [(slug, slug) for slug in found]

    def queryset(self, request: HttpRequest, conversations: QuerySet) -> QuerySet:
        known = {slug for slug, _ in self.lookup_choices}
        if self.value() not in known:
            return conversations
        return conversations.filter(surface=self.value())


@admin.register(models.Conversation)
class ConversationAdmin(ReadOnly, Workshop):
    list_display = ("title", "user", "agent", "surface", "messages_there", "updated_at")
    list_select_related = ("user", "agent")
    list_filter = ("agent", SurfaceFilter)
    search_fields = ("=id", "user__username", "=project_id")
    ordering = ("-updated_at",)
    fields = (
        *("user", "agent_link", "surface", "project_id", "messages_there"),
        *("created_at", "updated_at"),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        first = models.Message.objects.filter(conversation=OuterRef("pk"), number=1)
        said = Left(Subquery(first.values("text")[:1]), words.LONGEST_TOPIC + 1)
        found = super().get_queryset(request).select_related("user", "agent")
        return cast(QuerySet, found.annotate(said=said))

    @admin.display(description="conversation")
    def title(self, conversation: Any) -> SafeString:
        said = words.short(conversation.said or "") or "(nothing said yet)"
        return format_html("<bdi>{}</bdi>", said)

    @admin.display(description="messages", ordering="last_number")
    def messages_there(self, conversation: models.Conversation) -> int:
        return conversation.last_number

    @admin.display(description="agent")
    def agent_link(self, conversation: models.Conversation) -> SafeString | str:
        return marks.link(conversation.agent)

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **more: Any
    ) -> HttpResponse:
        conversation = more.get("obj")
        if isinstance(conversation, models.Conversation):
            context["said"] = _said(conversation)
            context["earlier"] = max(0, conversation.last_number - MOST_MESSAGES)
        return super().render_change_form(request, context, *args, **more)


def _said(conversation: models.Conversation) -> list[dict[str, Any]]:
    """The newest messages, oldest first, each as far as a page bears it."""
    found = conversation.messages.annotate(
        asked=Left("text", LONGEST_SHOWN + 1),
        answered=Left("run__current_draft", LONGEST_SHOWN + 1),
    )
    rows = found.order_by("-number").values(
        *("number", "created_at", "agent_slug", "agent_id", "sender__username", "surface"),
        *("routed_by", "run_id", "run__status", "error_code", "error_message"),
        *("asked", "answered"),
    )[:MOST_MESSAGES]
    return [
        {**row, "says": _cut(row["asked"] or row["answered"] or row["error_message"])}
        for row in reversed(rows)
    ]


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]} …"


admin.site.unregister(runtime.Agent)


@admin.register(runtime.Agent)
class AgentAdmin(agents.AgentAdmin):
    """Agents, with where they answer."""

    readonly_fields = ("answers_from", "talks")

    @admin.display(description="surfaces")
    def answers_from(self, agent: runtime.Agent) -> SafeString | str:
        found = models.Surface.objects.filter(agent=agent.pk).order_by("slug")[:MOST_MESSAGES]
        rows = ((marks.link(surface, surface.slug),) for surface in found)
        return format_html_join(", ", "{}", rows) or "none"

    @admin.display(description="conversations")
    def talks(self, agent: runtime.Agent) -> SafeString | str:
        if agent.pk is None:
            return "none"
        query = f"agent__id__exact={agent.pk}"
        return marks.rows_of(models.Conversation, query, "those that it answers")
