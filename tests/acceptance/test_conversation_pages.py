"""The page of a conversation in a browser, on the real stack: chat, and what may go wrong."""

import json
import re
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.acceptance import browsers
from tests.acceptance import stack as stacks

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(120)]

# Slow enough to do something meanwhile: an answer has about a hundred words.
TOKENS_PER_SECOND = "60"
PREPARE = """
from runtime import models
from tests import councils
broken = councils.document("a")
broken["nodes"][0]["model"] = "openai:nobody"
gated = councils.document("d > w", w={"gateBefore": {"ask": "May it be polished?"}})
for name, document in (("Broken", broken), ("Gated", gated)):
    blueprint = models.Blueprint.objects.create(name=name)
    blueprint.versions.create(number=1, document=document)
    slug = f"liaison.{name.lower()}"
    models.Agent.objects.create(slug=slug, name=name, blueprint=blueprint)
"""
# What a reader is shown of the talk, but for what goes with the clock, and the form around it.
SHOWN = """() => {
  const turns = document.getElementById('turns').cloneNode(true);
  for (const time of turns.querySelectorAll('time')) time.remove();
  return turns.innerHTML.replace(/\\s+/g, ' ').replace(/> </g, '><').trim().split('>');
}"""
WRITTEN = "() => [...document.querySelectorAll('.growing')].at(-1)?.textContent.length ?? 0"


@pytest.fixture(scope="module")
def stack(browser: Browser) -> Iterator[stacks.Stack]:
    nowhere = f"http://127.0.0.1:{stacks.free_port()}/v1"
    told = {"OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": nowhere, "MODEL_MAX_TRIES": "1"}
    told |= {"DEFAULT_MODEL": "demo:council", "DEMO_TOKENS_PER_SECOND": TOKENS_PER_SECOND}
    with stacks.running(**told) as made:
        yield made


@pytest.fixture(scope="module")
def prepare() -> str:
    return PREPARE


# --- what somebody does and sees -------------------------------------------------------


def begin(page: Page, stack: stacks.Stack, text: str, agent: str = "") -> str:
    """Begin a conversation by the list's box; its id."""
    page.goto(f"{stack.url}/conversations/")
    if agent:
        page.get_by_label("Ask for").select_option(agent)
    say(page, text)
    page.wait_for_url(re.compile(r"/conversations/[0-9a-f-]{36}/"))
    return page.url.split("/")[4]


def say(page: Page, text: str) -> None:
    page.get_by_label("Message", exact=True).fill(text)
    page.keyboard.press("Control+Enter")


def open_at(page: Page, stack: stacks.Stack, conversation: str) -> None:
    page.goto(f"{stack.url}/conversations/{conversation}/")


def turns(page: Page) -> Any:
    return page.locator(".turn")


def answer(page: Page) -> Any:
    return page.locator(".answer").last


def is_being_written(page: Page, length: int) -> None:
    """Wait until so much of an answer stands there that is not whole yet."""
    stacks.wait_until(lambda: page.evaluate(WRITTEN) > length, seconds=20)


def is_answered(page: Page) -> None:
    expect(answer(page).locator(".scripted")).to_be_visible()
    expect(page.locator("#send")).to_be_enabled()


def messages(stack: stacks.Stack, conversation: str) -> list[dict[str, Any]]:
    path = f"/api/conversations/{conversation}/messages?limit=200"
    return list(stack.request("GET", path).json())


# --- promises --------------------------------------------------------------------------


def test_a_talk_with_a_hand_over_is_streamed_to_its_end(page, stack):
    conversation = begin(page, stack, "What are the <b>insights</b> 👍?")
    expect(page.locator(".handoff")).to_contain_text(
        "Guide, by default, hands over to Insights: "
    )
    expect(answer(page)).to_contain_text("liaison.insights, by the hand-over")
    is_being_written(page, 100)
    expect(answer(page)).to_contain_text("Insights is writing …")
    first = page.locator(".growing").inner_text()
    expect(page.locator("#send")).to_be_disabled()
    is_answered(page)

    stored = messages(stack, conversation)
    assert stored[-1]["text"].startswith(first)
    said = page.locator(".answer .prose").inner_text()
    assert " ".join(said.split()) == " ".join(stored[-1]["text"].split())
    expect(page.locator("#told")).to_have_text("Insights has answered.")
    expect(page.get_by_label("Message", exact=True)).to_have_value("")

    page.locator("#surface").select_option("outcomes_pillar")
    say(page, "And now?")
    expect(answer(page)).to_contain_text("liaison.outcomes, because of the surface")
    is_answered(page)
    assert turns(page).count() == 2
    page.locator(".answer").last.get_by_role("link", name="Show the run").click()
    page.get_by_role("link", name="a message of yours").click()
    expect(turns(page).last).to_be_in_viewport()


def test_a_page_reloaded_in_the_middle_of_an_answer_equals_the_one_that_stayed(windows, stack):
    stayed, reloaded = windows(), windows()
    conversation = begin(stayed, stack, "What are the outcomes?")
    open_at(reloaded, stack, conversation)
    is_being_written(reloaded, 60)
    reloaded.reload()
    is_being_written(reloaded, 60)
    stack.signal("worker0", signal.SIGSTOP)  # so that there is a moment to compare
    browsers.assert_same(stayed, reloaded, SHOWN)
    stack.signal("worker0", signal.SIGCONT)
    for page in (stayed, reloaded):
        is_answered(page)
    browsers.assert_same(stayed, reloaded, SHOWN)

    reloaded.reload()
    browsers.assert_same(stayed, reloaded, SHOWN)


def test_what_is_said_in_one_window_is_shown_in_the_other_too(windows, stack):
    one, other = windows(), windows(color_scheme="dark", viewport={"width": 320, "height": 700})
    conversation = begin(one, stack, "Good morning")
    is_answered(one)
    open_at(other, stack, conversation)
    other.get_by_label("Ask for").select_option("liaison.gated")
    say(other, "A text, please")

    for page in (one, other):
        expect(answer(page)).to_contain_text("May it be polished?")
        expect(page.locator("#doing")).to_have_text("Gated waits at a gate. Answer it, or")
    browsers.assert_same(one, other, SHOWN)
    assert other.evaluate("document.documentElement.scrollWidth") <= 320
    one.get_by_role("link", name="Answer it on the page of its run").click()
    expect(one.locator(".gate")).to_contain_text("waiting for you")
    one.locator(".gate").press("a")
    is_answered(other)
    one.go_back()
    is_answered(one)
    browsers.assert_same(one, other, SHOWN)


def test_a_server_that_is_killed_and_started_again_costs_no_word(windows, stack):
    page, later = windows(), windows()
    conversation = begin(page, stack, "What are the journeys?")
    is_being_written(page, 60)
    stack.kill("server")
    expect(page.locator("#line")).to_contain_text("Reconnecting")
    stack.start_server()
    expect(page.locator("#line")).to_have_text("")
    is_answered(page)
    open_at(later, stack, conversation)

    browsers.assert_same(page, later, SHOWN)


def test_a_message_whose_answer_is_lost_is_kept_over_a_reload_and_sent_once(page, stack):
    conversation = begin(page, stack, "Good morning")
    is_answered(page)
    sent: list[dict[str, Any]] = []

    def lose(route: Any) -> None:
        sent.append(json.loads(route.request.post_data))
        route.abort()

    page.route("**/messages", lose, times=1)
    say(page, "Are you there?")
    expect(page.locator("#fault")).to_contain_text("Not sent. The server does not answer.")
    page.reload()
    box = page.get_by_label("Message", exact=True)
    expect(box).to_have_value("Are you there?")

    def take(route: Any) -> None:
        sent.append(json.loads(route.request.post_data))
        route.fetch()
        route.abort()

    page.route("**/messages", take, times=1)
    box.press("Control+Enter")
    expect(turns(page)).to_have_count(2)
    expect(box).to_have_value("")
    expect(page.locator("#fault")).to_have_text("")
    is_answered(page)

    assert sent[0] == sent[1]
    assert [each["role"] for each in messages(stack, conversation)] == ["user", "agent"] * 2


def test_one_reads_above_while_below_it_is_written_and_cancels(windows, stack):
    page = windows(viewport={"width": 390, "height": 480})
    begin(page, stack, "Tell me more", "liaison.journey")
    is_being_written(page, 200)
    assert page.evaluate("scrollY") > 0, "it follows what is written"
    page.mouse.wheel(0, -5_000)
    expect(page.get_by_role("button", name="New text below")).to_be_visible()
    stack.signal("worker0", signal.SIGSTOP)  # so that it is not whole before it is cancelled
    assert page.evaluate("scrollY") == 0
    page.get_by_role("button", name="New text below").click()
    expect(page.get_by_role("button", name="New text below")).to_be_hidden()
    expect(answer(page).locator(".took")).to_be_in_viewport()
    before = page.locator(".growing").inner_text()[:40]
    page.get_by_role("button", name="cancel the answer").click()

    expect(answer(page)).to_contain_text("Cancelled by tester.")
    stack.signal("worker0", signal.SIGCONT)
    expect(answer(page)).to_contain_text(before)
    expect(page.get_by_role("button", name="cancel the answer")).to_be_hidden()
    page.reload()
    expect(answer(page)).to_contain_text(before)


def test_after_a_failure_the_same_is_sent_again_and_once(windows, stack):
    one, other = windows(), windows()
    conversation = begin(one, stack, "Hello?", "liaison.broken")
    expect(answer(one)).to_contain_text(
        "Failed: The provider of openai:nobody cannot be reached."
    )
    open_at(other, stack, conversation)
    sent: list[dict[str, Any]] = []
    for page in (one, other):
        page.on(
            "request", lambda each: each.method == "POST" and sent.append(each.post_data_json)
        )
        page.evaluate("document.querySelector('[data-again]').click()")

    for page in (one, other):
        expect(turns(page)).to_have_count(2)
        expect(page.get_by_role("button", name="Send again")).to_have_count(1)
    said = [each["text"] for each in messages(stack, conversation) if each["role"] == "user"]
    assert said == ["Hello?", "Hello?"]
    assert len(sent) == 2
    assert sent[0] == sent[1], "whoever comes second is answered the same"


def test_earlier_messages_come_in_pages_and_what_is_read_stays(page, stack):
    conversation = begin(page, stack, "Good morning")
    is_answered(page)
    _fill(stack, conversation)
    page.reload()
    expect(turns(page)).to_have_count(20)
    page.evaluate("scrollTo(0, 0)")
    first = turns(page).first.get_attribute("id")
    before = page.locator(f"#{first}").bounding_box()
    page.get_by_role("link", name="Earlier messages").click()
    expect(turns(page)).to_have_count(31)

    assert abs(page.locator(f"#{first}").bounding_box()["y"] - before["y"]) < 2
    assert page.evaluate("scrollY") > 1000
    expect(page.get_by_role("link", name="Earlier messages")).to_be_hidden()
    page.reload()
    expect(turns(page)).to_have_count(31)


def _fill(stack: stacks.Stack, conversation: str) -> None:
    stack.manage("shell", "--verbosity=0", "-c", _FILL.format(conversation))


_FILL = """
from experience.models import Conversation, Message
conversation = Conversation.objects.get(pk="{}")
for number in range(3, 63, 2):
    said = Message.objects.create(conversation=conversation, number=number, role="user",
        text="Again", sender=conversation.user)
    Message.objects.create(conversation=conversation, number=number + 1, role="agent",
        answers=said, agent_slug="guide.general", routed_by="default",
        settled_at=said.created_at)
conversation.last_number = 62
conversation.save()
"""
