"""What people sign in with, beside Django's users and sessions, and what they talk about."""

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q

from runtime.models import Agent, Blueprint, Run


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
    # What its maker was signed in with: when that ends, the socket ends with it.
    token = models.ForeignKey(Token, null=True, on_delete=models.CASCADE, related_name="+")
    session_key = models.CharField(max_length=40, blank=True)

    class Meta:
        constraints = (
            models.CheckConstraint(
                condition=Q(purpose__in=["socket", "sign_in"]), name="ticket_purpose_known"
            ),
        )

    def __str__(self) -> str:
        return f"{self.purpose} of {self.user}"


class Surface(models.Model):
    """Where in a user's product a message was written, and the agent it goes to from there."""

    id = models.BigAutoField(primary_key=True)
    slug = models.SlugField(max_length=100, unique=True)
    agent = models.ForeignKey(Agent, on_delete=models.PROTECT, related_name="surfaces")

    def __str__(self) -> str:
        return f"{self.slug} → {self.agent}"


class Conversation(models.Model):
    """The dialogue of one user with agents."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="conversations"
    )
    project_id = models.CharField(max_length=200, blank=True)
    agent = models.ForeignKey(
        Agent, null=True, blank=True, on_delete=models.SET_NULL, related_name="+",
        help_text="who answered last, and answers next",
    )  # fmt: skip
    surface = models.CharField(
        max_length=100, blank=True, help_text="where its user wrote last; may be unknown"
    )
    last_number = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        indexes = (
            models.Index(fields=["user", "-updated_at"], name="conversation_user_updated"),
        )

    def __str__(self) -> str:
        return f"conversation {self.id}"


class Message(models.Model):
    """One contribution to a conversation. An agent's is the output of its run, stored there."""

    class Role(models.TextChoices):
        USER = "user"
        AGENT = "agent"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    conversation = models.ForeignKey(
        Conversation, on_delete=models.CASCADE, related_name="messages", db_index=False
    )
    number = models.PositiveIntegerField()
    role = models.CharField(max_length=5, choices=Role.choices)
    created_at = models.DateTimeField(auto_now_add=True)

    # Of a user's.
    text = models.TextField(blank=True)
    sender = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.CASCADE, related_name="+"
    )
    client_id = models.CharField(  # noqa: DJ001 - absent and empty differ
        max_length=200, null=True, blank=True, help_text="the client's own name for it"
    )
    request_digest = models.CharField(max_length=64, blank=True)
    surface = models.CharField(max_length=100, blank=True)

    # Of an agent's.
    answers = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.CASCADE, related_name="answered_by"
    )
    agent = models.ForeignKey(
        Agent, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    agent_slug = models.CharField(max_length=100, blank=True)
    routed_by = models.CharField(max_length=20, blank=True)
    run = models.OneToOneField(
        Run, null=True, blank=True, on_delete=models.SET_NULL, related_name="message"
    )
    error_code = models.CharField(
        max_length=50, blank=True, help_text="why there is no run to answer it"
    )
    error_message = models.TextField(blank=True)
    settled_at = models.DateTimeField(
        null=True, blank=True, help_text="since when nothing more comes of it"
    )

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=["conversation", "number"], name="message_number_unique"
            ),
            models.UniqueConstraint(fields=["sender", "client_id"], name="message_sent_once"),
            # One run at a time.
            models.UniqueConstraint(
                fields=["conversation"],
                condition=Q(role="agent", settled_at=None),
                name="message_one_under_way",
            ),
            models.CheckConstraint(
                condition=Q(role="user", answers=None, sender__isnull=False)
                | Q(role="agent", answers__isnull=False, text="", sender=None),
                name="message_of_user_or_agent",
            ),
        )

    def __str__(self) -> str:
        return f"{self.role} {self.number}"


class Sketch(models.Model):
    """A blueprint in the editor that is not saved as a version: every change to it is kept.

    It may have faults. Of a blueprint each user has at most one.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="sketches"
    )
    blueprint = models.ForeignKey(
        Blueprint, null=True, blank=True, on_delete=models.CASCADE, related_name="+",
        help_text="what it is to be the next version of; none: it is a new one",
    )  # fmt: skip
    made_from = models.PositiveIntegerField(
        null=True, blank=True, help_text="the number of the version that it was made from"
    )
    document = models.JSONField()
    revision = models.PositiveIntegerField(
        default=1, help_text="counts the changes; who sends one says which they have seen"
    )
    trial = models.ForeignKey(
        Blueprint, null=True, blank=True, on_delete=models.SET_NULL, related_name="+",
        help_text="what holds the versions of it that were tried out",
    )  # fmt: skip
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name_plural = "sketches"
        constraints = (
            models.UniqueConstraint(
                fields=["user", "blueprint"], name="sketch_one_of_a_blueprint"
            ),
        )

    def __str__(self) -> str:
        return f"sketch {self.id}"
