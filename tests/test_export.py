"""A run as a document: nothing is left out, and no text can break it."""

import json

import pytest
from markdown_it import MarkdownIt

from experience import export, outcomes
from runtime import events, gates, models, runs
from tests import councils
from tests.conftest import the_gate

HEADINGS = [
    "Topic",
    "Result",
    "About this run",
    "Members",
    "Scores",
    "Every step",
]
# What a model or a person might write, by ill will or by chance.
NASTY = (
    "# A heading\n\n```\nfenced\n```\n\n~~~\n````\n<script>alert(1)</script>\n<!--\n| a | b |\n"
    "---\n[link](javascript:x) ![i](http://x/y.png) *bold* `code` \\\n    indented\n=====\n"
)


def _headings(text, level):
    """The headings of a level, as a reader of Markdown sees them."""
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    return [
        tokens[at + 1].content
        for at, token in enumerate(tokens)
        if token.type == "heading_open" and token.tag == f"h{level}"
    ]


@pytest.fixture
def finished(new_run, drain):
    run = new_run("Tabs or spaces?")
    drain()
    run.refresh_from_db()
    return run


def test_a_report_has_the_result_and_all_that_is_needed_to_trust_it(finished):
    text = export.as_markdown(finished)

    assert _headings(text, 1) == [f"Council run {finished.pk}"]
    assert _headings(text, 2) == HEADINGS
    for part in (
        "Tabs or spaces?",
        finished.final_draft,
        "**approved by the critic**",
        "| 1 | critic\\_agent | 6.5 / 10 | revise |",
        "| 2 | critic\\_agent | 8.5 / 10 | approve |",
        "demo:instant",
        "scripted demo model: no AI wrote this",
        "| calls | 5 |",
        f"| tokens out | {finished.usage['output_tokens']} |",
        "| cost | \\$0 |",
    ):
        assert part in text, part


def test_every_draft_and_review_is_in_it(finished):
    text = export.as_markdown(finished)

    outputs = [e.data["output"] for e in finished.events.filter(kind="node.completed")]
    assert len(_headings(text, 3)) == len(outputs) == 5
    for output in outputs:
        assert output.get("draft", output.get("feedback")) in text


def test_who_answered_what_and_when_is_in_it(new_run, council, drain):
    run = new_run(version=council("d > w", w={"gateBefore": {"ask": "Is it fair?"}}))
    drain()
    says = {"next_node": "d", "comment": "Far too long."}
    first = gates.answer(the_gate(run).pk, action="reject", by="alice", says=says)
    drain()

    text = export.as_markdown(run)

    answered = text.index(f"Rejected by **alice** at {events.stamp(first.answered_at)[:19]}")
    assert answered < text.index("Far too long.") < text.index("No answer is in this log.")
    assert "w is next. Is it fair?" in text
    assert "There is no result. The last draft was:" in text


@pytest.fixture
def panel(new_run, drain, settings, alice):
    """A run of three members of whom one cannot be reached."""
    settings.OPENAI_API_KEY, settings.OPENAI_BASE_URL = "k", "http://127.0.0.1:1/v1"
    settings.MODEL_MAX_TRIES = 1
    members = ("a1", "a2", "a3")
    edges = [f"{member} > s" for member in members]
    document = councils.document(*edges, entries=members, s={"quorum": 2})
    for node in document["nodes"]:
        node["model"] = "openai:gpt-4o" if node["id"] == "a3" else ""
    blueprint = models.Blueprint.objects.create(name="Three", owner=alice)
    run = new_run(version=blueprint.versions.create(number=1, document=document))
    drain()
    run.refresh_from_db()
    return run


def test_who_was_missing_and_why_and_the_dissent_are_in_it(panel):
    text = export.as_markdown(panel)

    why = panel.events.get(kind="node.failed").data["message"]
    assert outcomes.attendance({"members": panel.members}) == "2 of 3 members, missing a3"
    assert "finished, no critic decided; 2 of 3 members, missing a3**" in text
    assert f"missing: {export.plain(why)}" in text
    chair = panel.events.get(kind="node.completed", data__node="s")
    assert "## Dissent" in text
    assert chair.data["output"]["dissent"] in text


def test_of_a_fork_it_says_what_is_reused_from_where_and_shows_it(finished, drain):
    step = finished.events.filter(kind="node.completed").order_by("seq")[1]
    fork = runs.fork(finished, owner=None, after=step.seq)
    drain()
    fork.refresh_from_db()

    text = export.as_markdown(fork)

    assert f"| fork of | {finished.pk} |" in text
    assert f"| reused | 2 steps, up to event {step.seq} |" in text
    assert text.count(f"Reused from run {finished.pk}.") == 2
    assert len(_headings(text, 3)) == 5


def test_no_text_of_a_model_or_a_person_breaks_the_document(new_run, council, drain):
    run = new_run(NASTY, version=council("d > w", w={"gateBefore": {"ask": NASTY[:900]}}))
    drain()
    gates.answer(
        the_gate(run).pk,
        action="modify",
        by="alice",
        says={"current_draft": NASTY, "feedback": NASTY},
    )
    drain()

    text = export.as_markdown(run)

    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    assert _headings(text, 1) == [f"Council run {run.pk}"]
    assert set(_headings(text, 2)) <= {*HEADINGS, "Gates"}
    assert "html_block" not in {token.type for token in tokens}
    inside = {child.type for token in tokens for child in token.children or ()}
    assert inside.isdisjoint({"html_inline", "link_open", "image", "code_inline", "em_open"})
    fences = [token.content for token in tokens if token.type == "fence"]
    assert fences.count(NASTY + "\n") == 2, "word for word: the draft, the feedback"
    assert NASTY.strip() + "\n" in fences, "and the topic"


def test_as_json_it_is_the_run_and_its_whole_log(finished):
    told = json.loads(json.dumps(export.as_json(finished)))

    assert told["run"]["final_draft"] == finished.final_draft
    assert told["run"]["usage"] == finished.usage
    assert told["blueprint"]["document"] == finished.blueprint_version.document
    log = [{key: e[key] for key in ("seq", "kind", "data", "at")} for e in told["events"]]
    assert log == [event.as_json() for event in events.since(finished.pk, 0)]


def test_as_json_a_fork_has_the_reused_part_marked(finished, drain):
    step = finished.events.filter(kind="node.completed").order_by("seq")[1]
    fork = runs.fork(finished, owner=None, after=step.seq)
    drain()

    told = export.as_json(fork)["events"]

    reused = [e for e in told if e["reused"]]
    assert {e["run_id"] for e in reused} == {str(finished.pk)}
    assert max(e["seq"] for e in reused) == step.seq
    own = [e["seq"] for e in told if not e["reused"]]
    assert own == [e.seq for e in events.since(fork.pk, 0)]
