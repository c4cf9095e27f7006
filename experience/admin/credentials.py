"""Users and their personal tokens in the admin."""

from typing import Any, cast

from django.contrib import admin
from django.contrib.auth import admin as auth
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import Group, User
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from experience import models
from runtime.admin.readonly import ReadOnly
from runtime.admin.workshop import Workshop

admin.site.unregister([User, Group])


@admin.register(Group)
class GroupAdmin(Workshop, auth.GroupAdmin):
    """Django's own."""


@admin.register(User)
class UserAdmin(Workshop, auth.UserAdmin):
    """Django's own, but nobody is deleted here: conversations, blueprints and with them the
    versions of other people's runs would go too. Who is no longer "active" can do nothing."""

    def has_delete_permission(self, *args: Any) -> bool:
        return False


@admin.register(models.Token)
class TokenAdmin(ReadOnly, Workshop):
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
        by = cast(AbstractBaseUser, request.user).get_username()
        with transaction.atomic():
            valid = list(chosen.filter(revoked_at=None).select_for_update(of=("self",)))
            revoked = models.Token.objects.filter(pk__in=[token.pk for token in valid])
            revoked.update(revoked_at=timezone.now())
            for token in valid:
                self.log_change(request, token, f"revoked by {by}")
        self.message_user(request, f"{len(valid)} revoked; their sockets close within 5 s.")

    def has_revoke_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("experience.change_token")
