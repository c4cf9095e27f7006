"""The browser that the pages are tried in, and what two windows of it show."""

import contextlib
import itertools
import shutil
from pathlib import Path

from playwright import sync_api

from tests.acceptance import stack as stacks

# The first has no window to draw, which leaves more of two cores to what is tried.
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
# As root Chromium's own sandbox cannot be had, and without memory to share it breaks.
_ARGUMENTS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]


def launched(playwright: sync_api.Playwright) -> sync_api.Browser | None:
    """The system's browser, or else the one that somebody has installed for Playwright; None
    where there is neither."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    own = playwright.chromium.executable_path
    path = found or (own if Path(own).exists() else None)
    if path is None:
        return None
    return playwright.chromium.launch(executable_path=path, args=_ARGUMENTS)


# All that a reader is shown, as elements with their attributes and texts; but for what goes
# with the clock, the places of bars in time, and what was told before the first frame.
OF_A_RUN = """() => {
  const main = document.getElementById('main').cloneNode(true);
  const gone = 'script, [data-clock], [data-ago], #line';
  for (const each of main.querySelectorAll(gone)) each.remove();
  for (const bar of main.querySelectorAll('[style], [title]')) {
    bar.removeAttribute('style');
    if (bar.className === 'gate-of-time') bar.removeAttribute('title');
  }
  return main.innerHTML.replace(/\\s+/g, ' ').replace(/> </g, '><').split('>');
}"""


def assert_same(one: sync_api.Page, other: sync_api.Page, shown: str = OF_A_RUN) -> None:
    """Both show the same, as soon as both have heard everything. `shown` is a script that
    gives what is to be seen, as a list."""
    with contextlib.suppress(TimeoutError):
        stacks.wait_until(lambda: not _differing(one, other, shown), seconds=5)
    differing = _differing(one, other, shown)
    assert not differing, differing


def _differing(one: sync_api.Page, other: sync_api.Page, script: str) -> list[tuple[str, str]]:
    pairs = itertools.zip_longest(one.evaluate(script), other.evaluate(script))
    return [(shown, instead) for shown, instead in pairs if shown != instead]
