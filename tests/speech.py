"""What a provider in the tests says: OpenAI's and Anthropic's server-sent events."""

import asyncio
import json
import re
from dataclasses import dataclass, field, fields
from typing import Any

# Both providers' words for a status, as they send them.
_OPENAI_ERRORS = {
    400: ("invalid_request_error", None),
    401: ("invalid_request_error", "invalid_api_key"),
    404: ("invalid_request_error", "model_not_found"),
    429: ("requests", "rate_limit_exceeded"),
}
_ANTHROPIC_ERRORS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}
_ANTHROPIC_STOPS = {"stop": "end_turn", "length": "max_tokens", "content_filter": "refusal"}
SECRET = "Incorrect words of the provider, sk-provider-secret"  # must reach no client


@dataclass(frozen=True)
class Answer:
    """What one request gets. The numbers of tokens count from 0: 0 is before the first."""

    text: str = "An answer of several words."
    every: float = 0.0
    """Seconds between tokens."""
    status: int = 200
    code: str | None = None
    """The error's `code` (OpenAI) or `type` (Anthropic), where the usual one will not do."""
    param: str | None = None
    location: str | None = None
    """Where a redirect points."""
    cut_at: int | None = None
    """Close the line without a word at this token."""
    ends_at: int | None = None
    """End the response properly at this token, but without saying that the answer is whole."""
    hangs_at: int | None = None
    """Send nothing more from this token on, and keep the line open. -1: not even a status."""
    garbled_at: int | None = None
    """Send something that is no JSON at this token."""
    fails_at: int | None = None
    """Send an error inside of the stream at this token."""
    finish: str = "stop"
    """OpenAI's word for why it ended; translated for Anthropic."""
    usage: bool = True

    def __str__(self) -> str:
        """What is special about it, as a test's name."""
        return ",".join(
            f"{each.name}={getattr(self, each.name)!r}"
            for each in fields(self)
            if getattr(self, each.name) != each.default
        )


@dataclass
class Request:
    """A request as it came, and what became of it."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    under_way: asyncio.Event = field(default_factory=asyncio.Event)
    """The first token has been sent (or the hanging has begun)."""
    left: asyncio.Event = field(default_factory=asyncio.Event)
    """The client closed the line before the answer was whole."""

    @property
    def structured(self) -> bool:
        """An answer in a schema was asked for."""
        return "response_format" in self.body or "format" in self.body.get("output_config", {})

    @property
    def text(self) -> str:
        """Everything the request says, for rules of thumb."""
        return json.dumps(self.body, ensure_ascii=False)


def tokens(text: str) -> list[str]:
    """Words; a pair of surrogates is cut between its halves."""
    return re.findall(r"\s*[^\s\ud800-\udbff]*[\ud800-\udbff]|\s*\S+|\s+$", text)


class Speech:
    """How one answer is written as server-sent events."""

    def __init__(self, request: Request, answer: Answer) -> None:
        self.answer = answer
        self.model = request.body.get("model", "")
        self.given = len(request.text.split())
        self.counted = bool(request.body.get("stream_options", {}).get("include_usage"))
        self.said = len(tokens(answer.text))

    @staticmethod
    def error(answer: Answer) -> dict[str, Any]:
        raise NotImplementedError

    def opening(self) -> str:
        raise NotImplementedError

    def token(self, text: str) -> str:
        raise NotImplementedError

    def closing(self) -> str:
        raise NotImplementedError

    def garbled(self) -> str:
        raise NotImplementedError

    def failing(self) -> str:
        raise NotImplementedError


class OpenAI(Speech):
    @staticmethod
    def error(answer: Answer) -> dict[str, Any]:
        kind, code = _OPENAI_ERRORS.get(answer.status, ("server_error", None))
        return {
            "error": {
                "message": SECRET,
                "type": answer.code or kind,
                "param": answer.param,
                "code": answer.code or code,
            }
        }

    def opening(self) -> str:
        return self._event({"role": "assistant", "content": ""})

    def token(self, text: str) -> str:
        return self._event({"content": text})

    def closing(self) -> str:
        ended = self._event({}, finish=self.answer.finish)
        counts = {
            "prompt_tokens": self.given,
            "completion_tokens": self.said,
            "total_tokens": self.given + self.said,
        }
        used = self._data({**self._frame(), "choices": [], "usage": counts})
        counted = self.counted and self.answer.usage
        return ended + (used if counted else "") + "data: [DONE]\n\n"

    def garbled(self) -> str:
        return 'data: {"choices": [{"delta": \n\n'

    def failing(self) -> str:
        error = {"message": SECRET, "type": "server_error", "code": self.answer.code}
        return self._data({"error": error})

    def _event(self, delta: dict[str, Any], finish: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
        return self._data({**self._frame(), "choices": [choice]})

    def _frame(self) -> dict[str, Any]:
        return {
            "id": "chatcmpl-1",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": self.model,
        }

    @staticmethod
    def _data(data: dict[str, Any]) -> str:
        return f"data: {json.dumps(data)}\n\n"


class Anthropic(Speech):
    @staticmethod
    def error(answer: Answer) -> dict[str, Any]:
        kind = answer.code or _ANTHROPIC_ERRORS.get(answer.status, "api_error")
        return {"type": "error", "error": {"type": kind, "message": SECRET}}

    def opening(self) -> str:
        message = {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": self.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": self.given, "output_tokens": 1},
        }
        block = {"type": "text", "text": ""}
        return self._event("message_start", message=message) + self._event(
            "content_block_start", index=0, content_block=block
        )

    def token(self, text: str) -> str:
        delta = {"type": "text_delta", "text": text}
        return self._event("content_block_delta", index=0, delta=delta)

    def closing(self) -> str:
        stop = _ANTHROPIC_STOPS.get(self.answer.finish, self.answer.finish)
        delta = {"stop_reason": stop, "stop_sequence": None}
        usage = {"input_tokens": self.given, "output_tokens": self.said}
        return (
            self._event("content_block_stop", index=0)
            + self._event("message_delta", delta=delta, usage=usage)
            + self._event("message_stop")
        )

    def garbled(self) -> str:
        return 'event: content_block_delta\ndata: {"type": "content_bl\n\n'

    def failing(self) -> str:
        kind = self.answer.code or "overloaded_error"
        return self._event("error", error={"type": kind, "message": SECRET})

    @staticmethod
    def _event(kind: str, **data: Any) -> str:
        return f"event: {kind}\ndata: {json.dumps({'type': kind, **data})}\n\n"
