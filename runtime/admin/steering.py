"""Gates, and what may be spent, in the Django admin."""

from typing import Any, ClassVar, cast

from django import forms
from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.contrib.admin.widgets import AdminTextareaWidget
from django.db.models import F, QuerySet
from django.db.models.functions import Left
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from runtime import errors, gates, models
from runtime.admin import marks, words
from runtime.admin.readonly import ReadOnly
from runtime.admin.workshop import Workshop


class AnswerForm(forms.ModelForm):
    """An open gate's answer. Nothing is saved by it: `gates.answer` takes it, or refuses."""

    action = forms.ChoiceField(widget=forms.RadioSelect)
    current_draft = forms.CharField(
        required=False, strip=False, widget=AdminTextareaWidget, help_text="with modify"
    )
    feedback = forms.CharField(
        required=False, widget=AdminTextareaWidget, help_text="with modify"
    )
    comment = forms.CharField(
        required=False, widget=AdminTextareaWidget, help_text="with reject"
    )
    next_node = forms.ChoiceField(
        required=False, help_text="with modify or reject; a rejection to no node ends the run"
    )

    class Meta:
        model = models.Gate
        fields: ClassVar[list[str]] = []

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        gate = self.instance
        self.by = ""
        self._choices("action").choices = [(name, name) for name in gate.actions]
        self._choices("next_node").choices = [("", ""), *((n, n) for n in gate.targets)]
        self.fields["current_draft"].initial = gate.proposal.get("current_draft")

    def _choices(self, name: str) -> forms.ChoiceField:
        return cast(forms.ChoiceField, self.fields[name])

    def clean(self) -> dict[str, Any] | None:
        said = dict(self.cleaned_data)
        action = said.pop("action", None)
        if not self.errors and action:
            # Browsers send every line of a text area with two characters at its end.
            says = {name: text.replace("\r\n", "\n") for name, text in said.items() if text}
            if says.get("current_draft") == self.instance.proposal.get("current_draft"):
                del says["current_draft"]
            try:
                gates.answer(self.instance.pk, action=action, by=self.by, says=says)
            except errors.Refusal as refusal:
                self.add_error(None, str(refusal))
        return self.cleaned_data

    def save(self, commit: bool = True) -> Any:
        return self.instance  # it is answered already

    def save_m2m(self) -> None:
        pass


_PLACES = ("before", "after", "iterations", "limit")


class StateFilter(admin.SimpleListFilter):
    """Whether somebody has still to answer."""

    title = parameter_name = "state"

    def lookups(self, *args: Any) -> list[tuple[str, str]]:
        return [("open", "open"), ("answered", "answered"), ("over", "its run has ended")]

    def queryset(
        self, request: HttpRequest, gates: QuerySet[models.Gate]
    ) -> QuerySet[models.Gate]:
        match self.value():
            case "open":
                return gates.filter(answered_at=None, run__ended_at=None)
            case "answered":
                return gates.exclude(answered_at=None)
            case "over":
                return gates.filter(answered_at=None).exclude(run__ended_at=None)
        return gates


class GateList(ChangeList):
    """The list reads what its lines show: not the proposals, nor the runs whole."""

    def get_queryset(self, *args: Any, **more: Any) -> QuerySet:
        found = super().get_queryset(*args, **more).select_related("run")
        shown = ("run__status", "run__ended_at", *GateAdmin.COLUMNS)
        line = Left("run__input_topic", words.LONGEST_TOPIC + 1)
        return cast(QuerySet, found.only(*shown).annotate(line=line))


class PlaceFilter(admin.SimpleListFilter):
    """Where in its council a gate stands."""

    title = parameter_name = "place"

    def lookups(self, *args: Any) -> list[tuple[str, str]]:
        return [(name, name) for name in _PLACES]

    def queryset(
        self, request: HttpRequest, gates: QuerySet[models.Gate]
    ) -> QuerySet[models.Gate]:
        return gates.filter(place=self.value()) if self.value() in _PLACES else gates


@admin.register(models.Gate)
class GateAdmin(Workshop):
    """Gates: those that are open can be answered here, by whoever may change gates."""

    COLUMNS = ("node", "place", "action", "answered_by", "answered_at", "opened_at", "deadline")

    form = AnswerForm
    list_display = ("topic", "node", "place", "state", "opened_at", "deadline")
    list_filter = (StateFilter, PlaceFilter)
    search_fields = ("run__input_topic", "node", "answered_by")
    ordering = (F("answered_at").desc(nulls_first=True), "opened_at")
    readonly_fields = (
        *("topic", "run_link", "node", "place", "ask", "why", "score", "feedback_so_far"),
        *(
            "answerers",
            "opened_at",
            "deadline",
            "on_deadline",
            "action_taken",
            "answer",
            "answered_by",
            "answered_at",
        ),
    )

    def get_changelist(self, *args: Any, **more: Any) -> type[ChangeList]:
        return GateList

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        match = request.resolver_match
        is_list = match is not None and match.url_name == "runtime_gate_changelist"
        found = super().get_queryset(request)
        return found if is_list else found.select_related("run")

    def has_add_permission(self, *args: Any) -> bool:
        return False

    def has_delete_permission(self, *args: Any) -> bool:
        return False

    def has_change_permission(
        self, request: HttpRequest, obj: models.Gate | None = None
    ) -> bool:
        is_open = obj is None or (obj.answered_at is None and not obj.run.has_ended)
        return is_open and super().has_change_permission(request, obj)

    def get_fieldsets(self, request: HttpRequest, obj: models.Gate | None = None) -> Any:
        asked = self.readonly_fields[:12]
        if self.has_change_permission(request, obj):
            to_say = ("action", "current_draft", "feedback", "comment", "next_node")
            return ((None, {"fields": asked}), ("Answer", {"fields": to_say}))
        said = ("action_taken", "answer", "answered_by", "answered_at")
        return ((None, {"fields": asked}), ("Answered", {"fields": said}))

    def get_form(self, request: HttpRequest, *args: Any, **more: Any) -> Any:
        class Form(AnswerForm):
            def __init__(self, *args: Any, **more: Any) -> None:
                super().__init__(*args, **more)
                self.by = request.user.get_username()

        return Form

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        pass  # the form has answered it

    @admin.display(description="topic")
    def topic(self, gate: Any) -> SafeString:
        text = gate.line if hasattr(gate, "line") else gate.run.input_topic
        return format_html("<bdi>{}</bdi>", words.short(text))

    @admin.display(description="run")
    def run_link(self, gate: models.Gate) -> SafeString | str:
        return marks.link(gate.run)

    @admin.display(description="state")
    def state(self, gate: models.Gate) -> str:
        if gate.answered_at is not None:
            return f"{gate.action} by {gate.answered_by}"
        return "its run has ended" if gate.run.has_ended else "open"

    @admin.display(description="why")
    def why(self, gate: models.Gate) -> str:
        return str(gate.proposal.get("why", ""))

    @admin.display(description="last score")
    def score(self, gate: models.Gate) -> str:
        return words.score(gate.proposal.get("critic_score"))

    @admin.display(description="last feedback")
    def feedback_so_far(self, gate: models.Gate) -> str:
        return str(gate.proposal.get("feedback", ""))

    @admin.display(description="action")
    def action_taken(self, gate: models.Gate) -> str:
        return gate.action


@admin.register(models.Allowance)
class AllowanceAdmin(Workshop):
    """What somebody may use."""

    list_display = ("__str__", "concurrent_runs", "daily_tokens", "monthly_tokens",
                    "daily_cost", "monthly_cost")  # fmt: skip
    list_select_related = ("user", "group")
    autocomplete_fields = ("user", "group")


class WhoseFilter(admin.SimpleListFilter):
    """Whose account; those of single runs are most."""

    title = parameter_name = "whose"

    def lookups(self, *args: Any) -> list[tuple[str, str]]:
        return [("user", "users"), ("group", "groups"), ("run", "runs")]

    def queryset(
        self, request: HttpRequest, accounts: QuerySet[models.Account]
    ) -> QuerySet[models.Account]:
        if self.value() not in ("user", "group", "run"):
            return accounts
        return accounts.filter(**{f"{self.value()}__isnull": False})


@admin.register(models.Account)
class AccountAdmin(ReadOnly, Workshop):
    """What was spent, and what calls under way may spend."""

    list_display = ("whose", "period", "calls", "tokens_spent", "tokens_reserved", "cost_spent",
                    "cost_reserved")  # fmt: skip
    list_select_related = ("user", "group")
    list_filter = (WhoseFilter,)
    search_fields = ("=period", "user__username", "group__name")
    ordering = ("-pk",)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    *("whose", "period", "calls", "tokens_spent", "tokens_reserved"),
                    *("cost_spent", "cost_reserved"),
                )
            },
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        return super().get_queryset(request).select_related("user", "group")

    @admin.display(description="account of")
    def whose(self, account: models.Account) -> SafeString | str:
        if account.run_id:
            address = marks.address(models.Run, account.run_id)
            return format_html('<a href="{}">run {}</a>', address, account.run_id)
        return marks.link(account.user or account.group)
