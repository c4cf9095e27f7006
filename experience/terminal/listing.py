"""Runs in a table, and one run on a page."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.utils import timezone
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from experience import outcomes, story
from experience.terminal import board, gate, limits
from runtime import events, gates, models

# Of a table that is not read in a window but by a program.
PIPED_WIDTH = 240


def show_many(console: Console, found: Iterable[models.Run]) -> None:
    """A line for each run. Ids are whole, so that they can be copied."""
    if not console.is_terminal:
        console = Console(file=console.file, width=PIPED_WIDTH)
    table = Table(box=None, pad_edge=False)
    table.add_column("id", no_wrap=True, min_width=36)
    for name in ("created", "status", "score", "members"):
        table.add_column(name, no_wrap=name == "created")
    table.add_column("topic", no_wrap=True, overflow="ellipsis")
    for run in found:
        table.add_row(*map(Text, _row(run)))
    console.print(table)


def _row(run: models.Run) -> Sequence[str]:
    score = "" if run.critic_score is None else f"{run.critic_score:g}"
    members = outcomes.attendance({"members": run.members}).replace(" members", "")
    topic = " ".join(run.input_topic.split())
    return str(run.pk), _when(run.created_at), _state(run), score, members, topic


def _when(at: Any) -> str:
    return f"{timezone.localtime(at):%Y-%m-%d %H:%M}"


def _state(run: models.Run) -> str:
    match run.status:
        case models.Status.COMPLETED:
            cut = ", cut off" if run.draft_cut else ""
            return outcomes.reason(run.reason, run.approved) + cut
        case models.Status.FAILED:
            return f"failed: {run.error_code}"
        case models.Status.CANCELLED:
            return "cancelled" if run.reason == "cancelled" else run.reason
        case models.Status.PAUSED:
            nodes = ", ".join(each.node for each in gates.open_of(run))
            return f"paused at {nodes}"
        case status:
            return str(status)


# --- one run ---------------------------------------------------------------------------


def show(console: Console, run: models.Run) -> None:
    """The result first, with what one must know to trust it; then how it came about."""
    told = story.of(run)
    log = [each.event for each in told if not each.reused]
    end = story.end(log)
    console.print(Text(run.input_topic, "bold"))
    _show_result(console, run, end)
    console.print(board.table(_origin(run)))
    _show_steps(console, told)
    for opened in story.open_gates(log).values():
        gate.show(console, opened.data, story.Drafts(each.event for each in told), ())
        for command in gate.commands(run.pk, opened.data):
            console.print(f"  {command}", markup=False, highlight=False, soft_wrap=True)


def _show_result(console: Console, run: models.Run, end: events.Logged | None) -> None:
    if end is not None and end.kind == "run.completed":
        board.print_result(console, end)
        return
    state = outcomes.sentence(end) if end else f"{run.status}: it has no result yet"
    console.print(f"[yellow]■ {escape(state)}[/yellow]", highlight=False)
    if run.current_draft:
        console.print(Panel(Text(run.current_draft), title="The draft so far"))
    console.print(board.table(outcomes.spent(run.usage or events.total_usage(run.pk))))


def _origin(run: models.Run) -> Iterable[tuple[str, str]]:
    version = run.blueprint_version
    yield "run", str(run.pk)
    yield "blueprint", f"{version.blueprint.name}, version {version.number}"
    yield "created", _when(run.created_at) + (f" for {run.owner}" if run.owner else "")
    if run.god_mode:
        yield "gates", "before every node"
    if run.limits:
        yield "limits", limits.written(run.limits)
    for node, changes in run.overrides.items():
        yield "changed", f"{node}: {', '.join(changes)}"
    if run.retries:
        yield "retried", f"{run.retries} times"
    if run.parent_id:
        yield "fork of", f"{run.parent_id}, after its step {run.parent_seq}"
    for child in run.children.order_by("created_at"):
        yield "its fork", f"{child.pk}, after step {child.parent_seq}: {_state(child)}"


def _show_steps(console: Console, told: Sequence[story.Told]) -> None:
    table = Table(box=None, pad_edge=False)
    for name in ("seq", "step", "model", "cost"):
        table.add_column(name, justify="right" if name in ("seq", "cost") else "left")
    for event, reused in told:
        if (line := _line(event.kind, event.data)) is None:
            continue
        seq = "reused" if reused else str(event.seq)
        table.add_row(seq, *map(Text, line), style="dim" if reused else "")
    console.print(table)


def _line(kind: str, data: Mapping[str, Any]) -> tuple[str, str, str] | None:
    """Step, model and cost of an event that a reader wants to know of."""
    match kind:
        case "node.completed":
            step = f"✓ {board.finished(dict(data))}"
            return step, data["model"], outcomes.money(data["usage"]["cost"])
        case "node.failed":
            return f"! without {data['node']}: {data['message']}", "", ""
        case "node.stopped":
            return f"■ {data['node']} stopped at {outcomes.limit(data['limit'])}", "", ""
        case "gate.opened":
            return f"? asked {gate.where(data)}", "", ""
        case "gate.answered":
            return f"  {board.answered(dict(data))}", "", ""
        case "run.retried":
            return f"↻ retried by {data['by']}, after: {data['message']}", "", ""
        case "run.interrupted":
            return "! interrupted", "", ""
    return None
