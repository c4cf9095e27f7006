"""What a call cost, from genai-prices' own tables; nothing is fetched.

An unknown model, an unknown server behind a base URL, or a reply without token counts has
an unknown cost: a guess would be worse than none.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import genai_prices
from langchain_core.messages.ai import UsageMetadata

from runtime.llm import names
from runtime.llm.replies import Usage

_SOURCE = f"genai-prices {genai_prices.__version__}"
_FREE = "scripted demo model, free"
_UNKNOWN = Usage(input_tokens=None, output_tokens=None, cost=None, cost_source=None)


def usage(full: str, counted: UsageMetadata | None, reported_model: str) -> Usage:
    """The usage of one call of a model, priced.

    `reported_model` is what the provider says it ran, a dated version often; empty when it
    did not say.
    """
    if counted is None:
        return _UNKNOWN
    cost, source = _cost(full, counted, reported_model)
    return Usage(counted["input_tokens"], counted["output_tokens"], cost, source)


def _cost(
    full: str, counted: UsageMetadata, reported_model: str
) -> tuple[Decimal | None, str | None]:
    provider, model = names.split(full)
    if provider == "demo":
        return Decimal(0), _FREE
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
