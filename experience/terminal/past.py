"""A user's conversations in a table."""

from typing import Any

from django.db.models import OuterRef, Subquery
from django.utils import timezone
from rich.console import Console
from rich.table import Table
from rich.text import Text

from experience import access, models
from experience.terminal import listing

LISTED = 20


def show_list(console: Console, user: Any) -> None:
    """The latest conversations, a line each. Ids are whole, so that they can be copied."""
    if not console.is_terminal:
        console = Console(file=console.file, width=listing.PIPED_WIDTH)
    table = Table(box=None, pad_edge=False)
    table.add_column("id", no_wrap=True, min_width=36)
    for name in ("last used", "agent", "project"):
        table.add_column(name, no_wrap=True)
    table.add_column("begins with", no_wrap=True, overflow="ellipsis")
    first = models.Message.objects.filter(conversation=OuterRef("pk"), number=1)
    found = access.conversations_of(user).select_related("agent").order_by("-updated_at", "pk")
    for each in found.annotate(begins=Subquery(first.values("text")))[:LISTED]:
        at = f"{timezone.localtime(each.updated_at):%Y-%m-%d %H:%M}"
        agent = each.agent.slug if each.agent else ""
        begins = " ".join((each.begins or "").split())
        table.add_row(*map(Text, (str(each.pk), at, agent, each.project_id, begins)))
    console.print(table)
