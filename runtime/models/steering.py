"""Gates, and what may be spent."""

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q

from runtime.models.running import Run


class Action(models.TextChoices):
    """What a person may do at a gate."""

    APPROVE = "approve"
    MODIFY = "modify"
    REJECT = "reject"


class OnDeadline(models.TextChoices):
    """What happens at a gate that nobody answered in time."""

    STAY = "stay"
    APPROVE = "approve"
    REJECT = "reject"


class Gate(models.Model):
    """A place where a run waits for a person: what is asked, and what was answered.

    `task` is LangGraph's, so that a step that is taken up again finds its own gate.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="gates")
    task = models.CharField(max_length=100)
    number = models.PositiveIntegerField(help_text="of the gates of this task, from 1")
    node = models.CharField(max_length=100)
    place = models.CharField(max_length=10, help_text="before or after the node, or at a limit")
    ask = models.TextField(blank=True)
    proposal = models.JSONField(default=dict, help_text="what goes on if it is approved")
    actions = models.JSONField(default=list)
    targets = models.JSONField(default=list, help_text="the nodes that it may lead to")
    answerers = models.JSONField(default=list, help_text="owner, user:NAME, group:NAME")
    opened_at = models.DateTimeField()
    deadline = models.DateTimeField(null=True, blank=True)
    on_deadline = models.CharField(
        max_length=10, choices=OnDeadline.choices, default=OnDeadline.STAY
    )
    action = models.CharField(max_length=10, choices=Action.choices, blank=True)
    answer = models.JSONField(default=dict, blank=True)
    answered_by = models.CharField(max_length=150, blank=True)
    answered_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = (
            models.Index(
                fields=["deadline"],
                name="gate_due",
                condition=Q(answered_at=None, deadline__isnull=False),
            ),
        )
        constraints = (
            models.UniqueConstraint(fields=["run", "task", "number"], name="gate_unique"),
            models.CheckConstraint(
                condition=(Q(answered_at=None) & Q(action="") & Q(answered_by=""))
                | (Q(answered_at__isnull=False) & ~Q(action="") & ~Q(answered_by="")),
                name="gate_answered_whole",
            ),
        )

    def __str__(self) -> str:
        return f"gate {self.place} {self.node}"


class Allowance(models.Model):
    """What somebody may use: one user, the members of a group together, or (with neither)
    each user who has none of their own. Empty is unlimited."""

    id = models.BigAutoField(primary_key=True)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="+",
    )
    group = models.ForeignKey(
        "auth.Group", null=True, blank=True, on_delete=models.CASCADE, related_name="+"
    )
    concurrent_runs = models.PositiveIntegerField(null=True, blank=True)
    daily_tokens = models.PositiveBigIntegerField(null=True, blank=True)
    monthly_tokens = models.PositiveBigIntegerField(null=True, blank=True)
    daily_cost = models.DecimalField(
        null=True, blank=True, max_digits=14, decimal_places=6, help_text="US dollars"
    )
    monthly_cost = models.DecimalField(
        null=True, blank=True, max_digits=14, decimal_places=6, help_text="US dollars"
    )

    class Meta:
        constraints = (
            models.CheckConstraint(
                condition=Q(user=None) | Q(group=None), name="allowance_of_one"
            ),
            models.UniqueConstraint(
                fields=["user", "group"], nulls_distinct=False, name="allowance_unique"
            ),
        )

    def __str__(self) -> str:
        return f"allowance of {self.user or self.group or 'each user'}"


class Account(models.Model):
    """What a run, a user or a group has spent in a period, and what its calls under way may.

    `period` is a day (2026-11-21), a month (2026-11), or empty for the whole run.
    """

    id = models.BigAutoField(primary_key=True)
    run = models.ForeignKey(
        Run, null=True, blank=True, on_delete=models.CASCADE, related_name="+"
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="+",
    )
    group = models.ForeignKey(
        "auth.Group", null=True, blank=True, on_delete=models.CASCADE, related_name="+"
    )
    period = models.CharField(max_length=10, blank=True)
    calls = models.PositiveBigIntegerField(default=0)
    tokens_spent = models.PositiveBigIntegerField(default=0)
    tokens_reserved = models.PositiveBigIntegerField(default=0)
    cost_spent = models.DecimalField(default=0, max_digits=18, decimal_places=10)
    cost_reserved = models.DecimalField(default=0, max_digits=18, decimal_places=10)

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=["run", "user", "group", "period"],
                nulls_distinct=False,
                name="account_unique",
            ),
            models.CheckConstraint(
                condition=Q(cost_reserved__gte=0), name="account_reserved_not_negative"
            ),
        )

    def __str__(self) -> str:
        return f"account of {self.run or self.user or self.group} {self.period}".rstrip()


class Reservation(models.Model):
    """What one model call may use, taken from accounts before it and settled after it."""

    id = models.BigAutoField(primary_key=True)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="reservations")
    accounts = models.JSONField(default=list)
    tokens = models.PositiveBigIntegerField()
    cost = models.DecimalField(null=True, max_digits=18, decimal_places=10)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"reservation {self.pk}"
