"""`manage.py council`: run a council in the terminal, or follow one."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from typing import Any
from uuid import UUID

from channels.db import database_sync_to_async as in_thread
from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import OperationalError
from django.db.models import Q
from rich.console import Console
from rich.live import Live

from experience import feed, terminal
from experience.management.commands import token
from runtime import errors, models, runs, shipped


class Command(BaseCommand):
    help = (
        "Run a council on a topic and show its work as it happens. Exit code: 0 completed, "
        "1 failed, 3 completed but not approved, 4 cancelled, 5 left running, "
        "2 the call itself was wrong."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("topic", nargs="?", help="what the council works on")
        parser.add_argument("--blueprint", default=shipped.DEFAULT, help="a slug or an id")
        parser.add_argument("--model", default="", help="provider:model for nodes without one")
        parser.add_argument("--user", default="", help="who owns the run (a user name)")
        parser.add_argument("--follow", metavar="RUN_ID", help="follow this run instead")
        parser.add_argument("--json", action="store_true", help="the events, one per line")

    def handle(self, *args: Any, **options: Any) -> None:
        if bool(options["topic"]) == bool(options["follow"]):
            raise CommandError("Give a topic, or --follow RUN_ID.", returncode=2)
        try:
            run = _find(options["follow"]) if options["follow"] else _create(options)
            code = asyncio.run(_follow(run, as_json=options["json"]))
        except errors.Refusal as refusal:
            faults = refusal.detail.get("faults", [])
            lines = [str(refusal), *(f"  {fault['message']}" for fault in faults)]
            raise CommandError("\n".join(lines), returncode=2) from refusal
        except OperationalError as error:
            raise CommandError(token.NO_DATABASE, returncode=2) from error
        sys.exit(code)


def _find(text: str) -> models.Run:
    with contextlib.suppress(ValueError):
        if run := models.Run.objects.filter(pk=UUID(text)).first():
            return run
    raise errors.RunNotFound


def _create(options: dict[str, Any]) -> models.Run:
    return runs.create(
        topic=options["topic"],
        version=_blueprint(options["blueprint"]).newest,
        owner=_user(options["user"]),
        model=options["model"],
    )


def _blueprint(name: str) -> models.Blueprint:
    wanted = Q(slug=name)
    with contextlib.suppress(ValueError):
        wanted |= Q(pk=UUID(name))
    found = models.Blueprint.objects.filter(wanted).first()
    if found is None:
        raise errors.BlueprintNotFound(f"There is no blueprint {name}.")
    return found


def _user(name: str) -> Any:
    if not name:
        return None
    user = get_user_model().objects.filter(username=name).first()
    if user is None:
        raise CommandError(f"There is no user {name}.", returncode=2)
    return user


async def _follow(run: models.Run, *, as_json: bool) -> int:
    """Show the run until it ends or the reader leaves; the exit code."""
    interrupted = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, interrupted.set)
    board = terminal.Board(Console(quiet=as_json))
    live = Live(board, console=board.console, refresh_per_second=12, transient=True)
    if board.console.is_terminal and not as_json:
        live.start()
    reading = asyncio.create_task(_read(run, board, as_json=as_json))
    while not reading.done():
        stopping = asyncio.create_task(interrupted.wait())
        await asyncio.wait([reading, stopping], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if interrupted.is_set() and not reading.done():
            interrupted.clear()
            live.stop()
            if not await _cancel_wanted(run, reading, interrupted):
                if not reading.done():
                    reading.cancel()
                break
            with contextlib.suppress(errors.RunFinished):
                await in_thread(runs.cancel)(run.pk, by="the terminal")
    with contextlib.suppress(asyncio.CancelledError):
        await reading
    await feed.hub().close()
    live.stop()
    board.print_end()
    return board.exit_code


async def _read(run: models.Run, board: terminal.Board, *, as_json: bool) -> None:
    after = 0
    async with feed.hub().watch(run.pk) as followed:
        while board.end is None:
            for entry in await followed.after(after):
                after = entry.event.seq
                board.take(entry.event)
                if as_json and not _print_line(json.dumps(entry.event.as_json())):
                    return


def _print_line(text: str) -> bool:
    """Whether anybody still reads: `| head` leaves early."""
    try:
        print(text, flush=True)  # noqa: T201
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return False
    return True


async def _cancel_wanted(
    run: models.Run, reading: "asyncio.Task[None]", interrupted: asyncio.Event
) -> bool:
    """Ask whether to cancel. Without anybody to ask, or at a second Ctrl-C, it goes on.

    The question is dropped when the run ends meanwhile.
    """
    if sys.stdin.isatty():
        print("\nLeave it running (l) or cancel it (c)? ", end="", flush=True)  # noqa: T201
        line = await _line(reading, interrupted)
        if line.strip().lower().startswith("c"):
            return True
    if not reading.done():
        follow = f"It goes on. To see it again: manage.py council --follow {run.pk}"
        print(follow, file=sys.stderr)  # noqa: T201
    return False


async def _line(reading: "asyncio.Task[None]", interrupted: asyncio.Event) -> str:
    """A line from the terminal; empty when the run ends or Ctrl-C comes first."""
    loop = asyncio.get_running_loop()
    said: asyncio.Future[str] = loop.create_future()

    def hear() -> None:
        loop.remove_reader(sys.stdin)
        said.set_result(sys.stdin.readline())

    loop.add_reader(sys.stdin, hear)
    again = asyncio.create_task(interrupted.wait())
    first: list[asyncio.Future[Any]] = [said, reading, again]
    await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
    loop.remove_reader(sys.stdin)
    again.cancel()
    return said.result() if said.done() else ""
