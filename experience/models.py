"""What people sign in with, beside Django's users and sessions."""

from django.conf import settings
from django.db import models
from django.db.models import Q


class Token(models.Model):
    """A personal token of a program. Only its SHA-256 is kept."""

    id = models.BigAutoField(primary_key=True)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="tokens"
    )
    name = models.CharField(max_length=100)
    digest = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField(auto_now_add=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=["user", "name"],
                condition=Q(revoked_at=None),
                name="token_name_unique_while_valid",
            ),
        )

    def __str__(self) -> str:
        return f"{self.user} / {self.name}"


class Ticket(models.Model):
    """A credential that is good once and for a short time. Used up, it is deleted."""

    class Purpose(models.TextChoices):
        SOCKET = "socket"
        SIGN_IN = "sign_in"

    id = models.BigAutoField(primary_key=True)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+"
    )
    purpose = models.CharField(max_length=10, choices=Purpose.choices)
    digest = models.CharField(max_length=64, unique=True)
    expires_at = models.DateTimeField(db_index=True)

    class Meta:
        constraints = (
            models.CheckConstraint(
                condition=Q(purpose__in=["socket", "sign_in"]), name="ticket_purpose_known"
            ),
        )

    def __str__(self) -> str:
        return f"{self.purpose} of {self.user}"
