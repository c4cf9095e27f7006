"""Every page, with the worst that people can have written on it: for everybody, and harmless.

axe finds nothing, the keyboard reaches everything, at twice the size all of it fits, and what
was written does nothing.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from tests.acceptance import stack as stacks

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(120)]

HOSTILE = (
    "<img src=x onerror=alert(1)><script>alert(2)</script></script><!-- "
    "[press](javascript:alert(3)) ![x](http://example.org/x.png) "
    "\u202etxt.exe \u2066 {{ 7 }} {% now %} ' \" ` " + "x" * 90
)
PREPARE = f"""
from django.contrib.auth.models import Group, User
from experience import access
user = User.objects.get(username="tester")
user.is_staff, user.first_name = True, {HOSTILE[:150]!r}
user.save()
user.groups.add(Group.objects.create(name={HOSTILE[:150]!r}))
access.create_token(user, {HOSTILE[:100]!r})
"""
# Of each kind of page one, as it is when there is something on it.
PAGES = {
    "sign in": "/accounts/sign-in/",
    "start": "/?blueprint={blueprint}",
    "runs": "/runs/",
    "no runs": "/runs/?q=nothing+like+this",
    "run": "/runs/{run}/",
    "gate": "/runs/{gated}/",
    "failed run": "/runs/{failed}/",
    "comparison": "/runs/compare/?a={run}&b={failed}",
    "approvals": "/approvals/",
    "conversations": "/conversations/",
    "conversation": "/conversations/{conversation}/",
    "blueprints": "/blueprints/",
    "blueprint": "/blueprints/{blueprint}/",
    "changes": "/blueprints/{blueprint}/changes/?from=1&to=2",
    "editor": "/blueprints/sketches/{sketch}/",
    "account": "/account/",
    "password": "/account/password/",
    "not found": "/runs/nowhere/",
}
# What has the focus, by its number among all elements, and whether one sees that it has.
FOCUSED = """() => {
  const { activeElement: at } = document;
  if (at === document.body) return null;
  const { outlineStyle, outlineWidth } = getComputedStyle(at);
  const seen = outlineStyle !== 'none' && parseFloat(outlineWidth) > 0;
  return [[...document.querySelectorAll('*')].indexOf(at), at.outerHTML.slice(0, 120), seen];
}"""
REACHABLE = """() => [...document.querySelectorAll(
    'a[href], button, input, select, textarea, summary, [tabindex="0"]')]
  .filter((one) => one.checkVisibility({ visibilityProperty: true }))
  .filter((one) => !one.disabled && one.type !== 'hidden' && one.tabIndex >= 0)
  .filter((one) => one.type !== 'radio' || one.checked)
  .length"""


@pytest.fixture(scope="module")
def stack(browser: Browser) -> Iterator[stacks.Stack]:
    with stacks.running(DEMO_TOKENS_PER_SECOND="0") as made:
        yield made


@pytest.fixture(scope="module")
def prepare() -> str:
    return PREPARE


@pytest.fixture(scope="module")
def ids(browser: Browser, stack: stacks.Stack, session: Any) -> dict[str, str]:
    """What the pages are of: runs, a conversation, a blueprint in two versions, a sketch."""
    blueprint = _blueprint(stack)
    sketch = _sketch(browser, stack, session, blueprint)
    return {**_runs(stack), **_conversation(stack), "blueprint": blueprint, "sketch": sketch}


def _runs(stack: stacks.Stack) -> dict[str, str]:
    found = {
        "run": stack.start_run(HOSTILE, model="demo:instant"),
        "failed": stack.start_run(HOSTILE, limits={"tokens": 300}, model="demo:instant"),
        "gated": stack.start_run(HOSTILE, model="demo:instant", god_mode=True),
    }
    for name, status in (("run", "completed"), ("failed", "failed"), ("gated", "paused")):
        stacks.wait_until(lambda of=found[name], at=status: stack.status(of) == at)
    return found


def _conversation(stack: stacks.Stack) -> dict[str, str]:
    begun = stack.request("POST", "/api/messages", json={"text": HOSTILE}).json()
    about = f"/api/conversations/{begun['conversation_id']}/messages"
    stacks.wait_until(lambda: "answer" in stack.request("GET", about).text)
    return {"conversation": begun["conversation_id"]}


def _blueprint(stack: stacks.Stack) -> str:
    document = stack.request("GET", "/api/councils/").json()[0]
    document |= {"name": HOSTILE[:200], "goodFor": HOSTILE, "notFor": HOSTILE}
    for node in document["nodes"]:
        node |= {"label": HOSTILE[:200], "systemPrompt": HOSTILE}
    made = stack.request("POST", "/api/councils/", json=document).json()
    made["nodes"][0]["systemPrompt"] = f"Be brief. {HOSTILE}"
    stack.request("PUT", f"/api/councils/{made['id']}", json=made).raise_for_status()
    return str(made["id"])


def _sketch(browser: Browser, stack: stacks.Stack, session: Any, blueprint: str) -> str:
    page = browser.new_context(storage_state=session).new_page()
    page.goto(f"{stack.url}/blueprints/{blueprint}/")
    page.get_by_role("button", name="Edit", exact=True).click()
    page.wait_for_url("**/sketches/*/")
    found = page.url.rstrip("/").rpartition("/")[2]
    page.context.close()
    return found


@pytest.fixture(scope="module", params=PAGES)
def seen(
    request: Any, browser: Browser, stack: stacks.Stack, session: Any, ids: dict[str, str]
) -> Iterator[tuple[Page, list[str]]]:
    """A page that has come to rest, and what went wrong in it."""
    who = None if request.param == "sign in" else session
    page = browser.new_context(storage_state=who).new_page()
    mistakes: list[str] = []
    page.on("pageerror", lambda error: mistakes.append(str(error)))
    page.on("dialog", lambda dialog: mistakes.append(dialog.message))
    page.on("request", lambda sent: sent.url.startswith(stack.url) or mistakes.append(sent.url))
    page.on(
        "console", lambda said: mistakes.append(said.text) if "Policy" in said.text else None
    )
    page.goto(stack.url + PAGES[request.param].format(**ids), wait_until="networkidle")
    yield page, mistakes
    page.context.close()


def test_axe_finds_nothing_in_light_and_in_dark(seen):
    page, _ = seen
    page.emulate_media(color_scheme="light")
    light = Axe().run(page)
    page.emulate_media(color_scheme="dark")
    dark = Axe().run(page)

    assert not light.violations_count, light.generate_report()
    assert not dark.violations_count, dark.generate_report()


def test_at_twice_the_size_nothing_lies_beside_the_screen(seen):
    page, _ = seen
    # What a browser of 1280 pixels shows at 200 %.
    page.set_viewport_size({"width": 640, "height": 450})
    width = page.evaluate("document.documentElement.scrollWidth")
    page.set_viewport_size({"width": 1280, "height": 900})

    assert width <= 640


def test_the_keyboard_reaches_everything_and_shows_where_it_is(seen):
    page, _ = seen
    most = page.evaluate(REACHABLE)
    reached: dict[int, tuple[str, bool]] = {}
    # Once around, wherever the page has set the focus: beyond the last there is none.
    for _ in range(most + 20):
        page.keyboard.press("Tab")
        if found := page.evaluate(FOCUSED):
            if found[0] in reached:
                break
            reached[found[0]] = (found[1], found[2])

    assert len(reached) >= most
    assert [element for element, is_seen in reached.values() if not is_seen] == []


def test_what_was_written_is_text_and_does_nothing(seen):
    page, mistakes = seen

    assert (
        page.locator("img[onerror], script:not([src]):not([type='application/json'])").count()
        == 0
    )
    assert page.locator("[href^='javascript:']").count() == 0
    assert mistakes == []
