"""A browser for the tests that need one; a loud line at the end where there is none."""

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright import sync_api

from tests.acceptance import browsers
from tests.acceptance import stack as stacks

MISSING = (
    "There is no browser, so the front end WAS NOT TESTED. "
    "Install one: apt-get install chromium-headless-shell"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[sync_api.Browser]:
    """Skips without one; fails where CI is true, for there it would be nobody's to notice."""
    with sync_api.sync_playwright() as playwright:
        launched = browsers.launched(playwright)
        if launched is None:
            (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(MISSING)
        yield launched
        launched.close()


PATIENCE = 20_000  # milliseconds


@pytest.fixture(scope="module")
def prepare() -> str:
    """What a module has prepared in its stack: a script for `manage.py shell`."""
    return ""


@pytest.fixture(scope="module")
def session(stack: stacks.Stack, prepare: str) -> Any:
    """The tester, signed in."""
    if prepare:
        stack.manage("shell", "--verbosity=0", "-c", prepare)
    cookie = {"name": "sessionid", "value": stack.session_key, "url": stack.url}
    return {"cookies": [cookie]}


@pytest.fixture
def windows(
    browser: sync_api.Browser, stack: stacks.Stack, session: Any
) -> Iterator[Callable[..., sync_api.Page]]:
    """Opens windows of the same person, in which nothing goes wrong: no error of a script, no
    break of the policy, no dialog."""
    sync_api.expect.set_options(timeout=PATIENCE)
    mistakes: list[str] = []
    with contextlib.ExitStack() as opened:

        def window(**more: Any) -> sync_api.Page:
            context = browser.new_context(
                **{"storage_state": session, "base_url": stack.url, **more}
            )
            opened.callback(context.close)
            context.set_default_timeout(PATIENCE)
            page = context.new_page()
            page.on("pageerror", lambda error: mistakes.append(str(error)))
            page.on("dialog", lambda dialog: mistakes.append(dialog.message))
            page.on(
                "console",
                lambda said: mistakes.append(said.text) if "Policy" in said.text else None,
            )
            return page

        yield window
    assert mistakes == []


@pytest.fixture
def page(windows: Callable[..., sync_api.Page]) -> sync_api.Page:
    return windows()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Iterator[None]:
    yield  # everything else is said before
    skipped = terminalreporter.getreports("skipped")
    if any(MISSING in str(report.longrepr) for report in skipped):
        terminalreporter.write_sep("!", MISSING, red=True, bold=True)
