"""`manage.py blueprint check|load|export|draw|list`: blueprints as files."""

import json
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import OperationalError, transaction
from django.db.models import QuerySet

from runtime import blueprints, errors, library, models

NO_DATABASE = (
    "PostgreSQL does not answer. Start CouncilOS with `make run`, or set DATABASE_URL to a "
    "server that runs."
)


class Command(BaseCommand):
    help = "Blueprints as files: check, load, export, draw and list them."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        check = actions.add_parser("check", help="name every fault; needs no database")
        check.add_argument("file", nargs="+", help="a JSON file; - is standard input")
        load = actions.add_parser("load", help="save files as blueprints, or as new versions")
        load.add_argument("file", nargs="+", help="a JSON file; - is standard input")
        load.add_argument("--user", help="whose they are; else they are everybody's to run")
        load.add_argument("--visibility", choices=models.Visibility.values)
        export = actions.add_parser("export", help="print a blueprint as JSON")
        export.add_argument("blueprint", help="a slug or an id")
        export.add_argument("--version", dest="number", type=int, help="else the newest")
        draw = actions.add_parser("draw", help="print a blueprint as a drawing")
        draw.add_argument("blueprint", help="a slug, an id, or a file")
        draw.add_argument("--format", choices=["mermaid", "svg"], default="mermaid")
        actions.add_parser("list", help="one a line: id, slug, version, owner, name")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            getattr(self, f"_{options['action']}")(options)
        except errors.Refusal as refusal:
            raise CommandError(str(refusal)) from refusal
        except OperationalError as error:
            raise CommandError(NO_DATABASE) from error

    def _check(self, options: dict[str, Any]) -> None:
        """Faults are what was asked for, so they go to standard output."""
        found = 0
        for name in options["file"]:
            for fault in blueprints.faults(_read(name)):
                found += 1
                self.stdout.write(f"{name}: {fault.code}: {fault.message}")
        if found:
            sys.exit(1)

    def _load(self, options: dict[str, Any]) -> None:
        owner = _user(options["user"]) if options["user"] else None
        visibility = options["visibility"] and models.Visibility(options["visibility"])
        documents = {name: _read(name) for name in options["file"]}
        for name, document in documents.items():
            _refuse_faults(name, document)
        with transaction.atomic():
            saved = [
                library.save(
                    document,
                    owner=owner,
                    blueprint=_saved_before(document, owner),
                    visibility=visibility or None,
                )
                for document in documents.values()
            ]
        for version in saved:
            self.stdout.write(
                f"{version.blueprint_id}\tversion {version.number}\t{version.blueprint}"
            )

    def _export(self, options: dict[str, Any]) -> None:
        version = library.version(_find(options["blueprint"]), options["number"])
        self.stdout.write(json.dumps(library.document(version), indent=2, ensure_ascii=False))

    def _draw(self, options: dict[str, Any]) -> None:
        name = options["blueprint"]
        if name == "-" or Path(name).is_file():
            document = _read(name)
            _refuse_faults(name, document)
        else:
            document = library.version(_find(name)).document
        self.stdout.write(blueprints.draw(document, options["format"]), ending="")

    def _list(self, options: dict[str, Any]) -> None:
        found = _listed().select_related("owner")
        for blueprint in found.order_by("name", "pk"):
            number = library.version(blueprint).number
            slug, owner = blueprint.slug or "", blueprint.owner or ""
            self.stdout.write(f"{blueprint.pk}\t{slug}\t{number}\t{owner}\t{blueprint.name}")


def _read(name: str) -> Any:
    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
        return json.loads(text)
    except OSError as error:
        raise CommandError(f"{name} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise CommandError(f"{name} is no JSON: {error}.") from error


def _refuse_faults(name: str, document: object) -> None:
    if found := blueprints.faults(document):
        raise CommandError(
            "\n".join(f"{name}: {fault.code}: {fault.message}" for fault in found)
        )


def _user(name: str) -> Any:
    user = get_user_model().objects.filter(username=name).first()
    if user is None:
        raise CommandError(f"There is no user {name}.")
    return user


def _saved_before(document: dict[str, Any], owner: Any) -> models.Blueprint | None:
    """The blueprint that the file was exported from, if it is this user's."""
    rows = _listed().filter(owner=owner, slug=None)
    number = _uuid(document.get("id"))
    return rows.filter(pk=number).first() if number else None


def _listed() -> QuerySet[models.Blueprint]:
    """Those that are on a list: neither deleted, nor made for a trial in the editor."""
    return models.Blueprint.objects.filter(deleted_at=None, is_trial=False)


def _find(name: str) -> models.Blueprint:
    rows, number = _listed(), _uuid(name)
    found = (rows.filter(pk=number) if number else rows.filter(slug=name)).first()
    if found is None:
        raise CommandError(f"There is no blueprint {name}; `blueprint list` names them.")
    return found


def _uuid(text: object) -> UUID | None:
    try:
        return UUID(text) if isinstance(text, str) else None
    except ValueError:
        return None
