"""`manage.py up`: everything, from a bare machine to a council at work."""

import sys
from argparse import ArgumentTypeError
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from councilos import embedded, startup


class Command(BaseCommand):
    help = (
        "Start PostgreSQL, Valkey, workers and the server, run a first council, and serve "
        "until Ctrl-C, which stops all of it. DATABASE_URL and REDIS_URL, when set, are used "
        "instead of servers of our own."
    )
    requires_system_checks = ()  # what they look at is only started here

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--port", type=_port, default=8000)
        parser.add_argument("--host", default="127.0.0.1", help="the address to listen on")
        parser.add_argument("--workers", type=_count, default=1, metavar="N")
        parser.add_argument(
            "--topic",
            default="",
            help="what a first council works on (only a very first "
            "start runs one without being asked)",
        )
        parser.add_argument("--no-first-run", action="store_true", help="run no council")

    def handle(self, *args: Any, **options: Any) -> None:
        up = startup.Up(
            host=options["host"],
            port=options["port"],
            workers=options["workers"],
            topic=options["topic"],
            first_run=not options["no_first_run"],
        )
        try:
            up.run()
        except embedded.Trouble as trouble:
            self.stderr.write(str(trouble))
            sys.exit(1)


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise ArgumentTypeError("a port is a number from 1 to 65535")
    return int(text)


def _count(text: str) -> int:
    if not text.isdecimal():
        raise ArgumentTypeError("how many workers: 0, 1, 2 …")
    return int(text)
