"""Nodes at work, for tests: a state, a step, and the models they ask."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from runtime import llm, nodes
from runtime.llm import concessions
from tests import provider

SCRIPTED, REAL = "demo:instant", "openai:gpt-4o"


@contextlib.asynccontextmanager
async def served(settings: Any) -> AsyncIterator[provider.Server]:
    """A provider that `openai:…` is answered by."""
    async with provider.serve() as server:
        settings.OPENAI_API_KEY, settings.OPENAI_BASE_URL = "sk-of-the-tests", server.url
        yield server
        await llm.close()
        concessions.forget()


def state(**known: Any) -> nodes.State:
    """The state of a run on "Why test?", with what is known of it."""
    return {**nodes.initial_state("1", "Why test?"), **known}  # type: ignore[typeddict-item]


async def work(
    node: nodes.Node, at: nodes.State, model: str = SCRIPTED, **more: Any
) -> tuple[nodes.Result, str]:
    """The result of a node, and what was said on the way."""
    said: list[str] = []
    step = nodes.Step(node, at, model, said.append, **more)
    result = await nodes.KINDS[node.kind].run(step)
    return result, "".join(said)


class Model:
    """Stands for `llm.call`: answers in turn, and keeps all that it was told.

    An answer comes in pieces of so many characters; all at once if that is not stated.
    """

    def __init__(self, *answers: str, model: str = REAL, piece: int = 0) -> None:
        self.answers = list(answers)
        self.model = model
        self.piece = piece
        self.asked: list[dict[str, Any]] = []

    async def __call__(self, model: str, messages: Any, **more: Any) -> llm.Reply:
        self.asked.append({"model": model, "messages": list(messages), **more})
        text = self.answers.pop(0)
        size = self.piece or max(1, len(text))
        for start in range(0, len(text), size):
            more["on_text"](text[start : start + size])
        return llm.Reply(text, llm.Usage(1, 1, None, None), self.model, scripted=False)

    @property
    def told(self) -> str:
        """All that providers would have seen."""
        return "\n".join(str(part.content) for each in self.asked for part in each["messages"])
