"""Workers that die at a stated moment: a process that has all imported, and forks.

    python -m tests.zygote        # then a JSON object per line: {"commit": 3, "when": "after"}

Each line forks a worker that does all that is due and kills itself, as kill -9 does, just
before or just after its n-th commit: of its writer, or of taking a run up or letting it wait
at a gate. The answer is a line with its exit status.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import django


class Zygote:
    def __init__(self, database: str) -> None:
        url = os.environ["DATABASE_URL"].replace("/councilos?", f"/{database}?")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.zygote"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "DATABASE_URL": url},
            text=True,
        )
        assert self._answer() == "ready"

    def work(self, *, commit: int, when: str) -> int:
        """A worker that dies around its n-th commit; its exit code (-9, or 0 if it lived)."""
        assert self._process.stdin is not None
        print(
            json.dumps({"commit": commit, "when": when}), file=self._process.stdin, flush=True
        )
        return int(self._answer())

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def close(self) -> None:
        self._process.communicate()


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "councilos.settings")
    django.setup()
    from langchain_core.messages import HumanMessage

    from runtime import llm, tasks
    from runtime.execution import executor

    assert executor, "imported here, so that no worker has to"
    asyncio.run(llm.call("demo:instant", [HumanMessage("so that it is imported")]))
    print("ready", flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if child == 0:
            _die_at(order["commit"], order["when"])
            asyncio.run(tasks.work(wait=False))
            os._exit(0)
        _pid, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _die_at(number: int, when: str) -> None:
    from runtime import gates, runs, writer

    count = [0]

    def mortal(commit: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **more: Any) -> Any:
            count[0] += 1
            mine = count[0] == number
            if mine and when == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            done = commit(*args, **more)
            if mine:
                os.kill(os.getpid(), signal.SIGKILL)
            return done

        return call

    for module, name in ((writer, "_commit"), (runs, "claim"), (gates, "open_all")):
        setattr(module, name, mortal(getattr(module, name)))


if __name__ == "__main__":
    main()
