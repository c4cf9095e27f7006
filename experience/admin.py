"""Conversations, surfaces and tokens in the Django admin."""

from typing import Any, cast

from django.contrib import admin
from django.contrib.auth.base_user import AbstractBaseUser
from django.db.models import OuterRef, QuerySet, Subquery
from django.db.models.functions import Left
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html

from experience import models
from runtime.admin.readonly import ReadOnly

LONGEST_SHOWN = 2_000  # characters of a message
LONGEST_TITLE = 80


@admin.register(models.Surface)
class SurfaceAdmin(admin.ModelAdmin):
    """The table of routing: which agent answers from where."""

    list_display = ("slug", "agent")
    list_select_related = ("agent",)
    ordering = ("slug",)


class MessageInline(ReadOnly, admin.TabularInline):
    model = models.Message
    fk_name = "conversation"
    fields = readonly_fields = (
        *("number", "who", "says", "surface", "routed_by", "run_link", "created_at"),
    )
    ordering = ("number",)

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        return super().get_queryset(request).select_related("run", "sender", "agent")

    @admin.display(description="from")
    def who(self, message: models.Message) -> str:
        return message.agent_slug or str(message.sender)

    @admin.display(description="says")
    def says(self, message: models.Message) -> str:
        text = message.text or (message.run.current_draft if message.run else "")
        return (text or message.error_message)[:LONGEST_SHOWN]

    @admin.display(description="run")
    def run_link(self, message: models.Message) -> str:
        if message.run is None:
            return message.error_code
        url = reverse("admin:runtime_run_change", args=[message.run_id])
        return format_html('<a href="{}">{}</a>', url, message.run.status)


@admin.register(models.Conversation)
class ConversationAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("title", "user", "agent", "surface", "messages_there", "updated_at")
    list_select_related = ("user", "agent")
    list_filter = ("agent", "surface")
    search_fields = ("=id", "user__username", "=project_id")
    ordering = ("-updated_at",)
    inlines = (MessageInline,)

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        first = models.Message.objects.filter(conversation=OuterRef("pk"), number=1)
        said = Left(Subquery(first.values("text")[:1]), LONGEST_TITLE)
        return cast(QuerySet, super().get_queryset(request).annotate(said=said))

    @admin.display(description="conversation")
    def title(self, conversation: models.Conversation) -> str:
        return getattr(conversation, "said", None) or "(nothing said yet)"

    @admin.display(description="messages", ordering="last_number")
    def messages_there(self, conversation: models.Conversation) -> int:
        return conversation.last_number


@admin.register(models.Token)
class TokenAdmin(ReadOnly, admin.ModelAdmin):
    """Personal tokens: never the secret, which nobody has kept. They can be revoked."""

    fields = ("user", "name", "created_at", "last_used_at", "expires_at", "revoked_at")
    list_display = ("name", "user", "state", "last_used_at", "expires_at", "created_at")
    list_select_related = ("user",)
    search_fields = ("user__username", "name")
    ordering = ("-created_at",)
    actions = ("revoke",)

    @admin.display(description="state")
    def state(self, token: models.Token) -> str:
        if token.revoked_at:
            return "revoked"
        expired = token.expires_at is not None and token.expires_at <= timezone.now()
        return "expired" if expired else "valid"

    @admin.action(description="Revoke the selected tokens", permissions=["revoke"])
    def revoke(self, request: HttpRequest, chosen: QuerySet) -> None:
        count = chosen.filter(revoked_at=None).update(revoked_at=timezone.now())
        by = cast(AbstractBaseUser, request.user).get_username()
        for token in chosen:
            self.log_change(request, token, f"revoked by {by}")
        self.message_user(request, f"{count} revoked; their sockets close within 5 s.")

    def has_revoke_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("experience.change_token")
