"""What a call cost, and can cost at most.

By the operator's own `MODEL_PRICES`, else by the tables of genai-prices; nothing is fetched. An
unknown model, an unknown server behind a base URL, or a reply without token counts has an
unknown cost: a guess would be worse than none.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import genai_prices
from django.conf import settings
from langchain_core.messages import BaseMessage
from langchain_core.messages.ai import UsageMetadata

from runtime.llm import names, schemas
from runtime.llm.replies import Usage
from runtime.llm.schemas import Schema

_SOURCE = f"genai-prices {genai_prices.__version__}"
_FREE = "scripted demo model, free"
_STATED = "MODEL_PRICES"
_MILLION = 1_000_000
_MOST_TOKENS = 100_000_000  # of one call
# Tokens that nobody sees: what a chat template puts around each message and the whole, and
# what a provider tells its model about a form (Anthropic's structured output: some hundred).
_AROUND_MESSAGE, _AROUND_CALL, _AROUND_SCHEMA = 32, 64, 1_000
_UNKNOWN = Usage(input_tokens=None, output_tokens=None, cost=None, cost_source=None)


def usage(full: str, counted: UsageMetadata | None, reported_model: str) -> Usage:
    """The usage of one call of a model, priced.

    `reported_model` is what the provider says it ran, a dated version often; empty when it
    did not say.
    """
    if counted is None or not _is_credible(counted):
        return _UNKNOWN
    cost, source = _cost(full, counted, reported_model)
    return Usage(counted["input_tokens"], counted["output_tokens"], cost, source)


def _is_credible(counted: UsageMetadata) -> bool:
    """A count below nothing, or beyond what any call can use, is none."""
    return all(0 <= counted[name] <= _MOST_TOKENS for name in ("input_tokens", "output_tokens"))


@dataclass(frozen=True)
class Bound:
    """What one call can use at most; `cost` is in US dollars, None where no price is known."""

    tokens: int
    cost: Decimal | None


def bound(
    model: str,
    messages: Sequence[BaseMessage],
    *,
    max_tokens: int,
    schema: Schema | None = None,
) -> Bound:
    """An upper bound of what `llm.call` uses with the same arguments.

    No tokenizer in use makes more tokens of a text than it has bytes. The price is the dearest
    that may apply. Raises what `names.resolve` raises.
    """
    full = names.resolve(model)
    given = _AROUND_CALL + sum(_size(message) for message in messages)
    if schema is not None:
        given += len(json.dumps(schemas.as_json_schema(schema)).encode()) + _AROUND_SCHEMA
    return Bound(given + max_tokens, _most(full, given, max_tokens))


def _size(message: BaseMessage) -> int:
    return len(str(message.text).encode(errors="replace")) + _AROUND_MESSAGE


def _most(full: str, given: int, said: int) -> Decimal | None:
    counted = UsageMetadata(input_tokens=given, output_tokens=said, total_tokens=given + said)
    # Writing to a provider's cache can cost more than plain input.
    written = UsageMetadata(**counted, input_token_details={"cache_creation": given})
    costs = [_cost(full, counted, "")[0], _cost(full, written, "")[0]]
    return max((cost for cost in costs if cost is not None), default=None)


def _cost(
    full: str, counted: UsageMetadata, reported_model: str
) -> tuple[Decimal | None, str | None]:
    provider, model = names.split(full)
    if provider == "demo":
        return Decimal(0), _FREE
    stated = settings.MODEL_PRICES.get(full)
    if stated is not None:
        tokens = (counted["input_tokens"], counted["output_tokens"])
        return sum(
            map(Decimal.__mul__, stated, map(Decimal, tokens)), Decimal(0)
        ) / _MILLION, _STATED
    for ref in filter(None, (reported_model, model)):
        price = _price(provider, ref, counted)
        if price is not None:
            return price, _SOURCE
    return None, None


def _price(provider: str, ref: str, counted: UsageMetadata) -> Decimal | None:
    # Behind a base URL is somebody else's server, with their prices, whatever it speaks.
    url = names.base_url(provider)
    where: dict[str, Any] = {"provider_api_url": url} if url else {"provider_id": provider}
    try:
        return genai_prices.calc_price(_priced_usage(counted), ref, **where).total_price
    except (LookupError, ValueError):  # ValueError: more cached tokens than tokens, and such
        return None


def _priced_usage(counted: UsageMetadata) -> genai_prices.Usage:
    details: Mapping[str, Any] = counted.get("input_token_details") or {}
    written = sum(
        details.get(name) or 0
        for name in ("cache_creation", "ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens")
    )
    return genai_prices.Usage(
        input_tokens=counted["input_tokens"],
        output_tokens=counted["output_tokens"],
        cache_read_tokens=details.get("cache_read") or None,
        cache_write_tokens=written or None,
    )
