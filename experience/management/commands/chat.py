"""`manage.py chat`: talk to agents in the terminal."""

import asyncio
import contextlib
import logging
import sys
from collections.abc import Iterator
from typing import Any, NoReturn
from uuid import UUID

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import OperationalError
from rich.console import Console

from experience import access
from experience.management.commands import token
from experience.terminal import addressing, invocation, past, talk
from runtime import errors


class Command(BaseCommand):
    help = (
        "Talk to agents. With a MESSAGE: say it, show the answer and leave. Without: a prompt, "
        "or, if standard input is no terminal, every line of it is a message. Exit code: 0 "
        "answered, 1 failed or cancelled, 5 left before the end, 2 the call itself was wrong."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("message", nargs="?", help="what to say")
        parser.add_argument("--user", default="", help="who talks; if there is one user, they")
        parser.add_argument("--surface", default="", help="where in a product one would be")
        parser.add_argument("--agent", default="", help="the slug of who is to answer")
        parser.add_argument("--project", default="", help="what project it belongs to")
        parser.add_argument("--resume", metavar="ID", help="go on with this conversation")
        parser.add_argument("--list", action="store_true", help="show one's conversations")
        parser.add_argument(
            "--json", action="store_true", help="the frames, one a line; needs a MESSAGE"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with contextlib.nullcontext() if options["verbosity"] > 1 else _without_log():
                code = self._talk(options)
        except errors.Refusal as refusal:
            raise CommandError(str(refusal), returncode=2) from refusal
        except OperationalError as error:
            raise CommandError(token.NO_DATABASE, returncode=2) from error
        if code:
            sys.exit(code)

    def _talk(self, options: dict[str, Any]) -> int:
        user, message = _user(options["user"]), options["message"]
        if options["list"]:
            past.show_list(Console(), user)
            return 0
        if options["json"] and message is None:
            _refuse("--json needs a message: manage.py chat --json MESSAGE.")
        self._check(user, options["agent"], options["surface"])
        talking = talk.Talk(
            user,
            conversation_id=_conversation(user, options["resume"]),
            as_json=options["json"],
            surface=options["surface"],
            agent=options["agent"],
            project_id=options["project"],
        )
        return asyncio.run(talking.on() if message is None else talking.once(message))

    def _check(self, user: Any, agent: str, surface: str) -> None:
        """Raises CommandError, access.AgentNotYours."""
        if agent and (fault := addressing.unknown_agent(user, agent)):
            _refuse(fault)
        if surface and (fault := addressing.unknown_surface(surface)):
            self.stderr.write(fault)


@contextlib.contextmanager
def _without_log() -> Iterator[None]:
    """What the log would say between the lines of a talk, the talk itself shows."""
    before = logging.root.manager.disable
    logging.disable(logging.INFO)
    try:
        yield
    finally:
        logging.disable(before)


def _user(name: str) -> Any:
    """The user of this name; without a name the only one there is."""
    users = get_user_model().objects.filter(is_active=True)
    if name:
        found = users.filter(username=name).first()
        return found or _refuse(f"There is no user {name}.")
    some = [*users[:2]]
    if not some:
        _refuse(f"There is no user yet. Make one: {invocation.of('createsuperuser')}")
    if len(some) > 1:
        _refuse("There are several users. Say which of them you are: --user NAME")
    return some[0]


def _conversation(user: Any, text: str | None) -> UUID | None:
    """The id of one of the user's own. Raises access.ConversationNotFound."""
    if not text:
        return None
    try:
        return access.find_conversation(user, UUID(text)).pk
    except ValueError as error:
        raise access.ConversationNotFound from error


def _refuse(sentence: str) -> NoReturn:
    raise CommandError(sentence, returncode=2)
