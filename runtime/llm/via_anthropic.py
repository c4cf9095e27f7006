"""Anthropic's messages."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import anthropic
from langchain_anthropic import ChatAnthropic
from langchain_core.language_models import BaseChatModel
from pydantic import SecretStr

from runtime.llm import connections, names
from runtime.llm.schemas import Schema

_PUBLIC_URL = "https://api.anthropic.com"


class _Chat(ChatAnthropic):
    """ChatAnthropic on our connections: it has no setting for them."""

    @cached_property
    def _async_client(self) -> anthropic.AsyncAnthropic:
        return anthropic.AsyncAnthropic(
            **{**self._client_params, "timeout": connections.timeout()},
            http_client=connections.pool(),
        )


def chat(model: str, *, temperature: float | None) -> BaseChatModel:
    """A client for one call. Everything is stated, so that no environment variable decides."""
    return _Chat(
        model=model,
        temperature=temperature,
        api_key=SecretStr(names.key("anthropic") or "none"),
        base_url=names.base_url("anthropic") or _PUBLIC_URL,
        max_retries=0,
        timeout=None,
        stop=None,
    )


def options(*, max_tokens: int | None, schema: Schema | None) -> dict[str, Any]:
    """What else to send along. The schema is Anthropic's own structured output."""
    sent: dict[str, Any] = {}
    if max_tokens is not None:
        sent["max_tokens"] = max_tokens
    if schema is not None and (form := _form(schema)) is not None:
        sent["output_config"] = {"format": {"type": "json_schema", "schema": form}}
    return sent


def _form(schema: Schema) -> dict[str, Any] | None:
    """The schema as Anthropic takes it; None where it cannot say the same."""
    try:
        return anthropic.transform_schema(
            dict(schema) if isinstance(schema, Mapping) else schema
        )
    except (ValueError, TypeError, AssertionError):
        return None  # whoever states a JSON Schema of their own asks for it in words, too
