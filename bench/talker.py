"""A worker whose demo model talks for itself: stamped tokens, with no provider's client.

For part (d): what is left is CouncilOS and LangGraph, without the OpenAI library's work.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "councilos.settings")
django.setup()

from django.core import management  # noqa: E402 - after the set-up
from langchain_core.messages import AIMessageChunk, BaseMessage  # noqa: E402
from langchain_core.outputs import ChatGenerationChunk  # noqa: E402

from bench import provider  # noqa: E402
from runtime.llm import demo  # noqa: E402


class Talker(demo.Scripted):
    """Says the time, 30 times a second, as often as the topic asks for."""

    async def _astream(
        self, messages: list[BaseMessage], *_: Any, **__: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        begun = time.monotonic()
        for number in range(provider.asked_for(str(messages[-1].text))):
            due = begun + number / provider.TOKENS_PER_SECOND
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            yield ChatGenerationChunk(message=AIMessageChunk(content=f" {time.time():.3f}"))
        yield ChatGenerationChunk(message=demo._last(messages, "", is_whole=True))


if __name__ == "__main__":
    demo.Scripted = Talker  # type: ignore[misc]
    management.call_command("worker")
