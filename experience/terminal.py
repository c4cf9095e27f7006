"""A run in the terminal: a fold over its events, drawn with rich."""

import time
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.panel import Panel
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from runtime import events

# How much of the text that is being written stays in view.
TAIL_LINES = 12

EXIT = {
    "completed": 0,
    "failed": 1,
    "unapproved": 3,  # completed, but not approved
    "cancelled": 4,
    "left": 5,  # it goes on without us
}


class Board:
    """What is known of a run from the events taken so far."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.topic = ""
        self.writing: dict[str, tuple[str, str]] = {}  # task: (who, text so far)
        self.rounds = 0
        self.scores: list[float] = []
        self.tokens = 0
        self.end: events.Logged | None = None
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
        if handler := getattr(self, f"_{name}", None):
            handler(event.data)
        if event.kind in events.ENDS:
            self.end = event

    def _say(self, markup: str) -> None:
        self.console.print(markup, highlight=False)

    def _run_created(self, data: dict[str, Any]) -> None:
        self.topic = data["input_topic"]
        self._say(f"[bold]{escape(self.topic)}[/bold]")
        line = f"{data['blueprint']}, version {data['blueprint_version']} · {data['model']}"
        self._say(f"[dim]{escape(line)}[/dim]")

    def _run_started(self, data: dict[str, Any]) -> None:
        self._between = "between two steps"
        if data["attempt"] > 1:
            self._say(f"[yellow]↻ taken up again, attempt {data['attempt']}[/yellow]")

    def _run_interrupted(self, data: dict[str, Any]) -> None:
        self.writing.clear()
        self._say("[yellow]! interrupted: its worker was lost; another takes it up[/yellow]")

    def _node_started(self, data: dict[str, Any]) -> None:
        self.rounds = max(self.rounds, data["iteration"])
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
        self.tokens += data["usage"].get("output_tokens") or 0
        line = (
            f"{data['node']} · round {data['iteration']} · {data['duration_ms'] / 1000:.1f} s"
        )
        if data["score"] is not None:
            self.scores.append(data["score"])
            line += f" · [bold]{data['score']:g} / 10[/bold]"
        self._say(f"[green]✓[/green] {line}")
        if feedback := data["output"].get("feedback"):
            self._say(f"  [dim]{escape(feedback)}[/dim]")

    # --- drawing ---

    def __rich__(self) -> RenderableType:
        parts: list[RenderableType] = []
        for who, text in self.writing.values():
            tail = "\n".join(text.splitlines()[-TAIL_LINES:])
            parts.append(Panel(Text(tail), title=escape(who), title_align="left"))
        parts.append(Spinner("dots", Text(self._status())))
        return Group(*parts)

    def _status(self) -> str:
        doing = ", ".join(who for who, _text in self.writing.values()) or self._between
        scores = " → ".join(f"{score:g}" for score in self.scores)
        parts = [
            doing,
            f"{time.monotonic() - self._begun:.0f} s",
            *([f"{self.tokens} tokens"] if self.tokens else []),
        ]
        if scores:
            parts.insert(1, f"scores {scores}")
        return " · ".join(parts)

    def print_end(self) -> None:
        """How it ended, in one line, and the draft."""
        if self.end is None:
            return
        data = self.end.data
        for who, text in self.writing.values():
            if text:
                self.console.print(Panel(Text(text), title=f"{escape(who)}, broken off"))
        if self.end.kind == "run.failed":
            where = f" in {data['node']}" if data["node"] else ""
            self._say(f"[red]✗ failed{escape(where)}: {escape(data['message'])}[/red]")
        elif self.end.kind == "run.cancelled":
            self._say(f"[yellow]■ cancelled by {escape(data['by'])}[/yellow]")
        else:
            self._print_result(data)

    def _print_result(self, data: dict[str, Any]) -> None:
        self.console.print(Panel(Text(data["final_draft"]), title="Final draft"))
        usage = data["usage"]
        facts = Table.grid(padding=(0, 2))
        score = data["critic_score"]
        facts.add_row("outcome", outcome(data))
        facts.add_row("last score", "none" if score is None else f"{score:g} / 10")
        facts.add_row("rounds", str(data["iteration_count"]))
        facts.add_row("model", ", ".join(usage["models"]))
        if usage["scripted"]:
            facts.add_row("", "scripted demo model: no AI wrote this")
        least = "at least " if usage["partial"] else ""
        cost = usage["cost"]
        facts.add_row("calls", least + str(usage["calls"]))
        facts.add_row("tokens out", least + _or_unknown(usage["output_tokens"]))
        facts.add_row("cost", "unknown" if cost is None else f"{least}${float(cost):.4g}")
        self.console.print(facts)


def outcome(data: dict[str, Any]) -> str:
    """In one line, what a reader must know to trust the result."""
    if data["reason"] == "iteration_limit":
        return "stopped at the limit, not approved"
    return {True: "approved by the critic", False: "not approved", None: "finished, no critic"}[
        data["approved"]
    ]


def _or_unknown(value: int | None) -> str:
    return "unknown" if value is None else str(value)
