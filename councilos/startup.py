"""One start of CouncilOS on this machine: its steps, its services, and its end."""

import contextlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psutil
from django.conf import settings
from rich.console import Console

from councilos import checks, embedded, processes, servers, steps, supervisor
from experience import access
from runtime import models, tasks

SAMPLE_TOPIC = "Should a small software team write its integration tests before its unit tests?"
LOOK_SECONDS = 0.1
# A first start compiles every module, on a slow disk perhaps.
START_PATIENCE_SECONDS = 120.0
# An interrupted council says that its run goes on.
COUNCIL_STEPS = ((signal.SIGINT, 2.0), *processes.GENTLY)


class Stopped(Exception):
    """Somebody wants us to stop."""


@dataclass
class Up:
    """Start all, serve until Ctrl-C, stop what was started."""

    host: str
    port: int
    workers: int
    topic: str
    first_run: bool
    home: Path = field(default_factory=lambda: Path(settings.COUNCILOS_HOME).absolute())
    stopping: threading.Event = field(default_factory=threading.Event)
    # The embedded PostgreSQL and Valkey, which the others need to their end.
    servers: list[supervisor.Service] = field(default_factory=list)
    services: list[supervisor.Service] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.url = f"http://{steps.visible(self.host)}:{self.port}"
        self.console = Console(highlight=False, markup=False, soft_wrap=True)

    def run(self) -> None:
        """Do all of it. Raises embedded.Trouble."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if (number, signal.getsignal(number)) != (signal.SIGHUP, signal.SIG_IGN):  # nohup
                signal.signal(number, self._on_signal)
        with embedded.claim(self.home, self.url):
            try:
                self._start()
                self._first_run()
                self._say_where()
                self._tend_until(lambda: False)
            except Stopped:
                self.console.print("Stopping … (Ctrl-C again: at once)")
            finally:
                supervisor.stop(self.services)
                supervisor.stop(self.servers)
        self.console.print("Stopped.")

    def _on_signal(self, *_: Any) -> None:
        if self.stopping.is_set():  # impatient: nothing is lost by a kill
            for service in self.services:
                service.kill()
        self.stopping.set()

    # --- the start ---------------------------------------------------------------------

    def _start(self) -> None:
        begun = time.monotonic()
        self.console.print(f"CouncilOS, with its data in {self.home}")
        self._end_left_overs()
        steps.require_free(self.host, self.port)
        if settings.SECRET_KEY_IS_EPHEMERAL:
            settings.SECRET_KEY = embedded.keep_secret_key(self.home)
            settings.SECRET_KEY_IS_EPHEMERAL = False
        self._start_servers()
        with self._step("Database") as note:
            note(steps.migrate())
        with self._step("Blueprints") as note:
            note(steps.load_shipped())
        # No reason not to start: their runs are refused, all others go on.
        for message in checks.blueprints_compile(databases=["default"]):
            self.console.print(f"  {message.id}: {message.msg} {message.hint}", markup=False)
        self._start_services()
        self.console.print(f"Ready after {time.monotonic() - begun:.1f} s.")

    def _end_left_overs(self) -> None:
        found = dict(processes.left_over(self.home))
        # The embedded servers last: the others need them to come to their end.
        for name in sorted(found, key=lambda name: (name in servers.STEPS, name)):
            processes.end(found[name], servers.STEPS.get(name, processes.GENTLY))
            self.console.print(f"Ended what a killed start had left running: {name}.")

    def _start_servers(self) -> None:
        with self._step("PostgreSQL") as note:
            if embedded.database_url(self.home) == settings.DATABASE_URL:
                start: Callable[[], processes.Child] = partial(
                    servers.start_postgres, self.home
                )
                self.servers.append(supervisor.Service("PostgreSQL", start))
                note("our own, started")
            else:
                note("the one of DATABASE_URL")
            steps.require(checks.postgres(databases=["default"]))
        with self._step("Valkey") as note:
            if embedded.redis_url(self.home) == settings.REDIS_URL:
                start = partial(servers.start_valkey, self.home)
                self.servers.append(supervisor.Service("Valkey", start))
                note("our own, started")
            else:
                note("the one of REDIS_URL")
            steps.require(checks.channel_layer_answers(databases=["default"]))

    def _start_services(self) -> None:
        daphne = ["-m", "daphne", "-v", "0", "-b", self.host, "-p", str(self.port)]
        self._serve("server", [*daphne, "councilos.asgi:application"])
        for number in range(1, self.workers + 1):
            self._serve(f"worker-{number}", ["manage.py", "worker"], metrics_port(number))
        server, *workers = self.services
        begun = time.monotonic()
        with self._step("Server") as note:
            self._wait_for([server], partial(steps.answers, f"{self.url}/healthz"))
            note(f"answers at {self.url}")
        with self._step("Workers") as note:
            self._wait_for(workers, lambda: _seen_since(begun) >= len(workers))
            note(f"{len(workers)} at work")

    def _serve(self, name: str, command: Sequence[str], more: Mapping[str, str] = {}) -> None:
        start = partial(self._python, name, command, more)
        self.services.append(supervisor.Service(name, start))

    def _python(
        self, name: str, command: Sequence[str], more: Mapping[str, str]
    ) -> processes.Child:
        hosts = {*settings.ALLOWED_HOSTS, steps.visible(self.host)}
        drain = (signal.SIGTERM, settings.WORKER_DRAIN_SECONDS + 5)
        return processes.start(
            name,
            [sys.executable, *command],
            home=self.home,
            cwd=settings.BASE_DIR,
            env={
                "COUNCILOS_HOME": str(self.home),
                "ALLOWED_HOSTS": ",".join(sorted(hosts)),
                **more,
            },
            steps=processes.GENTLY if name == "server" else (drain, processes.KILL),
        )

    @contextlib.contextmanager
    def _step(self, name: str) -> Iterator[Callable[[str], None]]:
        """A line with what came of it and how long it took."""
        begun = time.monotonic()
        notes: list[str] = []
        with self.console.status(f"{name} …"):
            yield notes.append
        seconds = time.monotonic() - begun
        self.console.print(f"  {name:<12} {', '.join(notes):<44} {seconds:6.2f} s")
        if self.stopping.is_set():
            raise Stopped

    def _wait_for(
        self, services: Sequence[supervisor.Service], ready: Callable[[], bool]
    ) -> None:
        give_up = time.monotonic() + START_PATIENCE_SECONDS
        while not ready():
            for service in services:
                if not service.child.is_alive() or time.monotonic() > give_up:
                    raise service.child.failed()
            if self.stopping.wait(LOOK_SECONDS):
                raise Stopped

    # --- the first council -------------------------------------------------------------

    def _first_run(self) -> None:
        """A council on a topic: the one asked for, else a sample if there was never one."""
        if not self.first_run or (not self.topic and models.Run.objects.exists()):
            return
        command = [sys.executable, "manage.py", "council", self.topic or SAMPLE_TOPIC]
        if user := steps.administrator():
            command += ["--user", user.get_username()]
        self.console.print()
        council = _start_council(command)
        try:
            self._tend_until(lambda: council.poll() is not None)
        finally:
            processes.end(council, COUNCIL_STEPS)
            self.console.show_cursor()
        self.console.print()

    # --- serving -----------------------------------------------------------------------

    def _say_where(self) -> None:
        if user := steps.administrator():
            link = access.sign_in_link(user, self.url, steps.page(user))
            self.console.print(f"Sign in, once, as {user.get_username()}: {link}")
        self.console.print(f"Serving at {self.url} until Ctrl-C.")
        steps.disconnect()

    def _tend_until(self, done: Callable[[], bool]) -> None:
        while not done():
            for service in (*self.servers, *self.services):
                service.tend(self.console.print)
            if self.stopping.wait(LOOK_SECONDS):
                raise Stopped


def metrics_port(number: int) -> dict[str, str]:
    """What worker `number` (1, 2 …) is told of the port for its metrics: its own."""
    first = settings.WORKER_METRICS_PORT
    return {"WORKER_METRICS_PORT": str(first + number - 1)} if first else {}


def _start_council(command: Sequence[str]) -> psutil.Popen:
    """Start it without the keyboard and the terminal's Ctrl-C: that is for us, who end it."""
    # Until it has its own handler, an interrupt must not end it with a stack trace.
    ours = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return psutil.Popen(
            command, cwd=settings.BASE_DIR, stdin=subprocess.DEVNULL, start_new_session=True
        )
    finally:
        signal.signal(signal.SIGINT, ours)


def _seen_since(begun: float) -> int:
    """How many workers have shown themselves since then, so none that is dead by now."""
    return tasks.live_workers(silent_for=time.monotonic() - begun)
