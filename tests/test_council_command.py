"""`manage.py council`: what it shows, and what its exit code tells."""

import io
import json

import pytest
from django.core.management import CommandError, call_command
from rich.console import Console

from experience import terminal
from runtime import events, models, runs


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
    ],
)
def test_a_call_that_is_wrong_says_what_is_and_exits_with_2(
    shipped_blueprints, arguments, sentence
):
    with pytest.raises(CommandError, match=sentence) as refusal:
        call_command("council", *arguments)

    assert refusal.value.returncode == 2
    assert not models.Run.objects.exists()
