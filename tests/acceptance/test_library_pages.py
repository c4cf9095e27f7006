"""What one comes back to, in a browser on the real stack: the history and two of its runs
compared, blueprints and their versions, the account."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.acceptance import stack as stacks

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def stack(browser: Browser) -> Iterator[stacks.Stack]:
    with stacks.running(DEMO_TOKENS_PER_SECOND="0") as made:
        yield made


def ended(stack: stacks.Stack, topic: str, **more: Any) -> str:
    run_id = stack.start_run(topic, **more)
    stacks.wait_until(lambda: stack.status(run_id) == "completed")
    return run_id


def test_two_ticked_runs_are_compared_by_keyboard_down_to_their_drafts(page, stack):
    ended(stack, "First things first?")
    ended(stack, "First things first?", limits={"calls": 4})
    page.goto("/runs/")
    expect(page.locator("#pick")).to_be_disabled()

    boxes = page.get_by_role("checkbox", name="Compare: First things")
    for number in (0, 1):
        boxes.nth(number).focus()
        page.keyboard.press("Space")
    expect(page.locator("#picked")).to_have_text("Two ticked.")
    page.locator("#pick").focus()
    page.keyboard.press("Enter")

    expect(page).to_have_url(re.compile(r"/runs/compare/\?a=[0-9a-f-]{36}&b=[0-9a-f-]{36}$"))
    expect(page.get_by_role("heading", level=1)).to_have_text("First things first?")
    expect(page.get_by_text("Different limits.")).to_be_visible()
    page.get_by_role("link", name="Round 2, Master").click()
    expect(page.get_by_role("heading", name="Round 2, Master")).to_be_in_viewport()
    page.get_by_role("link", name="Results").click()
    expect(page.locator("mark").first).to_be_visible()


def test_the_history_follows_what_goes_on_and_keeps_focus_ticks_and_place(page, stack):
    run_id = stack.start_run("Watched from the list", god_mode=True, model="demo:instant")
    stacks.wait_until(lambda: stack.status(run_id) == "paused")
    page.clock.install()
    page.goto("/runs/")
    row = page.locator(f"#run-{run_id}")
    expect(row).to_contain_text("paused")
    row.get_by_role("checkbox").check()
    row.get_by_role("link").focus()
    top = row.bounding_box()

    stack.request("POST", f"/api/councils/run/{run_id}/cancel", json={})
    page.clock.run_for(4_000)

    expect(row).to_contain_text("cancelled")
    expect(page.locator("#said")).to_have_text("Watched from the list: cancelled.")
    expect(row.get_by_role("checkbox")).to_be_checked()
    expect(row.get_by_role("link")).to_be_focused()
    assert row.bounding_box() == top
    # Nothing goes on any more, so nothing is asked for any more.
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.clock.run_for(9_000)
    assert [url for url in asked if "/runs/" in url] == []


def test_on_a_phone_the_columns_have_their_names_and_can_be_sorted_by(page, stack):
    ended(stack, "Seen on a phone", limits={"calls": 4})
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto("/runs/")

    page.get_by_role("columnheader", name="Tokens").get_by_role("link").click()

    expect(page).to_have_url(re.compile("sort=-tokens"))
    expect(page.get_by_role("columnheader", name="Tokens")).to_have_attribute(
        "aria-sort", "descending"
    )
    label = "cell => getComputedStyle(cell, '::before').content"
    assert "tokens" in page.locator("td.tokens").first.evaluate(label)


def test_a_blueprint_is_found_looked_at_shared_run_and_deleted(page, stack):
    made = stack.request("GET", "/api/councils/").json()[0]
    document = {**made, "name": "One of mine"}
    saved = stack.request("POST", "/api/councils/", json=document).json()
    document["nodes"][0]["systemPrompt"] += " Be brief."
    stack.request("PUT", f"/api/councils/{saved['id']}", json=document).raise_for_status()
    page.goto("/blueprints/")
    drawing = page.locator(".card img").first
    stacks.wait_until(lambda: drawing.evaluate("image => image.naturalWidth") > 100)
    page.get_by_label("Search in blueprints").fill("of MINE")
    page.keyboard.press("Enter")
    page.get_by_role("link", name="One of mine").click()

    page.get_by_role("link", name="Changes of version 2").click()
    expect(page.locator("ins").last).to_have_text(" Be brief.")
    page.get_by_role("link", name="One of mine").click()
    page.get_by_label("Visible to").select_option(label="everyone")
    page.get_by_role("button", name="Change", exact=True).click()
    expect(page.get_by_text("Now everyone may see and run it")).to_be_visible()
    page.get_by_role("link", name="Run it").click()
    expect(page.get_by_label("Council", exact=True)).to_have_value(saved["id"])
    page.go_back()

    page.get_by_role("button", name="Delete this blueprint").click()
    expect(page.get_by_role("button", name="Keep it")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Delete it")).to_be_hidden()
    page.get_by_role("button", name="Delete this blueprint").click()
    page.get_by_role("button", name="Delete it").click()
    expect(page.get_by_text("“One of mine” is deleted")).to_be_visible()


def test_a_file_is_imported_by_choosing_it_and_lands_in_the_editor(page):
    page.goto("/blueprints/")
    council = b'{"name": "X", "nodes": []}'
    file = {"name": "council.json", "mimeType": "application/json", "buffer": council}

    page.get_by_label("Import a blueprint").set_input_files(file)

    expect(page).to_have_url(re.compile("/blueprints/sketches/[0-9a-f-]{36}/"))


def test_a_token_is_made_copied_used_and_revoked_and_never_shown_again(page, stack):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=stack.url)
    page.goto("/account/")
    page.get_by_label("What it is for").fill("a robot")
    page.get_by_role("button", name="Make a token").click()
    field = page.get_by_label("Token", exact=True)
    expect(field).to_be_focused()
    secret = field.input_value()
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_text("Copied.")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == secret
    bearer = {"Authorization": f"Bearer {secret}"}
    assert stack.request("GET", "/api/runs/", headers=bearer).status_code == 200

    page.goto("/runs/")
    page.go_back()
    expect(page.get_by_role("heading", name="Personal tokens")).to_be_visible()
    assert secret not in page.content()
    page.reload()
    assert secret not in page.content()

    row = page.get_by_role("row", name="a robot")
    row.get_by_role("button", name="Revoke").first.click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke it").click()
    expect(page.get_by_text("“a robot” is revoked")).to_be_visible()
    assert stack.request("GET", "/api/runs/", headers=bearer).status_code == 401


def test_without_javascript_all_of_it_works_too(browser, stack, session):
    one, other = ended(stack, "Without a script?"), ended(stack, "Without a script, again?")
    context = browser.new_context(
        storage_state=session, base_url=stack.url, java_script_enabled=False
    )
    page = context.new_page()
    page.goto("/runs/?q=without+a+script")
    for run_id in (one, other):
        page.locator(f"#run-{run_id} input").check()
    page.get_by_role("button", name="Compare").click()
    expect(page.get_by_role("heading", name="Two runs with different topics")).to_be_visible()

    page.goto("/account/")
    page.get_by_label("What it is for").fill("by hand")
    page.get_by_role("button", name="Make a token").click()
    expect(page.get_by_label("Token", exact=True)).to_have_value(re.compile("^cos_"))
    page.get_by_role("row", name="by hand").get_by_role("button", name="Revoke").first.click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke it").click()
    expect(page.get_by_text("“by hand” is revoked")).to_be_visible()
    context.close()


def test_nothing_lies_beside_the_screen_of_a_phone(page, stack):
    word = "x" * 300
    one, other = (stack.start_run(f"{word} {each}") for each in "ab")
    document = stack.request("GET", "/api/councils/").json()[0]
    document["nodes"][0] |= {"label": word[:200], "systemPrompt": word}
    document |= {"name": word[:200], "goodFor": word}
    saved = stack.request("POST", "/api/councils/", json=document).json()
    page.set_viewport_size({"width": 320, "height": 640})
    blueprint = f"/blueprints/{saved['id']}/"
    compare = f"/runs/compare/?a={one}&b={other}"

    for path in ("/blueprints/", blueprint, f"{blueprint}changes/", compare, "/account/"):
        page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 320, path
