"""The embedded servers start, whatever the last end left behind."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import dj_database_url
import psutil
import psycopg
import pytest
import redis
from channels_redis.pubsub import RedisPubSubChannelLayer

from councilos import embedded, processes, servers


class Servers:
    """Starts servers in a home and keeps what it started, to stop it."""

    def __init__(self) -> None:
        self.started: list[processes.Child] = []

    def postgres(self, home: Path) -> processes.Child:
        self.started.append(servers.start_postgres(home, durable=False))
        return self.started[-1]

    def valkey(self, home: Path) -> processes.Child:
        self.started.append(servers.start_valkey(home))
        return self.started[-1]


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """One home for all tests, so that its cluster is made once."""
    path = Path(tempfile.mkdtemp(prefix="councilos-embedded-", dir="/tmp"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def start() -> Iterator[Servers]:
    """Starts servers, and stops them after the test."""
    started = Servers()
    yield started
    for child in started.started:
        child.stop()


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[Path]:
    """A home too deep for its sockets."""
    path = tmp_path.joinpath(*["quite-a-long-name"] * 8)
    yield path
    sockets = embedded.sockets(path)
    sockets.unlink() if sockets.is_symlink() else shutil.rmtree(sockets, ignore_errors=True)


def ask_postgres(home: Path, query: str) -> object:
    with psycopg.connect(embedded.database_url(home), autocommit=True) as connection:
        row = connection.execute(query).fetchone()
    return row[0] if row else None


# --- the addresses ---------------------------------------------------------------------


def test_the_urls_are_known_before_anything_runs(tmp_path):
    url = dj_database_url.parse(embedded.database_url(tmp_path / "Home of mine"))

    assert url["ENGINE"] == "django.db.backends.postgresql"
    assert url["NAME"] == "councilos"
    assert url["OPTIONS"] == {"host": str(embedded.postgres_sockets(tmp_path / "Home of mine"))}
    assert not (tmp_path / "Home of mine").exists()


def test_a_deep_home_gets_short_sockets_that_everyone_computes_alike(
    deep, tmp_path, monkeypatch
):
    monkeypatch.setenv("TMPDIR", str(tmp_path))

    assert embedded.sockets(deep).parent == Path("/tmp")
    assert embedded.sockets(deep) == embedded.sockets(deep / "x" / "..")
    assert embedded.sockets(deep) != embedded.sockets(deep.parent)


def test_both_servers_work_in_a_deep_home(deep, start):
    start.postgres(deep)
    start.valkey(deep)

    assert ask_postgres(deep, "SELECT 1") == 1
    with redis.Redis.from_url(embedded.redis_url(deep)) as client:
        assert client.ping()


def test_a_socket_directory_made_by_somebody_else_is_refused(deep, tmp_path):
    deep.mkdir(parents=True)
    embedded.sockets(deep).symlink_to(tmp_path)

    with pytest.raises(embedded.Trouble, match="made by another user"):
        embedded.own_sockets(deep)


async def test_the_channel_layer_accepts_the_url(home, start):
    start.valkey(home)
    layer = RedisPubSubChannelLayer(
        hosts=[{"address": embedded.redis_url(home), "socket_connect_timeout": 2}]
    )
    channel = await layer.new_channel()
    await layer.group_add("runs", channel)
    await layer.group_send("runs", {"type": "ring"})

    assert await layer.receive(channel) == {"type": "ring"}
    await layer.flush()


# --- starting and stopping -------------------------------------------------------------


def test_what_was_stored_is_there_after_the_next_start(home, start):
    first = start.postgres(home)
    with psycopg.connect(embedded.database_url(home), autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    first.stop()
    start.postgres(home)

    assert ask_postgres(home, "SELECT answer FROM kept") == 42
    assert int(str(ask_postgres(home, "SHOW max_connections"))) >= 300


def test_postgres_is_durable_unless_told_otherwise(home, start):
    start.started.append(servers.start_postgres(home))

    assert ask_postgres(home, "SHOW fsync") == "on"


def test_stopping_leaves_no_process_and_no_record(home, start):
    children = [start.postgres(home), start.valkey(home)]
    for child in children:
        child.stop()

    assert [child.is_alive() for child in children] == [False, False]
    assert list(processes.left_over(home)) == []
    assert list((home / "processes").iterdir()) == []


def test_the_servers_are_out_of_reach_of_the_terminals_interrupt(home, start):
    ours = os.getpgid(0)

    assert os.getpgid(start.postgres(home).pid) != ours
    assert os.getpgid(start.valkey(home).pid) != ours


# --- what a kill leaves behind ---------------------------------------------------------


def test_a_killed_postmaster_is_started_again(home, start):
    killed = start.postgres(home)
    killed.process.kill()
    killed.process.wait()
    assert (home / "postgres" / "postmaster.pid").exists()
    again = start.postgres(home)

    assert again.pid != killed.pid
    assert ask_postgres(home, "SELECT 1") == 1


def test_a_lock_that_names_a_pid_of_somebody_else_by_now_is_no_obstacle(home, start):
    killed = start.postgres(home)
    killed.process.kill()
    killed.process.wait()
    bystander = subprocess.Popen(["sleep", "60"])
    lock = home / "postgres" / "postmaster.pid"
    for path in (lock, embedded.postgres_sockets(home) / ".s.PGSQL.5432.lock"):
        path.write_text(path.read_text().replace(str(killed.pid), str(bystander.pid), 1))
    start.postgres(home)

    assert ask_postgres(home, "SELECT 1") == 1
    assert bystander.poll() is None
    bystander.kill()
    bystander.wait()


def test_servers_that_outlived_their_starter_are_replaced(home, start):
    code = (
        "import os, pathlib, signal, sys; from councilos import servers\n"
        "home = pathlib.Path(sys.argv[1])\n"
        "servers.start_postgres(home, durable=False); servers.start_valkey(home)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    starter = subprocess.run([sys.executable, "-W", "ignore", "-c", code, home], check=False)
    assert starter.returncode == -signal.SIGKILL
    orphans = dict(processes.left_over(home))
    postgres, valkey = start.postgres(home), start.valkey(home)

    assert sorted(orphans) == ["postgres", "valkey"]
    assert all(processes.has_ended(process) for process in orphans.values())
    assert dict(processes.left_over(home)) == {
        "postgres": psutil.Process(postgres.pid),
        "valkey": psutil.Process(valkey.pid),
    }
    assert ask_postgres(home, "SELECT 1") == 1


def test_a_frozen_valkey_is_replaced(home, start):
    frozen = start.valkey(home)
    frozen.process.suspend()
    again = start.valkey(home)

    assert not frozen.is_alive()
    with redis.Redis(unix_socket_path=str(embedded.valkey_socket(home))) as client:
        assert client.info("server")["process_id"] == again.pid


def test_a_recorded_pid_that_is_somebody_elses_by_now_is_left_alone(home):
    bystander = subprocess.Popen(["sleep", "60"])
    (home / "processes").mkdir(exist_ok=True)
    record = home / "processes" / "worker-1.json"
    record.write_text(json.dumps({"pid": bystander.pid, "started": 1.0}))

    assert processes.find(home, "worker-1") is None
    bystander.kill()
    bystander.wait()
    record.unlink()


def test_an_initdb_that_was_killed_half_way_is_made_anew(tmp_path, start):
    (tmp_path / "postgres.new" / "base").mkdir(parents=True)
    start.postgres(tmp_path)

    assert ask_postgres(tmp_path, "SELECT 1") == 1


# --- clear sentences -------------------------------------------------------------------


def test_a_home_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(embedded.Trouble, match="COUNCILOS_HOME") as trouble:
        servers.start_postgres(tmp_path / "file" / "home")
    assert str(tmp_path / "file" / "home") in str(trouble.value)
    with (
        pytest.raises(embedded.Trouble, match="COUNCILOS_HOME"),
        embedded.claim(tmp_path / "file" / "home", "http://localhost:8000"),
    ):
        pass


def test_a_data_directory_with_something_else_in_it_is_not_touched(tmp_path, start):
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "letter").write_text("dear")

    with pytest.raises(embedded.Trouble, match="something else"):
        start.postgres(tmp_path)
    assert (tmp_path / "postgres" / "letter").read_text() == "dear"


def test_a_server_that_does_not_start_is_quoted(home, start):
    start.postgres(home).stop()
    settings = home / "postgres" / "postgresql.auto.conf"
    kept = settings.read_text()
    settings.write_text("shared_buffers = 'plenty'\n")

    with pytest.raises(embedded.Trouble, match="shared_buffers"):
        start.postgres(home)
    settings.write_text(kept)


# --- one `up` per home -----------------------------------------------------------------


def test_a_second_claim_is_told_who_has_it(home):
    with (
        embedded.claim(home, "http://127.0.0.1:8000"),
        pytest.raises(embedded.AlreadyRunning) as refused,
        embedded.claim(home, "http://127.0.0.1:8001"),
    ):
        pass

    assert str(os.getpid()) in str(refused.value)
    assert "http://127.0.0.1:8000" in str(refused.value)


def test_a_killed_holder_leaves_no_claim(home):
    code = (
        "import os, pathlib, signal, sys; from councilos import embedded\n"
        "with embedded.claim(pathlib.Path(sys.argv[1]), 'http://127.0.0.1:1'):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)"
    )
    holder = subprocess.run([sys.executable, "-c", code, home], check=False)

    assert holder.returncode == -signal.SIGKILL
    with embedded.claim(home, "http://127.0.0.1:2"):
        assert json.loads((home / "lock").read_text())["pid"] == os.getpid()


# --- the secret key --------------------------------------------------------------------


def test_the_secret_key_is_made_once_and_only_its_owner_reads_it(tmp_path):
    assert embedded.secret_key(tmp_path) == ""
    key = embedded.keep_secret_key(tmp_path)

    assert len(key) >= 50
    assert embedded.keep_secret_key(tmp_path) == key == embedded.secret_key(tmp_path)
    assert (tmp_path / "secret_key").stat().st_mode & 0o777 == 0o600
