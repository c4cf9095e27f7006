"""The members of a council: answers, those who join them, and what holds when some are away."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from runtime import errors, nodes
from runtime.nodes.answer import AnswerSettings
from runtime.nodes.members import JoinSettings
from tests.steps import REAL, Model, state, work

UPSTREAM = tuple(
    nodes.Upstream(f"answer_{number}", "answer", f"Opinion {number}", "")
    for number in (1, 2, 3)
)
ANSWER = nodes.Node("answer_1", "Opinion 1", kind="answer", system_prompt="You answer.")
CLOSED = nodes.Node("answer_1", kind="answer", settings=AnswerSettings(closed=True))


def joiner(kind: str, **settings: Any) -> nodes.Node:
    return nodes.Node(
        "chair", "Chair", kind=kind, settings=JoinSettings(**settings), upstream=UPSTREAM
    )


def said(number: int, content: str, **more: Any) -> nodes.Message:
    message = {"node": f"answer_{number}", "role": "answer", "content": content, "iteration": 1}
    return {"model": REAL, **message, **more}  # type: ignore[typeddict-item]


def chosen(number: int, choice: str, reason: str = "So it is.") -> nodes.Message:
    return said(number, f"{reason}\n\nChoice: {choice}", choice=choice)


def absent(number: int) -> nodes.Message:
    node = nodes.Node(f"answer_{number}", kind="answer")
    fault = errors.Fault("model_auth", "The provider refused the key.")
    (message,) = nodes.absence(node, fault, state())["messages"]
    return message


# --- who is there ------------------------------------------------------------------------


def test_attendance_says_how_many_are_there_and_who_is_not():
    messages = [
        said(1, "One."),
        absent(2),
        said(3, "Three."),
        absent(3),
        absent(1),
        said(1, "!"),
    ]

    found = nodes.attendance(["answer_1", "answer_2", "answer_3", "answer_4"], messages)

    assert found == {"present": 1, "of": 4, "missing": ["answer_2", "answer_3", "answer_4"]}


def test_an_absent_member_says_why():
    assert absent(2) == {
        "node": "answer_2",
        "role": "absent",
        "content": "The provider refused the key.",
        "iteration": 1,
    }


@pytest.mark.parametrize("kind", ["review", "synthesis", "vote"])
@pytest.mark.parametrize(
    ("quorum", "messages"),
    [
        (None, [chosen(1, "yes"), chosen(2, "no"), absent(3)]),
        (2, [chosen(1, "yes"), absent(2), absent(3)]),
        (1, []),
        (2, [chosen(1, "yes"), chosen(2, "no"), absent(2)]),
    ],
)
async def test_too_few_members_are_a_stated_fault_and_no_model_is_asked(kind, quorum, messages):
    model = Model()
    settings = nodes.KINDS[kind].settings(quorum=quorum)
    node = nodes.Node("chair", "Chair", kind=kind, settings=settings, upstream=UPSTREAM)

    with pytest.raises(errors.Fault) as fault:
        await work(node, state(messages=messages), call=model)

    assert fault.value.code == "quorum_missed"
    assert "of 3 members" in fault.value.message
    assert model.asked == []


# --- an answer ---------------------------------------------------------------------------


async def test_an_answer_is_the_draft_too_so_that_one_alone_is_a_result():
    model = Model("An opinion.")

    result, heard = await work(ANSWER, state(), REAL, call=model)

    assert heard == "An opinion."
    assert result.output == {"draft": "An opinion."}
    assert result.updates == {
        "current_draft": "An opinion.",
        "iteration_count": 1,
        "messages": [said(1, "An opinion.")],
    }


async def test_an_answer_is_shown_no_other_members_words():
    at = state(
        current_draft="SECRET of the chair",
        messages=[said(2, "SECRET of two"), said(1, "My first."), said(3, "SECRET of three")],
        feedback_history=["Name a date."],
        iteration_count=1,
        rounds_reviewed=1,
    )
    node = nodes.Node("answer_1", kind="answer", system_prompt="Of {{current_draft}}: more.")
    model = Model("My second.")

    result, _ = await work(node, at, REAL, call=model)

    assert "SECRET" not in model.told
    assert model.told.count("<draft>\nMy first.\n</draft>") == 2
    assert '<feedback round="1">\nName a date.' in model.told
    assert result.updates["iteration_count"] == 2


@pytest.mark.parametrize(
    "reply",
    [
        '{"reason": "It is late.", "choice": "Yes"}',
        '```json\n{"reason": "It is late.", "choice": "Yes"}\n```',
        'Well:\n{"reason": "It is late.", "choice": " Yes\\n"} There.',
    ],
)
async def test_a_closed_question_has_a_reason_and_a_choice(reply):
    result, heard = await work(CLOSED, state(), REAL, call=Model(reply))

    text = "It is late.\n\nChoice: Yes"
    assert result.output == {"draft": text, "choice": "Yes", "reason": "It is late."}
    assert result.updates["messages"] == [said(1, text, choice="Yes")]
    assert heard.endswith("Choice: Yes")


async def test_a_choice_is_one_of_those_that_there_are_in_their_words():
    node = nodes.Node("n", kind="answer", settings=AnswerSettings(choices=["Go", "Stay put"]))
    model = Model(
        '{"reason": "x", "choice": "leave"}', '{"reason": "x", "choice": "STAY  put."}'
    )

    result, _ = await work(node, state(), REAL, call=model)

    assert result.output["choice"] == "Stay put"
    assert result.usage.calls == 2
    assert '"Go", or "Stay put"' in model.told


async def test_two_answers_without_a_choice_are_a_stated_fault():
    with pytest.raises(errors.Fault) as fault:
        await work(
            CLOSED, state(), REAL, call=Model("Perhaps", '{"reason": "Hm", "choice": "."}')
        )

    assert fault.value.code == "answer_unreadable"
    assert "Hm" not in fault.value.message


@pytest.mark.parametrize(
    "settings",
    [
        {"choices": ["yes", "Yes."]},
        {"choices": ["yes", "  "]},
        {"choices": ["one\ntwo"]},
        {"closed": True, "outputSchema": {"type": "object"}},
        {"choices": ["a", "b"], "outputSchema": {"type": "object"}},
    ],
    ids=str,
)
def test_choices_that_cannot_be_told_apart_or_read_are_refused(settings):
    with pytest.raises(ValidationError):
        AnswerSettings.model_validate(settings)


# --- a vote ------------------------------------------------------------------------------


async def test_a_vote_counts_whatever_the_spelling_and_asks_no_model():
    messages = [chosen(1, "Yes", "It pays."), chosen(2, "no", "It costs."), chosen(3, " YES. ")]
    model = Model()

    result, heard = await work(joiner("vote"), state(messages=messages), call=model)

    assert model.asked == []
    assert result.output == {
        "draft": heard,
        "counts": {"Yes": 2, "no": 1},
        "choice": "Yes",
        "members": {"present": 3, "of": 3, "missing": []},
    }
    assert heard == (
        "**Yes**, by 2 of 3 votes.\n\n"
        "Yes (2 votes):\n\n- It pays.\n- So it is.\n\n"
        "no (1 vote):\n\n- It costs."
    )
    assert result.updates["current_draft"] == heard
    assert (result.model, result.usage.calls, result.usage.cost) == ("", 0, 0)


async def test_a_tie_is_said_to_be_one_and_never_broken():
    messages = [chosen(1, "no"), chosen(2, "yes"), absent(3)]

    result, heard = await work(joiner("vote", quorum=2), state(messages=messages))

    assert result.output["choice"] is None
    assert heard.startswith("A tie: **no** and **yes** have 1 vote each, of 2.")
    assert heard.endswith("(2 of 3 members took part.)")
    assert result.output["members"] == {"present": 2, "of": 3, "missing": ["answer_3"]}


async def test_most_votes_win_even_without_a_majority_of_all():
    messages = [chosen(1, "a"), chosen(2, "b"), chosen(3, "c"), chosen(4, "b")]
    upstream = (*UPSTREAM, nodes.Upstream("answer_4", "answer", "4", ""))
    node = nodes.Node("v", kind="vote", upstream=upstream)

    result, _ = await work(node, state(messages=messages))

    assert result.output["choice"] == "b"
    assert list(result.output["counts"].items()) == [("b", 2), ("a", 1), ("c", 1)]


async def test_a_choice_that_a_person_changed_counts_as_changed():
    changed = {**chosen(2, "no"), "content": "On second thoughts.\n\nChoice: yes"}

    result, heard = await work(
        joiner("vote", quorum=1), state(messages=[chosen(1, "yes"), chosen(2, "no"), changed])
    )

    assert result.output["counts"] == {"yes": 2}
    assert "On second thoughts." in heard


async def test_an_answer_without_a_choice_is_a_missing_one():
    messages = [chosen(1, "yes"), said(2, "Who knows?"), chosen(3, "yes")]

    result, _ = await work(joiner("vote", quorum=2), state(messages=messages))

    assert result.output["members"] == {"present": 2, "of": 3, "missing": ["answer_2"]}


# --- the chair ---------------------------------------------------------------------------


def joined(text: str, dissent: str = "") -> str:
    return json.dumps({"text": text, "dissent": dissent})


async def test_the_chair_joins_the_answers_and_states_dissent():
    messages = [said(1, "Go."), said(2, "Stay."), said(3, "Wait.")]
    model = Model(joined("Go slowly.", "Whether to go at all."))

    result, heard = await work(joiner("synthesis"), state(messages=messages), REAL, call=model)

    assert heard == result.output["draft"] == result.updates["current_draft"] == "Go slowly."
    assert result.output["dissent"] == "Whether to go at all."
    assert result.output["members"] == {"present": 3, "of": 3, "missing": []}
    assert sorted(result.output["order"]) == ["answer_1", "answer_2", "answer_3"]
    for number, node in enumerate(result.output["order"]):
        text = {"answer_1": "Go.", "answer_2": "Stay.", "answer_3": "Wait."}[node]
        assert f'<answer name="Answer {"ABC"[number]}">\n{text}\n</answer>' in model.told


async def test_without_dissent_the_chair_says_that_there_is_none():
    messages = [said(1, "Go."), said(2, "Go."), said(3, "Go.")]
    silent = json.dumps({"text": "Go."})

    result, _ = await work(
        joiner("synthesis"), state(messages=messages), REAL, call=Model(silent, joined("Go."))
    )

    assert result.output["dissent"] == ""
    assert result.usage.calls == 2, "a reply that leaves it open was asked for once more"


async def test_a_text_of_a_part_of_the_council_cannot_look_whole():
    messages = [said(1, "Go."), absent(2), said(3, "Stay.")]

    result, heard = await work(
        joiner("synthesis", quorum=2), state(messages=messages), REAL, call=Model(joined("Go."))
    )

    assert heard == result.output["draft"] == "Go.\n\n(2 of 3 members took part.)"
    assert result.output["members"]["missing"] == ["answer_2"]


async def test_two_unreadable_syntheses_are_a_stated_fault():
    with pytest.raises(errors.Fault) as fault:
        await work(
            joiner("synthesis", quorum=1),
            state(messages=[said(1, "Go.")]),
            REAL,
            call=Model("Well, go.", '{"text": ""}'),
        )

    assert fault.value.code == "synthesis_unreadable"


@pytest.mark.parametrize("order", [["answer_3", "answer_1"], ["answer_1", "answer_3"]])
async def test_the_chair_reads_the_letters_of_each_review_as_its_own(order):
    """Each reviewer has letters of its own; the chair must not mix them up."""
    review: Any = {
        "node": "review_2",
        "role": "review",
        "content": "Answer A\nStrengths: better than answer B, unlike Answers A and B.",
        "iteration": 1,
        "order": order,
    }
    upstream = (*UPSTREAM, nodes.Upstream("review_2", "review", "Review 2", ""))
    node = nodes.Node("chair", kind="synthesis", upstream=upstream)
    model = Model(joined("Go."))
    messages = [said(1, "Go."), said(2, "Stay."), said(3, "Wait."), review]

    result, _ = await work(node, state(messages=messages), REAL, call=model)

    mine = dict(zip(result.output["order"], "ABC", strict=True))
    a, b = (mine[node] for node in order)
    assert (
        f'<review by="Reviewer 1">\nAnswer {a}\nStrengths: better than answer {b}, '
        f"unlike Answers {a} and {b}.\n</review>"
    ) in model.told


async def test_where_answers_join_a_writer_the_absent_are_not_shown():
    node = nodes.Node("w", kind="writer", joins=("answer_1", "answer_2", "answer_3"))
    messages = [said(1, "Go."), said(2, "Old."), absent(2), said(3, "Stay.")]
    model = Model("Both.")

    await work(node, state(current_draft="Stay.", messages=messages), REAL, call=model)

    assert model.told.count("<draft") == 2
    assert "refused the key" not in model.told
    assert "Old." not in model.told
