"""A gate in the terminal: what is asked and why, what is proposed, and how to answer."""

import shlex
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.utils import timezone
from rich.console import Console, RenderableType
from rich.markup import escape
from rich.panel import Panel
from rich.text import Text

from experience import outcomes, story
from experience.terminal import board, changes, invocation, limits

_THEN = {
    "stay": "then it goes on waiting",
    "approve": "then it is approved",
    "reject": "then it is rejected",
}
# How each part of an answer is stated on the command line.
_OPTIONS = {"current_draft": "--draft FILE", "feedback": "--feedback TEXT"}


def show(
    console: Console,
    gate: Mapping[str, Any],
    drafts: story.Drafts,
    facts: Iterable[tuple[str, str]],
) -> None:
    """Print all that one needs in order to answer. `facts`: of the run, such as its cost."""
    console.rule(f"[bold yellow]paused {escape(where(gate))}[/bold yellow]", align="left")
    if gate["ask"]:
        console.print(Text(gate["ask"], "bold"))
    console.print(Text(gate["why"]))
    if gate["current_draft"]:
        console.print(_draft(gate["current_draft"], drafts, console))
    console.print(board.table([*_facts(gate), *facts]))


def where(gate: Mapping[str, Any]) -> str:
    match gate["place"]:
        case "limit":
            return f"at {outcomes.limit(gate['limit'])}, in {gate['node']}"
        case "iterations":
            return f"at the limit of {gate['node']}"
        case place:
            return f"{place} {gate['node']}"


def _draft(text: str, drafts: story.Drafts, console: Console) -> RenderableType:
    before = drafts.before(text)
    if before is None:
        return Panel(Text(text), title="The draft", title_align="left")
    colour = console.color_system is not None
    changed = changes.between(before, text, colour=colour)
    if changed is None:
        return Panel(Text(text), title="The draft, written anew", title_align="left")
    return Panel(changed, title="The draft, and what changed in it", title_align="left")


def _facts(gate: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if (score := gate["critic_score"]) is not None:
        yield "last score", f"{score:g} / 10"
    if gate["iteration_count"]:
        yield "rounds", str(gate["iteration_count"])
    if gate["feedback"]:
        yield "last feedback", gate["feedback"]
    if gate["next_nodes"]:
        yield "approved, next is", ", ".join(gate["next_nodes"])
    if gate["place"] == "limit":
        yield "limits", limits.written(gate["limits"])
        yield "approved, it may use", f"{more(gate)}, or what you say"
    if gate["answerers"] != ["owner"]:
        yield "to be answered by", ", ".join(gate["answerers"])
    if gate["deadline"]:
        at = timezone.localtime(datetime.fromisoformat(gate["deadline"]))
        yield "deadline", f"{at:%F %T}, {_THEN[gate['on_deadline']]}"


def more(gate: Mapping[str, Any]) -> str:
    """What the run gets when it is approved at a limit, and nothing else is said."""
    units = {"cost_limit": f"${gate['step']} more", "time_limit": f"{gate['step']} s more"}
    name = gate["limit"].removesuffix("_limit")
    return units.get(gate["limit"]) or f"{gate['step']} more {name}s"


def commands(run_id: UUID | str, gate: Mapping[str, Any]) -> list[str]:
    """The commands that answer it, one for each action that is allowed."""
    return [_command(run_id, gate, action) for action in gate["actions"]]


def _command(run_id: UUID | str, gate: Mapping[str, Any], action: str) -> str:
    words = f"{invocation.of('council')} answer {run_id} {action} --gate {gate['gate']}"
    options: list[str] = []
    if action == "modify":
        options += [_OPTIONS[name] for name in gate["may_change"] if name in _OPTIONS]
    if action == "reject" and gate["place"] in ("before", "after"):
        options.append("--comment TEXT")
    if action in ("modify", "reject") and gate["targets"]:
        options.append(f"--to {'|'.join(map(shlex.quote, gate['targets']))}")
    if action == "approve" and gate["place"] == "limit":
        options.append(f"--limit {limits.written(gate['limits']).split()[0]}")
    return " ".join([words, *(f"[{option}]" for option in options)])
