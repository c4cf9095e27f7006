"""Councils as they are kept, and the agents that run them."""

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q


class Visibility(models.TextChoices):
    """Who may see and run a blueprint. Only its owner may change it."""

    OWNER = "owner", "its owner"
    GROUPS = "groups", "whoever shares a group with its owner"
    EVERYONE = "everyone"


class Blueprint(models.Model):
    """A named council. What it is made of is in its versions."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    slug = models.SlugField(
        unique=True, null=True, blank=True, help_text="set for those that ship"
    )
    name = models.CharField(max_length=200)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="+",
    )
    visibility = models.CharField(
        max_length=10, choices=Visibility.choices, default=Visibility.OWNER
    )
    is_trial = models.BooleanField(
        default=False, help_text="what somebody tried out in the editor; it is on no list"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    deleted_at = models.DateTimeField(
        null=True, blank=True, help_text="it is listed no more; its runs keep their version"
    )

    def __str__(self) -> str:
        return self.name

    @property
    def newest(self) -> "BlueprintVersion":
        """The version that a new run takes. Raises BlueprintVersion.DoesNotExist."""
        return self.versions.latest("number")


class BlueprintVersion(models.Model):
    """One immutable document of a blueprint (a trigger in the database refuses changes)."""

    id = models.BigAutoField(primary_key=True)
    blueprint = models.ForeignKey(Blueprint, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    document = models.JSONField()
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
    )

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=["blueprint", "number"], name="version_number_unique"
            ),
            models.CheckConstraint(condition=Q(number__gte=1), name="version_number_from_1"),
        )

    def __str__(self) -> str:
        return f"{self.blueprint} v{self.number}"


class Agent(models.Model):
    """What a message can be addressed to, by slug `class.domain`; runs a blueprint."""

    id = models.BigAutoField(primary_key=True)
    slug = models.CharField(max_length=100, unique=True)
    name = models.CharField(max_length=200)
    description = models.TextField(blank=True)
    blueprint = models.ForeignKey(Blueprint, on_delete=models.PROTECT, related_name="agents")
    enabled = models.BooleanField(default=True)
    groups = models.ManyToManyField(
        "auth.Group",
        blank=True,
        related_name="+",
        help_text="only members of these may ask for it; none: everybody may",
    )

    class Meta:
        constraints = (
            models.CheckConstraint(
                condition=Q(slug__regex=r"^[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*$"),
                name="agent_slug_class_domain",
            ),
        )

    def __str__(self) -> str:
        return self.slug

    @property
    def kind(self) -> str:
        """The class in its slug: `guide` or `liaison`, for instance."""
        return self.slug.partition(".")[0]
