"""The admin in a browser, on the real stack: find a run, look into it, steer it, export it."""

import json
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect

from tests.acceptance import stack as stacks

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(120)]

# A name that says what would happen if it were taken for markup.
HOSTILE = "<img src=x onerror=alert(1)> \u202etxt.exe {{ 7 }}"


@pytest.fixture(scope="module")
def stack(browser: Browser) -> Iterator[stacks.Stack]:
    # It writes for minutes, so that there is time to take it from its worker.
    with stacks.running(DEMO_TOKENS_PER_SECOND="2") as made:
        with psycopg.connect(made.environment["DATABASE_URL"]) as database:
            database.execute("UPDATE auth_user SET is_staff = true, is_superuser = true")
        yield made


def finished(stack):
    run_id = stack.start_run(HOSTILE, model="demo:instant")
    stacks.wait_until(lambda: stack.row(run_id)["ended_at"])
    return run_id


def writing(stack):
    run_id = stack.start_run("Is it still being written?")
    stacks.wait_until(lambda: any(e["kind"] == "node.token" for e in stack.log(run_id)))
    return run_id


def test_a_run_is_found_looked_into_and_exported(page, stack):
    run_id = finished(stack)

    page.goto(f"{stack.url}/admin/runtime/run/")
    page.locator("#searchbar").fill(run_id)
    page.get_by_role("button", name="Search").click()
    page.get_by_role("link", name=HOSTILE[:20]).click()
    expect(page.locator(".field-stands")).to_contain_text("completed approved")
    page.get_by_text("Draft 1 by master_agent").click()
    expect(page.locator(".draft[open] .text")).to_contain_text("Scripted demo model")
    page.get_by_text("attempt 1 at").click()
    expect(page.locator(".timeline details[open] pre")).to_contain_text('"attempt": 1')
    page.get_by_role("link", name="after step 1").click()
    page.locator("summary", has_text="messages").first.click()
    expect(page.locator("details[open] pre")).to_contain_text("master_agent")
    page.go_back()
    page.get_by_role("link", name="View on site").click()
    expect(page).to_have_url(f"{stack.url}/runs/{run_id}/")

    page.goto(f"{stack.url}/admin/runtime/run/?q={run_id}")
    page.get_by_role("row", name=HOSTILE[:20]).get_by_role("checkbox").check()
    page.get_by_label("Action:").select_option("export_json")
    with page.expect_download() as given:
        page.get_by_role("button", name="Go", exact=True).click()
    whole = json.loads(Path(given.value.path()).read_text())
    assert whole["run"]["input_topic"] == HOSTILE


def test_a_run_is_taken_from_its_worker_goes_on_and_is_cancelled(page, stack):
    run_id = writing(stack)

    page.goto(f"{stack.url}/admin/runtime/run/{run_id}/change/")
    page.get_by_role("button", name="Take from its worker").click()
    expect(page.get_by_text("1 run taken from its worker.")).to_be_visible()
    again = stacks.wait_until(
        lambda: [e for e in stack.log(run_id) if e["kind"] == "run.started"][1:]
    )
    assert again[0]["data"]["attempt"] == 2

    page.reload()
    expect(page.get_by_text("taken from its worker by tester").first).to_be_visible()
    page.goto(f"{stack.url}/admin/runtime/run/?q={run_id}")
    page.get_by_role("row", name="Is it still").get_by_role("checkbox").check()
    page.get_by_label("Action:").select_option("cancel")
    page.get_by_role("button", name="Go", exact=True).click()
    expect(page.get_by_text("1 run cancelled.")).to_be_visible()
    assert stack.status(run_id) == "cancelled"
    page.goto(f"{stack.url}/admin/runtime/run/{run_id}/history/")
    expect(page.get_by_role("row", name="cancelled")).to_be_visible()


def test_the_pages_that_are_ours_are_for_everybody(browser, session, stack):
    # Not in a window that counts breaks of the policy: axe itself writes styles into the page.
    page = browser.new_context(storage_state=session).new_page()
    run_id = finished(stack)
    page.goto(f"{stack.url}/admin/runtime/run/{run_id}/change/")
    state = page.get_by_role("link", name="after step 1").get_attribute("href")
    version = page.locator("a[href*='/blueprintversion/']").first.get_attribute("href")

    faults = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        for path in (f"/admin/runtime/run/{run_id}/change/", state, version):
            page.goto(stack.url + path)
            # Of the frame around it, which is Django's own, we judge nothing.
            found = Axe().run(page, context=".module").response["violations"]
            faults += [(path, scheme, each["id"], each["nodes"][0]["html"]) for each in found]
    page.context.close()
    assert faults == []
