"""Server-Sent Events through the server itself, and what a client that does not read costs."""

import contextlib
import socket
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest

from tests.acceptance import stack as stacks

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(240)]
POOL = 3


@pytest.fixture(scope="module")
def stack():
    with stacks.running(DATABASE_POOL_SIZE=str(POOL), DEMO_TOKENS_PER_SECOND="30") as made:
        yield made


def _headers(stack):
    return {"Authorization": f"Bearer {stack.token}", "Accept": "text/event-stream"}


def _address(stack):
    parts = urlsplit(stack.url)
    return parts.hostname, parts.port


def _ended(stack, run_id):
    return stack.row(run_id)["ended_at"]


def test_a_token_arrives_before_the_run_has_ended(stack):
    run_id = stack.start_run()
    url = f"{stack.url}/api/councils/run/{run_id}/events"
    with httpx.stream("GET", url, headers=_headers(stack), timeout=60) as response:
        names = (line for line in response.iter_lines() if line.startswith("event: "))
        until_a_token = next(name for name in names if name == "event: node.token")
        ended = _ended(stack, run_id)
        rest = list(names)

    assert (until_a_token, ended) == ("event: node.token", None)
    assert rest[-1] == "event: run.completed"


def test_many_open_streams_hold_no_database_connection(stack):
    run_id = stack.start_run(god_mode=True)
    stacks.wait_until(lambda: stack.status(run_id) == "paused")
    url = f"{stack.url}/api/councils/run/{run_id}/events"
    with contextlib.ExitStack() as opened:
        streams = [
            opened.enter_context(httpx.stream("GET", url, headers=_headers(stack), timeout=60))
            for _ in range(5 * POOL)
        ]
        lines = [stream.iter_lines() for stream in streams]
        begun = [next(each) for each in lines]

        answers = [stack.request("GET", "/api/runs/").status_code for _ in range(POOL)]
        stack.request("POST", f"/api/councils/run/{run_id}/cancel")
        rests = [list(each) for each in lines]

    assert begun == ["retry: 1000"] * len(streams)
    assert answers == [200] * POOL
    assert all("event: run.cancelled" in rest for rest in rests)


def test_a_client_that_does_not_read_is_sent_two_mebibytes_and_no_more(stack):
    """daphne takes whatever it is given, and would keep all of it."""
    run_id = stack.start_run(god_mode=True)
    stacks.wait_until(lambda: stack.status(run_id) == "paused")
    _lengthen(stack, run_id, events=3000, size=4000)
    request = f"GET /api/councils/run/{run_id}/events HTTP/1.1\r\nHost: localhost\r\n"
    fields = "".join(f"{name}: {value}\r\n" for name, value in _headers(stack).items())
    with socket.create_connection(("127.0.0.1", stack.port), timeout=30) as client:
        client.sendall(f"{request}{fields}Connection: close\r\n\r\n".encode())
        # Meanwhile the server serves others as ever.
        assert stack.request("GET", "/api/runs/").status_code == 200
        received = b"".join(iter(lambda: client.recv(65536), b""))

    assert 2 * 2**20 < len(received) < 2.2 * 2**20


def _lengthen(stack, run_id, *, events, size):
    """Add events to the log of a run that waits at a gate."""
    with psycopg.connect(stack.environment["DATABASE_URL"]) as db:
        db.execute(
            "INSERT INTO runtime_event (run_id, seq, kind, key, data, at)"
            " SELECT id, last_seq + n, 'run.resumed', 'test/' || n,"
            " jsonb_build_object('by', repeat('x', %s)), now()"
            " FROM runtime_run, generate_series(1, %s) AS n WHERE id = %s",
            [size, events, run_id],
        )
        db.execute(
            "UPDATE runtime_run SET last_seq = last_seq + %s WHERE id = %s", [events, run_id]
        )
