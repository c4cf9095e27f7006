"""The scripted model: no AI, no network, the same words every time.

It lets a newcomer see a council work, and tests and benchmarks run, without a key. It knows
what to say from the system message's `additional_kwargs`: `kind` (one that it does not know is
a draft), `iteration` (from 1), `topic`, `member` (a number by which members differ), `choices`
of a closed question or a router, `letters` of the answers to review, `handoffs` of a guide
(each with `to` and `name`), and, if there is some, the `feedback` to answer. Real providers
never see these.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any

from django.conf import settings
from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.chat_models import generate_from_stream
from langchain_core.messages import AIMessageChunk, BaseMessage, SystemMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult

from runtime.llm import schemas, script
from runtime.llm.schemas import Schema

_TOKEN = re.compile(r"\s*\S+\s*")
# With no time between tokens nobody can see them one by one: a sentence at once costs a tenth.
_SENTENCE = re.compile(r".+?(?:[.!?:]\s+|\Z)", re.DOTALL)


def chat(model: str, *, temperature: float | None) -> BaseChatModel:
    """The scripted model; `instant` has no pauses. A script has no temperature."""
    rate = 0.0 if model == "instant" else settings.DEMO_TOKENS_PER_SECOND
    return Scripted(tokens_per_second=rate)


def options(*, max_tokens: int | None, schema: Schema | None) -> dict[str, Any]:
    """What else to pass: how long the answer may be, in words, and the form it is to have."""
    passed: dict[str, Any] = {}
    if max_tokens is not None:
        passed["most"] = max_tokens
    if schema is not None:
        passed |= {"as_json": True, "form": schemas.as_json_schema(schema)}
    return passed


class Scripted(BaseChatModel):
    """Streams the script, a word a token."""

    tokens_per_second: float = 0.0

    @property
    def _llm_type(self) -> str:
        return "scripted"

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        # Against the clock rather than by equal pauses, which would add up their lateness.
        begun = time.monotonic()
        for number, chunk in enumerate(self._chunks(messages, **kwargs)):
            if self.tokens_per_second:
                due = begun + number / self.tokens_per_second
                await asyncio.sleep(max(0.0, due - time.monotonic()))
            yield chunk

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        yield from self._chunks(messages, **kwargs)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return generate_from_stream(self._chunks(messages, **kwargs))

    def _chunks(
        self,
        messages: Sequence[BaseMessage],
        *,
        as_json: bool = False,
        form: Mapping[str, Any] | None = None,
        most: int | None = None,
        **_: Any,
    ) -> Iterator[ChatGenerationChunk]:
        whole = script.answer(_asked(messages), as_json=as_json, form=form)
        text = "".join(_TOKEN.findall(whole)[:most])
        pieces = (_TOKEN if self.tokens_per_second else _SENTENCE).findall(text)
        for piece in pieces:
            yield ChatGenerationChunk(message=AIMessageChunk(content=piece))
        yield ChatGenerationChunk(message=_last(messages, text, is_whole=text == whole))


def _asked(messages: Sequence[BaseMessage]) -> script.Asked:
    hints: dict[str, Any] = {}
    for message in messages:
        if isinstance(message, SystemMessage):
            hints.update(message.additional_kwargs)
    topic = hints.get("topic") or (str(messages[-1].text) if messages else "")
    return script.Asked(
        kind=str(hints.get("kind", "draft")),
        iteration=int(hints.get("iteration", 1)),
        topic=topic,
        feedback=str(hints.get("feedback") or ""),
        member=int(hints.get("member", 1)),
        choices=tuple(map(str, hints.get("choices", ()))),
        letters=tuple(map(str, hints.get("letters", ()))),
        handoffs=tuple((each["to"], each["name"]) for each in hints.get("handoffs", ())),
    )


def _last(messages: Sequence[BaseMessage], text: str, *, is_whole: bool) -> AIMessageChunk:
    given = sum(len(str(message.text).split()) for message in messages)
    said = len(text.split())
    return AIMessageChunk(
        content="",
        usage_metadata={
            "input_tokens": given,
            "output_tokens": said,
            "total_tokens": given + said,
        },
        response_metadata={"finish_reason": "stop" if is_whole else "length"},
        chunk_position="last",
    )
