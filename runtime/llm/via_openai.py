"""OpenAI, and every server that speaks its chat completions."""

import functools
from collections.abc import Mapping
from typing import Any

import httpx2
from langchain_core.language_models import BaseChatModel
from langchain_core.utils import function_calling
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from runtime.llm import connections, names
from runtime.llm.schemas import Schema

_PUBLIC_URL = "https://api.openai.com/v1"


def chat(model: str, *, temperature: float | None) -> BaseChatModel:
    """A client for one call. Everything is stated, so that no environment variable decides."""
    return ChatOpenAI(
        model=model,
        temperature=temperature,
        # Local servers want none, the library insists on one.
        api_key=SecretStr(names.key("openai") or "none"),
        base_url=names.base_url("openai") or _PUBLIC_URL,
        stream_usage=True,
        max_retries=0,
        timeout=connections.timeout(),
        stream_chunk_timeout=None,
        http_async_client=connections.pool(),
        http_client=_unused_pool(),
    )


def options(*, max_tokens: int | None, schema: Schema | None) -> dict[str, Any]:
    """What else to send along.

    It goes as `extra_body` because `response_format` as such makes the library rebuild the
    whole answer at every piece of it, and treat an answer cut at its limit as a crash.
    """
    body: dict[str, Any] = {}
    if max_tokens is not None:
        # OpenAI itself has retired `max_tokens`; other servers may know no other word.
        own = bool(names.base_url("openai"))
        body["max_tokens" if own else "max_completion_tokens"] = max_tokens
    if schema is not None:
        body["response_format"] = {"type": "json_schema", "json_schema": _form(schema)}
    return {"extra_body": body} if body else {}


@functools.cache
def _unused_pool() -> httpx2.Client:
    """For the library's synchronous half: left to itself it opens one a call, 20 ms each."""
    return httpx2.Client()


def _form(schema: Schema) -> dict[str, Any]:
    if isinstance(schema, Mapping):
        # Strict mode takes closed objects without optional fields, and little else.
        return {"name": "answer", "strict": False, "schema": dict(schema)}
    function = function_calling.convert_to_openai_function(schema, strict=True)
    return {
        "name": function["name"],
        "strict": True,
        "schema": _without_defaults(function["parameters"]),
    }


def _without_defaults(node: Any) -> Any:
    # Strict mode refuses a schema that has defaults. `properties` maps names to schemas: a
    # field that is called "default" stays.
    if isinstance(node, list):
        return [_without_defaults(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        name: {field: _without_defaults(value) for field, value in item.items()}
        if name in ("properties", "$defs")
        else _without_defaults(item)
        for name, item in node.items()
        if name != "default"
    }
