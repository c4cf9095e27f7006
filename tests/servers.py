"""A real PostgreSQL and a real Valkey for the test session, in a directory of its own.

Loaded early (`-p tests.servers`), so that the environment stands before the settings are
read. DATABASE_URL or REDIS_URL, when set, are used instead of ours.
"""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import pytest

from councilos import embedded, processes, servers

# A developer's own environment and .env must not decide what the tests do.
ENVIRONMENT = {
    "SECRET_KEY": "only-for-tests-0123456789-abcdefghijklmnopqrstuvwxyz",
    "DEBUG": "False",
    "ALLOWED_HOSTS": "localhost,127.0.0.1,[::1],testserver",
    "ALLOWED_ORIGINS": "",
    "SECURE_COOKIES": "False",
    "OPENAI_API_KEY": "",
    "OPENAI_BASE_URL": "",
    "ANTHROPIC_API_KEY": "",
    "ANTHROPIC_BASE_URL": "",
    "DEFAULT_MODEL": "",
    "DEMO_TOKENS_PER_SECOND": "0",
    "LOG_LEVEL": "WARNING",
    "MESSAGES_PER_MINUTE": "100000",
    "SOCKETS_PER_USER": "100000",
    "LOG_FORMAT": "plain",
    "METRICS_TOKEN": "",
    "WORKER_METRICS_PORT": "0",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "",
}
# Not tempfile.gettempdir(): a socket's path must be short.
TEMPORARY = Path("/tmp")
PREFIX = "councilos-tests-"


class Session:
    """The home of one test session. Its lock tells later sessions that it is in use."""

    def __init__(self) -> None:
        self.home = Path(tempfile.mkdtemp(prefix=PREFIX, dir=TEMPORARY))
        self.lock = _locked(self.home)
        self.children: list[processes.Child] = []
        self.own_postgres = not os.environ.get("DATABASE_URL")
        self.own_valkey = not os.environ.get("REDIS_URL")

    def set_environment(self) -> None:
        # Else every process that a test starts would compile all of ours anew.
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ.update(ENVIRONMENT, COUNCILOS_HOME=str(self.home))
        os.environ["DATABASE_URL"] = os.environ.get("DATABASE_URL") or embedded.database_url(
            self.home
        )
        os.environ["REDIS_URL"] = os.environ.get("REDIS_URL") or embedded.redis_url(self.home)

    def start(self) -> None:
        if self.own_valkey:
            self.children.append(servers.start_valkey(self.home))
        if self.own_postgres:
            self.children.append(servers.start_postgres(self.home, durable=False))

    def end(self) -> None:
        for child in self.children:
            child.stop()
        _remove(self.home)
        if self.lock:
            self.lock.close()


def _locked(home: Path) -> TextIO | None:
    """The lock of a home, or None if its session still runs."""
    lock = (home / "in-use").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return None
    return lock


def _remove(home: Path) -> None:
    """End what still runs in a home, also what a test has started again, and remove it."""
    for _name, process in processes.left_over(home):
        processes.end(process, servers.POSTGRES_STEPS)
    shutil.rmtree(home, ignore_errors=True)
    shutil.rmtree(embedded.sockets(home), ignore_errors=True)


def _sweep() -> None:
    """Remove what sessions that were killed have left."""
    for home in TEMPORARY.glob(f"{PREFIX}*"):
        # One that another session makes at this very moment has no lock yet.
        settled = time.time() - home.stat().st_mtime > 60
        if settled and os.access(home, os.W_OK) and (lock := _locked(home)):
            _remove(home)
            lock.close()


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Iterator[None]:
    # A wrapper runs before pytest-django, which reads the settings in this same hook.
    session = Session()
    session.set_environment()
    early_config.stash[SESSION] = session
    early_config.add_cleanup(session.end)
    return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    if not session.config.option.collectonly:
        _sweep()
        session.config.stash[SESSION].start()


SESSION: pytest.StashKey[Any] = pytest.StashKey()
