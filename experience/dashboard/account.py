"""The reader's own account: who they are, what they have used, tokens, and the password."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.forms import PasswordChangeForm, SetPasswordForm
from django.contrib.auth.password_validation import password_validators_help_texts
from django.contrib.auth.views import PasswordChangeView
from django.db.models import F
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path, reverse_lazy
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_http_methods, require_POST

from experience import access, models
from experience.dashboard import spending, told
from runtime import events

# More than anybody keeps in view; the newest are shown.
MOST = 100
# How long a token may be valid, in days.
LIVES = {"30": "30 days", "90": "90 days", "365": "one year", "never": "until it is revoked"}


# --- the page --------------------------------------------------------------------------


class NewToken(forms.Form):
    """What one says of a token that is to be made."""

    name = forms.CharField(max_length=100)
    days = forms.ChoiceField(choices=LIVES.items(), initial="90")

    def clean_name(self) -> str:
        return str(events.clean(self.cleaned_data["name"]))


@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@sensitive_variables("secret")
def show(request: HttpRequest) -> HttpResponse:
    """The account; a POST makes a token.

    Its secret stands in that one answer and nowhere else: it is answered with the page itself,
    for to carry it over to another page it would have to be kept.
    """
    form = NewToken(request.POST if request.method == "POST" else None)
    secret = _make(request.user, form) if form.is_valid() else None
    if secret:
        about = {**_about(request), "secret": secret, "made": form.cleaned_data["name"]}
        return render(request, "dashboard/account.html", {**about, "form": NewToken()})
    about = {**_about(request), "form": form}
    status = 400 if form.errors else 200
    return render(request, "dashboard/account.html", about, status=status)


def _make(user: Any, form: NewToken) -> str | None:
    """The secret of a new token; None if its name is in use, which the form then says."""
    days = form.cleaned_data["days"]
    life = None if days == "never" else timedelta(days=int(days))
    try:
        return access.create_token(user, form.cleaned_data["name"], life=life)
    except access.TokenNameTaken as refusal:
        form.add_error("name", str(refusal))
        return None


def _about(request: HttpRequest) -> dict[str, Any]:
    user: Any = request.user
    groups = dict(user.groups.order_by("name").values_list("pk", "name"))
    tokens = _tokens(user)
    return {
        "groups": list(groups.values()),
        "used": spending.this_month(user),
        "limits": spending.limits(user, groups),
        "tokens": [each for each in tokens if not each.is_revoked],
        "revoked": [each for each in tokens if each.is_revoked],
        "lives": list(LIVES.items()),
        "most": MOST if len(tokens) == MOST else 0,
        "has_password": user.has_usable_password(),
    }


@dataclass(frozen=True)
class Token:
    """A token as a line shows it."""

    id: int
    name: str
    made: datetime
    used: datetime | None
    expires: datetime | None
    state: told.State
    is_revoked: bool


def _tokens(user: Any) -> list[Token]:
    """The user's own, newest first, at most MOST; those still good come before revoked ones."""
    rows = models.Token.objects.filter(user_id=user.pk)
    now = timezone.now()
    return [
        Token(
            id=row.pk,
            name=row.name,
            made=row.created_at,
            used=row.last_used_at,
            expires=row.expires_at,
            state=_state(row, now),
            is_revoked=row.revoked_at is not None,
        )
        for row in rows.order_by(F("revoked_at").desc(nulls_first=True), "-created_at", "-pk")[
            :MOST
        ]
    ]


def _state(row: models.Token, now: datetime) -> told.State:
    if row.revoked_at is not None:
        return told.State("stopped", "revoked")
    if row.expires_at is not None and row.expires_at <= now:
        return told.State("stopped", "expired")
    return told.State("done", "valid")


# --- what is done ----------------------------------------------------------------------


@never_cache
@login_required
@require_POST
def revoke(request: HttpRequest, token_id: int) -> HttpResponse:
    """End one of the reader's own tokens. Somebody else's is not found (Http404)."""
    user: Any = request.user
    token = models.Token.objects.filter(user_id=user.pk, pk=token_id).first()
    if token is None:
        raise Http404("There is no such token.")
    # One that is revoked already has left its name to another, which is not meant.
    if token.revoked_at is None:
        access.revoke_token(user, token.name)
    messages.success(request, f"“{token.name}” is revoked; what it had opened is closed.")
    return redirect("dashboard:account")


@method_decorator(never_cache, name="dispatch")
class Password(PasswordChangeView):
    """Change the password; who has none yet, as they came by a link, sets one."""

    template_name = "dashboard/account_password.html"
    success_url = reverse_lazy("dashboard:account")

    def get_form_class(self) -> Any:
        has_one = self.request.user.has_usable_password()  # type: ignore[union-attr]
        return PasswordChangeForm if has_one else SetPasswordForm

    def get_context_data(self, **more: Any) -> dict[str, Any]:
        return super().get_context_data(**more, rules=password_validators_help_texts())

    def form_valid(self, form: Any) -> HttpResponse:
        said = "Your password is set. Other browsers you were signed in with are signed out."
        messages.success(self.request, said)
        return super().form_valid(form)


urlpatterns = [
    path("", show, name="account"),
    path("tokens/<int:token_id>/revoke/", revoke, name="token-revoke"),
    path("password/", Password.as_view(), name="password"),
]
