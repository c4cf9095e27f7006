"""The page of a run in a browser, on the real stack."""

import contextlib
import re
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.acceptance import browsers
from tests.acceptance import stack as stacks

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(120)]

# Slow enough to do something meanwhile: a draft has about a hundred words.
TOKENS_PER_SECOND = "110"
WRITTEN = "() => document.querySelector('.growing')?.textContent.length ?? 0"


@pytest.fixture(scope="module")
def stack(browser: Browser) -> Iterator[stacks.Stack]:
    with stacks.running(DEMO_TOKENS_PER_SECOND=TOKENS_PER_SECOND) as made:
        yield made


def watch(page: Page, stack: stacks.Stack, run_id: str, part: str = "") -> None:
    page.goto(f"{stack.url}/runs/{run_id}/{part}")


def sentence(page: Page) -> Any:
    return page.locator("#sentence")


def node(page: Page, label: str) -> Any:
    return page.get_by_role("button", name=re.compile(f"^{label}, "))


def is_ended(page: Page, told: str) -> None:
    expect(sentence(page)).to_have_text(told)


def is_being_written(page: Page, length: int) -> None:
    """Wait until so much of a text stands there that is not whole yet."""
    # Not Playwright's own waiting, which needs what the page's policy forbids.
    stacks.wait_until(lambda: page.evaluate(WRITTEN) > length, seconds=20)


@contextlib.contextmanager
def frozen(stack: stacks.Stack, run_id: str, *, step: int = 1) -> Iterator[None]:
    """While the n-th step of a run is being written; the worker stands still, so that it is not
    done before the test has done its part."""

    def is_writing() -> bool:
        kinds = [event["kind"] for event in stack.log(run_id)]
        return kinds.count("node.started") == step and kinds[-1] == "node.token"

    stacks.wait_until(is_writing)
    stack.signal("worker0", signal.SIGSTOP)
    try:
        yield
    finally:
        stack.signal("worker0", signal.SIGCONT)


# --- watching --------------------------------------------------------------------------


def test_a_run_is_watched_from_its_beginning_to_its_end(page, stack):
    run_id = stack.start_run("What is <b>good</b>?")
    with frozen(stack, run_id):
        watch(page, stack, run_id)
        expect(sentence(page)).to_have_text("Master is writing the first draft …")
        is_being_written(page, 0)
        expect(node(page, "Master")).to_have_accessible_name("Master, writing, round 1")
    is_ended(page, "Approved by the critic: last score 8.5")

    result = page.locator("#result")
    expect(result).to_contain_text("Scripted demo model: no AI wrote this.")
    expect(result).to_contain_text(stack.row(run_id)["current_draft"][-60:])
    expect(page.locator("#score")).to_contain_text("6.5 → 8.5 · 8.0 needed")
    words = page.locator(".graph .words").all_text_contents()
    assert words == ["×2", "revise ×1", "approve ×1"]
    assert page.locator(".step .what").all_text_contents() == [
        "Writer · Final form",
        "Critic · Feedback, round 2",
        "Master · Draft 2",
        "Critic · Feedback, round 1",
        "Master · Draft 1",
    ]
    assert page.locator(".bar-of-time").count() == 5
    expect(page.get_by_role("button", name="Stop")).to_be_hidden()


def test_a_page_reloaded_in_the_middle_of_a_text_equals_the_one_that_stayed(windows, stack):
    stayed, reloaded = windows(), windows()
    run_id = stack.start_run()
    for page in (stayed, reloaded):
        watch(page, stack, run_id)
    with frozen(stack, run_id, step=3):
        expect(sentence(stayed)).to_contain_text("Master is writing draft 2")
        reloaded.reload()
        is_being_written(reloaded, 0)
        browsers.assert_same(stayed, reloaded)
    is_ended(stayed, "Approved by the critic: last score 8.5")
    is_ended(reloaded, "Approved by the critic: last score 8.5")
    browsers.assert_same(stayed, reloaded)

    reloaded.reload()
    browsers.assert_same(stayed, reloaded)


def test_a_server_that_is_killed_and_started_again_costs_the_page_nothing(windows, stack):
    page, later = windows(), windows()
    run_id = stack.start_run()
    with frozen(stack, run_id):
        watch(page, stack, run_id)
        is_being_written(page, 0)
        stack.kill("server")
    expect(page.locator("#line")).to_have_text("Reconnecting; the run goes on.")
    stack.start_server()
    expect(page.locator("#line")).to_have_text("")
    is_ended(page, "Approved by the critic: last score 8.5")
    watch(later, stack, run_id)
    is_ended(later, "Approved by the critic: last score 8.5")

    browsers.assert_same(page, later)


def test_a_step_is_chosen_everywhere_and_the_address_keeps_it(page, stack):
    run_id = stack.start_run(model="demo:instant")
    watch(page, stack, run_id)
    is_ended(page, "Approved by the critic: last score 8.5")
    node(page, "Critic").press("Enter")

    stage = page.locator("#stage")
    expect(stage).to_contain_text("8.5 / 10")
    expect(page.locator(".step[aria-current=true]")).to_contain_text("Feedback, round 2")
    expect(page.locator(".bar-of-time[data-selected]")).to_have_count(1)
    assert re.search(r"#step=\d+$", page.url)
    page.reload()
    expect(page.locator(".step[aria-current=true]")).to_contain_text("Feedback, round 2")
    expect(stage).to_contain_text("8.5 / 10")
    page.get_by_role("button", name="Critic · Feedback, round 1").click()
    expect(stage).to_contain_text("6.5 / 10")
    expect(node(page, "Critic")).to_have_attribute("aria-pressed", "true")


# --- steering --------------------------------------------------------------------------


def test_a_run_is_stopped_and_says_by_whom(page, stack):
    run_id = stack.start_run()
    with frozen(stack, run_id):
        watch(page, stack, run_id)
        is_being_written(page, 0)
        page.get_by_role("button", name="Stop").click()
        page.get_by_role("button", name="Stop for good?").click()

    is_ended(page, "Cancelled by tester")
    assert stack.status(run_id) == "cancelled"
    expect(node(page, "Writer")).to_have_accessible_name("Writer, skipped")


def test_a_gate_that_is_answered_in_one_window_disappears_in_the_other(windows, stack):
    one, other = windows(), windows()
    run_id = stack.start_run(god_mode=True, model="demo:instant")
    for page in (one, other):
        watch(page, stack, run_id)
        expect(page.locator(".gate")).to_contain_text("Before Master: waiting for you")
    one.locator(".gate").press("a")

    for page in (one, other):
        expect(page.locator(".gate")).to_contain_text("Before Critic: waiting for you")
        expect(page.locator(".gate")).to_have_count(1)
        expect(page.locator(".bar .count")).to_have_text("1 waiting")
    browsers.assert_same(one, other)

    one.get_by_role("button", name="Stop").click()
    one.get_by_role("button", name="Stop for good?").click()
    for page in (one, other):
        expect(page.locator(".gate")).to_have_count(0)
        expect(page.locator(".bar .count")).to_have_count(0)


def test_what_was_typed_at_a_gate_that_another_answers_first_is_still_there(windows, stack):
    one, other = windows(), windows()
    run_id = stack.start_run(god_mode=True, model="demo:instant")
    for page in (one, other):
        watch(page, stack, run_id)
        expect(page.locator(".gate")).to_contain_text("Before Master: waiting for you")
    other.get_by_role("button", name="Change …").click()
    other.get_by_label("Feedback for what follows").fill("Shorter, please.")
    one.locator(".gate").press("a")

    told = "Answered by tester meanwhile: approve. What you had typed was not sent:"
    expect(other.locator(".gate").first).to_contain_text(told)
    expect(other.locator(".gate textarea").first).to_have_value("Shorter, please.")
    other.get_by_role("button", name="Put away").click()
    expect(other.locator(".gate")).to_have_count(1)
    expect(other.locator(".gate")).to_contain_text("Before Critic: waiting for you")
    stack.request("POST", f"/api/councils/run/{run_id}/cancel").raise_for_status()


def test_a_draft_is_changed_at_a_gate_over_a_reload_and_a_step_sent_back(page, stack):
    run_id = stack.start_run(god_mode=True, model="demo:instant")
    watch(page, stack, run_id)
    page.get_by_role("button", name="Approve").click()
    expect(page.locator(".gate")).to_contain_text("Before Critic")
    page.get_by_role("button", name="Change …").click()
    page.get_by_label("The draft as it is to go on").fill("Mine, and better.")
    page.reload()
    expect(page.get_by_label("The draft as it is to go on")).to_have_value("Mine, and better.")
    page.get_by_role("button", name="Go on with these changes").click()
    expect(page.locator(".gate")).to_contain_text("Before Master")
    expect(page.locator(".gate")).to_contain_text("Mine, and better.")
    page.get_by_role("button", name="Reject …").click()
    page.get_by_label("Send it to").select_option("writer_agent")
    page.get_by_role("button", name="Reject", exact=True).click()
    expect(page.locator(".gate")).to_contain_text("Before Writer")
    given = page.locator(".answer-at-gate")
    expect(given).to_contain_text(["rejectedbefore Master", "changedbefore Critic", "approved"])
    expect(given.nth(0)).to_contain_text("Sent to Writer.")
    expect(given.nth(1)).to_contain_text("by testerThe draft was changed.")

    answers = [e["data"] for e in stack.log(run_id) if e["kind"] == "gate.answered"]
    assert [each["action"] for each in answers] == ["approve", "modify", "reject"]
    assert answers[1]["answer"] == {"current_draft": "Mine, and better."}
    assert answers[2]["answer"] == {"next_node": "writer_agent"}


def test_a_failed_run_is_retried_and_says_so(page, stack):
    failed = "Failed: The token limit left no room for a call, and there is no draft."
    run_id = stack.start_run(limits={"tokens": 300}, model="demo:instant")
    watch(page, stack, run_id)
    is_ended(page, failed)
    page.get_by_role("button", name="Retry").click()

    expect(page.locator("#figures")).to_contain_text("retried once")
    is_ended(page, failed)
    kinds = [event["kind"] for event in stack.log(run_id)]
    assert kinds.count("run.retried") == 1
    assert kinds.count("run.failed") == 2


def test_a_run_that_is_over_is_run_again_with_the_same_settings(page, stack):
    run_id = stack.start_run("Why once more?", limits={"iterations": 1}, model="demo:instant")
    watch(page, stack, run_id)
    page.get_by_role("button", name="Run again").click()
    page.wait_for_url(lambda url: "/runs/" in url and run_id not in url)
    is_ended(page, "Stopped at the limit, not approved: last score 6.5")

    expect(page.locator("h1")).to_have_text("Why once more?")


# --- at rest, and harmless -------------------------------------------------------------


def test_what_works_pulses_but_not_for_those_who_asked_for_rest(windows, stack):
    moved, rested = windows(), windows(reduced_motion="reduce")
    run_id = stack.start_run()
    with frozen(stack, run_id):
        for page in (moved, rested):
            watch(page, stack, run_id)
            is_being_written(page, 0)
        moving = [page.evaluate("document.getAnimations().length") for page in (moved, rested)]

    assert moving[0] > 0
    assert moving[1] == 0


def test_hostile_text_is_shown_as_text_and_does_nothing(page, stack):
    # The scripted model repeats its topic, so a model says it too.
    topic = "<img src=x onerror=alert(1)> [a](javascript:alert(1)) \u202eesrever"
    run_id = stack.start_run(topic, model="demo:instant", god_mode=True)
    watch(page, stack, run_id)
    page.get_by_role("button", name="Approve").click()
    expect(page.locator(".gate")).to_contain_text("<img src=x onerror=alert(1)>")
    page.get_by_role("button", name="Master · Draft 1").click()

    expect(page.locator("#stage")).to_contain_text("<img src=x onerror=alert(1)>")
    expect(page.get_by_role("heading", level=1)).to_have_text(topic)
    assert page.locator("main img, main iframe").count() == 0
    assert page.locator("main a[href^='javascript']").count() == 0
