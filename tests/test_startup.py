"""The pieces of `manage.py up`: what ends is started again, and troubles are sentences."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core import checks

from councilos import embedded, processes, startup, steps, supervisor

LONG = "import time; time.sleep(60)"


class Clock:
    """Time that passes only when told to."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(supervisor, "time", clock)
    return clock


@pytest.fixture
def said() -> list[str]:
    return []


class Sleepers:
    """Starts processes that do nothing, and keeps them."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.started: list[processes.Child] = []
        self.trouble = ""

    def start(self) -> processes.Child:
        if self.trouble:
            raise embedded.Trouble(self.trouble)
        child = processes.start("sleeper", [sys.executable, "-c", LONG], home=self.home)
        self.started.append(child)
        return child

    def kill(self) -> None:
        self.started[-1].process.kill()
        self.started[-1].process.wait()


@pytest.fixture
def sleepers(tmp_path: Path) -> Iterator[Sleepers]:
    sleepers = Sleepers(tmp_path)
    yield sleepers
    for child in sleepers.started:
        child.stop()


# --- the supervisor --------------------------------------------------------------------


def test_a_service_that_runs_is_left_alone(sleepers, clock, said):
    service = supervisor.Service("sleeper", sleepers.start)
    service.tend(said.append)

    assert len(sleepers.started) == 1
    assert said == []


def test_a_service_that_was_killed_is_started_again_at_once(sleepers, clock, said):
    service = supervisor.Service("sleeper", sleepers.start)
    sleepers.kill()
    service.tend(said.append)
    service.tend(said.append)

    assert len(sleepers.started) == 2
    assert service.child.is_alive()
    assert "sleeper has ended (SIGKILL)" in said[0]
    assert str(service.child.log) in said[0]


def test_one_that_keeps_ending_is_given_more_and_more_time(sleepers, clock, said):
    service = supervisor.Service("sleeper", sleepers.start)
    waits = []
    for _ in range(9):
        sleepers.kill()
        service.tend(said.append)
        begun, count = clock.now, len(sleepers.started)
        while len(sleepers.started) == count:
            service.tend(said.append)
            clock.now += 0.25
        waits.append(round(clock.now - begun - 0.25, 2))

    assert waits == [0, 0.5, 1, 2, 4, 8, 16, 30, 30]


def test_after_a_long_life_the_first_restart_is_immediate_again(sleepers, clock, said):
    service = supervisor.Service("sleeper", sleepers.start)
    sleepers.kill()
    service.tend(said.append)
    service.tend(said.append)
    clock.now += supervisor.STEADY_SECONDS + 1
    sleepers.kill()
    service.tend(said.append)
    service.tend(said.append)

    assert len(sleepers.started) == 3


def test_a_restart_in_trouble_is_told_and_tried_again(sleepers, clock, said):
    service = supervisor.Service("sleeper", sleepers.start)
    sleepers.kill()
    sleepers.trouble = "the disk is full"
    service.tend(said.append)
    service.tend(said.append)
    sleepers.trouble = ""
    clock.now += 60
    service.tend(said.append)
    clock.now += 60
    service.tend(said.append)

    assert "the disk is full" in said
    assert service.child.is_alive()


def test_stopping_a_dead_process_does_not_forget_its_successor(sleepers, tmp_path):
    old = sleepers.start()
    sleepers.kill()
    new = sleepers.start()
    old.stop()

    assert processes.find(tmp_path, "sleeper").pid == new.pid


# --- the steps -------------------------------------------------------------------------


def test_afree_port_passes():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    steps.require_free("127.0.0.1", port)


def test_a_port_in_use_is_named():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(embedded.Trouble, match=rf"Port {port} is in use.*--port"):
            steps.require_free("127.0.0.1", port)


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
def test_an_address_of_another_machine_is_named(host):
    with pytest.raises(embedded.Trouble, match=rf"Cannot listen on {host}.*--host"):
        steps.require_free(host, 8000)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("0.0.0.0", "localhost"),
        ("::", "localhost"),
        ("::1", "[::1]"),
    ],
)
def test_the_address_is_one_that_can_be_opened(host, expected):
    assert steps.visible(host) == expected


def test_the_first_user_is_an_administrator_without_a_password(db):
    user = steps.administrator()

    assert (user.get_username(), user.is_superuser) == ("admin", True)
    assert not user.has_usable_password()
    assert steps.administrator() == user


def test_where_users_exist_none_is_made(alice):
    assert steps.administrator() is None


def test_what_a_check_finds_is_said_with_its_id_and_hint():
    found = checks.Error("It is away.", hint="Call it.", id="councilos.E002")

    with pytest.raises(embedded.Trouble, match=r"councilos\.E002: It is away\.\nCall it\."):
        steps.require([found])


def test_each_worker_has_a_port_of_its_own_for_its_metrics_and_none_without_a_first(settings):
    settings.WORKER_METRICS_PORT = 9101
    told = [startup.metrics_port(number) for number in (1, 2)]
    settings.WORKER_METRICS_PORT = 0

    assert [each["WORKER_METRICS_PORT"] for each in told] == ["9101", "9102"]
    assert startup.metrics_port(2) == {}


def test_who_drives_no_runs_imports_no_langgraph():
    """It is a third of what a worker imports, and a server or a command starts without it."""
    code = (
        "import django, sys; django.setup()\n"
        "import councilos.urls, experience.consumers\n"
        "assert 'langgraph.graph' not in sys.modules\n"
        "assert 'langsmith' not in sys.modules\n"
    )
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "councilos.settings"}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=60)
