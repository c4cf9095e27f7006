"""Peer review: nobody is told whose words they are, and the log can tell it afterwards."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime import blueprints, errors, nodes, shipped
from runtime.blueprints import compiler
from runtime.nodes import anonymity
from runtime.nodes.review import ReviewSettings
from tests import provider
from tests.speech import Answer
from tests.steps import REAL, Model, served, state, work

MODELS = {
    "optimist_1": "openai:gpt-4o",
    "Dr. Bell": "anthropic:claude-sonnet-5",
    "pro": "openai:meta-llama/Llama-3.1:8b",
}
UPSTREAM = (
    nodes.Upstream("optimist_1", "answer", "The bright side", "openai:gpt-4o"),
    nodes.Upstream("Dr. Bell", "answer", "Physician", "anthropic:claude-sonnet-5"),
    nodes.Upstream("pro", "answer", "Pro", ""),
)
LEAK = (
    "I am GPT-4o by OpenAI; gpt 4o, ChatGPT-4o-2024-08-06 and Open AI, openai:gpt-4o agree. "
    "Claude says so too: Claude Sonnet 5, claude-sonnet-5, of Anthropic's. Llama 3.1 as well, "
    "LLAMA-3.1:8B of meta-llama. Signed: optimist_1, Optimist 1, the bright side, Dr. Bell, "
    "DR BELL, physician. Agent pro and `pro` and member Pro:\npro: here\n— Pro"
)
NAMES = (
    *("gpt", "4o", "openai", "open ai", "claude", "sonnet", "anthropic", "llama", "meta"),
    *("optimist", "bright side", "bell", "physician", "agent pro", "`pro`", "\npro:", "— pro"),
)


def answers(*texts: str) -> list[nodes.Message]:
    return [
        {
            "node": each.id,
            "role": "answer",
            "content": text,
            "iteration": 1,
            "model": MODELS[each.id],
        }
        for each, text in zip(UPSTREAM, texts, strict=True)
    ]


def reviewer(own: str = "", **more: Any) -> nodes.Node:
    settings = ReviewSettings(own=own)
    node = nodes.Node("r1", "Bell, Jr.", kind="review", settings=settings, upstream=UPSTREAM)
    return replace(node, **more)


def judged(*letters: str) -> str:
    assessments = [
        {"answer": f"Answer {each}", "strengths": f"Good {each}.", "weaknesses": f"Bad {each}."}
        for each in letters
    ]
    return json.dumps({"assessments": assessments, "ranking": list(reversed(letters))})


# --- what a reviewer sees ----------------------------------------------------------------


async def test_a_reviewer_sees_letters_in_an_order_that_the_log_tells():
    at = state(messages=answers("First.", "Second.", "Third."))
    model = Model(judged("A", "B", "C"))

    result, heard = await work(reviewer(), at, REAL, call=model)

    words = dict(zip(MODELS, ("First.", "Second.", "Third."), strict=True))
    for letter, node in zip("ABC", result.output["order"], strict=True):
        assert f'<answer name="Answer {letter}">\n{words[node]}\n</answer>' in model.told
    assert result.output["seed"] == anonymity.seed(nodes.Step(reviewer(), at, REAL, print))
    assert result.output["ranking"] == ["C", "B", "A"]
    assert "Good A." in heard
    (said,) = result.updates["messages"]
    assert (said["role"], said["order"]) == ("review", result.output["order"])
    assert said["content"].startswith("Answer A\nStrengths: Good A.\nWeaknesses: Bad A.\n\nAns")
    assert said["content"].endswith("Ranking, the best first: Answer C, Answer B, Answer A")


async def test_the_own_answer_is_left_out():
    at = state(messages=answers("First.", "Second.", "Third."), current_draft="Second.")
    prompt = "Of {{current_draft}}"
    model = Model(judged("A", "B"))

    result, _ = await work(reviewer("Dr. Bell", system_prompt=prompt), at, REAL, call=model)

    assert "Second." not in model.told
    assert sorted(result.output["order"]) == ["optimist_1", "pro"]


async def test_a_reviewer_with_nothing_but_its_own_answer_has_none_to_review():
    at = state(messages=answers("First.", "Second.", "Third.")[1:2])
    node = reviewer(settings=ReviewSettings(own="Dr. Bell", quorum=1))

    with pytest.raises(errors.Fault) as fault:
        await work(node, at, REAL, call=Model())

    assert fault.value.code == "quorum_missed"


def order(run: str = "1", node: str = "r1", **known: Any) -> list[str]:
    at = state(run_id=run, messages=answers("1", "2", "3"), **known)
    step = nodes.Step(reviewer(id=node), at, REAL, print)
    return [m["node"] for m in anonymity.shuffled(at["messages"], anonymity.seed(step))]


def test_the_order_is_the_same_again_and_another_elsewhere():
    orders = {tuple(order(run=str(number))) for number in range(40)}

    assert order() == order()
    assert len(orders) == 6, "every order comes up"
    assert len({tuple(order(node=f"r{number}")) for number in range(40)}) == 6
    assert len({tuple(order(iteration_count=number)) for number in range(40)}) == 6


def test_the_order_does_not_change_between_processes_and_versions():
    """A hash that is seeded by the process would."""
    step = nodes.Step(reviewer(), state(), REAL, print)

    assert anonymity.seed(step) == 280914586
    assert order() == ["optimist_1", "Dr. Bell", "pro"]


@pytest.mark.parametrize(
    ("number", "letter"), [(0, "A"), (25, "Z"), (26, "AA"), (27, "AB"), (52, "BA")]
)
def test_letters_go_on_after_z(number, letter):
    assert anonymity.letter(number) == letter


# --- authorship --------------------------------------------------------------------------


def leaks(told: str) -> list[str]:
    return [name for name in NAMES if name in told.lower()]


async def test_no_prompt_of_a_reviewer_names_a_member_a_model_or_a_provider():
    at = state(messages=answers(LEAK, LEAK, LEAK), current_draft=LEAK, feedback_history=[LEAK])
    prompt = "{{current_draft}} {{feedback_history}}"
    model = Model("no JSON", judged("A", "B", "C"))

    await work(reviewer(system_prompt=prompt), at, "openai:gpt-4o", call=model)

    assert len(model.asked) == 2
    assert leaks(model.told) == []


async def test_no_prompt_of_the_chair_names_a_member_a_model_or_a_provider():
    said: Any = {"node": "r1", "role": "review", "content": LEAK, "iteration": 1}
    at = state(messages=[*answers(LEAK, LEAK, LEAK), said], feedback_history=[LEAK])
    node = nodes.Node(
        "chair",
        kind="synthesis",
        system_prompt="{{draft}}",
        upstream=(*UPSTREAM, nodes.Upstream("r1", "review", "Bell, Jr.", "")),
    )
    model = Model("no JSON", json.dumps({"text": "All.", "dissent": ""}))

    await work(node, {**at, "current_draft": LEAK}, "openai:gpt-4o", call=model)

    assert len(model.asked) == 2
    assert leaks(model.told) == []


@pytest.fixture
async def server(settings: Any) -> AsyncIterator[provider.Server]:
    async with served(settings) as server:
        yield server


async def test_nothing_that_goes_over_the_wire_names_a_member_or_its_model(server):
    """The whole council that ships, through the real client."""
    document = json.loads((shipped.FOLDER / "three-opinions.json").read_text())
    authors = [part[name] for part in document["nodes"][:3] for name in ("id", "label")]
    confession = f"I am gpt-4o of OpenAI, called {', '.join(authors)}."

    def behave(request: Any) -> Answer:
        if not request.structured:
            return Answer(confession)
        shape = request.body["response_format"]["json_schema"]["name"]
        return Answer(judged("A", "B") if shape == "Assessments" else JOINED)

    server.behave = behave
    told = blueprints.parse(document)

    async def run_node(node: nodes.Node, at: nodes.State, task: str) -> dict[str, Any]:
        result, _ = await work(node, at, "openai:gpt-4o")
        return result.updates

    async def no_gate(*_: Any) -> Any:
        raise AssertionError

    graph = compiler.compile(told, run_node, no_gate)
    final = await graph.ainvoke(nodes.initial_state("1", "Why test?"))

    assert final["current_draft"] == "Joined."
    assert len(server.requests) == 7
    for request in server.requests[3:]:
        told_to_it = json.dumps(request.body["messages"], ensure_ascii=False).lower()
        for secret in [*authors, "gpt", "openai"]:
            assert secret.lower() not in told_to_it, secret


JOINED = json.dumps({"text": "Joined.", "dissent": ""})


@pytest.mark.parametrize(
    "text",
    [
        "Professional help, a problem, the pros and cons, and pro bono work.",
        "A bell rings; physicians meet. A metaphor, allamanda, sonnets.",
        "On the one hand 4 o'clock; brightly. 3.1 of 8.",
    ],
)
def test_ordinary_words_stay(text):
    at = state(messages=answers("1", "2", "3"))
    scrub = anonymity.Scrub(nodes.Step(reviewer(label="r"), at, REAL, print))

    assert scrub(text) == text


def test_a_short_name_that_is_a_word_is_struck_out_where_it_is_a_name():
    """Members called `a` and `one`: a text without these words would be none."""
    upstream = tuple(nodes.Upstream(name, "answer", name, "") for name in ("a", "one", "up"))
    node = nodes.Node("r", kind="review", upstream=upstream)
    scrub = anonymity.Scrub(nodes.Step(node, state(), "demo:instant", print))

    assert scrub("One of a kind: a plan to go up.") == "One of a kind: a plan to go up."
    assert scrub("Agent a, node one and `up` agree.") == (
        "Agent [a member], node [a member] and `[a member]` agree."
    )


@given(st.sampled_from(NAMES[:9]), st.text(" .,:;!?()\"'\n", max_size=3), st.text(max_size=20))
def test_a_name_is_struck_out_whatever_stands_around_it(name, mark, rest):
    at = state(messages=answers("1", "2", "3"))
    scrub = anonymity.Scrub(nodes.Step(reviewer(), at, REAL, print))
    full = {"4o": "gpt-4o", "sonnet": "claude-sonnet-5", "meta": "meta-llama"}.get(name, name)

    told = scrub(f"{rest} {mark}{full.upper()}{mark} {rest}")

    assert full.upper() not in told


# --- what a reviewer says ----------------------------------------------------------------


@pytest.mark.parametrize(
    "unreadable",
    [
        "They are all fine.",
        judged("A", "B"),
        judged("A", "B", "D"),
        judged("A", "B", "C", "C").replace('["C", "C", "B", "A"]', '["C", "B", "A"]'),
        judged("A", "B", "C").replace('["C", "B", "A"]', '["C", "B"]'),
        '{"assessments": [], "ranking": []}',
    ],
)
async def test_a_review_that_leaves_something_out_is_asked_for_once_more(unreadable):
    at = state(messages=answers("1", "2", "3"))
    model = Model(unreadable, judged("C", "A", "B"))

    result, _ = await work(reviewer(), at, REAL, call=model)

    assert [each["answer"] for each in result.output["assessments"]] == ["A", "B", "C"]
    assert result.usage.calls == 2


async def test_two_unreadable_reviews_are_a_stated_fault():
    at = state(messages=answers("1", "2", "3"))

    with pytest.raises(errors.Fault) as fault:
        await work(reviewer(), at, REAL, call=Model("Fine.", judged("A")))

    assert fault.value.code == "review_unreadable"
    assert "Fine." not in fault.value.message


def test_letters_are_translated_where_they_name_answers_and_nowhere_else():
    to = {"A": "C", "B": "A", "C": "?"}

    told = anonymity.relabelled(
        "Answer A and B beat answer C. A plan. Answers A, B, and C; answer to B. Answer D.", to
    )

    assert told == (
        "Answer C and A beat answer ?. A plan. Answers C, A, and ?; answer to B. Answer D."
    )
