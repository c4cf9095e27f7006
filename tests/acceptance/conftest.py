"""A browser for the tests that need one; a loud line at the end where there is none."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright import sync_api

NAMES = ("chromium", "chromium-browser", "google-chrome")
MISSING = (
    "There is no browser, so the front end WAS NOT TESTED. "
    "Install one: apt-get install chromium"
)


def _path(playwright: sync_api.Playwright) -> str | None:
    """The browser of the system, or else the one that somebody has installed for Playwright."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    own = playwright.chromium.executable_path
    return found or (own if Path(own).exists() else None)


@pytest.fixture(scope="module")
def browser() -> Iterator[sync_api.Browser]:
    """Skips without one; fails where CI is true, for there it would be nobody's to notice."""
    with sync_api.sync_playwright() as playwright:
        path = _path(playwright)
        if path is None:
            (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(MISSING)
        # As root Chromium's own sandbox cannot be had, and without memory to share it breaks.
        arguments = ["--no-sandbox", "--disable-dev-shm-usage"]
        launched = playwright.chromium.launch(executable_path=path, args=arguments)
        yield launched
        launched.close()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Iterator[None]:
    yield  # everything else is said before
    skipped = terminalreporter.getreports("skipped")
    if any(MISSING in str(report.longrepr) for report in skipped):
        terminalreporter.write_sep("!", MISSING, red=True, bold=True)
