"""The pages in a browser, on the real stack: start a run, find it again, decide what waits.

The page of a run has tests of its own.
"""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.acceptance import stack as stacks

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(120)]

A_RUN = re.compile(r"/runs/[0-9a-f-]{36}/")
_SET_PASSWORD = """
from django.contrib.auth.models import User
user = User.objects.get(username="tester")
user.set_password("a good password")
user.save()
"""


@pytest.fixture(scope="module")
def stack(browser: Browser) -> Iterator[stacks.Stack]:
    with stacks.running(DEMO_TOKENS_PER_SECOND="0") as made:
        made.manage("shell", "--verbosity=0", "-c", _SET_PASSWORD)
        yield made


@pytest.fixture(scope="module")
def session(browser: Browser, stack: stacks.Stack) -> Any:
    """Signed in, as a person signs in: by the form."""
    page = browser.new_page()
    sign_in(page, stack)
    return page.context.storage_state()


def sign_in(page: Page, stack: stacks.Stack) -> None:
    page.goto(f"{stack.url}/runs/")
    page.get_by_label("User name").fill("tester")
    page.get_by_label("Password").fill("a good password")
    page.get_by_role("button", name="Sign in").click()
    expect(page).to_have_url(f"{stack.url}/runs/")


def waits(stack: stacks.Stack, topic: str) -> str:
    """A run that waits for its owner; its id."""
    run_id = stack.start_run(topic, god_mode=True, model="demo:instant")
    stacks.wait_until(lambda: stack.status(run_id) == "paused")
    return run_id


def post(stack: stacks.Stack, run_id: str, what: str, **body: Any) -> None:
    """What somebody else does with a run meanwhile."""
    stack.request("POST", f"/api/councils/run/{run_id}/{what}", json=body).raise_for_status()


# --- start -----------------------------------------------------------------------------


def test_a_run_is_started_by_keyboard_and_leads_to_its_page(page, stack):
    page.goto(stack.url)
    page.keyboard.type("Is it <b>good</b>?")
    expect(page.locator("#topic-count")).to_have_text(re.compile("^18 of"))
    page.keyboard.press("Control+Enter")

    page.wait_for_url(A_RUN)
    page.goto(f"{stack.url}/runs/")
    expect(page.get_by_role("link", name="Is it <b>good</b>?").first).to_be_visible()


def test_who_signs_in_again_in_another_tab_goes_on_where_they_were(page, stack):
    page.context.clear_cookies()
    sign_in(page, stack)
    page.goto(stack.url)
    page.locator("#topic").fill("Kept?")
    other = page.context.new_page()
    other.goto(stack.url)
    other.get_by_role("button", name="Sign out").click()
    page.get_by_role("button", name="Start the run").click()
    expect(page.locator("#fault")).to_contain_text("You are signed out. Sign in again")
    sign_in(other, stack)
    page.get_by_role("button", name="Start the run").click()

    page.wait_for_url(A_RUN)
    expect(page.locator("h1")).to_have_text("Kept?")


def test_what_is_refused_is_said_at_its_place_and_nothing_typed_is_lost(page, stack):
    page.goto(stack.url)
    page.get_by_role("button", name="Start the run").click()
    expect(page.locator("#topic-fault")).to_have_text("Write what the council should work on.")
    expect(page.locator("#topic")).to_be_focused()

    page.locator("#topic").fill("What now?")
    page.get_by_text("Limits and models").click()
    page.get_by_label("Tokens").fill("many")
    page.get_by_role("button", name="Start the run").click()
    expect(page.locator("#tokens-fault")).to_contain_text("A whole number above 0")

    page.get_by_label("Tokens").fill("50 000")
    page.get_by_label("Model", exact=True).fill("nonsense")
    page.get_by_role("button", name="Start the run").click()
    expect(page.locator("#model-fault")).to_contain_text("provider:model")
    expect(page.locator("#model")).to_be_focused()
    expect(page.locator("#topic")).to_have_value("What now?")

    page.reload()
    expect(page.locator("#topic")).to_have_value("What now?")


def test_without_an_answer_of_the_server_the_same_start_can_be_sent_again(page, stack):
    topic = "Sent twice, done once?"
    page.goto(stack.url)
    page.locator("#topic").fill(topic)
    sent = []

    def lose_the_answer(route):
        sent.append(route.request.headers["idempotency-key"])
        route.fetch()
        route.abort()

    page.route("**/api/councils/*/run", lose_the_answer, times=1)
    page.get_by_role("button", name="Start the run").click()
    expect(page.locator("#fault")).to_contain_text("The server does not answer.")
    with page.expect_request("**/api/councils/*/run") as again:
        page.get_by_role("button", name="Start the run").click()
    page.wait_for_url(A_RUN)

    assert again.value.headers["idempotency-key"] == sent[0]
    page.goto(f"{stack.url}/runs/?q=Sent+twice")
    expect(page.get_by_role("link", name=topic)).to_have_count(1)


def test_choosing_a_council_shows_its_drawing_and_asks_for_its_estimate(page, stack):
    page.goto(stack.url)
    page.get_by_label("Council", exact=True).select_option(label="Vote")

    expect(page.get_by_text("3 model calls", exact=True)).to_be_visible()
    drawing = page.locator(".council:visible img")
    stacks.wait_until(lambda: drawing.evaluate("image => image.naturalWidth") > 100)
    expect(page.locator("#estimate")).to_contain_text("No basis yet")


# --- history ---------------------------------------------------------------------------


def test_a_run_is_found_again_and_run_again_with_the_same_settings(page, stack):
    run_id = stack.start_run("Find me among many", limits={"tokens": 60_000})
    stack.start_run("Another one")
    stacks.wait_until(lambda: stack.status(run_id) == "completed")
    page.goto(f"{stack.url}/runs/")
    page.get_by_label("Search in topics").fill("among MANY")
    page.keyboard.press("Enter")
    expect(page.locator("tbody tr")).to_have_count(1)
    page.get_by_role("link", name="completed").click()
    expect(page).to_have_url(f"{stack.url}/runs/?status=completed&q=among+MANY")

    page.get_by_role("button", name="Run again").click()
    page.wait_for_url(A_RUN)

    again = stack.request("GET", "/api/runs/").json()[0]
    created = stack.request("GET", f"/api/councils/run/{again['id']}/events").json()["events"][
        0
    ]
    assert created["data"]["limits"] == {"tokens": 60_000}
    assert created["data"]["parent"] == run_id


# --- approvals -------------------------------------------------------------------------


def test_what_waits_is_decided_in_place_by_keyboard(page, stack):
    approved, rejected = waits(stack, "Approve me"), waits(stack, "Reject me")
    page.goto(f"{stack.url}/approvals/")
    expect(page.locator(".bar .count")).to_contain_text("2")

    page.keyboard.press("j")
    page.keyboard.press("a")
    expect(page.locator(f'[data-run="{approved}"]')).to_contain_text("Approved by you")
    expect(page.locator(f'[data-run="{rejected}"]')).to_be_focused()
    page.keyboard.press("r")
    page.locator(".back:visible").get_by_role("button", name="Reject").click()

    expect(page.locator(f'[data-run="{rejected}"]')).to_contain_text("Rejected by you")
    assert stack.status(rejected) == "cancelled"
    # Step by step: it waits again, before its next node.
    stacks.wait_until(lambda: stack.status(approved) == "paused")
    post(stack, approved, "cancel")


def test_a_gate_that_was_answered_elsewhere_says_so(page, stack):
    run_id = waits(stack, "Answered twice")
    page.goto(f"{stack.url}/approvals/")
    post(stack, run_id, "approve", action="reject")

    page.locator(f'[data-run="{run_id}"]').get_by_role("button", name="Approve").click()

    expect(page.locator(f'[data-run="{run_id}"]')).to_contain_text("Answered by tester already")
    expect(page.locator(".bar .count")).to_have_count(0)


def test_the_list_follows_what_is_asked_and_answered_elsewhere(page, stack):
    gone = waits(stack, "Answered in another tab")
    page.clock.install()
    page.goto(f"{stack.url}/approvals/")
    new = waits(stack, "Asked meanwhile")
    post(stack, gone, "approve", action="reject")

    page.clock.run_for(10_000)

    expect(page.locator(f'[data-run="{gone}"]')).to_contain_text("Answered elsewhere")
    expect(page.locator(f'[data-run="{new}"]')).to_contain_text("Asked meanwhile")
    post(stack, new, "cancel")


# --- every page ------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/runs/", "/approvals/"])
def test_nothing_lies_beside_the_screen_of_a_phone(windows, stack, path):
    waits(stack, "word " * 200 + "x" * 300)
    page = windows(viewport={"width": 320, "height": 640}, color_scheme="dark")
    page.goto(f"{stack.url}{path}")

    assert page.evaluate("document.documentElement.scrollWidth") <= 320


def test_the_admin_and_the_api_document_work_under_the_policy(windows, stack):
    made = "from django.contrib.auth.models import User; from experience import access; "
    made += "user = User.objects.create_superuser('root'); "
    made += f"print(access.sign_in_link(user, '{stack.url}', '/admin/'))"
    link = stack.manage("shell", "--verbosity=0", "-c", made).strip()
    run_id = stack.start_run("Seen in the admin")
    page = windows(storage_state=None)
    page.goto(link)
    page.goto(f"{stack.url}/admin/runtime/run/{run_id}/change/")
    expect(page.locator("#content")).to_contain_text("Seen in the admin")
    page.goto(f"{stack.url}/admin/auth/user/")
    page.goto(f"{stack.url}/api/docs/")
    expect(page.locator(".opblock").first).to_be_visible()
