"""Runs: found in a list, inspected on a page."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, cast
from uuid import UUID

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.db.models import DecimalField, F, Prefetch, Q, QuerySet
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast, Left
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from runtime import models
from runtime.admin import acting, filters, marks, past, states, timeline, words
from runtime.admin.readonly import ReadOnly

# What a line of the list does not show, and what may be long.
_HEAVY = ("input_topic", "current_draft", "error_message", "context", "handoffs", "overrides")
# Not joined: PostgreSQL cannot know how many runs a search finds, and joined in the wrong order
# those ten thousand rows took half a second.
_VERSIONS = Prefetch(
    "blueprint_version",
    models.BlueprintVersion.objects.select_related("blueprint").defer("document"),
)
# Where a search looks for words: in so much of a topic, which may have 10 000 characters.
_SEARCHED = 1_000
_MOST_WORDS = 5
_COST = DecimalField(max_digits=24, decimal_places=12)


class RunList(ChangeList):
    """The list reads what its lines show, and no more."""

    def get_queryset(self, *args: Any, **more: Any) -> QuerySet:
        found = super().get_queryset(*args, **more)
        line = Left("input_topic", words.LONGEST_TOPIC + 1)
        shown = found.defer(*_HEAVY).annotate(line=line)
        return cast(QuerySet, shown.prefetch_related("owner", _VERSIONS))


@admin.register(models.Run)
class RunAdmin(ReadOnly, acting.Acting):
    """Nobody deletes a run either: forks reuse its steps, conversations show its answer, and
    what was spent would have no source."""

    list_display = (
        *("topic", "state", "score", "rounds", "duration", "cost", "blueprint", "owned_by"),
        *("had_by", "attempts", "when"),
    )
    ordering = ("-created_at",)
    list_filter = (
        "status",
        filters.Reason,
        "approved",
        filters.Story,
        filters.Blueprint,
        filters.Model,
    )
    list_select_related = ()
    search_fields = ("input_topic",)
    search_help_text = "an id, or words: of the topic's beginning, an owner, a worker"
    date_hierarchy = "created_at"
    # The result first, with what a reader must know to trust it; then what led to it.
    fieldsets: ClassVar[Any] = (
        (
            None,
            {
                "fields": (
                    *("stands", "error", "judged", "result", "handed_over", "missing"),
                    "used",
                )
            },
        ),
        (
            "Asked for",
            {
                "fields": (
                    *("asked", "version", "model_told", "by", "limits_told", "stops"),
                    *("goes_on_from", "overrides_told", "told_of"),
                )
            },
        ),
        (
            "Execution",
            {
                "fields": (
                    *("had_by", "attempts", "job", "created", "started", "ended"),
                    *("asked_once", "traced"),
                )
            },
        ),
    )

    def get_changelist(self, *args: Any, **more: Any) -> type[ChangeList]:
        return RunList

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        related = ("blueprint_version__blueprint", "owner", "parent")
        found = super().get_queryset(request)
        return found if is_list(request) else found.select_related(*related)

    def get_search_results(
        self, request: HttpRequest, found: QuerySet, term: str
    ) -> tuple[QuerySet, bool]:
        """An id finds its run and the forks of it, without a look at any text."""
        try:
            asked = UUID(term.strip())
        except ValueError:
            return _with_words(found, term.split()[:_MOST_WORDS]), False
        return found.filter(Q(pk=asked) | Q(parent=asked)), False

    def get_fieldsets(self, request: HttpRequest, obj: models.Run | None = None) -> Any:
        """What a run has not takes no room on its page."""
        found: Any = super().get_fieldsets(request, obj)
        return [
            (title, {"fields": [name for name in about["fields"] if _is_there(name, obj)]})
            for title, about in found
        ]

    # --- columns ---

    @admin.display(description="topic", ordering="input_topic")
    def topic(self, run: Any) -> SafeString:
        return format_html('<bdi class="topic">{}</bdi>', words.short(run.line) or "(empty)")

    @admin.display(description="status", ordering="status")
    def state(self, run: models.Run) -> SafeString:
        return format_html(
            '<span class="state {}">{}</span> <span class="why">{}</span>',
            run.status,
            run.status,
            words.why(run),
        )

    @admin.display(description="score", ordering="critic_score")
    def score(self, run: models.Run) -> str:
        return "" if run.critic_score is None else f"{run.critic_score:g}"

    @admin.display(description="rounds", ordering="iteration_count")
    def rounds(self, run: models.Run) -> int:
        return run.iteration_count

    @admin.display(description="took", ordering=F("ended_at") - F("started_at"))
    def duration(self, run: models.Run) -> str:
        return words.took(run)

    @admin.display(description="cost", ordering=Cast(KeyTextTransform("cost", "usage"), _COST))
    def cost(self, run: models.Run) -> str:
        return words.cost(run.usage)

    @admin.display(description="blueprint", ordering="blueprint_version__blueprint__name")
    def blueprint(self, run: models.Run) -> SafeString | str:
        return marks.link(run.blueprint_version)

    @admin.display(description="owner", ordering="owner")
    def owned_by(self, run: models.Run) -> str:
        return run.owner.get_username() if run.owner else "nobody"

    @admin.display(description="worker", ordering="worker")
    def had_by(self, run: models.Run) -> str:
        return run.worker or "none yet"

    @admin.display(description="attempts", ordering="attempt")
    def attempts(self, run: models.Run) -> str:
        return f"{run.attempt}, retried {run.retries} ×" if run.retries else str(run.attempt)

    @admin.display(description="created", ordering="created_at")
    def when(self, run: models.Run) -> str:
        return f"{run.created_at:%Y-%m-%d %H:%M}"

    # --- fields ---

    @admin.display(description="status")
    def stands(self, run: models.Run) -> SafeString:
        return self.state(run)

    @admin.display(description="error")
    def error(self, run: models.Run) -> SafeString | str:
        said = marks.text(run.error_message)
        return format_html("<code>{}</code>{}", run.error_code, said)

    @admin.display(description="last score")
    def judged(self, run: models.Run) -> str:
        rounds = f"{run.iteration_count} round{'' if run.iteration_count == 1 else 's'}"
        return f"{words.score(run.critic_score)}, after {rounds}"

    @admin.display(description="draft")
    def result(self, run: models.Run) -> SafeString | str:
        notes = "It was cut off at a token limit." if run.draft_cut else ""
        return format_html("{}{}", marks.text(run.current_draft), notes)

    @admin.display(description="handed over")
    def handed_over(self, run: models.Run) -> str:
        to = run.handoff or {}
        return f"to {to.get('to', '')}: {to.get('reason', '')}"

    @admin.display(description="members")
    def missing(self, run: models.Run) -> str:
        told = run.members
        names = ", ".join(told.get("missing", ()))
        return f"{told['present']} of {told['of']}{names and f', missing {names}'}"

    @admin.display(description="used")
    def used(self, run: models.Run) -> str:
        return words.used(run.usage) or "summed up at the end"

    @admin.display(description="topic")
    def asked(self, run: models.Run) -> SafeString | str:
        return marks.text(run.input_topic)

    @admin.display(description="blueprint version")
    def version(self, run: models.Run) -> SafeString:
        version = run.blueprint_version
        of = marks.link(version.blueprint, "the blueprint")
        return format_html("{} of {}", marks.link(version), of)

    @admin.display(description="owner")
    def by(self, run: models.Run) -> SafeString | str:
        if run.owner is None:
            return "nobody"
        others = marks.rows_of(models.Run, f"owner__id__exact={run.owner_id}", "all their runs")
        return format_html("{}, {}", marks.link(run.owner), others)

    @admin.display(description="limits")
    def limits_told(self, run: models.Run) -> str:
        return ", ".join(f"{name} {value}" for name, value in run.limits.items())

    @admin.display(description="gates")
    def stops(self, run: models.Run) -> str:
        return "before every node"

    @admin.display(description="model of nodes without one")
    def model_told(self, run: models.Run) -> str:
        return run.model or "the default"

    @admin.display(description="changed by the fork")
    def overrides_told(self, run: models.Run) -> SafeString | str:
        return marks.folded(", ".join(run.overrides), run.overrides)

    @admin.display(description="fork of")
    def goes_on_from(self, run: models.Run) -> SafeString | str:
        if run.parent is None:
            return "a run that was deleted"
        reuses = f"reusing its log up to event {run.parent_seq}" if run.parent_seq else "anew"
        return format_html("{}, {}", marks.link(run.parent), reuses)

    @admin.display(description="told of")
    def told_of(self, run: models.Run) -> SafeString | str:
        """Earlier runs, the newest of them."""
        newest = run.context[: -past.MOST_LINKED - 1 : -1]
        rows = [(marks.address(models.Run, pk), pk) for pk in newest]
        return format_html_join(", ", '<a href="{}">{}</a>', rows)

    @admin.display(description="job")
    def job(self, run: models.Run) -> SafeString | str:
        found = past.job(run)
        if found is None:
            return "none: a job is deleted once it is done"
        worker = f" by worker {found.worker_id}" if found.worker_id else ""
        tries = f"{found.status}{worker}, fetched {found.attempts} ×"
        return format_html("{}, {}", marks.link(found, f"job {found.pk}"), tries)

    @admin.display(description="created")
    def created(self, run: models.Run) -> SafeString:
        return marks.moment(run.created_at)

    @admin.display(description="first taken up")
    def started(self, run: models.Run) -> SafeString | str:
        return marks.moment(run.started_at) if run.started_at else "not yet"

    @admin.display(description="ended")
    def ended(self, run: models.Run) -> SafeString | str:
        if run.ended_at is None:
            return "not yet"
        return format_html("{}, after {}", marks.moment(run.ended_at), words.took(run))

    @admin.display(description="idempotency key")
    def asked_once(self, run: models.Run) -> str:
        return run.idempotency_key or ""

    @admin.display(description="traceparent")
    def traced(self, run: models.Run) -> str:
        return run.trace

    # --- pages ---

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **more: Any
    ) -> HttpResponse:
        run = more.get("obj")
        if isinstance(run, models.Run):
            listed, more_states = states.listed(run)
            context |= {
                "past": past.of(run),
                "forks": past.forks(run),
                "gates": past.gates(run),
                "states": listed,
                "more_states": more_states,
                "timeline": timeline.page(run, request.GET.get("events", "1")),
                "buttons": self._buttons(request, run),
                "list_address": marks.address(models.Run),
            }
        return super().render_change_form(request, context, *args, **more)

    def _buttons(self, request: HttpRequest, run: models.Run) -> list[tuple[str, str]]:
        """Name and words of the actions that make sense for a run as it stands."""
        fitting = {
            "cancel": ("Cancel", not run.has_ended),
            "retry": ("Retry", run.status == models.Status.FAILED),
            "reassign": ("Take from its worker", run.status == models.Status.RUNNING),
            "run_again": ("Run again", run.has_ended),
        }
        may = self.get_actions(request)
        return [(name, told) for name, (told, fits) in fitting.items() if fits and name in may]

    def get_urls(self) -> list[URLPattern]:
        show = self.admin_site.admin_view(self.show_state)
        ours = path("<uuid:run_id>/states/<int:pk>/", show, name="runtime_run_state")
        return [ours, *super().get_urls()]

    def show_state(self, request: HttpRequest, run_id: UUID, pk: int) -> HttpResponse:
        """The state of a run between two of its steps."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        run = get_object_or_404(models.Run, pk=run_id)
        state = states.find(run, pk)
        if state is None:
            raise Http404("This run has no such state.")
        context = {
            **self.admin_site.each_context(request),
            "title": f"State {state.when}",
            "opts": self.opts,
            "run": run,
            "run_address": marks.address(run),
            "state": state,
            "media": self.media,
        }
        return TemplateResponse(request, "admin/runtime/run/state.html", context)


# What most runs have not.
_ONLY_IF: Mapping[str, Callable[[models.Run], Any]] = {
    "error": lambda run: run.error_code,
    "handed_over": lambda run: run.handoff,
    "missing": lambda run: run.members.get("of"),
    "limits_told": lambda run: run.limits,
    "stops": lambda run: run.god_mode,
    "goes_on_from": lambda run: run.parent_seq is not None,
    "overrides_told": lambda run: run.overrides,
    "told_of": lambda run: run.context,
    "asked_once": lambda run: run.idempotency_key,
    "traced": lambda run: run.trace,
}


def _is_there(name: str, run: models.Run | None) -> bool:
    return run is None or name not in _ONLY_IF or bool(_ONLY_IF[name](run))


def _with_words(found: QuerySet, said: list[str]) -> QuerySet:
    for word in said:
        owners = get_user_model().objects.filter(username__icontains=word)
        found = found.annotate(beginning=Left("input_topic", _SEARCHED)).filter(
            Q(beginning__icontains=word)
            | Q(worker__icontains=word)
            | Q(owner__in=owners.values("pk"))
        )
    return found


def is_list(request: HttpRequest) -> bool:
    """Whether the list of runs is asked for, or something done from it; not one run's page."""
    match = request.resolver_match
    return match is not None and match.url_name == "runtime_run_changelist"
