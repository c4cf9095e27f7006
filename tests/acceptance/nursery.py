"""Processes that have their libraries already: one has imported them, and forks.

    python -m tests.acceptance.nursery <fd>     # orders as JSON, on that socket

A worker or a server takes three to four seconds of a core to import what it is made of, most
of it libraries, and the stacks start more than a hundred. What is forked here is a process like
any other, with a session, an environment and a log of its own; the settings and all code of
ours it imports itself, by way of `manage.py` or `daphne`.
"""

import importlib
import json
import os
import random
import runpy
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import psutil

ROOT = Path(__file__).resolve().parents[2]
# What takes long, and asks neither for Django's settings nor for a reactor.
LIBRARIES = (
    "autobahn.twisted.websocket",
    "channels_redis.core",
    "django.core.management",
    "django.db.models",
    "django.forms",
    "django.template.defaulttags",
    "django.test",
    "environs",
    "genai_prices",
    "httpx2",
    "jsonschema",
    "langchain_core.language_models",
    "langchain_core.messages",
    "langgraph.graph",
    "procrastinate",
    "prometheus_client",
    "psycopg",
    "psycopg_pool",
    "redis.asyncio",
    "structlog.dev",
    "twisted.internet.asyncioreactor",
    "twisted.web.http",
    "yaml",
)
_MOST_BYTES = 1 << 18  # of an order


class Forked(psutil.Process):
    """A process that the nursery has started. It collects it, and knows its exit code."""

    def __init__(self, pid: int, nursery: "Nursery") -> None:
        super().__init__(pid)
        self._nursery = nursery

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, negative for a signal. Raises psutil.TimeoutExpired."""
        give_up = time.monotonic() + (timeout if timeout is not None else 60.0)
        while (code := self._nursery.code_of(self.pid)) is None:
            if time.monotonic() > give_up:
                raise psutil.TimeoutExpired(timeout, self.pid)
            time.sleep(0.02)
        return code


class Nursery:
    def __init__(self) -> None:
        self._line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._one_at_a_time = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(theirs.fileno())],
            cwd=ROOT,
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
        )
        theirs.close()

    def start(
        self, command: Sequence[str], *, env: Mapping[str, str], output: IO[bytes]
    ) -> Forked:
        """Start what `python` with these arguments would be."""
        order = {"command": [*command], "env": {**env}}
        return Forked(self._ask(order, output.fileno()), self)

    def code_of(self, pid: int) -> int | None:
        """The exit code of one that was started here; None: it lives."""
        return self._ask({"ended": pid})

    def _ask(self, order: Mapping[str, Any], *files: int) -> Any:
        with self._one_at_a_time:
            socket.send_fds(self._line, [json.dumps(order).encode()], files)
            return json.loads(self._line.recv(_MOST_BYTES))

    def close(self) -> None:
        self._line.close()
        self._process.wait()


def main() -> None:
    for name in LIBRARIES:
        importlib.import_module(name)
    assert "twisted.internet.reactor" not in sys.modules, "each is to install its own"
    line = socket.socket(fileno=int(sys.argv[1]))
    codes: dict[int, int] = {}
    while True:
        text, files, _flags, _address = socket.recv_fds(line, _MOST_BYTES, 1)
        if not text:
            return
        order = json.loads(text)
        if "ended" in order:
            answer = _code_of(order["ended"], codes)
        else:
            answer = os.fork()
            if answer == 0:
                line.close()
                _become(order["command"], order["env"], *files)
                return
            os.close(*files)
        line.send(json.dumps(answer).encode())


def _code_of(pid: int, codes: dict[int, int]) -> int | None:
    if pid not in codes:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            codes[pid] = os.waitstatus_to_exitcode(status)
    return codes.get(pid)


def _become(command: Sequence[str], env: Mapping[str, str], output: int) -> None:
    """Be what the command would be in a new process."""
    os.setsid()
    for number in (1, 2):
        os.dup2(output, number)
    os.close(output)
    os.environ.clear()
    os.environ.update(env)
    random.seed()
    if command[0] == "-m":
        sys.argv = [*command[1:]]
        runpy.run_module(command[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = [*command]
        runpy.run_path(command[0], run_name="__main__")


if __name__ == "__main__":
    main()
