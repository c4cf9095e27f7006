"""The queue: jobs and workers. To look at; what is wrong is put right at the run.

In place of procrastinate's own pages, which know no run and whose actions would leave one
without a job that it knows of.
"""

from datetime import timedelta
from typing import Any, cast

from django.conf import settings
from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from procrastinate.contrib.django.models import ProcrastinateJob, ProcrastinateWorker

from runtime import models, runs
from runtime.admin import marks, words
from runtime.admin.readonly import ReadOnly
from runtime.admin.workshop import Workshop

MOST = 20  # events of a job; runs of a worker

for each in (ProcrastinateJob, ProcrastinateWorker):
    if admin.site.is_registered(each):
        admin.site.unregister(each)


def silence(worker: ProcrastinateWorker) -> timedelta:
    """How long ago it showed its last heartbeat."""
    return timezone.now() - worker.last_heartbeat


def told(worker: ProcrastinateWorker) -> str:
    """Whether a worker lives, by its heartbeat."""
    silent = silence(worker)
    if silent.total_seconds() < settings.WORKER_STALLED_SECONDS:
        return "alive"
    return f"stalled: silent for {words.span(silent)}; its runs go on elsewhere"


@admin.register(ProcrastinateJob)
class JobAdmin(ReadOnly, Workshop):
    """Jobs that wait and jobs that are worked on. One that is done is gone."""

    list_display = ("id", "status", "run", "queue_name", "task_name", "attempts",
                    "scheduled_at", "worker_link")  # fmt: skip
    list_display_links = ("id",)
    list_filter = ("status",)
    list_select_related = ("worker",)
    search_fields = ("args__run_id",)
    search_help_text = "the id of a run"
    ordering = ("-id",)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    *("status", "run", "queue_name", "task_name", "attempts", "priority"),
                    *("scheduled_at", "abort_requested", "worker_link", "happened", "all_args"),
                )
            },
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        return super().get_queryset(request).select_related("worker")

    @admin.display(description="run")
    def run(self, job: ProcrastinateJob) -> SafeString | str:
        run_id = job.args.get("run_id")
        if job.task_name != runs.TASK or not run_id:
            return "-"
        return format_html(
            '<a href="{}">{}</a>', marks.address(models.Run, run_id), str(run_id)
        )

    @admin.display(description="worker", ordering="worker")
    def worker_link(self, job: ProcrastinateJob) -> SafeString | str:
        if job.worker is None:
            return "-"
        link = marks.link(job.worker, f"worker {job.worker.pk}")
        return format_html("{}, {}", link, told(job.worker))

    @admin.display(description="what happened")
    def happened(self, job: ProcrastinateJob) -> SafeString | str:
        newest = job.procrastinateevent_set.order_by("-id")[:MOST]
        rows = [(each.type, marks.moment(each.at) if each.at else "") for each in newest]
        return format_html_join(", ", "{} {}", reversed(rows)) or "-"

    @admin.display(description="arguments")
    def all_args(self, job: ProcrastinateJob) -> SafeString | str:
        return marks.folded("as JSON", job.args)


class WorkerList(ChangeList):
    """The workers, each with the name under which runs know it."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        named = names([worker.pk for worker in self.result_list])
        for worker in self.result_list:
            worker.named = named.get(worker.pk, "no run at present")


def names(workers: list[int]) -> dict[int, str]:
    """Host and pid of workers, as the runs that they have at present know them."""
    jobs = ProcrastinateJob.objects.filter(status="doing", worker__in=workers)
    latest = jobs.order_by("worker", "-id").distinct("worker")
    of_worker = {job.worker_id: job.args.get("run_id") for job in latest}
    having = models.Run.objects.filter(pk__in=filter(None, of_worker.values()))
    known = {str(pk): name for pk, name in having.values_list("pk", "worker")}
    return {pk: known[run] for pk, run in of_worker.items() if known.get(str(run))}


@admin.register(ProcrastinateWorker)
class WorkerAdmin(ReadOnly, Workshop):
    """Workers by their heartbeat. One that stopped by itself is gone from the list."""

    list_display = ("id", "state", "name", "jobs_there", "heartbeat")
    ordering = ("-last_heartbeat",)
    fieldsets = ((None, {"fields": ("state", "heartbeat", "jobs_there", "has_at_present")}),)

    def get_changelist(self, *args: Any, **more: Any) -> type[ChangeList]:
        return WorkerList

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        doing = Count("procrastinatejob", filter=Q(procrastinatejob__status="doing"))
        return cast(QuerySet, super().get_queryset(request).annotate(doing=doing))

    @admin.display(description="state", ordering="last_heartbeat")
    def state(self, worker: ProcrastinateWorker) -> SafeString:
        stalled = silence(worker).total_seconds() >= settings.WORKER_STALLED_SECONDS
        kind = "failed" if stalled else ""
        return format_html('<span class="state {}">{}</span>', kind, told(worker))

    @admin.display(description="last heartbeat", ordering="last_heartbeat")
    def heartbeat(self, worker: ProcrastinateWorker) -> SafeString:
        return marks.moment(worker.last_heartbeat)

    @admin.display(description="host and process")
    def name(self, worker: Any) -> str:
        return str(worker.named)

    @admin.display(description="jobs at present", ordering="doing")
    def jobs_there(self, worker: Any) -> int:
        return int(worker.doing)

    @admin.display(description="runs at present")
    def has_at_present(self, worker: ProcrastinateWorker) -> SafeString | str:
        jobs = worker.procrastinatejob_set.filter(status="doing").order_by("-id")[:MOST]
        rows = [(marks.link(job, f"job {job.pk}"), _run(job)) for job in jobs]
        return format_html_join(", ", "{} ({})", rows) or "none"


def _run(job: ProcrastinateJob) -> SafeString | str:
    run_id = job.args.get("run_id", "")
    return (
        format_html('<a href="{}">{}</a>', marks.address(models.Run, run_id), f"run {run_id}")
        if run_id
        else "no run"
    )
