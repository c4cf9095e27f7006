"""`manage.py token create|list|revoke USER`: personal tokens."""

from datetime import timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import OperationalError
from django.utils import timezone

from experience import access, models
from runtime import errors

NO_DATABASE = (
    "PostgreSQL does not answer. Start CouncilOS with `make run`, or set DATABASE_URL to a "
    "server that runs."
)


class Command(BaseCommand):
    help = "Personal tokens for programs: create prints the new one, and nothing else."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        create = actions.add_parser("create", help="make one; it is shown this once")
        create.add_argument("user")
        create.add_argument("--name", help="what it is for")
        create.add_argument(
            "--days", type=int, help="valid for so many days; else until revoked"
        )
        listed = actions.add_parser("list", help="a user's tokens; never the secrets")
        listed.add_argument("user")
        revoke = actions.add_parser("revoke", help="end one; its sockets close within 5 s")
        revoke.add_argument("user")
        revoke.add_argument("name")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            user = get_user_model().objects.filter(username=options["user"]).first()
            if user is None:
                raise CommandError(f"There is no user {options['user']}.")
            getattr(self, f"_{options['action']}")(user, options)
        except errors.Refusal as refusal:
            raise CommandError(str(refusal)) from refusal
        except OperationalError as error:
            raise CommandError(NO_DATABASE) from error

    def _create(self, user: Any, options: dict[str, Any]) -> None:
        life = timedelta(days=options["days"]) if options["days"] else None
        name = options["name"] or f"terminal, {timezone.now():%F %T.%f}"
        self.stdout.write(access.create_token(user, name, life=life))

    def _revoke(self, user: Any, options: dict[str, Any]) -> None:
        access.revoke_token(user, options["name"])

    def _list(self, user: Any, options: dict[str, Any]) -> None:
        for token in models.Token.objects.filter(user=user).order_by("created_at"):
            state = f"revoked {token.revoked_at:%F}" if token.revoked_at else "valid"
            used = f"{token.last_used_at:%F %R}" if token.last_used_at else "never"
            expires = f"{token.expires_at:%F}" if token.expires_at else "never"
            self.stdout.write(f"{token.name}\t{state}\tlast used {used}\texpires {expires}")
