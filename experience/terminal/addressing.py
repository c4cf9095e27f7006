"""Whom one talks to in the terminal: who there is, and lines that choose among them."""

from typing import Any

from rich.console import Console
from rich.text import Text

from experience import access, models

HINT = "/agent and /surface choose who answers."


def no_agent(user: Any, slug: str) -> str:
    """That there is no such agent, and which there are."""
    known = ", ".join(each.slug for each in access.agents_of(user))
    return f"There is no agent {slug}. There are: {known}"


def unknown_agent(user: Any, slug: str) -> str:
    """`no_agent`, if there is none; else nothing. Raises access.AgentNotYours."""
    try:
        access.find_agent(user, slug)
    except access.AgentNotFound:
        return no_agent(user, slug)
    return ""


def unknown_surface(name: str) -> str:
    """Which surfaces there are, if this is none of them; else nothing. It is no mistake, but
    may be mistyped."""
    known = [*models.Surface.objects.order_by("slug").values_list("slug", flat=True)]
    if name in known:
        return ""
    return (
        f"The surface {name} is not in the table, so the default agent answers. "
        f"In the table: {', '.join(known)}"
    )


class Addressing:
    """Takes the lines that begin with a slash. `context` goes along with every message: its
    `surface` always, its `agent` until a message has been posted, for the conversation stays
    with whom it was asked for."""

    def __init__(self, user: Any, console: Console, context: dict[str, str]) -> None:
        self.user, self.console, self.context = user, console, context

    def take(self, line: str) -> str:
        """What of the line is left to be said. Raises access.AgentNotYours."""
        if not line.startswith("/"):
            return line
        if line.startswith("//"):
            return line[1:]
        word, _, name = line.partition(" ")
        match word:
            case "/agent":
                self._ask_for(name.strip())
            case "/surface":
                self._go_to(name.strip())
            case _:
                self._say(f"There is no command {word}. {HINT} //… says /…", "red")
        return ""

    def _ask_for(self, slug: str) -> None:
        if not slug:
            for agent in access.agents_of(self.user):
                self._say(f"{agent.slug}: {agent.description}")
            self._say("To talk to one of them: /agent SLUG", "dim")
        elif fault := unknown_agent(self.user, slug):
            self._say(fault, "red")
        else:
            self.context["agent"] = slug
            self._say(f"The next message goes to {slug}.", "dim")

    def _go_to(self, name: str) -> None:
        surfaces = models.Surface.objects.select_related("agent").order_by("slug")
        if not name:
            for each in surfaces:
                self._say(f"{each.slug}: {each.agent.slug} answers")
            self._say("To go to one of them: /surface NAME", "dim")
            return
        if fault := unknown_surface(name):
            self._say(fault, "yellow")
        self.context["surface"] = name
        self._say(f"The surface is {name}. If that is a change, it decides who answers.", "dim")

    def _say(self, sentence: str, style: str = "") -> None:
        self.console.print(Text(sentence, style))
