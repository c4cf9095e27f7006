"""`manage.py up` on a bare machine, as a person starts and ends it."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from councilos import processes

ROOT = Path(__file__).resolve().parents[2]
SERVING = "until Ctrl-C"

pytestmark = pytest.mark.acceptance


class Up:
    """A started `manage.py up`, and what it has printed so far."""

    def __init__(self, home: Path, port: int, *options: str, **environment: str) -> None:
        ours = {"COUNCILOS_HOME": str(home), "SECRET_KEY": "", "COLUMNS": "200"}
        none = {"DATABASE_URL": "", "REDIS_URL": ""}
        self.home = home
        self.said = ""
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "up", "--port", str(port), *options],
            cwd=ROOT,
            env={**os.environ, **none, **ours, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def read_until(self, words: str) -> str:
        """What it printed up to the first line with these words; fails if they never come."""
        assert self.process.stdout
        for line in self.process.stdout:
            self.said += line
            if words in line:
                return self.said
        raise AssertionError(f"it ended without saying {words!r}:\n{self.said}")

    def end(self, number: signal.Signals = signal.SIGINT) -> str:
        """Send it a signal, and return all that it printed when it is gone."""
        assert self.process.stdout
        self.process.send_signal(number)
        self.said += self.process.stdout.read()
        self.process.stdout.close()
        self.process.wait()
        return self.said

    def refusal(self) -> str:
        """What it said, of one that ends by itself with exit code 1."""
        assert self.process.stdout
        with self.process.stdout:
            self.said += self.process.stdout.read()
        assert self.process.wait() == 1
        assert "Traceback" not in self.said
        return self.said

    def children(self) -> dict[str, psutil.Process]:
        return dict(processes.left_over(self.home))


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """One home for the whole story. It does not exist before the first start."""
    parent = Path(tempfile.mkdtemp(prefix="councilos-up-", dir="/tmp"))
    yield parent / "home"
    shutil.rmtree(parent)


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@pytest.fixture
def start(home: Path, port: int) -> Iterator[Callable[..., Up]]:
    """Starts `up`; what a failed test leaves running is ended."""
    started: list[Up] = []

    def start_up(*options: str, at: int = port) -> Up:
        started.append(Up(home, at, *options))
        return started[-1]

    yield start_up
    for up in started:
        if up.process.poll() is None:
            up.end()
    for _name, process in processes.left_over(home):
        processes.end(process)


def test_a_first_start_runs_a_council_serves_and_is_stopped_whole(start, port):
    up = start()
    said = up.read_until(SERVING)
    children = up.children()
    link = re.search(r"http://\S+ticket=\S+", said)

    assert sorted(children) == ["postgres", "server", "valkey", "worker-1"]
    assert re.search(r"PostgreSQL .*\d s\n", said)
    assert "Should a small software team" in said
    assert "completed" in said.lower() or "approved" in said.lower()
    assert httpx.get(f"http://127.0.0.1:{port}/healthz").status_code == 200
    assert link
    with httpx.Client(follow_redirects=True) as browser:
        assert browser.get(link[0]).url.path.startswith("/runs/")
    assert httpx.get(link[0]).status_code == 403  # once

    said = up.end()
    assert up.process.returncode == 0
    assert "Traceback" not in said
    assert all(processes.has_ended(child) for child in children.values())


def test_a_second_start_takes_seconds_and_runs_no_council(start, home):
    begun = time.monotonic()
    up = start()
    said = up.read_until(SERVING)

    assert time.monotonic() - begun < 20
    assert "up to date" in said
    assert "Should a small software team" not in said
    assert (home / "secret_key").stat().st_mode & 0o777 == 0o600
    assert "Stopped." in up.end(signal.SIGTERM)


def test_a_second_up_in_the_same_home_is_told_who_has_it(start, port):
    first = start("--no-first-run")
    first.read_until(SERVING)
    refusal = start("--no-first-run", at=port + 1).refusal()

    assert f"process {first.process.pid}" in refusal
    assert f"http://127.0.0.1:{port}" in refusal
    assert httpx.get(f"http://127.0.0.1:{port}/healthz").status_code == 200


def test_a_worker_and_a_server_that_are_killed_are_started_again(start, port):
    up = start("--no-first-run", "--workers", "2")
    up.read_until(SERVING)
    killed = up.children()
    killed["worker-2"].kill()
    up.read_until("worker-2 has ended (SIGKILL)")
    killed["server"].kill()
    up.read_until("server has ended (SIGKILL)")
    transport = httpx.HTTPTransport(retries=8)
    with httpx.Client(transport=transport, timeout=30) as client:
        answer = client.get(f"http://127.0.0.1:{port}/healthz")

    assert answer.status_code == 200
    assert up.children()["worker-2"].pid != killed["worker-2"].pid
    assert up.children()["worker-1"] == killed["worker-1"]


def test_a_killed_up_is_followed_by_one_that_ends_what_it_left(start):
    killed = start("--no-first-run")
    killed.read_until(SERVING)
    orphans = killed.children()
    killed.end(signal.SIGKILL)
    assert len(orphans) == 4
    said = start("--no-first-run").read_until(SERVING)

    assert "left running: server" in said
    assert all(processes.has_ended(orphan) for orphan in orphans.values())


def test_a_port_in_use_is_named_before_anything_is_started(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refusal = Up(tmp_path / "home", port).refusal()

    assert f"Port {port} is in use" in refusal
    assert "--port" in refusal
    assert not (tmp_path / "home" / "postgres").exists()


def test_a_home_that_cannot_be_written_is_named(tmp_path, port):
    (tmp_path / "file").touch()
    refusal = Up(tmp_path / "file" / "home", port).refusal()

    assert str(tmp_path / "file" / "home") in refusal
    assert "COUNCILOS_HOME" in refusal


def test_a_database_that_does_not_answer_is_named(tmp_path, port):
    refusal = Up(
        tmp_path / "home", port, DATABASE_URL="postgres://nobody@[::1]:1/none"
    ).refusal()

    assert "councilos.E002" in refusal
    assert "DATABASE_URL" in refusal
