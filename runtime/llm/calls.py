"""One streamed call of a model."""

import asyncio
import contextlib
import importlib
from collections.abc import AsyncGenerator, Callable, Sequence
from types import ModuleType
from typing import cast

from django.conf import settings
from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata

from runtime import errors
from runtime.llm import concessions, faults, names, observed, prices
from runtime.llm.concessions import Wish
from runtime.llm.replies import Reply, clean, whole
from runtime.llm.schemas import Schema

# Each has `chat(model, temperature=…)` and `options(max_tokens=…, schema=…)`.
_PROVIDERS = {
    "openai": "runtime.llm.via_openai",
    "anthropic": "runtime.llm.via_anthropic",
    "demo": "runtime.llm.demo",
}
# Once it speaks, a model may be silent for this share of the time it has; then it is taken
# for hung. Before its first word it may be thinking, for as long as it likes.
_SILENCE = 0.5
_DECLINED = frozenset({"content_filter", "refusal"})
_OUT_OF_ROOM = frozenset({"length", "max_tokens", "model_context_window_exceeded"})

_loaded: dict[str, ModuleType] = {}


async def call(
    model: str,
    messages: Sequence[BaseMessage],
    *,
    temperature: float | None = None,
    max_tokens: int | None = None,
    schema: Schema | None = None,
    on_text: Callable[[str], None] | None = None,
) -> Reply:
    """Ask a model once; pieces of its text go to `on_text` as they arrive.

    With `schema` the answer is asked for in that form, by the provider's structured output
    where it has it and in words where not; the reply's text is then JSON, not yet checked.
    Nothing is tried again but for what the server does not take (see `concessions`).

    Cancelling the task closes the connection. What `on_text` raises ends the call and is
    passed on. Raises errors.ModelFault, and what `names.resolve` raises.
    """
    full = names.resolve(model)
    with observed.call(full) as told:
        wish = Wish(temperature, max_tokens, schema)
        reply = await _until_taken(full, messages, wish, on_text or _ignore)
        told(reply.usage)
        return reply


async def _until_taken(
    full: str, messages: Sequence[BaseMessage], wish: Wish, on_text: Callable[[str], None]
) -> Reply:
    """Ask; where the server does not take it, for less."""
    given_up = concessions.known(full)
    deadline = asyncio.get_running_loop().time() + settings.MODEL_TIMEOUT_SECONDS
    while True:
        heard = _Heard(full, on_text)
        try:
            await _ask(full, messages, wish, given_up, heard, deadline)
        except errors.ModelFault as fault:
            more = concessions.next_after(fault.__cause__, wish.without(given_up))
            if more is None:
                raise
            given_up |= {more}
        else:
            concessions.learn(full, given_up)
            return heard.reply()


async def _ask(
    full: str,
    messages: Sequence[BaseMessage],
    wish: Wish,
    given_up: frozenset[str],
    heard: "_Heard",
    deadline: float,
) -> None:
    if wish.schema is not None and "schema" in given_up:
        messages = concessions.with_schema(messages, wish.schema)
    wish = wish.without(given_up)
    name, model = names.split(full)
    provider = await _load(name)
    chat = provider.chat(model, temperature=wish.temperature)
    options = provider.options(max_tokens=wish.max_tokens, schema=wish.schema)
    # An async iterator by its signature, a generator in fact, and to be closed as one.
    stream = cast("AsyncGenerator[AIMessageChunk]", chat.astream(list(messages), **options))
    async with contextlib.aclosing(stream):
        while (chunk := await _next(stream, full, heard.patience(deadline))) is not None:
            heard.take(chunk)


async def _next(
    stream: AsyncGenerator[AIMessageChunk], full: str, until: float
) -> AIMessageChunk | None:
    """The next piece, or None at the end. What is raised in here is the provider's doing."""
    try:
        async with asyncio.timeout_at(until):
            return await anext(stream, None)
    except Exception as problem:
        fault = faults.translate(problem, full)
        if fault is None:
            raise
        raise fault from problem


async def _load(provider: str) -> ModuleType:
    """The module that speaks to a provider.

    Its libraries take about a second to import, in a thread: the other runs go on meanwhile.
    """
    if provider not in _loaded:
        _loaded[provider] = await asyncio.to_thread(
            importlib.import_module, _PROVIDERS[provider]
        )
    return _loaded[provider]


def _ignore(_: str) -> None:
    pass


class _Heard:
    """What has been heard of an answer so far."""

    def __init__(self, full: str, on_text: Callable[[str], None]) -> None:
        self.full = full
        self.on_text = on_text
        self.pieces: list[str] = []
        self.half = ""  # of a sign that the provider has cut in two
        self.ending = ""
        self.reported_model = ""
        self.counted: UsageMetadata | None = None

    def patience(self, deadline: float) -> float:
        """When to stop waiting for the next piece, as the loop's time."""
        if not self.pieces:
            return deadline
        now = asyncio.get_running_loop().time()
        return min(deadline, now + settings.MODEL_TIMEOUT_SECONDS * _SILENCE)

    def take(self, chunk: AIMessageChunk) -> None:
        told = chunk.response_metadata
        self.ending = (
            told.get("finish_reason") or told.get("stop_reason") or told.get("status")
        ) or self.ending
        self.reported_model = told.get("model_name") or self.reported_model
        # The last count, not the sum: servers that count as they go count from the start.
        self.counted = chunk.usage_metadata or self.counted
        text, self.half = whole(self.half + str(chunk.text))
        if piece := clean(text):
            self.pieces.append(piece)
            self.on_text(piece)

    def reply(self) -> Reply:
        """The whole answer; raises errors.ModelFault when it is none."""
        text = "".join(self.pieces) + clean(self.half)
        kind = _fault_of(text, self.ending)
        if kind is not None:
            raise faults.fault(kind, self.full)
        return Reply(
            text=text,
            usage=prices.usage(self.full, self.counted, self.reported_model),
            model=self.full,
            scripted=self.full.startswith("demo:"),
            is_cut=self.ending in _OUT_OF_ROOM,
        )


def _fault_of(text: str, ending: str) -> faults.Kind | None:
    if ending in _DECLINED:
        return faults.DECLINED
    if not text.strip():
        return faults.NO_ROOM if ending in _OUT_OF_ROOM else faults.EMPTY
    # A whole answer says why it ended; one that does not was cut on the way.
    return None if ending else faults.CUT
