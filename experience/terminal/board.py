"""The live view of a run: a fold over its events, drawn with rich."""

import time
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.panel import Panel
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from experience import outcomes, story
from experience.terminal import limits
from runtime import events

# How much of the text that is being written stays in view, if the window is high enough.
TAIL_LINES = 12
# The lines of a panel besides its text, and those below all panels.
FRAME_LINES, STATUS_LINES = 2, 2

EXIT = {
    "completed": 0,
    "failed": 1,
    "unapproved": 3,  # completed, but not approved
    "cancelled": 4,
    "left": 5,  # it goes on without us
}


class Board:
    """What is known of a run from the events taken so far.

    `reused` is what the run took over from its parent, if it is a fork.
    """

    def __init__(self, console: Console, reused: Sequence[events.Logged] = ()) -> None:
        self.console = console
        self.topic = ""
        self.writing: dict[str, tuple[str, str]] = {}  # task: (who, text so far)
        self.scores: list[float] = []
        self.tokens = 0
        self.cost: Decimal | None = Decimal(0)
        self.missing: list[str] = []
        self.gates: dict[str, dict[str, Any]] = {}  # those that are open
        self.answered: dict[str, str] = {}  # gate: by whom
        self.drafts = story.Drafts(reused)
        self.end: events.Logged | None = None
        self.before_line: Callable[[], None] = lambda: None  # called before one is printed
        self._reused = reused
        self._between = "waiting for a worker"
        self._begun = time.monotonic()

    @property
    def exit_code(self) -> int:
        if self.end is None:
            return EXIT["left"]
        if self.end.kind == "run.completed" and self.end.data["approved"] is False:
            return EXIT["unapproved"]
        return EXIT[self.end.kind.removeprefix("run.")]

    def take(self, event: events.Logged) -> None:
        """Take the next event; what is settled by it is printed for good."""
        name = event.kind.replace(".", "_")
        self.drafts.take(event)
        if handler := getattr(self, f"_{name}", None):
            handler(event.data)
        if event.kind in events.ENDS:
            self.end = event
            self.gates.clear()

    def _say(self, markup: str) -> None:
        self.before_line()
        self.console.print(markup, highlight=False)

    # --- the run ---

    def _run_created(self, data: dict[str, Any]) -> None:
        self.topic = data["input_topic"]
        self._say(f"[bold]{escape(self.topic)}[/bold]")
        parts = [f"{data['blueprint']}, version {data['blueprint_version']}", data["model"]]
        parts += ["a gate before every node"] if data.get("god_mode") else []
        parts += [f"limits {limits.written(data['limits'])}"] if data.get("limits") else []
        self._say(f"[dim]{escape(' · '.join(parts))}[/dim]")
        if data.get("parent"):
            self._say(f"[dim]fork of {data['parent']}[/dim]")
        for event in self._reused:
            if event.kind == "node.completed":
                self._score(event.data)
                self._say(f"[dim]= {escape(finished(event.data))} · reused[/dim]")
            elif event.kind == "node.failed":
                self._note_missing(event.data)

    def _run_started(self, data: dict[str, Any]) -> None:
        again = data["attempt"] > 1 and self._between == "interrupted"
        self._between = "between two steps"
        if again:
            self._say(f"[yellow]↻ taken up again, attempt {data['attempt']}[/yellow]")

    def _run_interrupted(self, data: dict[str, Any]) -> None:
        self.writing.clear()
        self._between = "interrupted"
        why = outcomes.interrupted(data["cause"])
        self._say(f"[yellow]! interrupted: {why}; another takes it up[/yellow]")

    def _run_resumed(self, data: dict[str, Any]) -> None:
        self._between = "goes on; waiting for a worker"

    def _run_retried(self, data: dict[str, Any]) -> None:
        self.end = None
        self.writing.clear()
        self._between = "waiting for a worker"
        where = f" in {data['node']}" if data["node"] else ""
        line = f"↻ retried by {data['by']}, after it had failed{where}: {data['message']}"
        self._say(f"[yellow]{escape(line)}[/yellow]")

    # --- its nodes ---

    def _node_started(self, data: dict[str, Any]) -> None:
        who = f"{data['node']} · round {data['iteration']}"
        self.writing[data["task"]] = (who, "")

    def _node_token(self, data: dict[str, Any]) -> None:
        who, text = self.writing.get(data["task"], (data["node"], ""))
        self.writing[data["task"]] = (who, text + data["text"])

    def _node_retried(self, data: dict[str, Any]) -> None:
        who, _text = self.writing.get(data["task"], (data["node"], ""))
        self.writing[data["task"]] = (who, "")
        line = f"↻ {data['node']}: {data['message']} Try {data['next_try']}."
        self._say(f"[yellow]{escape(line)}[/yellow]")

    def _node_completed(self, data: dict[str, Any]) -> None:
        self.writing.pop(data["task"], None)
        self._spend(data["usage"])
        self._score(data)
        self.missing = [name for name in self.missing if name != data["node"]]
        self._say(f"[green]✓[/green] {escape(finished(data))}")
        for name in ("feedback", "dissent"):
            if text := data["output"].get(name):
                label = "dissent: " if name == "dissent" else ""
                self._say(f"  [dim]{escape(label + text)}[/dim]")

    def _node_failed(self, data: dict[str, Any]) -> None:
        self.writing.pop(data["task"], None)
        self._note_missing(data)

    def _note_missing(self, data: dict[str, Any]) -> None:
        if data["node"] not in self.missing:
            self.missing.append(data["node"])
        line = f"! without {data['node']}: {data['message']}"
        self._say(f"[yellow]{escape(line)}[/yellow]")

    def _node_stopped(self, data: dict[str, Any]) -> None:
        self.writing.pop(data["task"], None)
        line = f"■ {data['node']} stopped at {outcomes.limit(data['limit'])}"
        self._say(f"[yellow]{escape(line)}[/yellow]")

    def _spend(self, usage: dict[str, Any]) -> None:
        self.tokens += usage["output_tokens"] or 0
        known = self.cost is not None and usage["cost"] is not None
        self.cost = (self.cost or 0) + Decimal(usage["cost"]) if known else None

    def _score(self, data: dict[str, Any]) -> None:
        if data["score"] is not None:
            self.scores.append(data["score"])

    # --- its gates ---

    def _gate_opened(self, data: dict[str, Any]) -> None:
        self.gates[data["gate"]] = data

    def _gate_answered(self, data: dict[str, Any]) -> None:
        self.gates.pop(data["gate"], None)
        self.answered[data["gate"]] = data["by"]
        self._say(f"[green]✓[/green] {escape(answered(data))}")

    # --- drawing ---

    def __rich__(self) -> RenderableType:
        return Group(*self._panels(), Spinner("dots", Text(self._status())))

    def _panels(self) -> Iterable[RenderableType]:
        """A panel for each that writes, as many as the window has room for."""
        room = self.console.height - STATUS_LINES
        most = max(1, room // (FRAME_LINES + 1))
        shown, others = [*self.writing.values()][:most], [*self.writing.values()][most:]
        lines = min(TAIL_LINES, max(1, room // max(1, len(shown)) - FRAME_LINES))
        for who, text in shown:
            tail = _tail(text, lines, self.console)
            yield Panel(tail, title=escape(who), title_align="left")
        if others:
            yield Text(f"also writing: {', '.join(who for who, _text in others)}")

    def _status(self) -> str:
        scores = " → ".join(f"{score:g}" for score in self.scores)
        parts = [
            self._doing(),
            *([f"scores {scores}"] if scores else []),
            *([f"without {', '.join(self.missing)}"] if self.missing else []),
            f"{time.monotonic() - self._begun:.0f} s",
            *([f"{self.tokens} tokens"] if self.tokens else []),
            *([outcomes.money(self.cost)] if self.cost else []),
        ]
        return " · ".join(parts)

    def _doing(self) -> str:
        if self.writing:
            return ", ".join(who for who, _text in self.writing.values())
        if self.gates:
            nodes = ", ".join(gate["node"] for gate in self.gates.values())
            return f"paused: waits for an answer at {nodes}"
        return self._between

    def print_end(self) -> None:
        """How it ended, in one line, and the draft."""
        if self.end is None:
            return
        for who, text in self.writing.values():
            if text:
                self.console.print(Panel(Text(text), title=f"{escape(who)}, broken off"))
        line = escape(outcomes.sentence(self.end))
        if self.end.kind == "run.failed":
            self._say(f"[red]✗ {line}[/red]")
        elif self.end.kind == "run.cancelled":
            self._say(f"[yellow]■ {line}[/yellow]")
        else:
            print_result(self.console, self.end)


def print_result(console: Console, end: events.Logged) -> None:
    """The draft of a completed run, and what is to be known of it."""
    if to := outcomes.handed_over(end.data):
        line = f"→ handed over to {to}: {end.data['handoff']['reason']}"
        console.print(escape(line), highlight=False)
    if end.data["final_draft"] or not to:
        title = "; ".join(["Final draft", *outcomes.reserve(end.data)])
        console.print(Panel(Text(end.data["final_draft"]), title=escape(title)))
    console.print(table(outcomes.facts(end)))


def table(rows: Iterable[tuple[str, str]]) -> Table:
    """Names and values, side by side. They are taken as they are, not as markup."""
    grid = Table.grid(padding=(0, 2))
    for name, value in rows:
        grid.add_row(Text(name), Text(value))
    return grid


def finished(data: dict[str, Any]) -> str:
    """A finished step in one line."""
    parts = [data["node"], f"round {data['iteration']}", f"{data['duration_ms'] / 1000:.1f} s"]
    if data["score"] is not None:
        parts.append(f"{data['score']:g} / 10")
    if choice := data["output"].get("choice"):
        parts.append(f"chose {choice}")
    if handoff := data["output"].get("handoff"):
        parts.append(f"hands over to {handoff['to']}")
    parts += ["cut off at its token limit"] if data.get("cut") else []
    return " · ".join(parts)


def answered(data: dict[str, Any]) -> str:
    """The answer to a gate in one line."""
    says = data["answer"]
    parts = [f"{data['node']}: {outcomes.done(data)} by {data['by']}"]
    parts += ["with a changed draft"] if "current_draft" in says else []
    parts += [f"to {says['next_node']}"] if says.get("next_node") else []
    parts += [f"limits {limits.written(says['limits'])}"] if says.get("limits") else []
    parts += [f"“{says[name]}”" for name in ("feedback", "comment") if says.get(name)]
    return ", ".join(parts)


def _tail(text: str, lines: int, console: Console) -> Text:
    """The last lines of a text as they are wrapped in a panel."""
    width = max(10, console.width - 4)
    end = Text(text[-lines * width :])
    return Text("\n").join(end.wrap(console, width)[-lines:])
