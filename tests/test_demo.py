"""The scripted model: the same words every time, and no pretending."""

import json
import time

import pytest
from langchain_core.messages import HumanMessage, SystemMessage
from pydantic import BaseModel

from runtime import llm
from runtime.llm import demo, script


class Review(BaseModel):
    score: float
    verdict: str
    feedback: str


def asking(kind, iteration=1, **more):
    hints = {"kind": kind, "iteration": iteration, "topic": "Fewer meetings", **more}
    return [SystemMessage("You work.", additional_kwargs=hints), HumanMessage("Go on.")]


@pytest.mark.parametrize("kind", ["draft", "writer", "something else"])
async def test_every_text_says_that_it_is_scripted_and_keeps_to_the_topic(kind):
    reply = await llm.call("demo:instant", asking(kind))

    assert reply.scripted
    assert reply.text.startswith("[Scripted demo model: no AI wrote this.] ")
    assert "Fewer meetings" in reply.text
    assert 80 <= len(reply.text.split()) <= 150


async def test_a_second_draft_is_another_one_and_mentions_the_feedback():
    first = await llm.call("demo:instant", asking("draft"))
    second = await llm.call("demo:instant", asking("draft", 2))
    told = await llm.call("demo:instant", asking("draft", 2, feedback="Too long."))

    assert first.text != second.text
    assert "feedback" in second.text
    assert "Too long" in told.text


async def test_the_critic_scores_a_first_draft_low_and_a_second_high():
    replies = [
        await llm.call("demo:instant", asking("critic", n), schema=Review) for n in (1, 2, 3)
    ]

    reviews = [Review.model_validate_json(reply.text) for reply in replies]
    assert [review.score for review in reviews] == [6.5, 8.5, 8.5]
    assert [review.verdict for review in reviews] == ["revise", "approve", "approve"]
    assert all(review.feedback.startswith(script.LABEL) for review in reviews)


async def test_without_a_schema_the_critic_answers_in_words():
    reply = await llm.call("demo:instant", asking("critic"))
    assert reply.text.startswith("**SCORE:** 6.5/10")
    assert "[Scripted demo model" in reply.text


async def test_the_same_question_has_the_same_answer_at_every_speed(settings):
    settings.DEMO_TOKENS_PER_SECOND = 2000.0
    slow: list[str] = []
    instant: list[str] = []

    one = await llm.call("demo:council", asking("draft"), on_text=slow.append)
    other = await llm.call("demo:instant", asking("draft"), on_text=instant.append)

    assert one.text == other.text == "".join(slow) == "".join(instant)
    assert len(slow) == len(one.text.split()), "a piece for each token"
    assert len(instant) > 3, "still in pieces"


async def test_tokens_come_at_the_speed_that_is_set(settings):
    settings.DEMO_TOKENS_PER_SECOND = 400.0
    begun = time.monotonic()

    reply = await llm.call("demo:council", asking("draft"))

    due = len(reply.text.split()) / 400.0
    assert due <= time.monotonic() - begun < due + 1.0


async def test_the_members_of_a_council_differ_and_say_that_they_are_scripted():
    replies = [await llm.call("demo:instant", asking("answer", member=n)) for n in (1, 2, 3)]

    texts = {reply.text for reply in replies}
    assert len(texts) == 3
    for text in texts:
        assert text.startswith(script.LABEL)
        assert "Fewer meetings" in text
        assert 80 <= len(text.split()) <= 150


@pytest.mark.parametrize(
    ("kind", "hints", "fields"),
    [
        ("answer", {"choices": ["yes", "no"]}, {"reason", "choice"}),
        ("router", {"choices": ["on", "off"]}, {"reason", "choice"}),
        ("review", {"letters": ["A", "B"]}, {"assessments", "ranking"}),
        ("synthesis", {}, {"text", "dissent"}),
        ("critic", {}, {"score", "verdict", "feedback"}),
    ],
)
async def test_it_answers_every_kind_of_node_in_its_form(kind, hints, fields):
    reply = await llm.call("demo:instant", asking(kind, **hints), schema=Review)

    assert json.loads(reply.text).keys() == fields
    assert script.LABEL.strip() in reply.text


async def test_voters_do_not_all_agree():
    chosen = [
        json.loads(
            (
                await llm.call(
                    "demo:instant",
                    asking("answer", member=n, choices=["yes", "no"]),
                    schema=Review,
                )
            ).text
        )["choice"]
        for n in (1, 2, 3)
    ]

    assert chosen == ["yes", "yes", "no"]


async def test_a_form_that_the_script_does_not_know_is_filled_in_with_its_text():
    reply = await llm.call("demo:instant", asking("of another app"), schema=Review)

    found = Review.model_validate_json(reply.text)
    assert found.feedback.startswith(script.LABEL)


async def test_an_answer_is_no_longer_than_asked_for():
    reply = await llm.call("demo:instant", asking("draft"), max_tokens=10)

    assert len(reply.text.split()) == 10
    assert reply.usage.output_tokens == 10


async def test_its_tokens_are_counted_and_cost_nothing():
    reply = await llm.call("demo:instant", asking("draft"))

    assert reply.usage.as_json() == {
        "input_tokens": 4,
        "output_tokens": len(reply.text.split()),
        "cost": "0",
        "cost_source": "scripted demo model, free",
        "calls": 1,
    }


async def test_without_a_hint_the_question_is_the_topic():
    reply = await llm.call("demo:instant", [HumanMessage("A shed for {two} bicycles")])
    assert "A shed for {two} bicycles" in reply.text


async def test_a_very_long_topic_is_quoted_in_short():
    reply = await llm.call("demo:instant", asking("writer", topic="very " * 2000))
    assert len(reply.text) < 1200


def test_it_works_as_an_ordinary_chat_model_too():
    message = demo.Scripted().invoke(asking("critic"), as_json=True)
    assert json.loads(str(message.text))["score"] == 6.5
