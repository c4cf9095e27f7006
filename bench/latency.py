"""(a) From a node's result to the client, beside the least that it could take.

Runs of the default council with the instant model, one at a time: they are created and
their viewers joined before the worker starts. Floor and system are measured in turns.
"""

import json
import subprocess

from bench import floor, report, viewers
from bench import system as systems

NODES = 5  # finished nodes of a run of the default council
ROUNDS = 2
# About what a node.completed event of the scripted model weighs.
PAYLOAD = json.dumps({"node": "master_agent", "output": {"draft": "word " * 140}})


def measure(system: systems.System, *, quick: bool) -> report.Table:
    rounds, runs, samples = (1, 8, 60) if quick else (ROUNDS, 22, 150)
    floors: dict[str, list[float]] = {"websockets": [], "daphne": []}
    told: dict[str, list[float]] = {"returned": [], "at": []}
    for _ in range(rounds):
        _floor(system, floors, samples)
        _ours(system, told, runs)
    _floor(system, floors, samples)
    return _table(floors, told)


def _ours(system: systems.System, told: dict[str, list[float]], count: int) -> None:
    system.environment["WORKER_CONCURRENCY"] = "1"
    system.worker_module = ["-m", "bench.worker"]
    run_ids = system.create_runs(
        count, topic="What is measured?", blueprint="draft-critic-writer", model="demo:instant"
    )
    system.start_server()
    with viewers.joined(system, run_ids) as watching:
        system.start_worker()
        seen = watching.result()
    system.stop_parts()
    stamps = [{e["seq"]: e["at"] for e in system.log(str(run_id))} for run_id in run_ids]
    # The first run pays for the worker's imports.
    for number, seq, received, returned in seen["completions"]:
        if number:
            told["returned"].append(received - returned)
            told["at"].append(received - stamps[number][seq].timestamp())


def _floor(system: systems.System, floors: dict[str, list[float]], samples: int) -> None:
    for name, start in (("websockets", _bare), ("daphne", _daphne)):
        child, port = start(system)
        try:
            with floor.measured(port, system.environment) as sample:
                sample(PAYLOAD, 20)
                floors[name] += sample(PAYLOAD, samples)
        finally:
            systems.end_child(child)


def _bare(system: systems.System) -> "tuple[subprocess.Popen[str], int]":
    child = systems.start_child("bench.floor", env=system.environment)
    assert child.stdout is not None
    return child, int(child.stdout.readline())


def _daphne(system: systems.System) -> "tuple[subprocess.Popen[str], int]":
    from tests.acceptance import stack

    port = stack.free_port()
    child = systems.start_child(
        "daphne", "-v", "0", "-p", str(port), "bench.floor:application", env=system.environment
    )
    stack.wait_until(lambda: _answers(port))
    return child, port


def _answers(port: int) -> bool:
    import socket

    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _table(floors: dict[str, list[float]], told: dict[str, list[float]]) -> report.Table:
    table = report.Table(
        "(a) Node result to client receipt, one run at a time",
        ["what", "n", "p50 ms", "p99 ms", "p50 / floor"],
    )
    least = report.quantile(floors["websockets"], 0.5)

    def add(name: str, values: list[float]) -> float:
        p50 = report.quantile(values, 0.5)
        p99 = report.quantile(values, 0.99)
        ratio = p50 / least
        table.add(name, str(len(values)), report.ms(p50), report.ms(p99), f"{ratio:.2f}")
        return ratio

    add("floor: INSERT, commit, PUBLISH, one frame (websockets)", floors["websockets"])
    add("the same through daphne", floors["daphne"])
    from_node = add("CouncilOS: the node function returns → frame received", told["returned"])
    from_at = add(
        "CouncilOS: the event's `at` (in the transaction) → frame received", told["at"]
    )
    table.mark("p50 from `at` ÷ floor", from_at, 2)
    table.mark("p50 from the node's return ÷ floor", from_node, 2)
    table.notes.append(
        "The floor is one process with psycopg and redis-py, blocking, and one with the "
        "`websockets` library, the leanest server Python has; CouncilOS also takes `seq` under "
        "a fence, stores LangGraph's writes, projects the run and drops its tokens in the "
        "same transaction."
    )
    return table
