"""A page that was loaded at any moment of a run equals the one that stayed."""

import asyncio
import json
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, WebSocketRoute, expect

from tests.acceptance import browsers, tellings
from tests.acceptance import stack as stacks

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def stack(browser: Browser) -> Iterator[stacks.Stack]:
    with stacks.running(DEMO_TOKENS_PER_SECOND="300") as made:
        yield made


# --- the fold --------------------------------------------------------------------------

# Compares, at each position of a log, what was folded as it came with what a page would fold
# that came then; and the end of all with that of a page that was cut off there.
COMPARE = """async ([plan, frames, logs]) => {
  const { begin, fold } = await import('/static/dashboard/js/run/fold.js');
  const sorted = (value) => JSON.stringify(value, (key, part) =>
    part && typeof part === 'object' && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort()) : part);
  const folded = (frames, from = begin(plan)) => frames.reduce(fold, from);
  const end = sorted(folded(frames));
  const faults = [];
  let state = begin(plan);
  for (let at = 0; at < frames.length; at++) {
    state = fold(state, frames[at]);
    const fault = (what) => faults.push([what, at, frames[at].event]);
    if (frames[at + 1]?.seq === frames[at].seq) continue; // one event, told in two frames
    if (sorted(folded(logs[at])) !== sorted(state)) fault('reload');
    const missed = logs.at(-1).filter(({seq}) => seq > state.seq);
    if (sorted(folded(missed, state)) !== end) fault('cut');
    if (sorted(folded(frames.slice(0, at + 1), state)) !== sorted(state)) fault('twice');
  }
  return [faults, JSON.parse(end)];
}"""


def compared(page: Page, plan: dict[str, Any], frames: list[dict[str, Any]]) -> dict[str, Any]:
    """The state at the end of a log that gives the same wherever it is cut."""
    logs = [tellings.log(frames[: number + 1]) for number in range(len(frames))]
    faults, end = page.evaluate(COMPARE, [plan, frames, logs])
    assert faults == []
    return dict(end)


@pytest.fixture(scope="module")
def origin(browser: Browser, stack: stacks.Stack) -> Iterator[Page]:
    """A page of the stack that does nothing itself."""
    page = browser.new_page()
    page.goto(f"{stack.url}/static/dashboard/icon.svg")
    yield page
    page.close()


@pytest.mark.parametrize("name", tellings.LOGS)
def test_a_log_gives_the_same_state_however_it_comes(origin, name):
    end = compared(origin, tellings.PLAN, tellings.frames(tellings.LOGS[name]))

    assert tellings.summary(end) == tellings.ENDS[name]


def test_the_log_of_a_real_run_gives_the_same_state_however_it_comes(windows, stack):
    page = windows()
    run_id = stack.start_run()
    viewer = stacks.Viewer(stack, run_id)
    with futures.ThreadPoolExecutor() as aside:  # the browser's loop runs in this thread
        aside.submit(asyncio.run, viewer.follow()).result()
    page.goto(f"{stack.url}/runs/{run_id}/")
    plan = json.loads(page.locator("#run-data").text_content() or "")["plan"]
    end = compared(page, plan, viewer.frames)

    assert sum(frame["event"] == "node_token" for frame in viewer.frames) > 10
    assert end["status"] == "completed"
    assert [step["score"] for step in end["steps"] if step["kind"] == "critic"] == [6.5, 8.5]


# --- the page --------------------------------------------------------------------------


class Told:
    """A window of a run's page that is told what the test says, and nothing by the server."""

    def __init__(self, page: Page, url: str) -> None:
        self.page, self.url = page, url
        self._frames: list[dict[str, Any]] = []
        self._socket: WebSocketRoute | None = None
        page.route_web_socket("**/ws/council/**", self._connected)
        # What the server has to say of the run it knows is not what the test tells.
        said = '<div data-told="As told">What came of it</div>'
        page.route("**/result/", lambda route: route.fulfill(body=said))

    def load(self, frames: list[dict[str, Any]]) -> None:
        """Load the page when so much has happened."""
        self._frames, self._socket = frames, None
        self.page.goto(self.url)
        # Playwright calls back while it is asked something.
        stacks.wait_until(lambda: self.page.evaluate("1") and self._socket)

    def hear(self, frame: dict[str, Any]) -> None:
        assert self._socket is not None
        self._socket.send(json.dumps(frame))

    def _connected(self, socket: WebSocketRoute) -> None:
        self._socket = socket
        last = max((frame["seq"] for frame in self._frames), default=0)
        about = {"event": "connected", "seq": 0, "run": {"last_seq": last}, "status": "running"}
        for frame in [about, *self._frames]:
            self.hear(frame)


@pytest.fixture
def told(windows: Any, stack: stacks.Stack) -> Iterator[tuple[Told, Told]]:
    """Two windows of a run of the council that `tellings` is about."""
    made = stack.request("POST", "/api/councils/", json=tellings.DOCUMENT)
    assert made.status_code == 201, made.text
    stack.kill("worker0")
    body = {"input_topic": "What is told?"}
    path = f"/api/councils/{made.json()['id']}/run"
    run_id = stack.request("POST", path, json=body).json()["run_id"]
    url = f"{stack.url}/runs/{run_id}/"
    yield Told(windows(), url), Told(windows(), url)
    stack.start_worker()


def test_a_page_loaded_after_any_kind_of_event_equals_the_one_that_stayed(told):
    stayed, anew = told
    compared_after = set()
    for log in tellings.LOGS.values():
        frames = tellings.frames(log)
        stayed.load([])
        for number, frame in enumerate(frames, 1):
            stayed.hear(frame)
            if frame["event"] not in compared_after or number == len(frames):
                anew.load(tellings.log(frames[:number]))
                browsers.assert_same(stayed.page, anew.page)
                compared_after.add(frame["event"])

    assert len(compared_after) == 17


# Cut where it is worst: within marks, within the end of a block, within a fence.
GROWING = (
    *("# The pl", "an\n", "\nSome **bo", "ld** words, [a link](javascript:alert(1)), <b>no"),
    *(" tag</b>.\n\n\n", "```\nfirst\n", "\nsecond\n```\n\n1. one\n2. two\n"),
    *("\nThe *la", "st"),
)


def test_a_text_takes_its_form_block_by_block_while_it_grows(told):
    stayed, anew = told
    begun = tellings.frames((*tellings.BEGIN, "start d"))
    last, tokens = begun[-1]["seq"], tellings.frames(("token d",) * len(GROWING))
    frames = [
        {**frame, "seq": last + frame["seq"], "text": text}
        for frame, text in zip(tokens, GROWING, strict=True)
    ]
    stayed.load(begun)
    for frame in frames:
        stayed.hear(frame)
    anew.load([*begun, *frames])
    grown = stayed.page.locator(".growing")

    expect(grown.locator("h4")).to_have_text("The plan")
    expect(grown.locator("strong")).to_have_text("bold")
    expect(grown.locator("pre")).to_have_text("first\n\nsecond\n")
    expect(grown.locator("li")).to_have_text(["one", "two"])
    expect(grown.locator("> p")).to_have_text("The *last")
    expect(grown).to_contain_text("<b>no tag</b>")
    expect(grown.locator("a, b")).to_have_count(0)
    browsers.assert_same(stayed.page, anew.page)


NUMBERED = "\n".join(f"{number}. of a block that is laid out in parts" for number in range(400))
TEXTS = {
    "a fence in a fence": "````\n```\n\n```\n````\n\nover",
    "a line that only begins with marks": "```x``` is code\n\nover",
    "other marks in a fence": "```\n~~~\n\nin\n```\n\nover",
    "lines of another system": "one\r\n\r\ntwo\r\n\r\nover",
    "blanks in blank lines": "  \n\none\n \t\n\n\ntwo\n  \nover",
    "a long block": f"{NUMBERED}\n\nover",
    "half a sign": "\U0001f600 one\n\nover",
}
# Fed in pieces of so many characters; a page that comes later has it whole.
GROW = """async ([text, size]) => {
  const { Blocks } = await import('/static/dashboard/js/run/blocks.js');
  const grown = new Blocks(() => {});
  document.body.append(grown.element);
  for (let at = 0; at < text.length; at += size) grown.add(text.slice(at, at + size));
  const deadline = Date.now() + 10000;
  const soon = () => new Promise((done) => setTimeout(done, 20));
  while (grown.isForming && Date.now() < deadline) await soon();
  return grown.element.outerHTML;
}"""


@pytest.mark.parametrize("name", TEXTS)
def test_however_a_text_is_cut_its_blocks_are_the_same_and_their_form_too(page, name):
    page.goto("/account/")
    one, three, whole = (page.evaluate(GROW, [TEXTS[name], size]) for size in (1, 3, 10_000))

    assert one == three == whole
    assert "<p><span>over</span></p>" in whole
    assert 'class="block"' in whole
