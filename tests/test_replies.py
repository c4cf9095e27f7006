"""A critic's answer is read in whatever form it comes, or refused; no score is made up."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime import llm
from runtime.nodes import replies, spoken


@pytest.mark.parametrize(
    ("answer", "score"),
    [
        ('{"score": 8.5, "verdict": "approve", "feedback": "Good."}', 8.5),
        ('{"score": 10}', 10),
        ('{"score": 0}', 0),
        ('{"Score": "7,5/10"}', 7.5),
        ('{"score": "8 out of 10"}', 8),
        ('```json\n{"score": 4, "feedback": "Thin."}\n```', 4),
        ('Here is my review:\n{"score": 6, "feedback": "Thin."}\nBest wishes {', 6),
        ('{"criteria": {"clarity": {"score": 3}}, "score": 7}', 7),
        ('[{"score": 7}]', 7),
        ("{'score': 8, 'feedback': 'single quotes'}", 8),
        ("**SCORE:** 9", 9),
        ("**Score**: 9", 9),
        ("__Score__: 9", 9),
        ("Score: 7,5/10", 7.5),
        ("Score - 8 out of 10", 8),
        ("Score – 8", 8),
        ("Score: 10", 10),
        ("Score: 10/10", 10),
        ("Score: 1/10", 1),
        ("Score: 7.5/10", 7.5),
        ("Score: **8**/10", 8),
        ("Score: 8 (out of 10)", 8),
        ("Score (0-10): 6", 6),
        ("Score out of 10: 6", 6),
        ("| Score | 8 |", 8),
        ("## Score\n\n8/10 — solid", 8),
        ("## Score\n\n8\n\nSolid.", 8),
        ("**Final Score: 8**", 8),
        ("My score: 8.", 8),
        ("The score is 8.", 8),
        ("score=3", 3),
        ("I have read it. Score: 7", 7),
        ("Fine (score: 7).", 7),
        ("**8/10**\nSolid work.", 8),
        ("Clarity score: 7\nDepth score: 9\nOverall score: 8", 8),
        ("A score of 8 or more is needed here.\nScore: 7", 7),
        ("The required score: 8\nScore: 7", 7),
        ("Verdict: revise\nScore: 6.5\nFeedback: It improved from score 5.", 6.5),
        ([{"type": "text", "text": "Score: "}, {"type": "text", "text": "7"}], 7),
        (
            [
                {"type": "thinking", "thinking": "Score: 2"},
                {"type": "text", "text": "Score: 7"},
            ],
            7,
        ),
        (["Score: ", "7"], 7),
    ],
)
def test_a_score_is_read(answer: Any, score: float):
    assert replies.read_critic(answer).score == score


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "8",
        "Good work, I approve of it.",
        "Score: ten",
        "Score: N/A",
        "Score: NaN",
        "Score: inf",
        "Score: 11",
        "Score: 100",
        "Score: -3",
        "Score -3",
        "Score: 7/8",
        "Score: 7/100",
        "Score: 4/5",
        "Score: 85/100",
        "Score: 85%",
        "Score: 8%",
        "Score: 8 %",
        "Score: 7-8",
        "Score: 7 – 8",
        "Score: 7 to 8",
        "Score: 7 or 8",
        "Score: 8+",
        "Score: ~8",
        "Score: at least 8",
        "Score: 1,000",
        "Score: 8.5.1",
        "Score: 9/10/2026",
        "Score: 7\nScore: 8",
        "Overall score: 7\nFinal score: 8",
        "Clarity score: 7",
        "A score of 8 or more is needed.",
        "Clarity: 7/10, depth 9/10",
        "7/10\n8/10",
        "7/8",
        "## Score\n\n1. The draft is long.\n2. It is good.",
        '{"score": NaN}',
        '{"score": Infinity}',
        '{"score": 1e400}',
        '{"score": true}',
        '{"score": null}',
        '{"score": [8]}',
        '{"score": "high"}',
        '{"score": 11}',
        '{"score": -0.5}',
        '{"score": 1, "score": 9}',
        '{"score": 7, "overall_score": 8}',
        '{"score": 7} {"score": 8}',
        '{"clarity": {"score": 7}}',
        '{"clarity": {"score": 7}, "depth": ',
        '{"verdict": "approve", "feedback": "Score it yourself."}',
        '{"feedback": "cut before the end", "score": 1',
        '{"feedback": "cut before the end", "score": 1.',
        [{"type": "image_url", "image_url": "…"}],
        [],
        '{"a":' * 20_000,
        "{" * 100_000,
        "Score: " * 20_000,
        "1" * 5_000,
        '{"score": ' + "1" * 5_000 + "}",
    ],
    ids=lambda answer: repr(answer)[:40],
)
@pytest.mark.timeout(5)
def test_what_does_not_say_one_score_is_refused(answer: Any):
    with pytest.raises(replies.Unreadable):
        replies.read_critic(answer)


@pytest.mark.parametrize(
    ("answer", "verdict", "feedback"),
    [
        ('{"score": 8, "verdict": "APPROVED", "feedback": " Good. "}', "approve", "Good."),
        ('{"score": 8, "verdict": "needs work", "feedback": ["a", "b"]}', None, "a\nb"),
        ('It drags.\n{"score": 4, "verdict": "revise"}', "revise", "It drags."),
        ('{"score": 4, "feedback": "Cut in the mid', None, "Cut in the mid"),
        (
            "**SCORE:** 4/10\n**VERDICT:** revise\n**FEEDBACK:** It drags.",
            "revise",
            "It drags.",
        ),
        ("It drags.\n\nScore: 4", None, "It drags."),
        ("Score: 4", None, ""),
    ],
)
def test_the_verdict_and_the_feedback_are_read_beside_it(answer, verdict, feedback):
    review = replies.read_critic(answer)

    assert (review.verdict, review.feedback) == (verdict, feedback)


scores = st.integers(0, 20).map(lambda half: half / 2)


@given(score=scores, feedback=st.text(st.characters(codec="utf-8")), before=st.booleans())
def test_every_answer_in_the_schema_is_read_as_it_was_meant(score, feedback, before):
    parts = {"feedback": feedback, "score": score, "verdict": "revise"}
    answer = json.dumps(dict(sorted(parts.items(), reverse=before)))

    review = replies.read_critic(answer)

    assert (review.score, review.feedback) == (score, feedback.strip())


@given(st.text() | st.from_regex(r"(?i)\W*score\W*[0-9.,/ ]*\W*"))
def test_any_other_text_is_a_score_in_range_or_refused(answer):
    try:
        review = replies.read_critic(answer)
    except replies.Unreadable:
        return
    assert 0 <= review.score <= 10


# --- while it streams ------------------------------------------------------------------


def heard(pieces: list[str]) -> str:
    said: list[str] = []
    feedback = spoken.Fields(said.append, "feedback")
    for piece in pieces:
        feedback.hear(piece)
    return "".join(said)


@given(
    feedback=st.text(st.characters(codec="utf-8")),
    ascii_only=st.booleans(),
    size=st.integers(1, 7),
    fenced=st.booleans(),
)
def test_of_streamed_json_the_feedback_is_said_however_it_is_cut(
    feedback, ascii_only, size, fenced
):
    parts = {"verdict": "revise", "feedback": feedback, "score": 7}
    text = json.dumps(parts, ensure_ascii=ascii_only)
    text = f"```json\n{text}\n```" if fenced else f"\n{text}"

    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    assert heard(pieces) == llm.clean(feedback)


def test_the_feedback_is_said_as_it_comes_and_not_at_its_end():
    assert heard(['{"feedback": "It dr', "ags and", " dra"]) == "It drags and dra"


@given(size=st.integers(1, 9))
def test_of_several_fields_every_text_is_said_however_it_is_cut(size):
    parts = {"all": [{"answer": "A", "good": "clear", "n": 1}, {"answer": "B", "good": '"x"'}]}
    text = json.dumps(parts)
    said: list[str] = []
    fields = spoken.Fields(said.append, "answer", "good")

    for at in range(0, len(text), size):
        fields.hear(text[at : at + size])

    assert "".join(said) == 'A\n\nclear\n\nB\n\n"x"'


def test_of_one_field_only_the_first_text_is_said():
    assert heard(['{"feedback": "a", "more": {"feedback": "b"}}']) == "a"


@pytest.mark.parametrize("text", ["Score: 8. Good.", "`Score`: 8", "  \n Good {maybe}."])
def test_a_text_that_is_no_json_is_said_as_it_is(text):
    assert heard(list(text)) == text
    assert heard([text]) == text


def test_an_escape_that_does_not_exist_ends_it_quietly():
    assert heard(['{"feedback": "a', r"\x41 b", ' c"}']) == "a"
