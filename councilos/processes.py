"""Child processes that whoever starts next in the same home can find again and end.

Each has a record (`processes/<name>.json`: pid and start time) and a log
(`logs/<name>.log`). None of them gets the terminal's Ctrl-C: they are ended in order.
"""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from councilos import embedded

# How a process is asked to end: signals, each with the seconds it is given.
Steps = Sequence[tuple[signal.Signals, float]]
KILL = (signal.SIGKILL, 5.0)
GENTLY: Steps = ((signal.SIGTERM, 10.0), KILL)
# A process is the recorded one if it started at the recorded time. The system's clock may
# have been set meanwhile, by less than it takes for a pid to come round again.
SAME_START_SECONDS = 2.0
POLL_SECONDS = 0.02


@dataclass(frozen=True)
class Child:
    """A process that we started."""

    name: str
    process: psutil.Popen
    log: Path
    record: Path
    steps: Steps = GENTLY

    @property
    def pid(self) -> int:
        return self.process.pid

    def is_alive(self) -> bool:
        return not has_ended(self.process)

    def stop(self) -> None:
        """End it, as gently as it allows. Does nothing if it has ended already."""
        end(self.process, self.steps)
        forget(self.record, self.pid)

    def how_it_ended(self) -> str:
        """`exit code 1` or `SIGKILL`, of one that is not alive any more."""
        code = int(self.process.wait())
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"

    def last_words(self, lines: int = 5) -> str:
        """The end of its log, where the reason stands."""
        with contextlib.suppress(OSError):
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        return ""

    def failed(self) -> embedded.Trouble:
        """That it did not start, in the words of its log."""
        return embedded.Trouble(
            f"{self.name} did not start. It said ({self.log}):\n{self.last_words()}"
        )


def start(
    name: str,
    command: Sequence[str | Path],
    *,
    home: Path,
    steps: Steps = GENTLY,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    owner: tuple[int, int] | None = None,
) -> Child:
    """Start a command, with a record and a log in the home, as `owner` (uid, gid) if given."""
    log = embedded.own_directory(home / "logs", 0o700) / f"{name}.log"
    if log.exists():
        log.replace(log.with_suffix(".log.1"))
    with log.open("wb") as output:
        process = psutil.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            user=owner[0] if owner else None,
            group=owner[1] if owner else None,
            extra_groups=[] if owner else None,
        )
    record = embedded.own_directory(home / "processes", 0o700) / f"{name}.json"
    record.write_text(json.dumps({"pid": process.pid, "started": process.create_time()}))
    return Child(name, process, log, record, steps)


def forget(record: Path, pid: int) -> None:
    """Remove the record of an ended process, unless it is a successor's by now."""
    with contextlib.suppress(OSError, ValueError):
        if json.loads(record.read_text())["pid"] == pid:
            record.unlink()


def end(process: psutil.Process, steps: Steps = GENTLY) -> None:
    """End a process and wait until it is gone. Does nothing if it is."""
    for number, seconds in steps:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)
        give_up = time.monotonic() + seconds
        while time.monotonic() < give_up:
            if has_ended(process):
                return
            time.sleep(POLL_SECONDS)


def has_ended(process: psutil.Process) -> bool:
    """Whether it runs no more. In a container perhaps nobody ever collects an orphan."""
    if isinstance(process, psutil.Popen):
        return process.poll() is not None
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def left_over(home: Path) -> Iterator[tuple[str, psutil.Process]]:
    """What was started in this home and still runs, by name."""
    for record in sorted((home / "processes").glob("*.json")):
        if (process := find(home, record.stem)) is not None:
            yield record.stem, process


def find(home: Path, name: str) -> psutil.Process | None:
    """The running process of this name that was started in this home."""
    try:
        told = json.loads((home / "processes" / f"{name}.json").read_text())
        process = psutil.Process(told["pid"])
        same = abs(process.create_time() - told["started"]) < SAME_START_SECONDS
    except (OSError, ValueError, KeyError, TypeError, psutil.Error):
        return None
    return process if same and not has_ended(process) else None
