"""What calls cost, and what one can cost at most."""

from decimal import Decimal
from typing import Any

import pytest
from environs import EnvError
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import HumanMessage, SystemMessage

from councilos import settings as ours
from runtime import errors, llm
from runtime.llm import prices

OPENAI, ANTHROPIC = "openai:gpt-4o", "anthropic:claude-sonnet-5"


@pytest.fixture
def no_keys(settings: Any) -> Any:
    settings.OPENAI_API_KEY = settings.OPENAI_BASE_URL = settings.DEFAULT_MODEL = ""
    settings.ANTHROPIC_API_KEY = settings.ANTHROPIC_BASE_URL = ""
    return settings


@pytest.fixture
def keys(no_keys: Any) -> Any:
    no_keys.OPENAI_API_KEY = no_keys.ANTHROPIC_API_KEY = "sk-of-the-tests"
    return no_keys


def test_a_known_model_is_priced_and_the_source_named(no_keys):
    counted: Any = {
        "input_tokens": 1000,
        "output_tokens": 100,
        "total_tokens": 1100,
        "input_token_details": {"cache_read": 500},
    }

    usage = prices.usage(OPENAI, counted, "gpt-4o-2024-08-06")

    assert usage.cost == Decimal("0.002875")
    assert usage.cost_source
    assert usage.cost_source.startswith("genai-prices ")
    assert usage.as_json()["cost"] == "0.002875"
    assert prices.usage(ANTHROPIC, counted, "").cost
    assert prices.usage("openai:nobody-knows-it", counted, "").cost is None


def test_a_known_model_on_somebody_elses_server_has_their_price_or_none(no_keys):
    counted: Any = {"input_tokens": 1000, "output_tokens": 100, "total_tokens": 1100}

    no_keys.OPENAI_BASE_URL = "http://localhost:8000/v1"
    assert prices.usage(OPENAI, counted, "gpt-4o").cost is None
    no_keys.OPENAI_BASE_URL = "https://openrouter.ai/api/v1"
    assert prices.usage("openai:openai/gpt-4o", counted, "").cost == Decimal("0.0035")


def test_the_operators_own_price_goes_before_all_tables(no_keys):
    no_keys.OPENAI_BASE_URL = "http://localhost:8000/v1"
    no_keys.MODEL_PRICES = {
        OPENAI: (Decimal("1.5"), Decimal(4)),
        "openai:mine": (Decimal(0),) * 2,
    }
    counted: Any = {"input_tokens": 1000, "output_tokens": 100, "total_tokens": 1100}

    usage = prices.usage(OPENAI, counted, "gpt-4o-2024-08-06")

    assert (usage.cost, usage.cost_source) == (Decimal("0.0019"), "MODEL_PRICES")
    assert prices.usage("openai:mine", counted, "").cost == 0
    assert prices.usage("openai:other", counted, "").cost is None


@pytest.mark.parametrize("stated", ["0", "1/", "free/free", "-1/2", "1/2/3", "nan/1", "1e3/1"])
def test_a_price_that_is_none_stops_the_program_with_its_name(stated):
    with pytest.raises(EnvError, match="MODEL_PRICES"):
        ours._dollars(stated)


def test_prices_are_dollars_in_and_out():
    assert ours._dollars(" 2.50/10 ") == (Decimal("2.5"), Decimal(10))


# --- bounds ------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [OPENAI, ANTHROPIC])
def test_a_bound_is_above_whatever_the_call_can_use(keys, model):
    text = "Ein Satz mit Umlauten: äöü 漢字 😀. " * 50
    messages = [SystemMessage("Be brief."), HumanMessage(text)]

    bound = llm.bound(model, messages, max_tokens=500)

    given = len(text.encode()) + len(b"Be brief.")
    dearest: Any = {
        "input_tokens": given,
        "output_tokens": 500,
        "total_tokens": given + 500,
        "input_token_details": {"cache_creation": given},
    }
    assert bound.tokens > given + 500
    assert bound.cost is not None
    assert bound.cost >= prices.usage(model, dearest, "").cost


def test_a_form_is_part_of_what_is_sent(keys):
    schema = {"type": "object", "description": "x" * 5_000}

    without = llm.bound(OPENAI, [HumanMessage("Go.")], max_tokens=10)
    with_form = llm.bound(OPENAI, [HumanMessage("Go.")], max_tokens=10, schema=schema)

    assert with_form.tokens > without.tokens + 5_000
    assert with_form.cost > without.cost


def test_the_bound_of_a_model_without_a_price_has_tokens_alone(keys):
    bound = llm.bound("openai:nobody-knows-it", [], max_tokens=10)

    assert bound.tokens > 10
    assert bound.cost is None


def test_a_stated_price_bounds_a_model_that_no_table_knows(keys):
    keys.MODEL_PRICES = {"openai:mine": (Decimal(1), Decimal(2))}

    bound = llm.bound("openai:mine", [], max_tokens=1_000_000)

    assert bound.cost is not None
    assert 2 < bound.cost < Decimal("2.01")


def test_a_bound_of_a_name_that_means_nothing_is_refused(keys):
    with pytest.raises(errors.ModelUnknown):
        llm.bound("nobody:x", [], max_tokens=1)


@given(st.text(max_size=300), st.integers(1, 300))
async def test_the_scripted_model_keeps_within_its_bound_and_costs_nothing(text, most):
    messages = [HumanMessage(text + ".")]

    bound = llm.bound("demo:instant", messages, max_tokens=most)
    used = (await llm.call("demo:instant", messages, max_tokens=most)).usage

    assert used.input_tokens is not None
    assert used.output_tokens is not None
    assert used.input_tokens + used.output_tokens <= bound.tokens
    assert bound.cost == used.cost == 0
