"""Where the embedded PostgreSQL and Valkey live, under COUNCILOS_HOME.

Only the standard library, and nothing is started here: the settings are made from these
answers, in every process, before any server runs. Starting is in `councilos/servers.py`.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

DATABASE = "councilos"
# A socket's path may have 107 bytes on Linux, 103 on macOS.
SOCKET_PATH_BYTES = 100


class Trouble(Exception):
    """Something that happens on people's machines; the message says what to do about it."""


class AlreadyRunning(Trouble):
    """Another `up` has this home."""


# --- places ----------------------------------------------------------------------------


def sockets(home: Path) -> Path:
    """The directory of the servers' sockets: in the home, or a short one if that is deep."""
    home = home.resolve()
    inside = home / "sockets"
    longest = inside / "postgres" / ".s.PGSQL.5432"
    if len(os.fsencode(longest)) <= SOCKET_PATH_BYTES:
        return inside
    # Not tempfile.gettempdir(): it depends on TMPDIR, and all processes must agree.
    digest = hashlib.sha256(os.fsencode(home)).hexdigest()[:16]
    return Path("/tmp") / f"councilos-{digest}"  # noqa: S108 - see own_sockets


def postgres_sockets(home: Path) -> Path:
    return sockets(home) / "postgres"


def valkey_socket(home: Path) -> Path:
    return sockets(home) / "valkey.sock"


def database_url(home: Path, database: str = DATABASE) -> str:
    """The URL of the embedded PostgreSQL, whether or not it runs."""
    # The directory is in the query because a URL's host is read in lower case.
    return f"postgresql://postgres@/{database}?host={quote(str(postgres_sockets(home)))}"


def redis_url(home: Path) -> str:
    """The URL of the embedded Valkey, whether or not it runs."""
    return f"unix://{quote(str(valkey_socket(home)))}?db=0"


# --- the home --------------------------------------------------------------------------


def own_directory(path: Path, mode: int = 0o711) -> Path:
    """Make a directory if it is not there. Raises Trouble.

    0o711: as root, PostgreSQL runs as another user, who has to pass through.
    """
    try:
        path.mkdir(mode=mode, parents=True, exist_ok=True)
    except OSError as error:
        raise _not_writable(path, error) from error
    return path


def own_sockets(home: Path) -> Path:
    """Make the directory of the sockets, or make sure it is ours. Raises Trouble.

    In /tmp anybody could have made it, to listen in.
    """
    path = own_directory(sockets(home))
    found = path.lstat()
    ours = (os.geteuid(), home.stat().st_uid)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in ours:
        raise Trouble(f"{path} was made by another user. Remove it, or set COUNCILOS_HOME.")
    return path


def _not_writable(path: Path, error: OSError) -> Trouble:
    return Trouble(
        f"{path} cannot be written to ({error.strerror}). "
        "Set COUNCILOS_HOME to a directory that can."
    )


@contextlib.contextmanager
def claim(home: Path, address: str) -> Iterator[None]:
    """Be the only `up` of this home until the block ends.

    The lock is the kernel's, so a kill -9 leaves none behind. Raises AlreadyRunning,
    Trouble.
    """
    path = own_directory(home) / "lock"
    try:
        lock = path.open("a+")
    except OSError as error:
        raise _not_writable(home, error) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunning(_who_has(path)) from None
        lock.truncate(0)
        lock.write(json.dumps({"pid": os.getpid(), "address": address}))
        lock.flush()
        yield
        lock.truncate(0)


def _who_has(path: Path) -> str:
    told = f"CouncilOS is already running in {path.parent}"
    with contextlib.suppress(OSError, ValueError, KeyError):
        holder = json.loads(path.read_text())
        told += f": process {holder['pid']}, at {holder['address']}"
    return f"{told}. Stop it first, or set another COUNCILOS_HOME and --port."


# --- the secret key --------------------------------------------------------------------


def secret_key(home: Path) -> str:
    """The key that `up` keeps in this home; empty if there is none yet."""
    try:
        return (home / "secret_key").read_text().strip()
    except OSError:
        return ""


def keep_secret_key(home: Path) -> str:
    """The kept key, made on the first call. Only its owner can read the file."""
    if not secret_key(home):
        new = own_directory(home) / f"secret_key.{os.getpid()}"
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(50))
        new.replace(home / "secret_key")
    return secret_key(home)
