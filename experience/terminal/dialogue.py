"""Asks for the answer to one gate."""

import asyncio
from collections.abc import Mapping
from typing import Any, NamedTuple

from rich.console import Console
from rich.panel import Panel

from experience.terminal import changes, keyboard, limits


class Answer(NamedTuple):
    action: str
    says: dict[str, Any]


class Dialogue:
    """The questions about one gate, until there is an answer.

    `void` is done as soon as the gate is not to be answered any more. What was edited is kept
    from one `ask` to the next, so that a refused answer need not be written again.
    """

    def __init__(
        self, gate: Mapping[str, Any], console: Console, void: "asyncio.Future[Any]"
    ) -> None:
        self.gate, self.console, self.void = gate, console, void
        self.editor: keyboard.Editor | None = None

    async def ask(self) -> Answer | None:
        """The answer; None to leave the gate as it is.

        Raises keyboard.Dropped, EOFError.
        """
        words = {"approve": "[a]pprove", "modify": "[m]odify", "reject": "[r]eject"}
        if self.gate["place"] == "limit":
            words["reject"] = "[s]top"
        offers = {_letter(words[action]): action for action in self.gate["actions"]}
        question = ", ".join(words[action] for action in self.gate["actions"])
        while True:
            said = (await self._line(f"{question} or [l]eave? ")).lower()[:1]
            if said == "l":
                return None
            if said not in offers:
                continue
            answer = await getattr(self, f"_{offers[said]}")()
            if answer is not None:
                return Answer(offers[said], answer)

    async def _line(self, question: str) -> str:
        return await keyboard.line(question, self.void)

    async def _approve(self) -> dict[str, Any] | None:
        if self.gate["place"] != "limit":
            return {}
        said = await self._line("New limits, such as calls=20 (empty: as much again): ")
        try:
            return {"limits": limits.several(said.split())} if said else {}
        except ValueError as error:
            self._complain(f"{error}.")
            return None

    async def _reject(self) -> dict[str, Any] | None:
        if self.gate["place"] in ("limit", "iterations"):
            return {}
        says = {}
        if self.gate["targets"]:
            says["next_node"] = await self._node("Send it to", "end the run")
        says["comment"] = await self._line("Why? ")
        return {name: text for name, text in says.items() if text}

    async def _modify(self) -> dict[str, Any] | None:
        may = self.gate["may_change"]
        says: dict[str, Any] = {}
        if "current_draft" in may:
            says["current_draft"] = await self._edited()
        if "feedback" in may:
            says["feedback"] = await self._line("Feedback for what follows (empty: none): ")
        if "next_node" in may:
            says["next_node"] = await self._node("Go on with", "as proposed")
        says = {name: value for name, value in says.items() if value}
        if not says:
            self._complain("Nothing was modified.")
            return None
        return says

    async def _node(self, question: str, otherwise: str) -> str:
        """One of the nodes that it can be sent to, or empty."""
        nodes = self.gate["targets"]
        while True:
            said = await self._line(f"{question} {', '.join(nodes)} (empty: {otherwise}): ")
            if said in ("", *nodes):
                return said

    async def _edited(self) -> str:
        """The draft as it was left in the editor; empty when it was not changed."""
        self.editor = self.editor or keyboard.Editor(self.gate["current_draft"])
        try:
            text = await self.editor.open()
        except ValueError as error:
            self._complain(str(error))
            return ""
        if self.void.done():
            raise keyboard.Dropped
        old = self.gate["current_draft"]
        if text == old:
            return ""
        changed = changes.between(old, text, colour=self.console.color_system is not None)
        if changed is not None:
            self.console.print(Panel(changed, title="Your draft", title_align="left"))
        return text

    def _complain(self, sentence: str) -> None:
        self.console.print(sentence, style="red", markup=False, highlight=False)


def _letter(word: str) -> str:
    return word[word.index("[") + 1]
