"""What can be done with runs from their list or page. Who did what is kept twice.

In the run's own log, and in the admin's: what a verb does and the admin's line about it commit
together.
"""

from collections.abc import Callable, Sequence
from typing import Any, cast

from django.contrib import admin
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from runtime import errors, models, runs
from runtime.admin import marks, words
from runtime.admin.workshop import Workshop

MOST = 500  # runs in one request
MOST_TOLD = 5  # refusals, each in a message of its own

Verb = Callable[[Any], Any]


class Acting(Workshop):
    """The actions on runs, each for those who have its permission.

    To stop, retry or reassign one takes the permission to change runs; to run one again that to
    add runs.
    """

    actions: Sequence[str] = ("cancel", "retry", "reassign", "run_again")

    def has_steer_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("runtime.change_run")

    def has_begin_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("runtime.add_run")

    @admin.action(description="Cancel the selected runs", permissions=["steer"])
    def cancel(self, request: HttpRequest, selected: QuerySet[models.Run]) -> Any:
        by = _name(request)
        return self._each(
            request, selected, "cancelled", lambda run: runs.cancel(run.pk, by=by)
        )

    @admin.action(description="Retry the selected runs that failed", permissions=["steer"])
    def retry(self, request: HttpRequest, selected: QuerySet[models.Run]) -> Any:
        by = _name(request)
        return self._each(request, selected, "retried", lambda run: runs.retry(run.pk, by=by))

    @admin.action(
        description="Take the selected runs from their workers, for the next one free",
        permissions=["steer"],
    )
    def reassign(self, request: HttpRequest, selected: QuerySet[models.Run]) -> Any:
        by = _name(request)
        done = "taken from its worker"
        return self._each(request, selected, done, lambda run: runs.reassign(run.pk, by=by))

    @admin.action(description="Run the selected ones again", permissions=["begin"])
    def run_again(self, request: HttpRequest, selected: QuerySet[models.Run]) -> Any:
        def again(run: models.Run) -> None:
            owner = cast(AbstractBaseUser, request.user)
            child = runs.fork(run, owner=owner, after=0)
            self.log_addition(request, child, f"run {run.pk} again")

        return self._each(request, selected.defer(None), "run again", again)

    def _each(
        self, request: HttpRequest, selected: QuerySet[models.Run], done: str, verb: Verb
    ) -> HttpResponse | None:
        chosen = list(selected[: MOST + 1])
        if len(chosen) > MOST:
            self.message_user(request, f"Nothing was done: {MOST} at once at most.", "ERROR")
            return None
        refused = [told for run in chosen if (told := self._do(request, run, done, verb))]
        if count := len(chosen) - len(refused):
            self.message_user(request, f"{count} {'runs' if count > 1 else 'run'} {done}.")
        for told in refused[:MOST_TOLD]:
            self.message_user(request, told, "WARNING")
        if len(refused) > MOST_TOLD:
            more = f"{len(refused) - MOST_TOLD} more were refused."
            self.message_user(request, more, "WARNING")
        return _back(request, chosen)

    def _do(self, request: HttpRequest, run: Any, done: str, verb: Verb) -> str:
        """Why it was refused; empty when it was done."""
        try:
            with transaction.atomic():
                verb(run)
                self.log_change(request, run, done)
        except errors.Refusal as refusal:
            return f"{words.short(run.line, 40)}: {refusal}"
        return ""


def _name(request: HttpRequest) -> str:
    return cast(AbstractBaseUser, request.user).get_username()


def _back(request: HttpRequest, chosen: list[models.Run]) -> HttpResponse | None:
    """To the page of the run, if the button was on it; to the list otherwise."""
    if "from_page" in request.POST and len(chosen) == 1:
        return HttpResponseRedirect(marks.address(chosen[0]))
    return None
