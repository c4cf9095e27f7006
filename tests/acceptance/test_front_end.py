"""`docs/front-end.html` in a browser, on another origin than CouncilOS."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.acceptance import how_to
from tests.acceptance import stack as stacks

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(120)]

# Slow enough to do something meanwhile: an answer has about a hundred words.
TOKENS_PER_SECOND = "35"
PATIENCE = 20_000  # milliseconds
# A council that a person has to let pass, as an agent that a message with that word goes to.
GATED = """
from runtime import models
from tests import councils
edges = ["d > k", "k revise> d", "k approve> w"]
gate = {"gateBefore": {"ask": "May the writer polish it?"}}
document = councils.document(*edges, k={"threshold": 6}, w=gate)
blueprint = models.Blueprint.objects.create(name="Gated")
blueprint.versions.create(number=1, document=document)
models.Agent.objects.create(
    slug="liaison.approval", name="Approval", description="Asks.", blueprint=blueprint
)
"""
DELETE = (
    "from experience.models import Conversation; Conversation.objects.get(pk='{}').delete()"
)
SCRIPTED = "scripted demo model: no AI wrote this"


@contextlib.contextmanager
def backend(stack: stacks.Stack, port: int, token: str = "") -> Iterator[str]:
    """A product with a server of its own, which serves the page; the page's address."""
    told = {"COUNCILOS": stack.url, "TOKEN": token or stack.token, "PORT": str(port)}
    serving = subprocess.Popen(
        [sys.executable, "-c", how_to.program("backend.py")],
        cwd=how_to.DOCS,
        env={**os.environ, **told},
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}/front-end.html"
    try:
        stacks.wait_until(lambda: httpx.get(address).status_code == 200)
        yield address
    finally:
        serving.terminate()
        serving.wait()


@pytest.fixture(scope="module")
def origin(browser: Browser) -> int:
    """The port of the product; without a browser nothing needs to be started."""
    return stacks.free_port()


@pytest.fixture(scope="module")
def stack(origin: int) -> Iterator[stacks.Stack]:
    with stacks.running(
        ALLOWED_ORIGINS=f"http://127.0.0.1:{origin}", DEMO_TOKENS_PER_SECOND=TOKENS_PER_SECOND
    ) as made:
        yield made


@pytest.fixture(scope="module")
def gated(stack: stacks.Stack) -> None:
    manage(stack, GATED)


@pytest.fixture(scope="module")
def address(stack: stacks.Stack, origin: int) -> Iterator[str]:
    with backend(stack, origin) as made:
        yield made


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """The page, connected, in a window of its own. It makes no mistake."""
    with window(browser) as (made, mistakes):
        made.goto(address)
        expect(made.get_by_text("✓ Connected")).to_be_visible()
        yield made
        assert not mistakes


@contextlib.contextmanager
def window(browser: Browser) -> Iterator[tuple[Page, list[Any]]]:
    context = browser.new_context()
    context.set_default_timeout(PATIENCE)
    expect.set_options(timeout=PATIENCE)
    page, mistakes = context.new_page(), list[Any]()
    page.on("pageerror", lambda error: mistakes.append(error))
    yield page, mistakes
    context.close()


# --- what somebody does and sees -------------------------------------------------------


def say(page: Page, text: str) -> None:
    page.get_by_label("Message").fill(text)
    page.get_by_role("button", name="Send").click()


def turns(page: Page) -> Any:
    return page.get_by_role("list", name="Conversation").locator("> li")


def answer(page: Page) -> str:
    """The text of the last answer, as far as it stands there."""
    return str(turns(page).last.locator("article > p").last.text_content())


def is_longer_than(page: Page, length: int) -> None:
    """Wait until more of the answer stands there, and it is still being written."""
    expect(turns(page).last).to_contain_text("is writing")
    page.wait_for_function(
        "length => [...document.querySelectorAll('article > p')].at(-1)"
        ".textContent.length > length",
        arg=length,
    )


def is_answered(page: Page) -> None:
    expect(turns(page).last).to_contain_text(f"✓ Answered · {SCRIPTED}")


def manage(stack: stacks.Stack, code: str) -> None:
    stack.manage("shell", "--verbosity=0", "-c", code)


def conversation(page: Page) -> str:
    kept = json.loads(page.evaluate("sessionStorage.getItem('talk')"))
    return str(kept["conversation"])


def messages(stack: stacks.Stack, page: Page) -> list[dict[str, Any]]:
    """The conversation as CouncilOS has stored it."""
    path = f"/api/conversations/{conversation(page)}/messages"
    return list(stack.request("GET", path).json())


def assert_shown_once(page: Page, stored: list[dict[str, Any]]) -> None:
    """The one message with all its answers, and the last one's text, to the letter."""
    assert turns(page).count() == 1
    answers = [each for each in stored if each["role"] == "agent"]
    assert turns(page).last.locator("article").count() == len(answers)
    assert answer(page) == answers[-1]["text"]


# --- promises --------------------------------------------------------------------------


def test_a_message_is_answered_and_the_text_streams_into_the_page(page, stack):
    say(page, "What is good 👍 about tests?")
    expect(page.get_by_label("Message")).to_be_focused()
    is_longer_than(page, 80)
    first = answer(page)
    is_longer_than(page, len(first))
    is_answered(page)

    *_, stored = messages(stack, page)
    assert answer(page) == stored["text"]
    assert stored["text"].startswith(first)
    assert "👍" in first


def test_while_no_word_has_come_it_says_who_is_thinking(page):
    page.evaluate("""() => {
        window.told = [];
        const doing = document.getElementById("doing");
        new MutationObserver(() => told.push(doing.textContent)).observe(
            doing, {childList: true});
    }""")
    say(page, "Good morning")
    is_answered(page)

    told = page.evaluate("told")
    assert "◌ guide.general is thinking …" in told
    assert not [text for text in told if "worker" in text]


def test_a_hand_over_is_shown_and_the_liaison_answers(page, stack):
    say(page, "What are the insights?")
    is_answered(page)

    turn = turns(page).last
    expect(turn).to_contain_text("guide.general, by default")
    expect(turn).to_contain_text("→ guide.general hands over to liaison.insights: ")
    expect(turn).to_contain_text("liaison.insights, by the hand-over")
    assert answer(page) == messages(stack, page)[-1]["text"]


def test_a_councils_steps_are_shown_and_an_answer_can_be_stopped(page, stack):
    page.get_by_label("Surface").select_option("content")
    say(page, "Hello")
    expect(turns(page).last).to_contain_text("✓ Author, round 1")
    page.get_by_role("button", name="Stop").click()

    expect(turns(page).last).to_contain_text("■ Cancelled by tester")
    expect(page.get_by_role("button", name="Send")).to_be_enabled()


def test_a_gate_asks_once_and_its_proposal_goes_when_it_is_answered(page, stack, gated):
    say(page, "I need your approval")
    turn = turns(page).last
    gate = turn.locator("fieldset")
    expect(gate).to_contain_text("May the writer polish it?")
    expect(gate.locator("blockquote")).to_contain_text("deserves a careful answer")
    gate.get_by_role("button", name="Approve").dblclick()

    expect(turn).to_contain_text("✓ Answered · approved · last score 6.5 / 10")
    expect(gate).to_have_count(0)
    expect(turn).not_to_contain_text("begins anew")
    expect(page.locator("#doing")).not_to_contain_text("✕")
    assert answer(page) == messages(stack, page)[-1]["text"]


def test_a_rejection_is_asked_about_before_it_ends_the_answer(page, gated):
    asked: list[str] = []
    page.on("dialog", lambda each: (asked.append(each.message), each.dismiss()))
    say(page, "I need your approval")
    page.locator("fieldset").get_by_role("button", name="Reject").click()

    assert len(asked) == 1
    expect(turns(page).last).to_contain_text("☞ Waiting for you")


def test_a_conversation_that_is_gone_is_forgotten_and_one_may_go_on(page, stack):
    say(page, "Good morning")
    is_answered(page)
    manage(stack, DELETE.format(conversation(page)))
    page.reload()
    expect(page.get_by_text("no longer there. A new one begins.")).to_be_visible()
    say(page, "Are you there?")
    is_answered(page)

    manage(stack, DELETE.format(conversation(page)))
    say(page, "And now?")
    expect(turns(page).last).to_contain_text("And now?")
    is_answered(page)

    assert [each["role"] for each in messages(stack, page)] == ["user", "agent"]


def test_reloaded_in_the_middle_of_an_answer_it_shows_what_was_said_and_the_rest(page, stack):
    say(page, "What are the outcomes?")
    is_longer_than(page, 80)
    before = answer(page)
    page.reload()
    is_longer_than(page, len(before))
    assert answer(page).startswith(before)
    is_answered(page)

    stored = messages(stack, page)
    assert_shown_once(page, stored)
    assert [each["role"] for each in stored] == ["user", "agent", "agent"]


def test_a_server_that_is_killed_and_started_again_costs_no_word_of_an_answer(page, stack):
    say(page, "What are the journeys?")
    is_longer_than(page, 40)
    stack.kill("server")
    expect(page.get_by_text("✕ Not connected; trying again.")).to_be_visible()
    stack.start_server()
    expect(page.get_by_text("✓ Connected")).to_be_visible()
    is_answered(page)

    stored = messages(stack, page)
    assert_shown_once(page, stored)
    assert [each["role"] for each in stored] == ["user", "agent", "agent"]


def test_what_is_said_while_the_server_is_away_is_answered_once(page, stack):
    stack.kill("server")
    expect(page.get_by_text("✕ Not connected; trying again.")).to_be_visible()
    say(page, "Are you there?")
    page.reload()
    expect(turns(page).last).to_contain_text("◌ Sending …")
    stack.start_server()
    is_answered(page)

    stored = messages(stack, page)
    assert [each["role"] for each in stored] == ["user", "agent"]
    assert_shown_once(page, stored)


def test_a_page_from_an_origin_that_is_not_allowed_is_refused(browser, stack):
    told: list[str] = []
    with backend(stack, stacks.free_port()) as elsewhere, window(browser) as (page, _):
        page.on("console", lambda message: told.append(message.text))
        page.goto(elsewhere)
        expect(page.get_by_role("status").first).to_contain_text(
            "origin in its ALLOWED_ORIGINS"
        )

    assert any("/api/runtime/agent" in text and "403" in text for text in told), told


def test_with_a_token_that_is_not_valid_the_page_says_that_one_is_signed_out(browser, stack):
    with backend(stack, stacks.free_port(), token="no-token") as address:
        refused = httpx.post(address.replace("front-end.html", "councilos-ticket"))
        with window(browser) as (page, _):
            page.goto(address)
            expect(page.get_by_role("status").first).to_contain_text("✕ Signed out.")

    assert refused.status_code == 401
