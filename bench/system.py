"""The system under measurement: the real processes, and what they use."""

import os
import platform
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from uuid import UUID

import psutil
import psycopg

from tests.acceptance import stack

OWNER = "tester"
SAMPLE_SECONDS = 0.25
# Nothing of a developer's own environment or .env decides; the rest are the defaults.
ENVIRONMENT = {
    "SECRET_KEY": "only-for-measuring-0123456789-abcdefghijklmnopqrst",
    "DEBUG": "False",
    "LOG_LEVEL": "WARNING",
    "ALLOWED_HOSTS": "localhost,127.0.0.1",
    "ALLOWED_ORIGINS": "",
    "OPENAI_API_KEY": "",
    "OPENAI_BASE_URL": "",
    "ANTHROPIC_API_KEY": "",
    "ANTHROPIC_BASE_URL": "",
    "DEFAULT_MODEL": "demo:instant",
    "WORKER_HEARTBEAT_SECONDS": "1",
    "WORKER_STALLED_SECONDS": "5",
    "WORKER_RESCUE_SECONDS": "1",
    # One user is the whole crowd.
    "SOCKETS_PER_USER": "100000",
}


class System(stack.Stack):
    """PostgreSQL and Valkey for the whole bench; a part starts the rest afresh for itself."""

    def __init__(self) -> None:
        super().__init__(**ENVIRONMENT)
        self.worker_module = ["manage.py", "worker"]

    def prepare(self) -> None:
        """Start the servers of data, make the schema, and be a Django process of them."""
        self.start_valkey()
        self.start_postgres()
        self.manage("migrate", "--verbosity=0")
        self.manage("load_shipped")
        self.manage("shell", "-c", "from django.contrib.auth.models import User;"
                    f" User.objects.create_user({OWNER!r})")  # fmt: skip
        self.token = self.manage("token", "create", OWNER).strip()
        os.environ.update(self.environment, DJANGO_SETTINGS_MODULE="councilos.settings")
        import django

        django.setup()

    def start_worker(self, number: int = 0) -> None:
        self._start(f"worker{number}", self.worker_module)

    def process(self, name: str) -> psutil.Process:
        return self._parts[name].process

    def stop_parts(self) -> None:
        """End the worker and the server, whichever runs, so that the next begins afresh."""
        for name in ("worker0", "server"):
            if name in self._parts:
                self._parts.pop(name).stop()
        self.forget_jobs()

    def forget_jobs(self) -> None:
        """Jobs that a part has not let a worker take must not become the next part's load."""
        with psycopg.connect(self.environment["DATABASE_URL"], autocommit=True) as db:
            db.execute("TRUNCATE procrastinate_jobs CASCADE")

    def create_runs(self, count: int, *, topic: str, blueprint: str, model: str) -> list[UUID]:
        """Runs that wait for a worker, made as the REST call makes them."""
        from django.contrib.auth.models import User

        from runtime import models, runs

        owner = User.objects.get(username=OWNER)
        version = models.Blueprint.objects.get(slug=blueprint).newest
        return [
            runs.create(topic=topic, version=version, owner=owner, model=model).pk
            for _ in range(count)
        ]


def allow_many_sockets() -> int:
    """Raise the limit on open files as far as we may; children inherit it."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def start_child(
    module: str, *arguments: str, env: Mapping[str, str]
) -> "subprocess.Popen[str]":
    """A process of the bench itself, spoken to over its standard input and output."""
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=stack.ROOT,
        env={**os.environ, **env},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def end_child(child: "subprocess.Popen[str]") -> None:
    child.terminate()
    try:
        child.wait(10)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            pipe.close()


class Meter:
    """Samples the processor time and memory of processes while a part runs."""

    def __init__(self, processes: Mapping[str, psutil.Process]) -> None:
        self._processes = processes
        self._samples: list[tuple[float, dict[str, float]]] = []
        self.peak: dict[str, int] = dict.fromkeys(processes, 0)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._sample_always, daemon=True)

    def __enter__(self) -> "Meter":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _sample_always(self) -> None:
        while not self._stopped.wait(SAMPLE_SECONDS):
            self._samples.append((time.time(), {n: self._look(n) for n in self._processes}))

    def _look(self, name: str) -> float:
        used = 0.0
        root = self._processes[name]
        try:
            tree = [root, *root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return used
        memory = 0
        for process in tree:
            try:
                times = process.cpu_times()
                memory += process.memory_info().rss
            except psutil.NoSuchProcess:
                continue
            used += times.user + times.system
        self.peak[name] = max(self.peak[name], memory)
        return used

    def share(self, name: str, begin: float, end: float) -> float:
        """Processor time over wall time between two moments, 1.0 being one whole core."""
        inside = [(at, used[name]) for at, used in self._samples if begin <= at <= end]
        if len(inside) < 2:
            return float("nan")
        (first, before), (last, after) = inside[0], inside[-1]
        return (after - before) / (last - first)


def facts(system: System) -> list[str]:
    """What the figures were measured on."""
    with psycopg.connect(system.environment["DATABASE_URL"]) as db:
        version = db.execute("SHOW server_version").fetchone()
        fsync = db.execute("SHOW fsync").fetchone()
        commit = db.execute("SHOW synchronous_commit").fetchone()
    assert version
    assert fsync
    assert commit
    memory = psutil.virtual_memory().total / 2**30
    return [
        f"{os.cpu_count()} cores ({_processor()}), {memory:.0f} GiB, {platform.system()} "
        f"{platform.release()}",
        f"Python {platform.python_version()}",
        f"PostgreSQL {version[0]}, fsync {fsync[0]}, synchronous_commit {commit[0]}, on a "
        "socket of this machine",
        "Valkey on a socket of this machine, daphne on loopback, one worker",
    ]


def facts_before() -> list[str]:
    """What only shows before the measuring itself is the load."""
    return [f"load of the machine before the start: {psutil.getloadavg()[0]:.2f}"]


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as told:
            names = [line.split(":", 1)[1].strip() for line in told if "model name" in line]
    except OSError:
        return platform.machine()
    return names[0] if names else platform.machine()
