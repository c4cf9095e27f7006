"""The whole system as real processes, in a home of its own, for killing parts of it."""

import asyncio
import atexit
import contextlib
import functools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import psycopg
import websockets
from psycopg.rows import dict_row

from councilos import embedded, processes, servers
from tests.acceptance import nursery as nurseries

ROOT = Path(__file__).resolve().parents[2]
ENDS = ("run_complete", "run_failed", "run_cancelled")
# One command for all: each takes seconds to begin. It prints the tester's token, and the key of
# a session of theirs.
_FILL = """
from django.contrib import auth
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.core.management import call_command
from experience import access, shipped
call_command("migrate", verbosity=0)
list(shipped.load())
tester = User.objects.create_user("tester")
session = SessionStore()
session[auth.SESSION_KEY] = str(tester.pk)
session[auth.BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
session[auth.HASH_SESSION_KEY] = tester.get_session_auth_hash()
session.save()
print(access.create_token(tester, "tests"), session.session_key)
"""


def wait_until(holds: Callable[[], Any], seconds: float = 60.0) -> Any:
    """Look until it holds, and return what it gave. Raises TimeoutError."""
    give_up = time.monotonic() + seconds
    while time.monotonic() < give_up:
        with contextlib.suppress(httpx.HTTPError, psycopg.OperationalError):
            if found := holds():
                return found
        time.sleep(0.05)
    raise TimeoutError(f"did not come true within {seconds} s")


class Stack:
    """PostgreSQL, Valkey, workers and a server, each of which can be killed and started."""

    def __init__(self, **environment: str) -> None:
        # Not the default temporary directory: a socket's path must be short.
        self.home = Path(tempfile.mkdtemp(prefix="councilos-stack-", dir="/tmp"))
        self.environment = {
            "COUNCILOS_HOME": str(self.home),
            "DATABASE_URL": embedded.database_url(self.home),
            "REDIS_URL": embedded.redis_url(self.home),
            "DEMO_TOKENS_PER_SECOND": "60",
            "WORKER_HEARTBEAT_SECONDS": "0.4",
            "WORKER_STALLED_SECONDS": "2",
            "WORKER_RESCUE_SECONDS": "0.4",
            **environment,
        }
        self._parts: dict[str, processes.Child] = {}
        self.ports = {name: free_port() for name in ("server", "server1", "server2")}
        self.token = ""
        self.session_key = ""

    @property
    def port(self) -> int:
        return self.ports["server"]

    @property
    def url(self) -> str:
        return self.url_of("server")

    def url_of(self, server: str) -> str:
        return f"http://127.0.0.1:{self.ports[server]}"

    def start(self, *, workers: int = 1) -> None:
        _nursery()  # imports, while the data is made
        data, self.token, self.session_key = _filled()
        # With the owners: PostgreSQL does not run as root.
        subprocess.run(["cp", "-a", data, self.home / "postgres"], check=True)
        self.start_valkey()
        self.start_postgres()
        for number in range(workers):
            self.start_worker(number)
        self.start_server()

    def manage(self, *arguments: str, check: bool = True) -> str:
        """Run a `manage.py` command to its end and return what it printed."""
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert not check or done.returncode == 0, done.stderr
        return done.stdout

    def start_postgres(self) -> None:
        self._parts["postgres"] = servers.start_postgres(self.home)

    def start_valkey(self) -> None:
        self._parts["valkey"] = servers.start_valkey(self.home)

    def start_worker(self, number: int = 0) -> None:
        self._start(f"worker{number}", ["manage.py", "worker"])

    def start_server(self, name: str = "server", *options: str) -> None:
        arguments = ["-m", "daphne", "-b", "127.0.0.1", "-p", str(self.ports[name]), *options]
        self._start(name, [*arguments, "councilos.asgi:application"])
        wait_until(lambda: httpx.get(f"{self.url_of(name)}/healthz").status_code == 200)

    def _start(self, name: str, arguments: Sequence[str]) -> None:
        log = embedded.own_directory(self.home / "logs", 0o700) / f"{name}.log"
        record = self.home / "processes" / f"{name}.json"
        with log.open("wb") as output:
            env = {**os.environ, **self.environment}
            process = _nursery().start(arguments, env=env, output=output)
        self._parts[name] = processes.Child(name, process, log, record)

    def pid(self, name: str) -> int:
        return self._parts[name].pid

    def kill(self, name: str) -> None:
        """kill -9, and collect it. PostgreSQL's children die of it by themselves."""
        part = self._parts[name]
        os.kill(part.pid, signal.SIGKILL)
        part.process.wait()

    def signal(self, name: str, number: signal.Signals) -> None:
        os.kill(self.pid(name), number)

    def restart(self, name: str) -> None:
        """kill -9 and start again."""
        self.kill(name)
        if name.startswith("worker"):
            self.start_worker(int(name.removeprefix("worker")))
        elif name.startswith("server"):
            self.start_server(name)
        else:
            {
                "valkey": self.start_valkey,
                "postgres": self.start_postgres,
            }[name]()

    def log_of(self, name: str) -> str:
        return (self.home / "logs" / f"{name}.log").read_text(errors="replace")

    def stop(self) -> None:
        for name in reversed(self._parts):
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid(name), signal.SIGCONT)
            self._parts[name].stop()
        shutil.rmtree(self.home, ignore_errors=True)
        shutil.rmtree(embedded.sockets(self.home), ignore_errors=True)

    # --- what a client does ---

    def request(self, method: str, path: str, **more: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token}", **more.pop("headers", {})}
        return httpx.request(method, self.url + path, headers=headers, timeout=30, **more)

    def start_run(self, topic: str = "Should a small team write tests?", **more: Any) -> str:
        body = {"input_topic": topic, **more}
        response = self.request("POST", "/api/councils/run", json=body)
        assert response.status_code == 202, response.text
        return str(response.json()["run_id"])

    def status(self, run_id: str) -> str:
        return str(self.request("GET", f"/api/councils/run/{run_id}").json()["status"])

    def log(self, run_id: str) -> list[dict[str, Any]]:
        """The run's log, from PostgreSQL itself."""
        with psycopg.connect(self.environment["DATABASE_URL"], row_factory=dict_row) as db:
            query = (
                "SELECT seq, kind, data, at FROM runtime_event WHERE run_id = %s ORDER BY seq"
            )
            return db.execute(query, [run_id]).fetchall()

    def row(self, run_id: str) -> dict[str, Any]:
        with psycopg.connect(self.environment["DATABASE_URL"], row_factory=dict_row) as db:
            row = db.execute("SELECT * FROM runtime_run WHERE id = %s", [run_id]).fetchone()
            assert row is not None
            return row


@functools.cache
def _nursery() -> nurseries.Nursery:
    made = nurseries.Nursery()
    atexit.register(made.close)
    return made


class Viewer:
    """A client that follows a run to its end, and comes back with `after` whenever it must."""

    def __init__(self, stack: Stack, run_id: str) -> None:
        self._stack, self._run_id = stack, run_id
        self.frames: list[dict[str, Any]] = []
        self.closes: list[int] = []

    @property
    def after(self) -> int:
        return max((frame.get("seq", 0) for frame in self.frames), default=0)

    @property
    def events(self) -> list[tuple[int, str]]:
        """What was told, but for the tokens."""
        told = [frame for frame in self.frames if frame["event"] != "node_token"]
        return [(frame.get("seq", 0), frame["event"]) for frame in told]

    async def follow(self) -> None:
        while not (self.frames and self.frames[-1]["event"] in ENDS):
            with contextlib.suppress(OSError, websockets.InvalidHandshake, TimeoutError):
                await self._follow_once()
            await asyncio.sleep(0.05)  # between two tries to connect, as a browser would

    async def _follow_once(self) -> None:
        url = f"{self._stack.url.replace('http', 'ws')}/ws/council/{self._run_id}"
        headers = {"Authorization": f"Bearer {self._stack.token}"}
        async with websockets.connect(
            f"{url}?after={self.after}", additional_headers=headers, open_timeout=10
        ) as connection:
            try:
                async for text in connection:
                    frame = json.loads(text)
                    if frame["event"] == "error":
                        return
                    if frame["event"] != "connected":
                        self.frames.append(frame)
            except websockets.ConnectionClosed:
                pass
            self.closes.append(connection.close_code or 0)


@functools.cache
def _filled() -> tuple[Path, str, str]:
    """PostgreSQL's data with all that ships and a user, made once, the user's token, and the
    key of a session of theirs."""
    stack = Stack()
    atexit.register(shutil.rmtree, stack.home, ignore_errors=True)
    stack.start_postgres()
    token, session_key = stack.manage("shell", "--verbosity=0", "-c", _FILL).split()
    stack._parts["postgres"].stop()
    shutil.rmtree(embedded.sockets(stack.home), ignore_errors=True)
    return stack.home / "postgres", token, session_key


@contextlib.contextmanager
def running(*, workers: int = 1, **environment: str) -> Iterator[Stack]:
    stack = Stack(**environment)
    try:
        stack.start(workers=workers)
        yield stack
    finally:
        stack.stop()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
