"""The list of a reader's conversations: looked through and searched."""

from collections.abc import Mapping
from typing import Any

from django.core.paginator import Page, Paginator
from django.db.models import CharField, Exists, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce, Left
from django.http import QueryDict

from experience import access, models
from experience.dashboard import told
from runtime import events
from runtime.models import Status

PAGE = 25
# As much of the first words as a line can show; a message may have thousands of characters.
SHOWN = 160
_STATES = {
    Status.PENDING: told.State("working", "answering"),
    Status.RUNNING: told.State("working", "answering"),
    Status.PAUSED: told.State("asks", "waits for an answer"),
    Status.COMPLETED: told.State("done", "answered"),
    Status.FAILED: told.State("failed", "failed"),
    Status.CANCELLED: told.State("stopped", "cancelled"),
}


def of(user: Any, asked: Mapping[str, str]) -> dict[str, Any]:
    """What the list's template shows, by the query string: `q`, `page`."""
    q = str(events.clean(asked.get("q", ""))).strip()
    found = _described(_searched(access.conversations_of(user), q))
    page = Paginator(found.order_by("-updated_at", "pk"), PAGE).get_page(asked.get("page"))
    return {
        "q": q,
        "page": page,
        "found": told.count(page.paginator.count),
        "rows": [Row(each) for each in page],
        "pages": _pages(page, q),
    }


def _searched(
    conversations: QuerySet[models.Conversation], q: str
) -> QuerySet[models.Conversation]:
    """Those in which it was said, by the reader or by an agent."""
    if not q:
        return conversations
    messages = models.Message.objects.filter(conversation=OuterRef("pk"))
    said = messages.filter(Q(text__icontains=q) | Q(run__current_draft__icontains=q))
    return conversations.filter(Exists(said))


def _described(
    conversations: QuerySet[models.Conversation],
) -> QuerySet[models.Conversation]:
    messages = models.Message.objects.filter(conversation=OuterRef("pk"))
    first = messages.filter(number=1).values(begins=Left("text", SHOWN + 1))
    last = messages.filter(role=models.Message.Role.AGENT).order_by("-number")
    # Where there was no run to answer, there is no status: that is a failure.
    status = last.values(status=Coalesce("run__status", Value(Status.FAILED.value)))
    return conversations.select_related("agent").annotate(
        begins=Coalesce(Subquery(first), Value(""), output_field=CharField()),
        last_status=Subquery(status[:1]),
    )


def _pages(page: Page[models.Conversation], q: str) -> list[tuple[str, str]]:
    """The numbers to leaf through, each with its address; a gap has none."""
    numbers = page.paginator.get_elided_page_range(page.number, on_each_side=2, on_ends=1)
    return [(str(each), _link(q, each) if isinstance(each, int) else "") for each in numbers]


def _link(q: str, page: int) -> str:
    query = QueryDict(mutable=True)
    query.update({**({"q": q} if q else {}), "page": str(page)})
    return f"?{query.urlencode()}"


class Row:
    """A conversation as a line of the list."""

    def __init__(self, conversation: models.Conversation) -> None:
        self.conversation = conversation
        begins: str = conversation.begins  # type: ignore[attr-defined] # annotated
        self.begins = begins[:SHOWN].rstrip() + "…" if len(begins) > SHOWN else begins
        status: str | None = conversation.last_status  # type: ignore[attr-defined]
        self.state = _STATES[Status(status)] if status else told.State("waiting", "empty")
