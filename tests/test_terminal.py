"""The live view of a run, and what is said of its end: folds over events."""

import io
from uuid import uuid4

import pytest
from django.utils import timezone
from rich.console import Console

from experience import outcomes, story
from experience.terminal import Board, changes, limits
from runtime import errors, events, models, runs
from tests import councils

USAGE = {
    "calls": 1,
    "input_tokens": 10,
    "output_tokens": 20,
    "cost": "0.5",
    "cost_source": "list",
}


class Screen:
    """A board of a window of so many lines, and what it has printed."""

    def __init__(self, height=30, reused=()):
        self.out = io.StringIO()
        self.seq = 0
        console = Console(file=self.out, width=80, height=height)
        self.board = Board(console, reused)

    def take(self, kind, /, **data):
        self.seq += 1
        self.board.take(event(kind, seq=self.seq, **data))

    @property
    def printed(self):
        return self.out.getvalue()

    @property
    def live(self):
        """What stands below that is printed, at this moment."""
        with self.board.console.capture() as capture:
            self.board.console.print(self.board)
        return capture.get()


def event(kind, /, seq=1, **data):
    return events.Logged(uuid4(), seq, kind, data, timezone.now())


def about(node, kind="answer", iteration=1):
    return {"node": node, "kind": kind, "iteration": iteration, "task": f"task {node}"}


def done(node, output, kind="draft", score=None, **more):
    data = {**about(node, kind), "output": output, "score": score, "duration_ms": 10}
    return data | {"usage": USAGE, "model": "m", "scripted": False} | more


def completed(reason="finished", approved=None, **more):
    usage = {**USAGE, "models": ["m"], "scripted": False, "partial": False}
    data = {"final_draft": "x", "critic_score": None, "iteration_count": 1, "usage": usage}
    return {"reason": reason, "approved": approved, "members": {}} | data | more


TWO_OF_THREE = {"present": 2, "of": 3, "missing": ["answer_b"]}


# --- the end ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reason", "approved", "sentence"),
    [
        ("approved", True, "approved by the critic"),
        ("finished", None, "finished, no critic decided"),
        ("finished", False, "finished, not approved"),
        ("iteration_limit", False, "stopped at the limit, not approved"),
        ("call_limit", False, "stopped at the call limit, not approved"),
        ("token_limit", False, "stopped at the token limit, not approved"),
        ("cost_limit", False, "stopped at the cost limit, not approved"),
        ("time_limit", False, "stopped at the time limit, not approved"),
        (
            "user_daily_token_limit",
            False,
            "stopped at the user's daily token limit, not approved",
        ),
        (
            "group_monthly_cost_limit",
            False,
            "stopped at the group's monthly cost limit, not approved",
        ),
        ("no_gain", False, "ended early: the scores rose too little, not approved"),
        ("no_change", False, "ended early: the draft hardly changed, not approved"),
    ],
)
def test_every_reason_of_an_end_has_its_sentence(reason, approved, sentence):
    assert outcomes.sentence(event("run.completed", **completed(reason, approved))) == sentence


def test_a_rejected_run_is_not_told_as_one_that_was_only_cancelled():
    end = event("run.cancelled", reason="rejected", by="alice")

    assert outcomes.sentence(end) == "rejected by alice"


def test_a_result_without_all_members_says_so_in_its_title_its_outcome_and_its_facts():
    screen = Screen()
    screen.take("run.completed", **completed(members=TWO_OF_THREE))

    screen.board.print_end()

    assert "Final draft; 2 of 3 members, missing answer_b" in screen.printed
    assert "finished, no critic decided; 2 of 3 members, missing answer_b" in screen.printed
    assert "members     2 of 3, missing answer_b" in screen.printed


def test_a_result_that_was_cut_off_says_so():
    screen = Screen()
    screen.take("node.completed", **done("w", {"draft": "x"}, cut=True))
    screen.take("run.completed", **completed("approved", True, draft_cut=True))

    screen.board.print_end()

    assert "w · round 1 · 0.0 s · cut off at its token limit" in screen.printed
    assert "Final draft; its text was cut off at a token limit" in screen.printed
    assert "approved by the critic; its text was cut off" in screen.printed


def test_a_member_that_failed_is_missing_with_its_reason_and_from_the_result(
    council, new_run, drain, settings, alice
):
    settings.OPENAI_API_KEY, settings.OPENAI_BASE_URL = "k", "http://127.0.0.1:1/v1"
    settings.MODEL_MAX_TRIES = 1
    document = councils.document("a1 > s", "a2 > s", entries=["a1", "a2"], s={"quorum": 1})
    document["nodes"][2]["model"] = "openai:gpt-4o"
    assert document["nodes"][2]["id"] == "a2"
    blueprint = models.Blueprint.objects.create(name="Two", owner=alice)
    run = new_run(version=blueprint.versions.create(number=1, document=document))
    drain()
    screen = Screen()

    for logged in story.own(run):
        screen.board.take(logged)
    screen.board.print_end()

    assert "! without a2: " in screen.printed
    assert screen.board.missing == ["a2"]
    assert "1 of 2, missing a2" in screen.printed


# --- the live view ---------------------------------------------------------------------


def test_nodes_that_write_at_once_have_a_panel_each():
    screen = Screen()
    for node in ("answer_a", "answer_b"):
        screen.take("node.started", **about(node), model="m")
    screen.take("node.token", node="answer_b", task="task answer_b", text="Words of b.")
    screen.take("node.token", node="answer_a", task="task answer_a", text="Words of a.")

    assert screen.live.index("Words of a.") < screen.live.index("Words of b.")
    screen.take("node.completed", **done("answer_a", {"draft": "x"}))
    assert "Words of a." not in screen.live
    assert "Words of b." in screen.live


def test_more_writers_than_the_window_has_room_for_are_named_below_and_never_cut_off():
    screen = Screen(height=12)
    for number in range(6):
        screen.take("node.started", **about(f"a{number}"), model="m")
        screen.take("node.token", node=f"a{number}", task=f"task a{number}", text="w " * 500)

    assert len(screen.live.splitlines()) <= 13
    assert "also writing: a3 · round 1, a4 · round 1, a5 · round 1" in screen.live


def test_it_counts_money_and_unknown_money_stays_unknown():
    screen = Screen()
    screen.take("node.completed", **done("d", {"draft": "x"}))
    assert "$0.5" in screen.live

    screen.take("node.completed", **done("e", {"draft": "x"}, usage=USAGE | {"cost": None}))

    assert screen.board.cost is None
    assert "$" not in screen.live


def test_a_failure_that_was_retried_is_no_end_and_what_follows_is_shown():
    screen = Screen()
    screen.take("run.failed", code="model_auth", message="No key.", node="d")
    screen.take(
        "run.retried", by="alice", retry=1, code="model_auth", message="No key.", node="d"
    )

    assert screen.board.end is None
    assert "retried by alice, after it had failed in d: No key." in screen.printed
    screen.take("run.completed", **completed())
    assert screen.board.exit_code == 0


def test_a_node_that_a_limit_stopped_is_named_with_the_limit():
    screen = Screen()
    screen.take("node.started", **about("d"), model="m")
    screen.take("node.stopped", **about("d"), limit="user_daily_cost_limit", calls=0)

    assert "■ d stopped at the user's daily cost limit" in screen.printed
    assert screen.board.writing == {}


def test_paused_it_says_what_it_waits_for_until_it_is_answered():
    screen = Screen()
    screen.take("gate.opened", gate="1", node="k", place="before")
    assert "paused: waits for an answer at k" in screen.live

    screen.take("gate.answered", gate="1", node="k", action="approve", by="bob", answer={})

    assert "k: approved by bob" in screen.printed
    assert "paused" not in screen.live


def test_a_fork_shows_first_what_it_reuses():
    reused = [event("node.completed", **done("k", {"feedback": "f"}, "critic", score=7.0))]
    screen = Screen(reused=reused)

    screen.take(
        "run.created",
        input_topic="t",
        model="m",
        blueprint="b",
        blueprint_version=1,
        parent="the parent",
    )

    assert "fork of the parent" in screen.printed
    assert "= k · round 1 · 0.0 s · 7 / 10 · reused" in screen.printed
    assert "scores 7" in screen.live
    assert screen.board.cost == 0, "the parent paid for it"


# --- what changed ----------------------------------------------------------------------


OLD = "One owner reports every Friday in five lines, and nobody else does."


def test_a_changed_draft_shows_what_went_out_and_what_came_in():
    shown = changes.between(OLD, OLD.replace("Friday", "Monday"), colour=False)

    assert shown is not None
    assert "every [-Friday-] {+Monday+} in five lines" in shown.plain


def test_in_colour_it_is_told_by_shape_as_well():
    shown = changes.between(OLD, OLD.replace("Friday", "Monday"), colour=True)

    assert shown is not None
    styles = {shown.plain[span.start : span.end]: span.style for span in shown.spans}
    assert styles == {"Friday": "red strike", "Monday": "green underline"}


def test_a_draft_of_which_little_is_left_is_not_compared():
    assert changes.between(OLD, "Quite another text, of other words.", colour=False) is None


@pytest.mark.parametrize("new", [f"{OLD}\n\nMore.", OLD[:20], f"  {OLD}\n"])
def test_without_what_went_out_a_comparison_is_the_new_text(new):
    shown = changes.between(OLD, new, colour=True)

    assert (
        shown is None
        or new.split()
        == "".join(
            shown.plain[n] for n in range(len(shown)) if not _is_struck(shown, n)
        ).split()
    )


def _is_struck(shown, at):
    return any(s.start <= at < s.end and s.style == "red strike" for s in shown.spans)


def test_the_draft_before_is_the_same_nodes_or_the_one_that_was_polished_or_corrected():
    drafts = story.Drafts()
    drafts.take(event("node.completed", **done("d", {"draft": "first"})))
    drafts.take(event("node.completed", **done("d", {"draft": "second"})))
    assert drafts.before("second") == "first"
    assert drafts.before("first") is None

    drafts.take(event("node.completed", **done("w", {"draft": "third"}, "writer")))
    assert drafts.before("third") == "second"
    drafts.take(
        event("gate.answered", gate="1", node="w", answer={"current_draft": "by a person"})
    )
    assert drafts.before("by a person") == "third"


def test_answers_of_parallel_members_are_not_versions_of_each_other():
    drafts = story.Drafts()
    drafts.take(event("node.completed", **done("a1", {"draft": "one"}, "answer")))
    drafts.take(event("node.completed", **done("a2", {"draft": "two"}, "answer")))

    assert drafts.before("two") is None


# --- limits ----------------------------------------------------------------------------


def test_limits_are_written_as_they_are_read():
    stated = {"calls": 20, "cost": 0.5}

    assert limits.several(limits.written(stated).split()) == stated


@pytest.mark.parametrize(
    "word", ["calls", "calls=", "calls=x", "calls=0", "calls=2.5", "cost=-1", "cost=nan", "x=1"]
)
def test_a_limit_that_cannot_be_says_what_it_should_be(word):
    with pytest.raises(ValueError, match=r"positive|there are iterations"):
        limits.one(word)


# --- the story of a fork ---------------------------------------------------------------


def test_the_story_of_a_forks_fork_has_each_step_once_and_says_where_it_happened(
    new_run, drain
):
    first = new_run()
    drain()
    step = first.events.filter(kind="node.completed").order_by("seq")[1]
    second = runs.fork(first, owner=None, after=step.seq)
    drain()
    third = runs.fork(second, owner=None)
    drain()

    steps = [(t.event, t.reused) for t in story.of(third) if t.event.kind == "node.completed"]

    assert [e.data["node"] for e, _ in steps] == [
        "master_agent",
        "critic_agent",
        "master_agent",
        "critic_agent",
        "writer_agent",
    ]
    assert [e.run_id for e, _ in steps] == [first.pk] * 2 + [second.pk] * 3
    assert {reused for _, reused in steps} == {True}


def test_the_story_of_a_run_begun_again_is_its_own(new_run, drain):
    first = new_run()
    drain()

    again = runs.fork(first, owner=None, after=0)

    assert story.reused(again) == []
    with pytest.raises(errors.StepNotFound):
        runs.fork(again, owner=None)
