"""What a critic decides: by its score, its limits, and what the loop still gains."""

import json
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest

from runtime import errors, llm, nodes
from runtime.nodes import asking, progress
from tests import provider
from tests.speech import Answer
from tests.steps import REAL, served, state, work

CRITIC = nodes.Node(
    "k1", kind="critic", system_prompt="You judge.", settings=nodes.CriticSettings()
)


@pytest.fixture
async def server(settings: Any) -> AsyncIterator[provider.Server]:
    async with served(settings) as server:
        yield server


def critic(**settings: Any) -> nodes.Node:
    return nodes.Node("k1", kind="critic", settings=nodes.CriticSettings(**settings))


def review(score: float, feedback: str = "It drags.", verdict: str = "revise") -> Answer:
    return Answer(json.dumps({"feedback": feedback, "score": score, "verdict": verdict}))


async def test_the_scripted_council_revises_once_and_is_approved():
    at = state(current_draft="First.", iteration_count=1)
    low, said = await work(CRITIC, at)
    at = state(current_draft="Second.", iteration_count=2, rounds_reviewed=1)
    high, _ = await work(CRITIC, at)

    assert low.output["decision"] == "revise"
    assert said == low.output["feedback"]
    assert high.output["decision"] == "approve"
    assert high.output["score"] >= 8 > low.output["score"]


async def test_a_critic_writes_its_score_decision_and_feedback(server):
    server.then(review(6.5))
    at = state(current_draft="First.", iteration_count=1)

    result, said = await work(CRITIC, at, REAL)

    assert said == "It drags."
    assert result.updates == {
        "critic_score": 6.5,
        "route_decision": "revise",
        "decisions": {"k1": "revise"},
        "scores": [{"node": "k1", "iteration": 1, "score": 6.5}],
        "feedback_history": ["It drags."],
        "rounds_reviewed": 1,
        "first_judged": {"k1": 1},
        "messages": [{"node": "k1", "role": "critic", "content": "It drags.", "iteration": 1}],
    }
    assert result.output == {
        "score": 6.5,
        "verdict": "revise",
        "feedback": "It drags.",
        "decision": "revise",
    }


@pytest.mark.parametrize(
    ("score", "threshold", "decision"),
    [(8, 8, "approve"), (7.9, 8, "revise"), (0, 0, "approve"), (9.5, 10, "revise")],
)
async def test_the_score_decides_and_not_the_verdict(server, score, threshold, decision):
    opposite = "revise" if decision == "approve" else "approve"
    server.then(review(score, verdict=opposite))

    result, _ = await work(critic(threshold=threshold), state(iteration_count=1), REAL)

    assert (result.output["decision"], result.output["verdict"]) == (decision, opposite)


@pytest.mark.parametrize(
    ("iteration", "first", "decision"),
    [(4, 1, "revise"), (5, 1, "limit"), (6, 1, "limit"), (6, 4, "revise"), (8, 4, "limit")],
)
async def test_the_limit_counts_from_the_first_draft_that_this_critic_saw(
    server, iteration, first, decision
):
    server.then(review(7.5))
    at = state(iteration_count=iteration, first_judged={"k1": first, "another": 1})

    result, _ = await work(critic(maxIterations=5), at, REAL)

    assert result.output["decision"] == decision
    assert result.output["score"] == 7.5


async def test_a_critic_with_one_iteration_is_at_its_limit_at_once(server):
    server.then(review(7))

    result, _ = await work(critic(maxIterations=1), state(iteration_count=1), REAL)

    assert result.output["decision"] == "limit"


@pytest.mark.parametrize(("limit", "decision"), [(3, "revise"), (2, "limit"), (1, "limit")])
async def test_of_its_own_limit_and_the_runs_a_critic_takes_the_smaller(
    server, limit, decision
):
    server.then(review(7))
    at = state(iteration_count=2, first_judged={"k1": 1})
    step = nodes.Step(critic(maxIterations=5), at, REAL, print, limit=limit)

    result = await nodes.KINDS["critic"].run(step)

    assert result.output["decision"] == decision


def scores(*known: float, node: str = "k1") -> list[nodes.state.Score]:
    return [
        {"node": node, "iteration": number, "score": score}
        for number, score in enumerate(known, 1)
    ]


@pytest.mark.parametrize(
    ("known", "score", "decision"),
    [
        ((), 5, "revise"),
        ((5,), 5, "revise"),
        ((5, 5.2), 5.4, "no_gain"),
        ((5, 6), 6.1, "revise"),
        ((5, 5.1), 6, "revise"),
        ((4, 5, 5.5), 6, "revise"),
        ((7, 6), 5, "no_gain"),
        ((7.9, 7.9), 8, "approve"),
    ],
)
async def test_a_score_that_gains_too_little_twice_in_a_row_ends_the_loop(
    server, known, score, decision
):
    server.then(review(score))
    at = state(iteration_count=len(known) + 1, scores=scores(*known))

    result, _ = await work(critic(minGain=0.5), at, REAL)

    assert result.output["decision"] == decision
    assert result.updates["decisions"] == {"k1": decision}


async def test_a_draft_that_is_judged_again_in_its_iteration_has_its_last_score(server):
    server.then(review(6))
    again = [*scores(4, 5), {"node": "k1", "iteration": 2, "score": 5.0}]
    other = scores(6, 6, 6, node="k2")

    result, _ = await work(
        critic(minGain=0.5), state(iteration_count=3, scores=again + other), REAL
    )

    assert result.output["decision"] == "revise"


TEN_WORDS = "one two three four five six seven eight nine ten"


def judged(*drafts: str) -> list[nodes.Message]:
    """What was said when each of these drafts but the last has been judged."""
    said: list[nodes.Message] = []
    for number, draft in enumerate(drafts, 1):
        said.append({"node": "d1", "role": "draft", "content": draft, "iteration": number})
        said.append({"node": "k1", "role": "critic", "content": "No.", "iteration": number})
    return said[:-1]


@pytest.mark.parametrize(
    ("draft", "decision"),
    [
        (TEN_WORDS, "no_change"),
        (TEN_WORDS.replace("ten", "eleven"), "no_change"),
        (TEN_WORDS.replace("nine ten", "9 10"), "revise"),
        ("all of it is new", "revise"),
    ],
)
async def test_a_draft_that_is_nearly_the_same_ends_the_loop(server, draft, decision):
    server.then(review(6))
    at = state(iteration_count=2, current_draft=draft, messages=judged(TEN_WORDS, draft))

    result, _ = await work(critic(minChange=0.15), at, REAL)

    assert result.output["decision"] == decision


async def test_what_a_person_made_of_a_draft_is_what_the_next_is_compared_with(server):
    server.then(review(6), review(6))
    by_hand: nodes.Message = {
        "node": "d1",
        "role": "draft",
        "content": "wholly different words",
        "iteration": 1,
    }
    one, judgement, other = judged(TEN_WORDS, TEN_WORDS)
    before = state(
        iteration_count=2, current_draft=TEN_WORDS, messages=[one, by_hand, judgement, other]
    )
    after = state(
        iteration_count=2,
        current_draft="wholly different words",
        messages=[one, judgement, other, by_hand],
    )

    first, _ = await work(critic(minChange=0.1), before, REAL)
    second, _ = await work(critic(minChange=0.1), after, REAL)

    assert (first.output["decision"], second.output["decision"]) == ("revise", "revise")


async def test_a_draft_that_is_judged_again_is_not_compared_with_itself(server):
    server.then(review(6))
    said = [*judged("an old draft", TEN_WORDS), judged("", "")[1] | {"iteration": 2}]
    at = state(iteration_count=2, current_draft=TEN_WORDS, messages=said)

    result, _ = await work(critic(minChange=0.5), at, REAL)

    assert result.output["decision"] == "revise"


async def test_a_first_draft_is_compared_with_nothing(server):
    server.then(review(6))
    at = state(iteration_count=1, current_draft=TEN_WORDS, messages=judged(TEN_WORDS))

    result, _ = await work(critic(minChange=1.0), at, REAL)

    assert result.output["decision"] == "revise"


@pytest.mark.parametrize(
    ("old", "new", "share"),
    [("", "", 0), ("a b", "b a", 0), ("a b", "c d", 1), ("a a a b", "a b b b", 0.5)],
)
def test_change_is_the_share_of_words_that_the_other_has_not(old, new, share):
    assert progress.change(old, new) == share


async def test_at_the_limit_a_good_draft_is_approved(server):
    server.then(review(8))

    result, _ = await work(critic(maxIterations=1), state(iteration_count=1), REAL)

    assert result.output["decision"] == "approve"


async def test_an_unreadable_answer_is_asked_for_once_more(server):
    server.then(Answer("I rather like it."), review(9, "Good."))

    result, said = await work(CRITIC, state(current_draft="x", iteration_count=1), REAL)

    assert result.output["score"] == 9
    assert said == "I rather like it.\n\nGood."
    first, second = server.requests
    *before, answer, complaint = second.body["messages"]
    assert before == first.body["messages"]
    assert (answer["role"], answer["content"]) == ("assistant", "I rather like it.")
    assert "it has no score" in complaint["content"]


async def test_two_unreadable_answers_are_a_stated_fault(server):
    server.then(Answer("I like it."), Answer("Score: 7 or 8"), review(9))

    with pytest.raises(errors.Fault) as fault:
        await work(CRITIC, state(current_draft="x", iteration_count=1), REAL)

    assert fault.value.code == "critic_unreadable"
    assert not isinstance(fault.value, errors.ModelFault)
    assert "Score: 7 or 8" not in fault.value.message
    assert len(server.requests) == 2


async def test_both_answers_are_paid_for(server):
    server.then(Answer("I like it."), review(9), review(9))
    at = state(current_draft="x", iteration_count=1)

    twice, _ = await work(CRITIC, at, REAL)
    once, _ = await work(CRITIC, at, REAL)

    assert once.usage.output_tokens is not None
    assert twice.usage.output_tokens is not None
    assert twice.usage.output_tokens > once.usage.output_tokens


@pytest.mark.parametrize("unknown", ["input_tokens", "output_tokens", "cost"])
def test_of_a_sum_with_an_unknown_part_nothing_is_claimed(unknown):
    known = {
        "input_tokens": 3,
        "output_tokens": 4,
        "cost": Decimal(1),
        "cost_source": "a table",
    }
    whole = llm.Usage(**known)

    total = asking.total([whole, llm.Usage(**known | {unknown: None})]).as_json()

    assert total.pop(unknown) is None
    assert asking.total([whole, whole]).cost == 2
