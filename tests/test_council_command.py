"""`manage.py council`: what it shows, and what its exit code tells."""

import io
import json

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from rich.console import Console

from experience import export, feed, terminal
from experience.terminal import arguments
from runtime import events, gates, models, runs
from tests.conftest import nodes_started, the_gate


def _board(run):
    """The board after the whole log of a run, and what it has printed."""
    out = io.StringIO()
    board = terminal.Board(Console(file=out, width=100))
    for event in events.since(run.pk, 0):
        board.take(event)
    board.print_end()
    return board, out.getvalue()


def test_it_shows_rounds_scores_the_draft_and_that_the_model_is_scripted(new_run, drain):
    run = new_run("Tabs or spaces?")
    drain()

    board, text = _board(run)

    assert board.exit_code == 0
    for part in ("Tabs or spaces?", "6.5 / 10", "8.5 / 10", "approved by the critic", "$0"):
        assert part in text
    assert "scripted demo model: no AI wrote this" in text


def test_a_run_that_was_cancelled_tells_by_whom_and_exits_with_4(new_run):
    run = new_run()
    runs.cancel(run.pk, by="alice")

    board, text = _board(run)

    assert board.exit_code == 4
    assert "cancelled by alice" in text


def test_a_run_that_failed_tells_where_and_why_and_exits_with_1(new_run, drain, settings):
    settings.OPENAI_API_KEY, settings.OPENAI_BASE_URL = "k", "http://127.0.0.1:1/v1"
    settings.MODEL_MAX_TRIES = 1
    run = new_run(model="openai:gpt-4o")
    drain()

    board, text = _board(run)

    assert board.exit_code == 1
    assert "failed in master_agent" in text


def test_a_run_at_its_limit_says_so_and_exits_with_3(new_run):
    end = {
        "reason": "iteration_limit",
        "approved": False,
        "final_draft": "x",
        "critic_score": 7.5,
        "iteration_count": 5,
        "usage": {
            "models": ["m"],
            "scripted": False,
            "calls": 11,
            "partial": False,
            "output_tokens": None,
            "cost": None,
        },
    }
    run = new_run()
    events.append(run, "run.completed", key=runs.end_key(run), **end)

    board, text = _board(run)

    assert board.exit_code == 3
    assert "stopped at the limit, not approved" in text
    assert text.count("unknown") == 2


def test_text_that_looks_like_markup_is_shown_as_it_is(new_run, drain):
    run = new_run("[bold]not bold[/bold] [/nonsense]")
    drain()

    _, text = _board(run)

    assert "[bold]not bold[/bold] [/nonsense]" in text


def test_following_a_finished_run_as_json_prints_its_log_one_event_a_line(
    new_run, drain, capsys
):
    run = new_run()
    drain()

    with pytest.raises(SystemExit) as left:
        call_command("council", "--follow", str(run.pk), "--json")

    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert left.value.code == 0
    assert lines == [event.as_json() for event in events.since(run.pk, 0)]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "Give a topic"),
        (["x", "--follow", "y"], "Give a topic"),
        (["--follow", "nonsense"], "There is no such run"),
        (["x", "--blueprint", "nonsense"], "There is no blueprint nonsense"),
        (["x", "--user", "nobody"], "There is no user nobody"),
        (["x", "--model", "nonsense"], "provider:model"),
        (["x" * 10_001], "10 000 characters"),
        (["shwo"], "There is no action shwo; is it show"),
        (["x", "--blueprint", "single@99"], "no version of this number"),
        (["x", "--blueprint", "single@new"], "number of a version"),
        (["show", "nonsense"], "There is no such run"),
        (["answer", "nonsense", "approve"], "There is no such run"),
    ],
)
def test_a_call_that_is_wrong_says_what_is_and_exits_with_2(
    shipped_blueprints, arguments, sentence
):
    with pytest.raises(CommandError, match=sentence) as refusal:
        call_command("council", *arguments)

    assert refusal.value.returncode == 2
    assert not models.Run.objects.exists()


# --- the command line ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (["Tabs or spaces?"], ["run", "Tabs or spaces?"]),
        (["--god-mode", "Tabs?"], ["run", "--god-mode", "Tabs?"]),
        ([], ["run"]),
        (["list"], ["list"]),
        (["run", "list"], ["run", "list"]),
        (["--verbosity", "2", "list"], ["--verbosity", "2", "list"]),
        (["--settings", "x", "Tabs?"], ["run", "--settings", "x", "Tabs?"]),
        (["--help"], ["--help"]),
        (["lists of things"], ["run", "lists of things"]),
    ],
)
def test_what_is_no_action_is_a_topic_to_be_run(typed, meant):
    assert arguments.with_action(typed) == meant


@pytest.mark.parametrize("name", arguments.ACTIONS)
def test_every_action_has_its_help(name, capsys):
    with pytest.raises(SystemExit) as left:
        call_command("council", name, "--help")

    assert left.value.code == 0
    assert arguments.ACTIONS[name][1] in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        (["x", "--limit", "calls"], "calls is a positive whole number"),
        (["x", "--limit", "money=5"], "'money' is no limit; there are iterations"),
        (["fork", "x", "--prompt", "node"], "NODE=VALUE"),
        (["fork", "x", "--after", "5", "--again"], "not allowed with"),
        (["answer", "x", "maybe"], "invalid choice"),
        (["list", "--limit-rows", "0"], "not a number of rows"),
        (["show"], "RUN_ID"),
    ],
)
def test_a_command_line_that_is_wrong_says_what_is(typed, sentence):
    with pytest.raises(CommandError, match=sentence):
        call_command("council", *typed)


def _run(*words):
    """What the command printed first, of one that does not follow: the run's id."""
    out = io.StringIO()
    call_command("council", *words, "--no-follow", stdout=out)
    return models.Run.objects.get(pk=out.getvalue().strip())


def test_a_run_takes_its_limits_its_gates_and_its_blueprint_from_the_command_line(
    shipped_blueprints, alice
):
    run = _run(
        *("Tabs?", "--god-mode", "--limit", "calls=20", "--limit", "cost=0.5"),
        *("--blueprint", "single@1", "--model", "demo:instant", "--user", "alice"),
    )

    assert (run.god_mode, run.limits) == (True, {"calls": 20, "cost": 0.5})
    assert run.blueprint_version.blueprint.slug == "single"
    assert (run.model, run.owner) == ("demo:instant", alice)


def test_a_deleted_blueprint_is_not_found(shipped_blueprints):
    models.Blueprint.objects.filter(slug="single").update(deleted_at=timezone.now())

    with pytest.raises(CommandError, match="There is no blueprint single"):
        call_command("council", "Tabs?", "--blueprint", "single")


# --- answer ----------------------------------------------------------------------------


@pytest.fixture
def paused(new_run, council, drain):
    run = new_run(version=council("d > w", w={"gateBefore": {}}))
    drain()
    return run


def test_answer_approves_in_the_terminals_name(paused, capsys):
    call_command("council", "answer", str(paused.pk), "approve")

    gate = paused.gates.get()
    assert (gate.action, gate.answered_by) == ("approve", "the terminal")
    assert "w: approve; the run is pending" in capsys.readouterr().out


def test_answer_modifies_the_draft_from_a_file(paused, tmp_path):
    draft = tmp_path / "draft.md"
    draft.write_text("A better draft.")

    call_command(
        *("council", "answer", str(paused.pk), "modify", "--draft", str(draft)),
        *("--feedback", "Shorter.", "--to", "d", "--gate", str(the_gate(paused).pk)),
    )

    assert paused.gates.get().answer == {
        "current_draft": "A better draft.",
        "feedback": "Shorter.",
        "next_node": "d",
    }


def test_answer_takes_a_draft_from_stdin(paused, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("A draft of a program."))

    call_command("council", "answer", str(paused.pk), "modify", "--draft", "-")

    assert paused.gates.get().answer == {"current_draft": "A draft of a program."}


def test_answer_in_the_name_of_a_user_is_refused_to_who_is_not_asked(
    new_run, council, drain, bob, alice
):
    gate = {"gateBefore": {"answerers": ["user:bob"]}}
    run = new_run(version=council("d > w", w=gate))
    drain()

    with pytest.raises(CommandError, match="It asks user:bob"):
        call_command("council", "answer", str(run.pk), "approve", "--user", "alice")

    call_command("council", "answer", str(run.pk), "approve", "--user", "bob")
    assert run.gates.get().answered_by == "bob"


def test_a_second_answer_says_who_was_first(paused):
    gates.answer(the_gate(paused).pk, action="approve", by="bob")

    with pytest.raises(CommandError, match="approve by bob at 20") as refusal:
        call_command("council", "answer", str(paused.pk), "reject")

    assert refusal.value.returncode == 2


def test_of_several_open_gates_it_names_those_to_choose_from(new_run, council, drain):
    both = {"gateBefore": {}}
    wide = ("d > d1", "d > d2", "d1 > w", "d2 > w")
    run = new_run(version=council(*wide, d1=both, d2=both))
    drain()

    with pytest.raises(CommandError) as refusal:
        call_command("council", "answer", str(run.pk), "approve")

    for gate in run.gates.all():
        assert f"--gate {gate.pk}" in str(refusal.value)


# --- retry, fork, cancel ---------------------------------------------------------------


def test_retry_takes_a_failed_run_up_again_with_more(new_run, drain):
    run = new_run(limits={"calls": 1})
    runs.cancel(run.pk, by="alice")
    with pytest.raises(CommandError, match="Only a run that has failed"):
        call_command("council", "retry", str(run.pk))

    failed = new_run(limits={"tokens": 10})
    drain()
    again = _run("retry", str(failed.pk), "--limit", "tokens=90000")
    drain()

    again.refresh_from_db()
    assert (again.pk, again.status, again.retries) == (failed.pk, "completed", 1)


def test_followed_from_its_beginning_a_retried_run_is_shown_to_its_real_end(
    new_run, drain, capsys, monkeypatch
):
    monkeypatch.setattr(feed.latest, "PAGE", 1)  # the log is read in many pieces
    run = new_run(limits={"tokens": 10})
    drain()
    runs.retry(run.pk, by="alice", limits={"tokens": 90_000})
    drain()

    with pytest.raises(SystemExit) as left:
        call_command("council", "--follow", str(run.pk))

    assert left.value.code == 0
    assert "retried by alice, after it had failed" in capsys.readouterr().out


@pytest.fixture
def finished(new_run, drain):
    run = new_run("Tabs or spaces?")
    drain()
    run.refresh_from_db()
    return run


def test_fork_goes_on_after_the_last_step_of_a_node_with_what_was_changed(
    finished, drain, tmp_path
):
    prompt = tmp_path / "prompt.txt"
    prompt.write_text("You write in verse.")

    fork = _run(
        *("fork", str(finished.pk), "--after", "critic_agent", "--limit", "calls=9"),
        *("--prompt", f"writer_agent=@{prompt}", "--node-model", "writer_agent=demo:council"),
    )
    drain()

    step = finished.events.filter(kind="node.completed", data__node="critic_agent").last()
    assert (fork.parent_id, fork.parent_seq, fork.limits) == (
        finished.pk,
        step.seq,
        {"calls": 9},
    )
    assert fork.overrides == {
        "writer_agent": {"systemPrompt": "You write in verse.", "model": "demo:council"}
    }
    assert fork.owner == finished.owner, "of whom the parent is"
    assert nodes_started(fork) == ["writer_agent"]


def test_fork_again_begins_anew_and_may_ask_before_every_node(finished, drain):
    fork = _run("fork", str(finished.pk), "--again", "--god-mode")
    drain()

    assert fork.parent_seq == 0
    assert the_gate(fork).node == "master_agent"


def test_fork_after_a_node_that_never_finished_says_so(finished):
    with pytest.raises(CommandError, match="no step of a node nobody has finished"):
        call_command("council", "fork", str(finished.pk), "--after", "nobody")


def test_cancel_stops_a_run_in_the_name_of_its_owner_only(new_run, bob):
    run = new_run()

    with pytest.raises(CommandError, match="There is no such run"):
        call_command("council", "cancel", str(run.pk), "--user", "bob")
    call_command("council", "cancel", str(run.pk), "--user", "alice")

    assert run.events.get(kind="run.cancelled").data["by"] == "alice"


# --- list, show, export ----------------------------------------------------------------


def test_list_has_whole_ids_what_became_of_each_run_and_the_newest_first(
    finished, paused, capsys
):
    call_command("council", "list")

    lines = capsys.readouterr().out.splitlines()[1:]
    assert [line.split()[0] for line in lines] == [str(paused.pk), str(finished.pk)]
    assert "paused at w" in lines[0]
    assert "approved by the critic" in lines[1]
    assert "Tabs or spaces?" in lines[1]


def test_list_shows_the_runs_of_a_user_or_of_a_status_and_so_many(
    finished, paused, bob, capsys
):
    def listed(*options):
        call_command("council", "list", *options)
        return [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]]

    assert listed("--user", "bob") == []
    assert listed("--status", "completed") == [str(finished.pk)]
    assert listed("--limit-rows", "1") == [str(paused.pk)]


def _last_step(run):
    return run.events.filter(kind="node.completed").latest("seq").seq


def test_show_begins_with_the_result_and_has_the_steps_to_fork_from(finished, capsys):
    fork = runs.fork(finished, owner=None, after=_last_step(finished))
    call_command("council", "show", str(finished.pk))

    shown = capsys.readouterr().out
    result, steps = shown.index("approved by the critic"), shown.index("seq")
    assert shown.index("Tabs or spaces?") < result < steps
    assert "scripted demo model: no AI wrote this" in shown
    for event in finished.events.filter(kind="node.completed"):
        assert f"{event.seq}  ✓ {event.data['node']}" in shown
    assert str(fork.pk) in shown


def test_show_has_the_open_gates_and_how_to_answer_them(paused, capsys):
    call_command("council", "show", str(paused.pk))

    shown = capsys.readouterr().out
    assert "paused: it has no result yet" in shown
    assert f"council answer {paused.pk} approve --gate {the_gate(paused).pk}" in shown


def test_show_of_a_fork_marks_what_is_reused_and_names_the_parent(finished, capsys):
    fork = runs.fork(finished, owner=None, after=_last_step(finished))

    call_command("council", "show", str(fork.pk))

    shown = capsys.readouterr().out
    assert shown.count("reused") == 5
    assert f"{finished.pk}, after its step {fork.parent_seq}" in shown


def test_export_prints_markdown_or_writes_json(finished, tmp_path):
    out, path = io.StringIO(), tmp_path / "run.json"

    call_command("council", "export", str(finished.pk), stdout=out)
    call_command(
        *("council", "export", str(finished.pk), "--format", "json", "--output", str(path))
    )

    assert out.getvalue() == export.as_markdown(finished)
    assert json.loads(path.read_text()) == json.loads(json.dumps(export.as_json(finished)))


def test_export_to_where_nothing_can_be_written_says_so(finished, tmp_path):
    with pytest.raises(CommandError, match="cannot be written"):
        call_command("council", "export", str(finished.pk), "--output", str(tmp_path))
