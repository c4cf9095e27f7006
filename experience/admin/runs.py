"""The admin's runs, with what the runtime does not know: who asked, the pages, the export."""

import io
import json
import zipfile
from collections.abc import Callable
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from experience import access, export
from runtime import models
from runtime.admin import marks, running

MOST = 100  # runs in one file: each is read whole

admin.site.unregister(models.Run)


@admin.register(models.Run)
class RunAdmin(running.RunAdmin):
    actions = (*running.RunAdmin.actions, "export_markdown", "export_json")
    fieldsets: ClassVar[Any] = (
        running.RunAdmin.fieldsets[0],
        (
            "Asked for",
            {"fields": (*running.RunAdmin.fieldsets[1][1]["fields"], "answers")},
        ),
        *running.RunAdmin.fieldsets[2:],
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        found = super().get_queryset(request)
        if running.is_list(request):
            return found
        return found.select_related("message__conversation", "message__agent")

    def view_on_site(self, run: models.Run) -> str:
        return reverse("dashboard:run", args=[run.pk])

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **more: Any
    ) -> HttpResponse:
        answer: Any = super().render_change_form(request, context, *args, **more)
        run, user = more.get("obj"), request.user
        if run is not None and not access.runs_of(user).filter(pk=run.pk).exists():
            # The pages show it to nobody else; a link to "not found" helps nobody.
            answer.context_data["has_absolute_url"] = False
        return answer  # type: ignore[no-any-return]

    @admin.display(description="answers")
    def answers(self, run: models.Run) -> SafeString | str:
        message = getattr(run, "message", None)
        if message is None:
            return "no conversation"
        agent = marks.link(message.agent, message.agent_slug)
        conversation = marks.link(message.conversation)
        return format_html("message {} of {}, as {}", message.number, conversation, agent)

    @admin.action(description="Export the selected runs as Markdown", permissions=["view"])
    def export_markdown(self, request: HttpRequest, selected: QuerySet) -> HttpResponse | None:
        return self._export(request, selected, "md", export.as_markdown)

    @admin.action(description="Export the selected runs as JSON", permissions=["view"])
    def export_json(self, request: HttpRequest, selected: QuerySet) -> HttpResponse | None:
        return self._export(request, selected, "json", _as_json)

    def _export(
        self,
        request: HttpRequest,
        selected: QuerySet[models.Run],
        ending: str,
        write: Callable[[models.Run], str],
    ) -> HttpResponse | None:
        """One run as a file, several as an archive of such files."""
        related = ("blueprint_version__blueprint", "owner", "parent")
        chosen = list(selected.defer(None).select_related(*related)[: MOST + 1])
        if len(chosen) > MOST:
            self.message_user(
                request, f"Nothing was exported: {MOST} at once at most.", "ERROR"
            )
            return None
        files = {f"run-{run.pk}.{ending}": write(run) for run in chosen}
        if len(files) == 1:
            ((name, text),) = files.items()
            return _file(name, text.encode(errors="replace"))
        return _file("runs.zip", _archive(files))


def _as_json(run: models.Run) -> str:
    return json.dumps(export.as_json(run), ensure_ascii=False, indent=1)


def _archive(files: dict[str, str]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text.encode(errors="replace"))
    return made.getvalue()


_KINDS = {
    "md": "text/markdown; charset=utf-8",
    "json": "application/json",
    "zip": "application/zip",
}


def _file(name: str, content: bytes) -> HttpResponse:
    kind = _KINDS[name.rpartition(".")[2]]
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return HttpResponse(content, content_type=kind, headers=headers)
