"""`manage.py chat`: what is said in the terminal, who answers, and how one comes back."""

import asyncio
import contextlib
import io
import json
import os
import sys
import threading

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import Group
from django.core.management import CommandError, call_command
from django.db import connections
from rich.console import Console

from experience import conversations, models
from experience.terminal import invocation, lines, talk, transcript
from runtime import gates, tasks
from runtime import models as runtime
from tests import provider
from tests.speech import Answer
from tests.terminals import PATIENCE, pipes, sitting

SCRIPTED = "scripted demo model: no AI wrote this"
PROMPT = "you: "


@pytest.fixture
def worker(shipped_blueprints):
    """A worker beside the test, in a thread of its own."""
    stop = asyncio.Event()
    loop = asyncio.new_event_loop()

    def work():
        try:
            loop.run_until_complete(tasks.work(stop=stop))
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
        finally:
            loop.close()
            connections.close_all()

    thread = threading.Thread(target=work)
    thread.start()
    yield
    loop.call_soon_threadsafe(stop.set)
    thread.join(PATIENCE)


@pytest.fixture
def piped(monkeypatch):
    """Let standard input be what another program writes."""

    with contextlib.ExitStack() as opened:

        def write(text):
            ours, theirs = os.pipe()
            os.write(theirs, text.encode())
            os.close(theirs)
            monkeypatch.setattr(sys, "stdin", opened.enter_context(os.fdopen(ours)))

        yield write


@pytest.fixture
def openai(settings):
    """Aim the default model at a local provider."""

    def aim(server):
        settings.OPENAI_API_KEY, settings.OPENAI_BASE_URL = "sk-secret", server.url
        settings.DEFAULT_MODEL = "openai:gpt-4o"
        settings.MODEL_MAX_TRIES, settings.MODEL_RETRY_SECONDS = 1, 0.01

    return aim


def chat(*words):
    """The exit code of the command."""
    try:
        call_command("chat", *words)
    except SystemExit as left:
        return left.code
    return 0


def guided(text, **more):
    """What the guide's model answers."""
    return Answer(json.dumps({"reason": "So.", "handoff": "", "text": text}), **more)


# --- one question ----------------------------------------------------------------------


def test_a_message_is_answered_and_it_says_by_whom_and_why(alice, worker, capsys):
    code = chat("Good morning", "--user", "alice")

    shown = capsys.readouterr().out
    reply = models.Message.objects.select_related("run").get(role="agent")
    assert code == 0
    assert shown.startswith("guide.general, by default · demo:council\n")
    assert reply.run.current_draft in shown
    assert SCRIPTED in shown


def test_a_hand_over_is_shown_with_its_reason_and_who_answers_then(alice, worker, capsys):
    code = chat("What are the insights?", "--user", "alice")

    shown = capsys.readouterr().out
    assert code == 0
    assert "→ guide.general hands over to liaison.insights: " in shown
    assert "The message has the word “insights”" in shown
    assert "liaison.insights, by the hand-over" in shown


def test_a_councils_steps_are_short_lines_before_its_answer(alice, worker, capsys):
    chat("Hello", "--user", "alice", "--surface", "content_pillar")

    shown = capsys.readouterr().out.splitlines()
    assert shown[0].startswith("liaison.content, because of the surface")
    assert [line for line in shown if line.startswith("✓")][:4] == [
        "✓ Author · round 1",
        "✓ Editor · round 1 · 6.5 / 10",
        "✓ Author · round 2",
        "✓ Editor · round 2 · 8.5 / 10",
    ]
    # It writes the answer: it stands above that, done already or not.
    assert shown[5] in ("Finisher · round 2 writes:", "✓ Finisher · round 2")
    assert not [line for line in shown[6:] if "Finisher" in line]
    assert shown[-2].startswith("approved by the critic · last score 8.5 / 10 · $0 · ")


def test_an_agent_and_a_project_may_be_named(alice, worker, capsys):
    chat("Hello", "--user", "alice", "--agent", "liaison.journey", "--project", "p1")

    assert "liaison.journey, as you asked" in capsys.readouterr().out
    assert models.Conversation.objects.get().project_id == "p1"


def test_a_surface_that_is_not_known_is_said_to_be_and_goes_to_the_guide(alice, worker, capsys):
    code = chat("Hello", "--user", "alice", "--surface", "contentpillar")

    printed = capsys.readouterr()
    assert code == 0
    assert "The surface contentpillar is not in the table" in printed.err
    assert "content_pillar" in printed.err
    assert "guide.general, by default" in printed.out


def test_with_resume_it_is_said_in_that_conversation(alice, worker, capsys):
    chat("Hello", "--user", "alice", "--agent", "liaison.journey")
    conversation = models.Conversation.objects.get()
    chat("More", "--user", "alice", "--resume", str(conversation.pk))

    assert "liaison.journey, as before" in capsys.readouterr().out
    assert conversation.messages.count() == 4


def test_the_log_does_not_write_between_the_lines(alice, worker, caplog):
    with caplog.at_level("INFO", logger="experience"):
        chat("Hello", "--user", "alice")
        silent = [*caplog.records]
        chat("Hello", "--user", "alice", "--verbosity", "2")

    assert "experience.conversations" not in {record.name for record in silent}
    assert "experience.conversations" in {record.name for record in caplog.records}


def test_as_json_the_frames_are_printed_a_line_each_and_nothing_else(alice, worker, capsys):
    code = chat("What are the insights?", "--user", "alice", "--json")

    frames = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    types = [f["event_type"] for f in frames if f["event_type"] != "agent.token"]
    assert code == 0
    assert types == ["agent.started", "agent.handoff", "agent.started", "agent.completed"]


async def test_a_message_that_fails_says_why_and_how_to_send_it_again_and_exits_with_1(
    alice, worker, openai, capsys
):
    async with provider.serve() as server:
        openai(server)
        server.then(Answer(status=401))
        code = await talk.Talk(alice).once("It's me")

    printed = capsys.readouterr()
    conversation = await models.Conversation.objects.aget()
    again = f"--user alice --resume {conversation.pk} 'It'\"'\"'s me'"
    assert code == 1
    assert "✗ failed: " in printed.out
    assert f"To send it again: {invocation.of('chat')} {again}" in printed.err


# --- who one is ------------------------------------------------------------------------


def test_the_only_user_need_not_be_named(alice, worker):
    assert chat("Hello") == 0
    assert models.Conversation.objects.get().user == alice


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["Hello"], "There are several users. Say which of them you are: --user NAME"),
        (["Hello", "--user", "nobody"], "There is no user nobody"),
        (["--user", "alice", "--json"], "--json needs a message"),
        (
            ["Hello", "--user", "alice", "--agent", "guide.none"],
            "There is no agent guide.none. There are: .*",
        ),
        (["", "--user", "alice"], "A message needs a text"),
        (["Hello", "--user", "alice", "--resume", "x"], "There is no such conversation"),
    ],
)
def test_a_call_that_is_wrong_says_what_is_and_exits_with_2(
    shipped_blueprints, alice, bob, words, sentence
):
    with pytest.raises(CommandError, match=sentence) as refusal:
        call_command("chat", *words)

    assert refusal.value.returncode == 2
    assert not runtime.Run.objects.exists()


def test_without_any_user_it_says_how_to_make_one(shipped_blueprints):
    with pytest.raises(CommandError, match="createsuperuser"):
        call_command("chat", "Hello")


def test_somebody_elses_conversation_is_not_found_and_not_listed(
    shipped_blueprints, alice, bob, capsys
):
    conversation = conversations.post(bob, text="Mine alone").message.conversation

    with pytest.raises(CommandError, match="There is no such conversation"):
        call_command("chat", "Hello", "--user", "alice", "--resume", str(conversation.pk))
    chat("--list", "--user", "alice")

    assert "Mine alone" not in capsys.readouterr().out


def test_list_shows_ones_conversations_the_latest_first(shipped_blueprints, alice, capsys):
    first = conversations.post(alice, text="First", project_id="p1").message.conversation
    second = conversations.post(alice, text="Second").message.conversation
    chat("--list", "--user", "alice")

    _head, *rows = capsys.readouterr().out.splitlines()
    assert [row.split()[0] for row in rows] == [str(second.pk), str(first.pk)]
    assert "First" in rows[1]
    assert "p1" in rows[1]


# --- from another program --------------------------------------------------------------


def test_what_another_program_writes_is_said_also_with_a_slash(alice, worker, piped):
    piped("/agent liaison.journey\n")
    code = chat("--user", "alice")

    assert code == 0
    assert models.Message.objects.get(role="user").text == "/agent liaison.journey"


def test_every_line_of_another_program_is_a_message_of_one_conversation(
    alice, worker, piped, capsys
):
    piped("Hello\n\n  What are the insights?\nMore")
    code = chat("--user", "alice")

    shown = capsys.readouterr().out
    said = models.Message.objects.filter(role="user").order_by("number")
    assert code == 0
    assert [each.text for each in said] == ["Hello", "What are the insights?", "More"]
    assert models.Conversation.objects.count() == 1
    assert "you: What are the insights?\n" in shown


def test_a_file_is_read_like_a_program(alice, worker, tmp_path, monkeypatch):
    (tmp_path / "said").write_text("Hello\n")
    with (tmp_path / "said").open() as file:
        monkeypatch.setattr(sys, "stdin", file)
        code = chat("--user", "alice")

    assert code == 0
    assert models.Message.objects.get(role="user").text == "Hello"


def test_a_line_that_is_refused_does_not_keep_the_next_from_being_said(
    alice, worker, piped, capsys
):
    piped(f"{'x' * 10_001}\nHello\n")
    code = chat("--user", "alice")

    assert code == 1
    assert "10 000 characters" in capsys.readouterr().out
    assert models.Message.objects.get(role="user").text == "Hello"


async def test_lines_that_come_in_pieces_are_whole(monkeypatch):
    ours, theirs = os.pipe()
    with os.fdopen(ours) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        read = lines.Lines()
        first = asyncio.create_task(read.next())
        for piece in (b"Gr\xc3", b"\xbc", b"n\nblue\n \nre", b"d"):
            os.write(theirs, piece)
            await asyncio.sleep(0)
        os.close(theirs)

        found = [await first, await read.next(), await read.next(), await read.next()]

    assert found == ["Grün", "blue", "red", None]


# --- at a terminal ---------------------------------------------------------------------


async def test_one_talks_until_ctrl_d_which_says_how_to_come_back(alice, worker, monkeypatch):
    async with sitting(talk.Talk(alice).on(), monkeypatch) as person:
        await person.reads("You are alice. Ctrl-D leaves.")
        await person.answers(PROMPT, "Hello")
        await person.reads(SCRIPTED)
        await person.answers(PROMPT, "")
        await person.answers(PROMPT, "What are the insights?")
        await person.reads("→ guide.general hands over")
        await person.reads(PROMPT)
        person.presses(b"\x04")

    conversation = await models.Conversation.objects.aget()
    assert person.code == 0
    assert f"chat --user alice --resume {conversation.pk}" in person.screen
    assert await conversation.messages.filter(role="user").acount() == 2


async def test_an_answer_is_written_as_it_comes(alice, worker, openai, monkeypatch):
    async with (
        provider.serve() as server,
        sitting(talk.Talk(alice).on(), monkeypatch) as person,
    ):
        openai(server)
        server.then(guided("one two three four five six seven eight", hangs_at=12))
        await person.answers(PROMPT, "Hello")
        await person.reads("one two")
        os.kill(os.getpid(), 2)
        await person.answers("Leave it running (l) or cancel it (c)? ", "c")
        await person.reads("■ cancelled by alice")
        await person.reads(PROMPT)
        person.presses(b"\x04")

    assert person.code == 0


async def test_an_answer_that_is_left_running_says_how_to_see_it_again(
    alice, worker, openai, monkeypatch
):
    async with provider.serve() as server:
        openai(server)
        server.then(guided("one two three four five six seven eight", hangs_at=12))
        async with sitting(talk.Talk(alice).on(), monkeypatch) as person:
            await person.answers(PROMPT, "Hello")
            await person.reads("one two")
            os.kill(os.getpid(), 2)
            await person.answers("cancel it (c)? ", "l")
        conversation = await models.Conversation.objects.aget()
        reply = await models.Message.objects.select_related("run").aget(role="agent")
        assert person.code == 5
        assert f"It goes on. To see it again: {invocation.of('chat')}" in person.screen
        assert not reply.run.has_ended

        again = talk.Talk(alice, conversation_id=conversation.pk)
        async with sitting(again.on(), monkeypatch) as person:
            await person.reads("you: Hello")
            await person.reads("one two")
            os.kill(os.getpid(), 2)
            await person.answers("cancel it (c)? ", "c")
            await person.reads("■ cancelled by alice")
            await person.reads(PROMPT)
            person.presses(b"\x04")


async def test_after_a_failure_enter_sends_the_same_again(alice, worker, openai, monkeypatch):
    async with (
        provider.serve() as server,
        sitting(talk.Talk(alice).on(), monkeypatch) as person,
    ):
        openai(server)
        server.then(Answer(status=401), guided("Now it works."))
        await person.answers(PROMPT, "Hello")
        await person.reads("✗ failed: ")
        await person.reads("To send it again: press Enter")
        await person.answers(PROMPT, "")
        await person.reads("Now it works.")
        await person.reads(PROMPT)
        person.presses(b"\x04")

    said = models.Message.objects.filter(role="user").order_by("number")
    assert [each.text async for each in said] == ["Hello", "Hello"]


async def test_what_cannot_be_said_is_explained_and_one_may_go_on(alice, worker, monkeypatch):
    async with sitting(talk.Talk(alice, agent="guide.none").on(), monkeypatch) as person:
        await person.answers(PROMPT, "Hello")
        await person.reads("There is no agent guide.none. There are: council.default")
        await person.reads(PROMPT)
        os.kill(os.getpid(), 2)

    assert person.code == 0
    assert not await runtime.Run.objects.aexists()


async def test_a_line_with_a_slash_chooses_who_answers_and_two_slashes_say_one(
    alice, worker, monkeypatch
):
    async with sitting(talk.Talk(alice).on(), monkeypatch) as person:
        await person.answers(PROMPT, "/agent liaison.journey")
        await person.reads("The next message goes to liaison.journey.")
        await person.answers(PROMPT, "//agent is a word")
        await person.reads("liaison.journey, as you asked")
        await person.answers(PROMPT, "/surface insights_pillar")
        await person.answers(PROMPT, "And this?")
        await person.reads("liaison.insights, because of the surface")
        await person.reads(PROMPT)
        person.presses(b"\x04")

    said = models.Message.objects.filter(role="user").order_by("number")
    assert [each.text async for each in said] == ["/agent is a word", "And this?"]


async def test_an_agent_that_was_asked_for_may_hand_over_for_good(alice, worker, monkeypatch):
    async with sitting(talk.Talk(alice, agent="guide.general").on(), monkeypatch) as person:
        await person.answers(PROMPT, "What are the insights?")
        await person.reads("liaison.insights, by the hand-over")
        await person.answers(PROMPT, "More")
        await person.reads("liaison.insights, as before")
        await person.reads(PROMPT)
        person.presses(b"\x04")

    assert person.code == 0


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("/agent", "liaison.content: Texts for people to read"),
        ("/surface", "content_pillar: liaison.content answers"),
        (
            "/agent nobody",
            "There is no agent nobody. There are: council.default, ",
        ),
        ("/agent guide.closed", "This agent answers only members of certain groups"),
        ("/surface nowhere", "The surface nowhere is not in the table"),
        ("/leave", "There is no command /leave. /agent and /surface choose who answers."),
    ],
)
async def test_a_line_with_a_slash_that_says_no_more_lists_what_there_is_and_says_nothing(
    alice, shipped_blueprints, closed, monkeypatch, line, shown
):
    async with sitting(talk.Talk(alice).on(), monkeypatch) as person:
        await person.answers(PROMPT, line)
        await person.reads(shown)
        await person.reads(PROMPT)
        person.presses(b"\x04")

    assert not await models.Message.objects.aexists()


@pytest.fixture
def closed(shipped_blueprints):
    """An agent for members of a group alone."""
    blueprint = runtime.Agent.objects.get(slug="guide.general").blueprint
    agent = runtime.Agent.objects.create(slug="guide.closed", name="C", blueprint=blueprint)
    agent.groups.add(Group.objects.create(name="few"))


@pytest.fixture
def gated(council):
    """Let the journey's liaison wait for a person after its answer."""
    version = council("a", a={"gateAfter": {"ask": "Is it fair?"}})
    runtime.Agent.objects.filter(slug="liaison.journey").update(blueprint=version.blueprint)


OFFER = "[a]pprove, [m]odify, [r]eject or [l]eave? "


async def test_at_a_gate_it_shows_the_proposal_and_asks(alice, worker, gated, monkeypatch):
    async with sitting(talk.Talk(alice, surface="journey_pillar").on(), monkeypatch) as person:
        await person.answers(PROMPT, "Hello")
        await person.reads("Is it fair?")
        await person.answers(OFFER, "a")
        await person.reads("✓ a: approved by alice")
        await person.reads(PROMPT)
        person.presses(b"\x04")

    gate = await runtime.Gate.objects.aget()
    assert (gate.action, gate.answered_by) == ("approve", "alice")


async def test_a_gate_that_is_answered_elsewhere_is_not_asked_about_any_more(
    alice, worker, gated, monkeypatch
):
    async with sitting(talk.Talk(alice, surface="journey_pillar").on(), monkeypatch) as person:
        await person.answers(PROMPT, "Hello")
        await person.reads(OFFER)
        gate = await runtime.Gate.objects.aget()
        await sync_to_async(gates.answer)(gate.pk, action="approve", by="bob", says={})
        await person.reads("✓ a: approved by bob")
        await person.reads(PROMPT)
        person.presses(b"\x04")

    assert person.code == 0


async def test_a_gate_that_is_left_waits_on_and_is_asked_about_again_on_coming_back(
    alice, worker, gated, monkeypatch
):
    async with sitting(talk.Talk(alice, surface="journey_pillar").on(), monkeypatch) as person:
        await person.answers(PROMPT, "Hello")
        await person.answers(OFFER, "l")

    gate = await runtime.Gate.objects.aget()
    conversation = await models.Conversation.objects.aget()
    answer = f"council answer {gate.run_id} approve --gate {gate.pk} --user alice"
    assert person.code == 5
    assert answer in person.screen

    again = talk.Talk(alice, conversation_id=conversation.pk)
    async with sitting(again.on(), monkeypatch) as person:
        await person.answers(OFFER, "r")
        await person.answers("Why? ", "")
        await person.reads("■ rejected by alice")
        await person.reads(PROMPT)
        person.presses(b"\x04")


async def test_at_a_gate_without_a_terminal_it_says_how_to_answer_and_waits_till_somebody_does(
    alice, worker, gated, monkeypatch
):
    talking = talk.Talk(alice, surface="journey_pillar")
    async with sitting(talking.on(), monkeypatch, pipes) as person:
        person.types("Hello")
        await person.reads("To answer it:")
        gate = await runtime.Gate.objects.aget()
        await person.reads(f"approve --gate {gate.pk} --user alice\n")
        await sync_to_async(gates.answer)(gate.pk, action="approve", by="bob", says={})
        await person.reads("✓ a: approved by bob")
        person.leaves()

    assert person.code == 0
    assert OFFER not in person.screen


async def test_without_a_worker_it_says_at_once_how_to_start_one_and_waits(
    alice, shipped_blueprints, monkeypatch, adrain
):
    async with sitting(talk.Talk(alice).on(), monkeypatch) as person:
        await person.answers(PROMPT, "Hello")
        await person.reads("No worker is alive")
        await person.reads("python manage.py worker")
        await adrain()
        await person.reads(SCRIPTED)
        await person.reads(PROMPT)
        person.presses(b"\x04")

    assert person.code == 0


def test_resumed_the_last_turns_are_shown(alice, worker, piped, capsys):
    piped("\n".join(f"Question {number}" for number in range(5)))
    chat("--user", "alice")
    capsys.readouterr()
    conversation = models.Conversation.objects.get()

    piped("")
    code = chat("--user", "alice", "--resume", str(conversation.pk))

    shown = capsys.readouterr().out
    assert code == 0
    assert [line for line in shown.splitlines() if line.startswith("you: ")] == [
        "you: Question 2",
        "you: Question 3",
        "you: Question 4",
    ]
    assert shown.count("guide.general, as before") == 3


# --- commands to be typed again


def test_a_command_names_the_interpreter_as_it_can_be_called_from_here(
    monkeypatch, tmp_path, settings
):
    settings.BASE_DIR = tmp_path
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "executable", str(tmp_path / ".venv/bin/python"))
    assert invocation.of("chat") == ".venv/bin/python manage.py chat"

    (tmp_path / "sub dir").mkdir()
    monkeypatch.chdir(tmp_path / "sub dir")
    assert invocation.of("chat") == "../.venv/bin/python ../manage.py chat"

    found = tmp_path / "python"
    found.touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(found))
    assert invocation.of("chat") == "python ../manage.py chat"


# --- what is shown of frames -----------------------------------------------------------


class Screen:
    """A transcript, and what it has printed."""

    def __init__(self):
        self._out = io.StringIO()
        self._transcript = transcript.Transcript(Console(file=self._out, width=80))

    @classmethod
    def at_terminal(cls, width):
        """Without colours and what moves."""
        screen = cls()
        console = Console(
            file=screen._out, width=width, force_terminal=True, color_system=None, quiet=False
        )
        screen._transcript = transcript.Transcript(console)
        return screen

    def take(self, name, **data):
        self._transcript.take(f"agent.{name}", data)

    def says(self, *tokens):
        for offset, token in tokens:
            self.take("token", token=token, offset=offset)

    @property
    def shown(self):
        return self._out.getvalue()


COMPLETED = {
    "reason": "finished",
    "approved": None,
    "critic_score": None,
    "usage": {"partial": False},
    "cost": "0.5",
    "scripted": False,
    "members": {},
    "draft_cut": False,
}


def step(state, **more):
    data = {"node": "n", "label": "Writer", "kind": "writer", "iteration": 1, "score": None}
    return {**data, "state": state, "detail": "", **more}


def test_tokens_are_added_up_and_the_rest_comes_with_the_end():
    screen = Screen()
    screen.says((0, "One "), (4, "two "))
    screen.take("completed", response="One two three.", **COMPLETED)

    assert screen.shown == "One two three.\n$0.5\n"


def test_at_a_terminal_lines_are_broken_between_words_while_the_text_comes():
    screen = Screen.at_terminal(width=12)
    screen.says((0, "One two thr"), (11, "ee four.\n\nA  list:\n  - fi"), (36, "ve"))
    screen.take("handoff", **{"from": "a", "to": "b"}, reason="It is said so.")

    shown = [line.rstrip() for line in screen.shown.splitlines()]
    assert "\n".join(shown) == (
        "One two\nthree four.\n\nA  list:\n  - five\n→ a hands\nover to b:\nIt is said\nso."
    )


def test_a_text_without_spaces_is_shown_as_it_comes_and_fills_its_lines():
    screen = Screen.at_terminal(width=8)
    screen.says((0, "会議の議"), (4, "事録"))

    assert screen.shown == "会議の議\n事録"


def test_another_program_is_given_lines_as_they_were_written():
    screen = Screen()
    screen.says((0, "word " * 40 + "end"))
    screen.take("completed", response="word " * 40 + "end", **COMPLETED)

    assert screen.shown == "word " * 40 + "end\n$0.5\n"


def test_the_step_that_writes_the_answer_stands_above_it_and_not_below():
    screen = Screen()
    screen.take("node", **step("started"))
    screen.says((0, "One two.\n"))
    screen.take("node", **step("completed"))
    screen.take("completed", response="One two.\n", **COMPLETED)

    assert screen.shown.startswith("Writer · round 1 writes:\nOne two.\n")
    assert screen.shown.count("Writer") == 1


def test_a_step_that_writes_anew_stands_above_what_counts():
    screen = Screen()
    screen.take("node", **step("started"))
    screen.says((0, "One"))
    screen.take("node", **step("started", iteration=2))
    screen.says((0, "Two."))

    assert screen.shown == (
        "Writer · round 1 writes:\nOne\n↻ void from here up; the answer is given anew:\n"
        "Writer · round 2 writes:\nTwo."
    )


def test_what_became_void_is_said_to_be_and_the_answer_is_given_anew():
    screen = Screen()
    screen.says((0, "One "), (4, "two "), (4, "too"))
    screen.take("completed", response="One too.", **COMPLETED)

    assert screen.shown == (
        "One two \n↻ void from here up; the answer is given anew:\nOne too.\n$0.5\n"
    )


def test_an_answer_that_is_not_what_was_being_written_is_shown_whole():
    screen = Screen()
    screen.says(
        (0, "One"),
    )
    screen.take("completed", response="Changed at a gate.", **COMPLETED)

    assert "\n↻ the answer as it stands at the end:\nChanged at a gate.\n" in screen.shown


def test_a_step_that_ends_while_the_answer_is_written_does_not_break_it():
    screen = Screen()
    screen.says(
        (0, "One "),
    )
    screen.take("node", **step("completed"))
    screen.take("completed", response="One two.", **COMPLETED)

    assert screen.shown.startswith("One two.\n✓ Writer · round 1\n")


@pytest.mark.parametrize(
    ("state", "line"),
    [
        ({"state": "retried", "detail": "Slow."}, "↻ Writer · round 1: Slow."),
        ({"state": "failed", "detail": "Gone."}, "! without Writer · round 1: Gone."),
        (
            {"state": "stopped", "detail": "call_limit"},
            "■ Writer · round 1 stopped at the",
        ),
    ],
)
def test_a_step_that_goes_wrong_says_how(state, line):
    screen = Screen()
    screen.take("node", **step(**state))

    assert screen.shown.startswith(line)


def test_an_interruption_is_told():
    screen = Screen()
    screen.says(
        (0, "One"),
    )
    screen.take("interrupted", cause="worker_lost")

    assert screen.shown == "One\n! interrupted: its worker was lost; another takes it up\n"


def test_what_keeps_an_answer_from_being_whole_is_told():
    members = {"present": 2, "of": 3, "missing": ["b"]}
    screen = Screen()
    more = {"reason": "call_limit", "approved": False, "members": members, "draft_cut": True}
    screen.take("completed", response="One.", **COMPLETED | more)

    for part in ("stopped at the call limit, not approved", "missing b", "cut off at a token"):
        assert part in screen.shown


def test_a_models_text_cannot_steer_the_terminal():
    screen = Screen()
    screen.says(
        (0, "\x1b]0;owned\x07\x1b[2Jred\x9b31m\r[bold]plain[/bold]\n\tend"),
    )
    screen.take("handoff", **{"from": "a", "to": "b"}, reason="\x1b[2J[red]x[/red]")

    assert "\x1b" not in screen.shown
    assert "\x9b" not in screen.shown
    assert "[bold]plain[/bold]\n" in screen.shown
    assert "[red]x[/red]" in screen.shown


def test_a_frame_of_a_type_that_is_not_known_is_passed_over():
    screen = Screen()
    screen.take("dreaming", of="sheep")

    assert screen.shown == ""
