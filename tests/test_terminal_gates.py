"""What somebody at a terminal is asked at a gate, and what comes of it."""

import asyncio
import os
import stat
import tempfile

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User

from experience import feed
from experience.terminal import follower
from runtime import gates, models
from tests.conftest import nodes_started, the_gate
from tests.terminals import sitting

LOOP = ("d > k", "k revise> d", "k approve> w")
OFFER = "[a]pprove, [m]odify, [r]eject or [l]eave? "

the_gate_of = sync_to_async(the_gate)
answer = sync_to_async(gates.answer)


def following(run, monkeypatch, **more):
    """Somebody who follows a run."""
    return sitting(follower.Follower(run, **more).follow(), monkeypatch)


@pytest.fixture
async def paused(new_run, council, adrain):
    """A run that waits before its writer, with a draft."""
    version = await sync_to_async(council)("d > w", w={"gateBefore": {"ask": "Is it fair?"}})
    run = await sync_to_async(new_run)(version=version)
    await adrain()
    return run


@pytest.fixture
def editor(tmp_path, monkeypatch):
    """Let $EDITOR put one text for another in what it is given."""

    def install(old, new):
        script = tmp_path / "editor"
        script.write_text(f"#!/bin/sh\nsed -i 's/{old}/{new}/' \"$1\"\n")
        script.chmod(script.stat().st_mode | stat.S_IEXEC)
        monkeypatch.delenv("VISUAL", raising=False)
        monkeypatch.setenv("EDITOR", str(script))

    return install


async def test_at_a_gate_it_shows_what_is_asked_and_proposed_and_an_approval_goes_on(
    paused, monkeypatch, adrain
):
    draft = (await the_gate_of(paused)).proposal["current_draft"]
    async with following(paused, monkeypatch) as person:
        await person.answers(OFFER, "what?")
        await person.answers(OFFER, "a")
        await person.reads("w: approved by the terminal")
        await adrain()

    assert person.code == 0
    for part in ("paused before w", "Is it fair?", "w is next.", draft[:30], "cost so far $0"):
        assert part in person.screen
    gate = await paused.gates.aget()
    assert (gate.action, gate.answered_by) == ("approve", "the terminal")


async def test_modify_opens_the_draft_in_the_editor_and_shows_what_was_changed(
    paused, monkeypatch, editor, adrain
):
    await paused.arefresh_from_db()
    editor("Scripted", "Quite a new")
    async with following(paused, monkeypatch) as person:
        await person.answers(OFFER, "m")
        await person.answers("Feedback for what follows (empty: none): ", "Mind the price.")
        await person.answers("Go on with d (empty: as proposed): ", "nowhere")
        await person.answers("Go on with d (empty: as proposed): ", "")
        await person.reads("w: modified by the terminal")
        await adrain()

    gate = await paused.gates.aget()
    changed = paused.current_draft.replace("Scripted", "Quite a new", 1)
    assert gate.answer == {"current_draft": changed, "feedback": "Mind the price."}
    assert "Your draft" in person.screen


async def test_a_draft_that_nobody_changed_is_no_modification_and_it_asks_again(
    paused, monkeypatch, editor
):
    editor("there is no such text", "")
    async with following(paused, monkeypatch) as person:
        await person.answers(OFFER, "m")
        await person.answers("(empty: none): ", "")
        await person.answers("(empty: as proposed): ", "")
        await person.reads("Nothing was modified.")
        await person.answers(OFFER, "l")

    assert await the_gate_of(paused)


async def test_an_answer_that_is_refused_is_explained_and_asked_for_again(
    paused, monkeypatch, adrain
):
    monkeypatch.setattr(gates, "LONGEST_TEXT", 5)
    async with following(paused, monkeypatch) as person:
        await person.answers(OFFER, "r")
        await person.answers("Send it to d (empty: end the run): ", "d")
        await person.answers("Why? ", "Far too long.")
        await person.reads("comment is a text of at most 5 characters.")
        await person.answers(OFFER, "a")
        await person.reads("approved by the terminal")
        await adrain()

    assert person.code == 0


async def test_a_rejection_may_send_it_back_with_a_comment(paused, monkeypatch, adrain):
    async with following(paused, monkeypatch) as person:
        await person.answers(OFFER, "r")
        await person.answers("Send it to d (empty: end the run): ", "d")
        await person.answers("Why? ", "Far too long.")
        await person.reads("w: rejected by the terminal, to d, “Far too long.”")
        await adrain()
        await person.answers(OFFER, "r")
        await person.answers("Send it to", "")
        await person.answers("Why? ", "")

    assert person.code == 4
    assert "rejected by the terminal" in person.screen
    assert await sync_to_async(nodes_started)(paused) == ["d", "d"]


@pytest.mark.parametrize("key", [b"l\n", b"\x04"], ids=["leave", "end of input"])
async def test_left_it_waits_on_says_how_to_answer_and_exits_with_5(paused, monkeypatch, key):
    async with following(paused, monkeypatch) as person:
        await person.reads(OFFER)
        person.presses(key)

    gate = await the_gate_of(paused)
    assert person.code == 5
    assert f"council answer {paused.pk} approve --gate {gate.pk}" in person.screen
    assert f"council --follow {paused.pk}" in person.screen


async def test_a_question_that_somebody_else_answers_is_dropped_and_says_who_did(
    paused, monkeypatch, adrain
):
    gate = await the_gate_of(paused)
    async with following(paused, monkeypatch) as person:
        await person.reads(OFFER)
        await answer(gate.pk, action="approve", by="bob")
        await person.reads("\n")  # so that it is told on a line of its own
        await person.reads("w: approved by bob")
        await adrain()

    assert person.code == 0
    assert await paused.gates.acount() == 1


async def test_what_was_written_for_a_gate_that_somebody_else_answers_is_kept(
    paused, monkeypatch, editor, tmp_path
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    editor("Scripted", "Quite a new")
    gate = await the_gate_of(paused)
    async with following(paused, monkeypatch) as person:
        await person.answers(OFFER, "m")
        await person.reads("Feedback for what follows (empty: none): ")
        await answer(gate.pk, action="reject", by="bob")
        await person.reads("What you wrote is in ")

    [kept] = tmp_path.glob("council-*.md")
    assert str(kept) in person.screen
    assert "Quite a new" in kept.read_text()


async def test_who_follows_in_the_name_of_a_user_is_told_to_answer_in_that_name(
    paused, monkeypatch, alice
):
    async with following(paused, monkeypatch, user=alice) as person:
        await person.answers(OFFER, "l")

    gate = await the_gate_of(paused)
    assert f"approve --gate {gate.pk} --user alice" in person.screen


async def test_two_open_gates_are_asked_about_one_after_the_other(
    new_run, council, monkeypatch, adrain
):
    both = {"gateBefore": {}}
    version = await sync_to_async(council)(
        "d > d1", "d > d2", "d1 > w", "d2 > w", d1=both, d2=both
    )
    run = await sync_to_async(new_run)(version=version)
    await adrain()
    async with following(run, monkeypatch) as person:
        for _ in range(2):
            await person.answers(OFFER, "a")
            await person.reads("approved by the terminal")
        await adrain()

    assert person.code == 0


async def test_at_a_limit_it_takes_new_limits_or_stops(new_run, council, monkeypatch, adrain):
    version = await sync_to_async(council)(*LOOP, limits={"calls": 2, "atLimit": "ask"})
    run = await sync_to_async(new_run)(version=version)
    await adrain()
    async with following(run, monkeypatch) as person:
        await person.answers("[a]pprove, [s]top or [l]eave? ", "a")
        await person.answers(
            "New limits, such as calls=20 (empty: as much again): ", "calls=many"
        )
        await person.reads("calls is a positive whole number, not 'many'.")
        await person.answers("[l]eave? ", "a")
        await person.answers("(empty: as much again): ", "calls=3")
        await person.reads("limit extended by the terminal, limits calls=3")
        await adrain()
        await person.answers("[l]eave? ", "s")

    assert person.code == 3
    assert "2 more calls" in person.screen
    assert "stopped at the call limit, not approved" in person.screen


async def test_ctrl_c_at_a_gate_asks_whether_to_cancel(paused, monkeypatch):
    async with following(paused, monkeypatch) as person:
        await person.reads(OFFER)
        os.kill(os.getpid(), 2)
        await person.answers("Leave it running (l) or cancel it (c)? ", "c")

    assert person.code == 4
    assert "cancelled by the terminal" in person.screen


async def test_in_the_name_of_a_user_who_is_not_asked_it_says_who_is(
    paused, monkeypatch, bob: User
):
    async with following(paused, monkeypatch, user=bob) as person:
        await person.reads("It waits for owner to answer.")
        os.kill(os.getpid(), 2)
        await person.answers("(c)? ", "l")

    assert person.code == 5
    assert OFFER not in person.screen


async def test_without_a_terminal_it_says_how_to_answer_and_goes_on_when_somebody_does(
    paused, capsys, monkeypatch, adrain
):
    monkeypatch.setattr(feed.latest, "PAGE", 1)  # the log is read in many pieces
    gate = await the_gate_of(paused)
    await answer(gate.pk, action="reject", by="bob", says={"next_node": "d"})
    await adrain()
    second = await models.Gate.objects.aget(run=paused, answered_at=None)
    watching = follower.Follower(paused)
    task = asyncio.create_task(watching.follow())
    await watching.has_asked.wait()
    await answer(second.pk, action="approve", by="bob")
    await adrain()

    assert await task == 0
    shown = capsys.readouterr().out
    assert f"council answer {paused.pk} approve --gate {second.pk}" in shown
    assert str(gate.pk) not in shown, "it was answered already"
    assert "w: approved by bob" in shown
