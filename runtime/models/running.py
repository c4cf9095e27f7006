"""Runs, their logs and their checkpoints."""

import uuid

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from runtime.models.blueprints import BlueprintVersion


class Status(models.TextChoices):
    PENDING = "pending"
    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


ACTIVE = (Status.PENDING, Status.RUNNING, Status.PAUSED)
ENDED = (Status.COMPLETED, Status.FAILED, Status.CANCELLED)


class Run(models.Model):
    """One execution of one blueprint version on one input.

    `last_seq` is the counter of its events, `attempt` the fence: what an attempt writes
    is accepted only while the row still carries its number (design, rule 2).
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    blueprint_version = models.ForeignKey(
        BlueprintVersion, on_delete=models.PROTECT, related_name="runs"
    )
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="runs",
    )
    input_topic = models.TextField()
    model = models.CharField(
        max_length=200, blank=True, help_text="provider:model for nodes that name none"
    )
    god_mode = models.BooleanField(default=False, help_text="a gate before every node")
    limits = models.JSONField(default=dict, blank=True)
    overrides = models.JSONField(
        default=dict, blank=True, help_text="by node: what a fork changed in the document"
    )
    context = models.JSONField(
        default=list, blank=True, help_text="earlier runs that its nodes are told of, by id"
    )
    handoffs = models.JSONField(
        default=list, blank=True, help_text="to whom a guide in it may hand over"
    )
    trace = models.CharField(
        max_length=55, blank=True, help_text="the W3C traceparent of what asked for it"
    )
    parent = models.ForeignKey(
        "self",
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="children",
        help_text="the run that this one is a fork of",
    )
    parent_seq = models.PositiveIntegerField(
        null=True, blank=True, help_text="the parent's last event that is reused"
    )
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.PENDING)
    attempt = models.PositiveIntegerField(default=0)
    last_seq = models.PositiveIntegerField(default=0)
    retries = models.PositiveIntegerField(
        default=0, help_text="how often it was taken up again after it had failed"
    )
    worker = models.CharField(
        max_length=200, blank=True, help_text="who has it, or had it last"
    )
    job_id = models.BigIntegerField(null=True, blank=True, help_text="the procrastinate job")
    idempotency_key = models.CharField(max_length=200, null=True, blank=True)  # noqa: DJ001
    request_digest = models.CharField(max_length=64, blank=True)

    # The council's working state as of the last finished node: a projection of the log,
    # written in the same transaction, so that a list of runs needs no second look.
    current_draft = models.TextField(blank=True)
    critic_score = models.FloatField(null=True, blank=True)
    iteration_count = models.PositiveIntegerField(default=0)

    # The end.
    reason = models.CharField(max_length=50, blank=True)
    approved = models.BooleanField(
        null=True, blank=True, help_text="by the critic; null: no critic"
    )
    error_code = models.CharField(max_length=50, blank=True)
    error_message = models.TextField(blank=True)
    usage = models.JSONField(default=dict, blank=True)
    draft_cut = models.BooleanField(
        default=False, help_text="its draft ended at a token limit, not by itself"
    )
    handoff = models.JSONField(
        null=True, blank=True, help_text="to whom its guide has handed over, and why"
    )
    members = models.JSONField(
        default=dict, blank=True, help_text="of the members asked, how many had their say"
    )

    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = (
            models.Index(fields=["owner", "-created_at"], name="run_owner_created"),
            models.Index(fields=["-created_at"], name="run_created"),
            models.Index(fields=["status"], name="run_active", condition=Q(ended_at=None)),
        )
        constraints = (
            models.CheckConstraint(
                condition=Q(status__in=Status.values), name="run_status_known"
            ),
            models.CheckConstraint(
                condition=(Q(status__in=ENDED) & Q(ended_at__isnull=False) & ~Q(reason=""))
                | (Q(status__in=ACTIVE) & Q(ended_at__isnull=True) & Q(reason="")),
                name="run_ends_once_with_reason",
            ),
            models.CheckConstraint(
                condition=(Q(status=Status.FAILED) & ~Q(error_code=""))
                | (~Q(status=Status.FAILED) & Q(error_code="")),
                name="run_error_iff_failed",
            ),
            models.CheckConstraint(
                condition=Q(critic_score=None) | Q(critic_score__range=(0, 10)),
                name="run_score_0_to_10",
            ),
            models.UniqueConstraint(
                fields=["owner", "idempotency_key"],
                condition=Q(idempotency_key__isnull=False),
                nulls_distinct=False,
                name="run_idempotency_key_unique",
            ),
        )

    def __str__(self) -> str:
        return f"run {self.id}"

    @property
    def has_ended(self) -> bool:
        return self.status in ENDED

    @property
    def final_draft(self) -> str | None:
        """The result, once there is one."""
        return self.current_draft if self.status == Status.COMPLETED else None


class Event(models.Model):
    """One thing that happened to a run: `(run, seq, kind, data, at)`, written once.

    `key` says what it is about and is unique in its run, so that a write that is sent
    again after a lost answer cannot tell the same thing twice.
    """

    id = models.BigAutoField(primary_key=True)
    # No index of its own: the unique (run, seq) serves.
    run = models.ForeignKey(
        Run, on_delete=models.CASCADE, related_name="events", db_index=False
    )
    seq = models.PositiveIntegerField()
    kind = models.CharField(max_length=30)
    key = models.CharField(max_length=120)
    data = models.JSONField(default=dict)
    at = models.DateTimeField()

    class Meta:
        # For dropping a node's tokens among thousands of other events.
        indexes = (
            models.Index(fields=["run"], name="event_tokens", condition=Q(kind="node.token")),
        )
        constraints = (
            models.UniqueConstraint(fields=["run", "seq"], name="event_seq_unique"),
            models.UniqueConstraint(fields=["run", "key"], name="event_key_unique"),
            models.CheckConstraint(condition=Q(seq__gte=1), name="event_seq_from_1"),
        )

    def __str__(self) -> str:
        return f"{self.seq} {self.kind}"


class Checkpoint(models.Model):
    """The state of a LangGraph thread between two steps. `thread_id` is the run's id."""

    id = models.BigAutoField(primary_key=True)
    thread_id = models.CharField(max_length=150)
    ns = models.CharField(max_length=400, default="", blank=True)
    checkpoint_id = models.CharField(max_length=100)
    parent_id = models.CharField(max_length=100, blank=True)
    encoding = models.CharField(max_length=50)
    state = models.BinaryField()
    metadata = models.JSONField(default=dict)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=["thread_id", "ns", "checkpoint_id"], name="checkpoint_unique"
            ),
            models.CheckConstraint(
                condition=~Q(parent_id=F("checkpoint_id")), name="checkpoint_not_its_own_parent"
            ),
        )

    def __str__(self) -> str:
        return self.checkpoint_id


class CheckpointWrite(models.Model):
    """What one finished node wrote on top of a checkpoint, before the step ended."""

    id = models.BigAutoField(primary_key=True)
    thread_id = models.CharField(max_length=150)
    ns = models.CharField(max_length=400, default="", blank=True)
    checkpoint_id = models.CharField(max_length=100)
    task_id = models.CharField(max_length=100)
    task_path = models.TextField(blank=True)
    idx = models.IntegerField(help_text="negative for LangGraph's special channels")
    # The channel of a join is named after all the nodes that it waits for.
    channel = models.TextField()
    encoding = models.CharField(max_length=50)
    value = models.BinaryField()

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=["thread_id", "ns", "checkpoint_id", "task_id", "idx"],
                name="checkpointwrite_unique",
            ),
        )

    def __str__(self) -> str:
        return f"{self.task_id}/{self.idx}"
