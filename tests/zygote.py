"""Workers that die at a stated moment: a process that has all imported, and forks.

    python -m tests.zygote        # then a JSON object per line: {"commit": 3, "when": "after"}

Each line forks a worker that does all that is due and kills itself, as kill -9 does, just
before or just after its writer's n-th commit. The answer is a line with its exit status.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Sequence

import django


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "councilos.settings")
    django.setup()
    from langchain_core.messages import HumanMessage

    from runtime import llm, tasks

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
    from runtime import writer

    commit, count = writer._commit, [0]

    def mortal(batch: Sequence[writer.Change], again: bool) -> writer.Written:
        count[0] += 1
        if count[0] == number and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        written = commit(batch, again)
        if count[0] == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return written

    writer._commit = mortal


if __name__ == "__main__":
    main()
