"""A guide answers itself or hands over, and a run that handed over says so everywhere."""

import io
import json
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from rich.console import Console

from experience import export, outcomes, story
from experience.terminal import board
from runtime import blueprints, errors, gates, models, nodes, runs, tasks
from runtime.llm import script
from tests import councils, provider
from tests.conftest import kinds, nodes_started, the_gate
from tests.speech import Answer
from tests.steps import REAL, Model, state, work

GUIDE = nodes.Node("g1", kind="guide", system_prompt="You guide.")
HANDOFFS = (
    nodes.Handoff("liaison.content", "Texts", "Writes\nand mends texts."),
    nodes.Handoff("liaison.insights", "Insights", ""),
)
STATED = [
    {"to": each.to, "name": each.name, "description": each.description} for each in HANDOFFS
]


def reply(handoff: Any = "", text: Any = "", reason: str = "Because.") -> str:
    return json.dumps({"reason": reason, "handoff": handoff, "text": text})


async def guided(*answers: str, at: Any = None, piece: int = 0) -> tuple[Any, str, Model]:
    """What a guide makes of what its model answers, what was said, and the model."""
    model = Model(*answers, piece=piece)
    result, said = await work(GUIDE, at or state(), REAL, call=model, handoffs=HANDOFFS)
    return result, said, model


# --- the node ----------------------------------------------------------------------------


async def test_with_nobody_to_hand_over_to_it_answers_in_plain_text():
    model = Model("An answer.")

    result, said = await work(GUIDE, state(), REAL, call=model)

    assert said == "An answer."
    assert result.output == {"draft": "An answer."}
    assert result.updates == {
        "current_draft": "An answer.",
        "iteration_count": 1,
        "messages": [{"node": "g1", "role": "guide", "content": "An answer.", "iteration": 1}],
        "handoff": None,
    }
    assert model.asked[0]["schema"] is None


async def test_it_is_told_to_whom_it_may_hand_over_and_to_decide_first():
    _, _, model = await guided(reply(text="An answer."))

    assert '- "liaison.content", Texts: Writes and mends texts.' in model.told
    assert '- "liaison.insights", Insights: says nothing of itself' in model.told
    assert list(model.asked[0]["schema"].model_fields) == ["reason", "handoff", "text"]


@pytest.mark.parametrize("piece", [0, 1, 7])
async def test_answering_itself_only_the_answer_is_said(piece):
    text = "One.\nTwo, “three”.\n"
    result, said, _ = await guided(reply(text=text), piece=piece)

    assert said == text
    assert result.output == {"draft": text, "reason": "Because."}
    assert result.updates["current_draft"] == text
    assert result.updates["handoff"] is None


@pytest.mark.parametrize("piece", [0, 1, 7])
async def test_handing_over_it_leaves_no_draft_and_says_nothing(piece):
    result, said, _ = await guided(
        reply("liaison.insights", "Words that nobody is to hear."), piece=piece
    )

    handed_over = {"to": "liaison.insights", "reason": "Because."}
    assert said == ""
    assert result.output == {"handoff": handed_over}
    assert result.updates == {
        "iteration_count": 1,
        "messages": [{"node": "g1", "role": "handoff", "content": "Because.", "iteration": 1}],
        "handoff": handed_over,
    }


@pytest.mark.parametrize("meant", ["liaison.content", " Liaison.Content. ", '"texts"'])
async def test_whom_it_means_is_read_as_people_would(meant):
    result, _, _ = await guided(reply(meant))

    assert result.output["handoff"]["to"] == "liaison.content"


@pytest.mark.parametrize("nobody", ["", " ", None, '""'])
async def test_naming_nobody_it_answers_itself(nobody):
    result, _, _ = await guided(reply(nobody, "An answer."))

    assert result.output["draft"] == "An answer."


UNREADABLE = [
    ("Just words.", "it is no JSON object."),
    (reply("liaison.unknown", "Text."), "its `handoff` is none of those there are."),
    (reply("", " "), "it neither hands over nor has a text."),
    (reply("liaison.content", reason=" "), "it hands over without a reason."),
    ('{"reason": "x", "text": "y"}', "its `handoff` is missing."),
]


@pytest.mark.parametrize(("answer", "why"), UNREADABLE)
async def test_what_cannot_be_read_is_asked_for_once_more(answer, why):
    result, _, model = await guided(answer, reply(text="An answer."))

    assert result.output["draft"] == "An answer."
    assert result.usage.calls == 2
    assert f"Your answer could not be read: {why}" in model.told


@pytest.mark.parametrize(("answer", "why"), UNREADABLE)
async def test_two_answers_that_cannot_be_read_are_a_stated_fault(answer, why):
    with pytest.raises(errors.Fault) as fault:
        await guided(answer, answer)

    assert fault.value.code == "guide_unreadable"
    assert fault.value.message.endswith(why)


async def test_a_guide_that_was_sent_back_and_answers_has_not_handed_over():
    handed_over = {"to": "liaison.content", "reason": "A text."}
    at = state(handoff=handed_over, iteration_count=1, rounds_reviewed=1)

    result, _, _ = await guided(reply(text="An answer."), at=at)

    assert result.updates["handoff"] is None
    assert result.updates["iteration_count"] == 2


async def test_a_hand_over_is_no_draft_where_branches_join():
    node = nodes.Node("w1", kind="writer", joins=("d1", "g1"))
    said = [
        {"node": "d1", "role": "draft", "content": "A draft.", "iteration": 1},
        {"node": "g1", "role": "handoff", "content": "A reason.", "iteration": 1},
    ]
    model = Model("A text.")

    await work(node, state(current_draft="A draft.", messages=said), REAL, call=model)

    assert "A draft." in model.told
    assert "A reason." not in model.told


# --- the scripted model ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "to"),
    [
        ("What are the insights of last week?", "liaison.insights"),
        ("INSIGHTS!", "liaison.insights"),
        ("One insight is enough.", "liaison.insights"),
        ("Some content, please", "liaison.content"),
        ("A few texts, please", "liaison.content"),
        ("I am discontent", None),
        ("Why test?", None),
    ],
)
async def test_the_scripted_guide_goes_by_the_words_of_the_message_and_says_so(message, to):
    result, said = await work(GUIDE, state(input_topic=message), handoffs=HANDOFFS)

    assert result.scripted
    if to is None:
        assert said == result.output["draft"]
        assert said.startswith(script.LABEL)
        assert result.output["reason"].startswith(script.LABEL)
    else:
        assert said == ""
        assert result.output["handoff"]["to"] == to
        assert result.output["handoff"]["reason"].startswith(script.LABEL)


async def test_the_scripted_guide_with_nobody_to_hand_over_to_answers():
    result, said = await work(GUIDE, state(input_topic="Insights!"))

    assert said == result.output["draft"]
    assert said.startswith(script.LABEL)
    assert "Insights" in said
    assert 80 <= len(said.split()) <= 150


# --- the run -----------------------------------------------------------------------------


@pytest.fixture
def guide_run(new_run, council):
    """Create a run of a council with a guide, that may hand over."""

    def create(*edges: str, topic: str = "What are the insights?", **more: Any) -> models.Run:
        version = council(*(edges or ("g",)), **more.pop("council", {}))
        return new_run(topic, version=version, **{"handoffs": STATED} | more)

    return create


def test_a_run_that_hands_over_ends_with_that_in_its_row_and_its_log(guide_run, drain):
    run = guide_run()
    drain()

    run.refresh_from_db()
    end = run.events.get(kind="run.completed").data
    assert (run.status, run.reason, run.approved) == ("completed", "handed_over", None)
    assert (run.final_draft, run.iteration_count) == ("", 1)
    assert run.handoff == end["handoff"]
    assert run.handoff["to"] == "liaison.insights"
    assert run.handoff["reason"]
    assert (end["reason"], end["final_draft"]) == ("handed_over", "")
    assert "node.token" not in kinds(run, tokens=True)


def test_a_run_that_answers_says_that_nobody_was_handed_over_to(guide_run, drain):
    run = guide_run(topic="Why test?")
    drain()

    run.refresh_from_db()
    end = run.events.get(kind="run.completed").data
    assert (run.reason, run.handoff) == ("finished", None)
    assert end["handoff"] is None
    assert run.final_draft == end["final_draft"]
    assert not models.Run.objects.filter(handoff__isnull=False).exists()


def test_to_whom_it_may_hand_over_stands_at_the_begin_of_the_log(guide_run):
    run = guide_run()

    assert run.handoffs == STATED
    assert run.events.get(kind="run.created").data["handoffs"] == STATED


def test_a_guide_in_a_larger_council_hands_over_and_the_council_goes_on(guide_run, drain):
    run = guide_run("g > w")
    drain()

    run.refresh_from_db()
    assert nodes_started(run) == ["g", "w"]
    assert run.reason == "handed_over"
    assert run.handoff["to"] == "liaison.insights"
    assert run.final_draft


def test_a_critic_after_a_hand_over_keeps_its_say_but_is_not_the_reason(guide_run, drain):
    run = guide_run("g > k", "k revise> g", "k approve> w")
    drain()

    run.refresh_from_db()
    assert nodes_started(run) == ["g", "k", "g", "k", "w"]
    assert (run.reason, run.approved, run.critic_score) == ("handed_over", True, 8.5)


def test_a_hand_over_is_kept_when_a_limit_stops_what_follows(guide_run, drain):
    run = guide_run("g > w", limits={"calls": 1})
    drain()

    run.refresh_from_db()
    assert (run.status, run.reason, run.approved) == ("completed", "call_limit", False)
    assert run.handoff["to"] == "liaison.insights"
    (end,) = [event for event in story.own(run) if event.kind == "run.completed"]
    assert outcomes.sentence(end) == (
        "handed over to liaison.insights; stopped at the call limit, not approved"
    )


def test_a_person_at_a_gate_is_told_of_the_hand_over(guide_run, drain):
    run = guide_run("g > w", council={"g": {"gateAfter": {}}})
    drain()

    gate = the_gate(run)
    assert gate.proposal["why"].startswith("g hands over to liaison.insights: ")
    gates.answer(gate.pk, action="approve", by="alice")
    drain()
    run.refresh_from_db()
    assert run.reason == "handed_over"


def test_a_fork_of_it_can_hand_over_to_nobody_and_answers(guide_run, drain, alice):
    run = guide_run()
    drain()

    child = runs.fork(run, owner=alice, after=0)
    drain()

    child.refresh_from_db()
    assert (child.handoffs, child.handoff, child.reason) == ([], None, "finished")
    assert child.final_draft


async def test_a_guide_that_cannot_be_read_fails_its_run(guide_run, settings):
    async with provider.serve() as server:
        settings.OPENAI_API_KEY, settings.OPENAI_BASE_URL = "sk-test", server.url
        server.then(Answer("Just words."), Answer("Just words."))
        run = await sync_to_async(guide_run)(model="openai:gpt-4o")
        await tasks.work(wait=False)

    await run.arefresh_from_db()
    assert (run.status, run.error_code) == ("failed", "guide_unreadable")
    assert run.handoff is None


def test_a_run_of_before_there_were_hand_overs_goes_on(guide_run, drain, monkeypatch):
    """Its state has no such key, and its end did not tell of one."""
    before = nodes.initial_state

    def old(*args: Any) -> Any:
        return {name: part for name, part in before(*args).items() if name != "handoff"}

    monkeypatch.setattr(nodes, "initial_state", old)
    run = guide_run("d > w")

    drain()

    run.refresh_from_db()
    assert (run.status, run.reason, run.handoff) == ("completed", "finished", None)
    end = story.end(story.own(run))
    assert end is not None
    del end.data["handoff"]
    assert outcomes.sentence(end) == "finished, no critic decided"


def test_a_guide_is_sound_in_a_blueprint_and_in_a_loop_of_its_own():
    assert blueprints.faults(councils.document("g > k", "k revise> g", "k approve> w")) == []


# --- what people are shown ---------------------------------------------------------------


@pytest.fixture
def handed_over(guide_run, drain):
    run = guide_run()
    drain()
    run.refresh_from_db()
    return run


def test_in_one_sentence_it_says_to_whom(handed_over):
    end = story.end(story.own(handed_over))

    assert end is not None
    assert outcomes.sentence(end) == "handed over to liaison.insights"
    assert outcomes.reason(handed_over.reason, handed_over.approved) == "handed over"


def test_in_the_terminal_there_is_no_empty_draft_but_to_whom_and_why(handed_over):
    out = io.StringIO()
    screen = board.Board(Console(file=out, width=200, height=40))
    for event in story.own(handed_over):
        screen.take(event)

    screen.print_end()

    assert "Final draft" not in out.getvalue()
    assert "hands over to liaison.insights" in out.getvalue()
    line = f"→ handed over to liaison.insights: {handed_over.handoff['reason']}"
    assert line in out.getvalue()
    assert screen.exit_code == 0


def test_an_export_says_to_whom_and_why(handed_over):
    text = export.as_markdown(handed_over)

    assert "**handed over to liaison.insights**" in text
    assert handed_over.handoff["reason"] in text
    assert "```text\n\n```" not in text, "no empty draft"
    assert export.as_json(handed_over)["run"]["handoff"] == handed_over.handoff
