"""Models by name: the real clients against a provider that has every kind of bad day."""

import asyncio
import gc
import json
import logging
from collections.abc import AsyncIterator
from typing import Any, Literal

import pytest
from langchain_core.messages import HumanMessage, SystemMessage
from pydantic import BaseModel, Field

from runtime import errors, llm
from runtime.llm import concessions, via_anthropic, via_openai
from tests import provider, speech
from tests.speech import Answer

OPENAI, ANTHROPIC = "openai:gpt-4o", "anthropic:claude-sonnet-5"
both = pytest.mark.parametrize("model", [OPENAI, ANTHROPIC])
QUESTION = [SystemMessage("You are brief. PROMPT-SECRET"), HumanMessage("Why the sky is blue")]
KEY = "sk-operator-secret"
PATIENCE = 5.0  # seconds for what should happen at once


class Review(BaseModel):
    """A critic's judgement."""

    score: float = Field(ge=0, le=10)
    verdict: Literal["revise", "approve"]
    feedback: str = ""


REVIEW = '{"score": 8.5, "verdict": "approve", "feedback": "Good."}'


@pytest.fixture
async def server(settings: Any) -> AsyncIterator[provider.Server]:
    """A provider that both kinds of client are set up for."""
    async with provider.serve() as server:
        settings.OPENAI_API_KEY = settings.ANTHROPIC_API_KEY = KEY
        settings.OPENAI_BASE_URL = server.url
        settings.ANTHROPIC_BASE_URL = server.root
        settings.MODEL_TIMEOUT_SECONDS = 10.0
        yield server
        await llm.close()
        concessions.forget()


@pytest.fixture
def no_keys(settings: Any) -> Any:
    settings.OPENAI_API_KEY = settings.OPENAI_BASE_URL = settings.DEFAULT_MODEL = ""
    settings.ANTHROPIC_API_KEY = settings.ANTHROPIC_BASE_URL = ""
    return settings


async def fault_of(model: str, **wish: Any) -> errors.ModelFault:
    with pytest.raises(errors.ModelFault) as caught:
        await llm.call(model, QUESTION, **wish)
    return caught.value


# --- names -----------------------------------------------------------------------------


def test_without_any_key_the_default_is_the_scripted_model(no_keys):
    assert llm.resolve("") == "demo:council"


def test_the_default_is_that_of_the_first_provider_with_a_key(no_keys):
    no_keys.OPENAI_DEFAULT_MODEL, no_keys.ANTHROPIC_DEFAULT_MODEL = "one", "other"
    no_keys.ANTHROPIC_API_KEY = KEY
    assert llm.resolve("") == "anthropic:other"

    no_keys.OPENAI_API_KEY = KEY
    assert llm.resolve("") == "openai:one"


def test_the_operators_default_model_wins_over_the_providers(no_keys):
    no_keys.OPENAI_API_KEY = KEY
    no_keys.DEFAULT_MODEL = "demo:instant"
    assert llm.resolve("") == "demo:instant"


def test_a_default_that_nobody_configured_is_refused(no_keys):
    no_keys.DEFAULT_MODEL = "openai:gpt-4o"
    with pytest.raises(errors.ModelNotConfigured):
        llm.resolve("")


def test_the_names_of_older_clients_are_aliases(no_keys):
    no_keys.OPENAI_API_KEY = no_keys.ANTHROPIC_API_KEY = KEY
    assert llm.resolve("gpt-4o") == "openai:gpt-4o"
    assert llm.resolve("local") == "openai:local"
    assert llm.resolve("claude-3-5-sonnet").startswith("anthropic:")


@pytest.mark.parametrize(
    "name", ["gpt-5", "nobody:gpt", "openai:", ":x", "openai: x", "openai:a\nb", "demo:other"]
)
def test_a_name_that_means_nothing_is_unknown(no_keys, name):
    no_keys.OPENAI_API_KEY = KEY
    with pytest.raises(errors.ModelUnknown) as caught:
        llm.resolve(name)
    assert caught.value.detail == {"model": name}


@pytest.mark.parametrize("name", [OPENAI, ANTHROPIC])
def test_a_provider_without_a_key_is_not_configured(no_keys, name):
    with pytest.raises(errors.ModelNotConfigured) as caught:
        llm.resolve(name)
    assert caught.value.detail["model"] == name


def test_a_base_url_needs_no_key(no_keys):
    no_keys.OPENAI_BASE_URL = "http://localhost:11434/v1"
    assert llm.resolve("openai:qwen3:8b") == "openai:qwen3:8b"


# --- answers ---------------------------------------------------------------------------


@both
async def test_text_arrives_in_pieces_and_whole(server, model):
    server.then(Answer("Blue light is scattered most."))
    pieces: list[str] = []

    reply = await llm.call(model, QUESTION, on_text=pieces.append)

    assert pieces == ["Blue", " light", " is", " scattered", " most."]
    assert reply.text == "Blue light is scattered most."
    assert (reply.model, reply.scripted) == (model, False)


@both
async def test_the_request_carries_the_operators_key_and_what_was_asked_for(server, model):
    await llm.call(model, QUESTION, temperature=0.3, max_tokens=77)

    (request,) = server.requests
    assert KEY in (
        request.headers.get("authorization", "") + request.headers.get("x-api-key", "")
    )
    assert request.body["temperature"] == 0.3
    assert request.body["max_tokens"] == 77
    assert request.body["stream"] is True


async def test_a_local_server_gets_no_key_of_the_environment(server, settings, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-environment")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    settings.OPENAI_API_KEY = ""

    await llm.call("openai:local", QUESTION)

    assert "environment" not in server.requests[0].headers["authorization"]


async def test_without_a_base_url_of_the_operator_the_environment_is_not_asked_for_one(
    settings, monkeypatch
):
    for name in (
        "OPENAI_BASE_URL",
        "OPENAI_API_BASE",
        "ANTHROPIC_BASE_URL",
        "ANTHROPIC_API_URL",
    ):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    settings.OPENAI_BASE_URL = settings.ANTHROPIC_BASE_URL = ""

    openai: Any = via_openai.chat("x", temperature=None)
    anthropic: Any = via_anthropic.chat("x", temperature=None)

    assert openai.root_async_client.base_url.host == "api.openai.com"
    assert anthropic._async_client.base_url.host == "api.anthropic.com"


@both
async def test_a_redirect_does_not_take_the_key_elsewhere(server, model):
    async with provider.serve() as elsewhere:
        server.then(Answer(status=307, location=elsewhere.url))

        fault = await fault_of(model)

        assert (fault.code, fault.transient) == ("model_refused_request", False)
        assert elsewhere.connections == 0


async def test_usage_behind_an_unknown_base_url_has_tokens_and_no_price(server):
    server.then(Answer("one two three"))

    usage = (await llm.call(OPENAI, QUESTION)).usage

    assert usage.output_tokens == 3
    assert usage.input_tokens
    assert (usage.cost, usage.cost_source) == (None, None)


async def test_a_server_that_counts_no_tokens_leaves_them_unknown(server):
    server.then(Answer(usage=False))

    usage = (await llm.call(OPENAI, QUESTION)).usage

    assert usage == llm.Usage(None, None, None, None)


async def test_nul_and_half_surrogates_become_replacement_characters(server):
    server.then(Answer("a\x00b \ud83d c"))
    pieces: list[str] = []

    reply = await llm.call(OPENAI, QUESTION, on_text=pieces.append)

    assert reply.text == "a\ufffdb \ufffd c"
    assert "".join(pieces) == reply.text


async def test_a_sign_that_the_provider_cut_in_two_is_whole_again(server):
    server.then(Answer("well \ud83d\ude00 done \ud83d"))
    pieces: list[str] = []

    reply = await llm.call(OPENAI, QUESTION, on_text=pieces.append)

    assert reply.text == "well 😀 done \ufffd"
    assert "".join(pieces) == "well 😀 done "


def test_clean_keeps_what_can_be_stored():
    assert llm.clean("é 漢 😀\n\t") == "é 漢 😀\n\t"


async def test_an_answer_cut_at_its_token_limit_is_still_an_answer(server):
    server.then(Answer("as far as it went", finish="length"))
    assert (await llm.call(OPENAI, QUESTION, schema=Review)).text == "as far as it went"


async def test_what_the_listener_raises_is_passed_on_and_ends_the_call(server):
    server.then(Answer("a b c", hangs_at=2))

    def listener(_: str) -> None:
        raise errors.RunLost

    with pytest.raises(errors.RunLost):
        await llm.call(OPENAI, QUESTION, on_text=listener)
    async with asyncio.timeout(PATIENCE):
        await server.requests[0].left.wait()


# --- answers in a schema ---------------------------------------------------------------


async def test_openai_is_asked_for_the_schema_strictly(server):
    server.then(Answer(REVIEW))

    reply = await llm.call(OPENAI, QUESTION, schema=Review)

    assert Review.model_validate_json(reply.text).score == 8.5
    asked = server.requests[0].body["response_format"]
    assert asked["type"] == "json_schema"
    assert asked["json_schema"]["strict"] is True
    assert asked["json_schema"]["schema"]["required"] == ["score", "verdict", "feedback"]
    assert "default" not in json.dumps(asked)


async def test_anthropic_is_asked_by_its_own_structured_output(server):
    server.then(Answer(REVIEW))

    reply = await llm.call(ANTHROPIC, QUESTION, schema=Review)

    assert Review.model_validate_json(reply.text).verdict == "approve"
    asked = server.requests[0].body["output_config"]["format"]
    assert asked["type"] == "json_schema"
    assert asked["schema"]["additionalProperties"] is False


@both
async def test_a_server_without_structured_output_is_asked_in_words_and_remembered(
    server, model
):
    server.behave = provider.without_structured_output

    await llm.call(model, QUESTION, schema=Review)
    await llm.call(model, QUESTION, schema=Review)

    assert [request.structured for request in server.requests] == [True, False, False]
    plain = server.requests[1]
    assert len(plain.body["messages"]) == len(server.requests[0].body["messages"])
    assert "JSON schema" in plain.text
    assert "verdict" in plain.text


async def test_a_refusal_for_another_reason_teaches_nothing(server):
    server.then(Answer(status=400), Answer(status=400), Answer(REVIEW))

    fault = await fault_of(OPENAI, schema=Review)
    await llm.call(OPENAI, QUESTION, schema=Review)

    assert fault.code == "model_refused_request"
    assert [request.structured for request in server.requests] == [True, False, True]


async def test_a_model_that_takes_no_temperature_is_asked_without(server):
    server.then(Answer(status=400, param="temperature"))

    await llm.call(OPENAI, QUESTION, temperature=0.2, schema=Review)
    await llm.call(OPENAI, QUESTION, temperature=0.2)

    assert ["temperature" in request.body for request in server.requests] == [
        True,
        False,
        False,
    ]
    assert server.requests[1].structured


OWN = {
    "type": "object",
    "properties": {"who": {"type": "string", "default": "me"}},
    "additionalProperties": {"type": "integer"},
}


async def test_a_json_schema_of_ones_own_is_sent_as_it_is(server):
    await llm.call(OPENAI, QUESTION, schema=OWN)
    await llm.call(ANTHROPIC, QUESTION, schema=OWN)

    openai, anthropic = server.requests
    form = openai.body["response_format"]["json_schema"]
    assert (form["schema"], form["strict"]) == (OWN, False)
    assert anthropic.body["output_config"]["format"]["schema"]["properties"]["who"]


async def test_a_json_schema_that_a_provider_cannot_say_is_left_to_the_words(server):
    await llm.call(ANTHROPIC, QUESTION, schema={"type": "object", "properties": {"x": {}}})

    assert not server.requests[0].structured


@both
async def test_a_json_schema_is_asked_for_in_words_where_there_is_no_other_way(server, model):
    server.behave = provider.without_structured_output

    await llm.call(model, QUESTION, schema=OWN)

    assert json.dumps(OWN) in server.requests[1].body["messages"][-1]["content"]


# --- bad days --------------------------------------------------------------------------


@both
@pytest.mark.parametrize(
    ("answer", "code", "transient"),
    [
        (Answer(status=401), "model_auth", False),
        (Answer(status=403), "model_auth", False),
        (Answer(status=404), "model_not_found", False),
        (Answer(status=429), "model_rate_limited", True),
        (Answer(status=429, code="insufficient_quota"), "model_rate_limited", False),
        (Answer(status=402), "model_rate_limited", False),
        (Answer(status=400), "model_refused_request", False),
        (Answer(status=400, code="context_length_exceeded"), "model_refused_request", False),
        (Answer(status=413), "model_refused_request", False),
        (Answer(status=408), "model_timeout", True),
        (Answer(status=500), "model_unavailable", True),
        (Answer(status=503), "model_unavailable", True),
        (Answer(status=529), "model_unavailable", True),
        (Answer(cut_at=0), "model_unavailable", True),
        (Answer(cut_at=3), "model_unavailable", True),
        (Answer(ends_at=0), "model_unavailable", True),
        (Answer(ends_at=3), "model_unavailable", True),
        (Answer(garbled_at=0), "model_unavailable", True),
        (Answer(garbled_at=2), "model_unavailable", True),
        (Answer(fails_at=0), "model_unavailable", True),
        (Answer(fails_at=2), "model_unavailable", True),
        (Answer(fails_at=1, code="rate_limit_error"), "model_rate_limited", True),
        (Answer(""), "model_unavailable", True),
        (Answer(" \n"), "model_unavailable", True),
        (Answer("", finish="length"), "model_unavailable", False),
        (Answer("I", finish="content_filter"), "model_refused_request", False),
    ],
    ids=str,
)
async def test_every_bad_answer_is_a_stated_outcome(
    server, caplog, model, answer, code, transient
):
    server.then(answer)

    fault = await fault_of(model)

    assert (fault.code, fault.transient) == (code, transient)
    assert model in fault.message
    assert len(server.requests) == 1, "trying again is for others to decide"
    for secret in (KEY, speech.SECRET, "PROMPT-SECRET", "words"):
        assert secret not in fault.message + caplog.text


@both
@pytest.mark.parametrize("hangs_at", [-1, 0, 2])
async def test_a_hanging_server_is_a_timeout(server, settings, model, hangs_at):
    settings.MODEL_TIMEOUT_SECONDS = 0.5
    server.then(Answer(hangs_at=hangs_at))

    fault = await fault_of(model)

    assert (fault.code, fault.transient) == ("model_timeout", True)
    async with asyncio.timeout(PATIENCE):
        await server.requests[0].left.wait()


async def test_silence_in_the_middle_is_given_less_time_than_the_whole_answer(server, settings):
    settings.MODEL_TIMEOUT_SECONDS = 2.0
    server.then(Answer(hangs_at=2))

    async with asyncio.timeout(1.8):
        assert (await fault_of(OPENAI)).code == "model_timeout"


async def test_an_answer_that_trickles_without_end_meets_the_limit_of_the_whole_call(
    server, settings
):
    settings.MODEL_TIMEOUT_SECONDS = 0.5
    server.then(Answer("word " * 1000, every=0.02))

    assert (await fault_of(OPENAI)).code == "model_timeout"


@both
async def test_a_server_that_is_not_there_is_unavailable(server, settings, model):
    settings.OPENAI_BASE_URL = settings.ANTHROPIC_BASE_URL = "http://127.0.0.1:9"
    fault = await fault_of(model)
    assert (fault.code, fault.transient) == ("model_unavailable", True)


async def test_the_log_names_class_and_status_of_what_went_wrong(server, caplog):
    server.then(Answer(status=429))

    with caplog.at_level(logging.WARNING):
        fault = await fault_of(OPENAI)

    assert "RateLimitError, HTTP status 429" in caplog.text
    assert type(fault.__cause__).__name__ == "OpenAIRateLimitError"


# --- cancelling, and many at once --------------------------------------------------------


@both
@pytest.mark.parametrize("hangs_at", [-1, 0, 2])
async def test_cancelling_closes_the_connection_at_once(server, model, hangs_at):
    server.then(Answer(hangs_at=hangs_at))
    call = asyncio.create_task(llm.call(model, QUESTION))
    async with asyncio.timeout(PATIENCE):
        request = await server.arrived.get()
        await request.under_way.wait()

        call.cancel()

        with pytest.raises(asyncio.CancelledError):
            await call
        await request.left.wait()


async def test_hundreds_of_calls_run_at_once(server):
    server.behave = lambda _: Answer("one two three", every=0.05)

    async with asyncio.timeout(30):
        replies = await asyncio.gather(*(llm.call(OPENAI, QUESTION) for _ in range(300)))

    assert {reply.text for reply in replies} == {"one two three"}
    assert server.connections > 200, "they waited for one another's connections"


async def test_calls_one_after_another_share_a_connection(server):
    for _ in range(5):
        await llm.call(OPENAI, QUESTION)
        await llm.call(ANTHROPIC, QUESTION)
    assert server.connections == 1


@pytest.mark.filterwarnings("error::ResourceWarning")
def test_each_event_loop_has_connections_of_its_own(settings):
    async def one_life() -> str:
        async with provider.serve() as server:
            settings.OPENAI_BASE_URL = server.url
            reply = await llm.call(OPENAI, QUESTION)
            await llm.close()
            return reply.text

    assert asyncio.run(one_life()) == asyncio.run(one_life())
    gc.collect()


@both
async def test_the_providers_council_scores_a_first_draft_low_and_a_revised_one_high(
    server, model
):
    server.behave = provider.council
    texts = ["Topic"]
    for schema in (None, Review, None, Review):
        reply = await llm.call(model, [HumanMessage(texts[-1])], schema=schema)
        texts.append(reply.text)

    assert [json.loads(texts[2])["score"], json.loads(texts[4])["score"]] == [6.5, 8.5]


def test_a_name_that_no_column_has_room_for_is_refused_like_any_other(settings):
    settings.OPENAI_API_KEY = "sk-test"
    assert llm.resolve("openai:" + "m" * 193)
    with pytest.raises(errors.ModelUnknown):
        llm.resolve("openai:" + "m" * 194)
