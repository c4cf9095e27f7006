"""A conversation in the terminal: who answers and why, and the answer as it is written."""

import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.text import Text

from experience import outcomes, routing
from experience.terminal import gate
from experience.terminal.flow import Flow


class Transcript:
    """Prints what is told of a conversation, frame by frame."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.gates: dict[str, dict[str, Any]] = {}  # all that were opened, by id
        self._said = ""  # of the present answer, as far as it stands here
        self._flow = Flow(console)
        self._is_writing = False  # the answer: what else is shown waits, or ends its line
        self._is_council = False
        self._at_work = ("", "")  # the step that began last: its node, and how it is called
        self._writer = ""  # the node whose text the answer is
        self._done: list[str] = []  # steps that finished while an answer was being written
        self._working = console.status("")

    def take(self, event_type: str, data: dict[str, Any]) -> None:
        """Print the next frame. One of a type that is not known is passed over."""
        name = event_type.removeprefix("agent.")
        if handler := getattr(self, f"_take_{name}", None):
            handler(data)

    def line(self, text: str, style: str = "") -> None:
        """Print a line of its own."""
        self.pause()
        self._print(text, style)

    def _print(self, text: str, style: str) -> None:
        is_piped = not self.console.is_terminal
        self.console.print(Text(visible(text), style), soft_wrap=is_piped)

    def pause(self) -> None:
        """End the line that is being written, and let nothing move."""
        self._working.stop()
        self._flow.end()
        self._is_writing = False
        for step in self._done:
            self._print(step, "dim")
        self._done.clear()

    # --- who ---

    def _take_started(self, data: dict[str, Any]) -> None:
        self._said, self._is_council, self._writer = "", False, ""
        model = f" · {data['model']}" if data["model"] else ""
        self.line(f"{data['agent_id']}, {routing.WHY[data['routed_by']]}{model}", "dim")
        # Without a worker it waits, as it was said to; whether one has begun is not told.
        self._work(f"{data['agent_id']} is thinking")

    def _take_handoff(self, data: dict[str, Any]) -> None:
        self.line(f"→ {data['from']} hands over to {data['to']}: {data['reason']}", "cyan")

    def _take_interrupted(self, data: dict[str, Any]) -> None:
        why = outcomes.interrupted(data["cause"])
        self.line(f"! interrupted: {why}; another takes it up", "yellow")
        self._work("another worker takes it up")

    def _work(self, doing: str) -> None:
        """Show that somebody is at work, until something is printed."""
        if self.console.is_terminal and not self.console.quiet:
            self._working.update(f"[dim]{doing}[/dim]")
            self._working.start()

    # --- what ---

    def _take_token(self, data: dict[str, Any]) -> None:
        kept = self._said
        if data["offset"] < len(self._said):
            self.line("↻ void from here up; the answer is given anew:", "yellow")
            kept, self._said, self._writer = self._said[: data["offset"]], "", ""
        if self._is_council and not self._writer:
            self._writer, who = self._at_work
            self.line(f"{who} writes:", "dim")
        if not self._said:
            self._write(kept)
        self._write(data["token"])

    def _write(self, text: str) -> None:
        if not text:
            return
        self._working.stop()
        self._said += text
        self._flow.write(visible(text))
        self._is_writing = True

    def _take_node(self, data: dict[str, Any]) -> None:
        self._is_council = True
        who = data["label"] + (f" · round {data['iteration']}" if data["iteration"] else "")
        score = "" if data["score"] is None else f" · {data['score']:g} / 10"
        match data["state"]:
            case "started":
                self._at_work = data["node"], who
                self._work(visible(who).replace("[", r"\["))
            case "completed" if data["node"] == self._writer:
                pass  # it stands above what it wrote
            case "completed" if self._is_writing:
                self._done.append(f"✓ {who}{score}")
            case "completed":
                self.line(f"✓ {who}{score}", "dim")
            case "retried":
                self.line(f"↻ {who}: {data['detail']}", "yellow")
            case "failed":
                self.line(f"! without {who}: {data['detail']}", "yellow")
            case "stopped":
                self.line(f"■ {who} stopped at {outcomes.limit(data['detail'])}", "yellow")

    def _take_waiting(self, data: dict[str, Any]) -> None:
        opened = data["gate"]
        self.gates[opened["gate"]] = opened
        self.line(f"? waits for an answer {gate.where(opened)}", "yellow")

    def _take_answered(self, data: dict[str, Any]) -> None:
        opened = self.gates.get(data["gate"], {})
        done = outcomes.done({"place": opened.get("place", ""), "action": data["action"]})
        where = f"{opened['node']}: " if opened else ""
        self.line(f"✓ {where}{done} by {data['by']}", "green")

    # --- ends ---

    def _take_completed(self, data: dict[str, Any]) -> None:
        response = data["response"]
        if not response.startswith(self._said):
            self.line("↻ the answer as it stands at the end:", "yellow")
            self._said = ""
        self._write(response[len(self._said) :])
        self.line(" · ".join(self._facts(data)), "dim")

    def _facts(self, data: Mapping[str, Any]) -> Iterator[str]:
        """What must be known to trust the answer."""
        if self._is_council or data["reason"].endswith("_limit"):
            yield outcomes.reason(data["reason"], data["approved"])
        if data["critic_score"] is not None:
            yield f"last score {data['critic_score']:g} / 10"
        yield from outcomes.reserve(data)
        yield outcomes.money(data["cost"], "at least " * data["usage"]["partial"])
        if data["scripted"]:
            yield "scripted demo model: no AI wrote this"

    def _take_failed(self, data: dict[str, Any]) -> None:
        where = f" in {data['node']}" if data["node"] and self._is_council else ""
        self.line(f"✗ failed{where}: {data['error']}", "red")

    def _take_cancelled(self, data: dict[str, Any]) -> None:
        how = "rejected" if data["reason"] == "rejected" else "cancelled"
        self.line(f"■ {how} by {data['by']}", "yellow")


def visible(text: str) -> str:
    """The text without what would move the cursor or change the terminal."""
    return "".join(c for c in text if c in "\n\t" or unicodedata.category(c) != "Cc")
