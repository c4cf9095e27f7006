"""`manage.py council`: run councils in the terminal, and do all that can be done with a run."""

import asyncio
import contextlib
import difflib
import json
import sys
from pathlib import Path
from typing import Any, NoReturn
from uuid import UUID

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import OperationalError
from django.db.models import Q
from django.utils import timezone
from rich.console import Console

from experience import access, conversations, export
from experience.management.commands import token
from experience.terminal import arguments, asking, follower, listing
from runtime import errors, gates, library, models, runs


class Command(BaseCommand):
    help = (
        "Run a council on a topic and show its work as it happens, ask at its gates, and look "
        "at runs. `council TOPIC` is short for `council run TOPIC`. Exit code: 0 completed, 1 "
        "failed, 3 completed but not approved, 4 cancelled, 5 left running or waiting, 2 the "
        "call itself was wrong."
    )

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        parse = parser.parse_args

        def parse_args(args: Any = None, namespace: Any = None) -> Any:
            return parse(arguments.with_action(args or []), namespace)

        parser.parse_args = parse_args  # type: ignore[method-assign]
        return parser

    def add_arguments(self, parser: CommandParser) -> None:
        arguments.add_actions(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            code = getattr(self, f"_{options['action']}")(options)
        except errors.Refusal as refusal:
            raise CommandError(_in_words(refusal), returncode=2) from refusal
        except OperationalError as error:
            raise CommandError(token.NO_DATABASE, returncode=2) from error
        if code is not None:
            sys.exit(code)

    # --- what starts or follows a run ---

    def _run(self, options: dict[str, Any]) -> int | None:
        if bool(options["topic"]) == bool(options["follow"]):
            _refuse("Give a topic, or --follow RUN_ID.")
        user = _user(options["user"])
        if options["follow"]:
            return self._watch(_find(options["follow"]), user, options)
        _check_not_mistyped(options["topic"])
        run = runs.create(
            topic=options["topic"],
            version=_version(options["blueprint"]),
            owner=user,
            model=options["model"],
            god_mode=options["god_mode"],
            limits=dict(options["limit"]),
        )
        return self._watch(run, user, options)

    def _retry(self, options: dict[str, Any]) -> int | None:
        user = _user(options["user"])
        run = _own(options["run_id"], user)
        conversations.check_may_retry(run)
        run = runs.retry(run.pk, by=asking.name_of(user), limits=dict(options["limit"]))
        return self._watch(run, user, options)

    def _fork(self, options: dict[str, Any]) -> int | None:
        user = _user(options["user"])
        parent = _find(options["run_id"], user)
        run = runs.fork(
            parent,
            owner=user or parent.owner,
            after=0 if options["again"] else _step(parent, options["after"]),
            model=options["model"],
            version=_version(options["blueprint"]) if options["blueprint"] else None,
            overrides=_overrides(options),
            god_mode=options["god_mode"],
            limits=dict(options["limit"]),
        )
        return self._watch(run, user, options)

    def _watch(self, run: models.Run, user: Any, options: dict[str, Any]) -> int | None:
        if options["no_follow"]:
            self.stdout.write(str(run.pk))
            return None
        following = follower.Follower(run, as_json=options["json"], user=user)
        return asyncio.run(following.follow())

    # --- what is done with a run ---

    def _answer(self, options: dict[str, Any]) -> None:
        arrived = timezone.now()
        user = _user(options["user"])
        run = _find(options["run_id"], user)
        gate_id = _uuid(options["gate"], errors.GateNotFound) if options["gate"] else None
        gate = gates.find(run, gate_id, seen_at=arrived)
        if user is not None:
            access.check_may_answer(user, gate)
        says = {
            "current_draft": _text(options["draft"]),
            "feedback": options["feedback"],
            "next_node": options["to"],
            "comment": options["comment"],
            "limits": dict(options["limit"]) or None,
        }
        gate = gates.answer(
            gate.pk, action=options["answer"], by=asking.name_of(user), says=says
        )
        run.refresh_from_db()
        self.stdout.write(f"{gate.node}: {options['answer']}; the run is {run.status}")

    def _cancel(self, options: dict[str, Any]) -> None:
        user = _user(options["user"])
        run = _own(options["run_id"], user)
        runs.cancel(run.pk, by=asking.name_of(user))
        self.stdout.write(f"cancelled {run.pk}")

    # --- what is looked at ---

    def _list(self, options: dict[str, Any]) -> None:
        found = models.Run.objects.order_by("-created_at", "pk")
        if options["user"]:
            found = found.filter(owner=_user(options["user"]))
        if options["status"]:
            found = found.filter(status=options["status"])
        listing.show_many(Console(), found[: options["limit_rows"]])

    def _show(self, options: dict[str, Any]) -> None:
        listing.show(Console(), _find(options["run_id"]))

    def _export(self, options: dict[str, Any]) -> None:
        run = _find(options["run_id"])
        if options["format"] == "json":
            text = json.dumps(export.as_json(run), ensure_ascii=False, indent=1) + "\n"
        else:
            text = export.as_markdown(run)
        if options["output"] == "-":
            self.stdout.write(text, ending="")
            return
        try:
            Path(options["output"]).write_text(text, encoding="utf-8")
        except OSError as error:
            _refuse(f"{options['output']} cannot be written: {error.strerror}.")


# --- what the words mean ---------------------------------------------------------------


def _refuse(sentence: str) -> NoReturn:
    raise CommandError(sentence, returncode=2)


def _in_words(refusal: errors.Refusal) -> str:
    """The sentence, and what its detail has to say to somebody at a terminal."""
    detail = refusal.detail
    lines = [str(refusal), *(f"  {fault['message']}" for fault in detail.get("faults", []))]
    lines += [f"  --gate {gate}" for gate in detail.get("gates", [])]
    if isinstance(refusal, errors.GateAnswered):
        lines.append(f"  {detail['action']} by {detail['by']} at {detail['at']}")
    if isinstance(refusal, errors.GateNotYours):
        lines.append(f"  It asks {', '.join(detail['answerers'])}.")
    return "\n".join(lines)


def _check_not_mistyped(topic: str) -> None:
    """A mistyped action must not begin a council that costs money."""
    close = difflib.get_close_matches(topic, arguments.ACTIONS, n=1, cutoff=0.7)
    if close and topic not in arguments.ACTIONS:
        _refuse(f"There is no action {topic}; is it {close[0]}? Write a topic in more words.")


def _find(text: str, user: Any = None) -> models.Run:
    """The run; one that the user may see, if there is one."""
    run_id = _uuid(text, errors.RunNotFound)
    if user is not None:
        return access.find_run(user, run_id)
    run = models.Run.objects.select_related("blueprint_version__blueprint", "owner", "parent")
    found = run.filter(pk=run_id).first()
    if found is None:
        raise errors.RunNotFound
    return found


def _own(text: str, user: Any) -> models.Run:
    if user is None:
        return _find(text)
    return access.find_own_run(user, _uuid(text, errors.RunNotFound))


def _uuid(text: str, refusal: type[errors.Refusal]) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise refusal from error


def _version(name: str) -> models.BlueprintVersion:
    """Of a blueprint by its slug or id, the newest version, or the one after `@`."""
    name, has_number, number = name.partition("@")
    wanted = Q(slug=name)
    with contextlib.suppress(ValueError):
        wanted |= Q(pk=UUID(name))
    found = models.Blueprint.objects.filter(wanted, deleted_at=None, is_trial=False).first()
    if found is None:
        raise errors.BlueprintNotFound(f"There is no blueprint {name}.")
    if has_number and not number.isdecimal():
        _refuse(f"After @ goes the number of a version, not {number!r}.")
    return library.version(found, int(number) if has_number else None)


def _user(name: str) -> Any:
    if not name:
        return None
    user = get_user_model().objects.filter(username=name).first()
    if user is None:
        _refuse(f"There is no user {name}.")
    return user


def _step(parent: models.Run, after: str | None) -> int | None:
    """The seq of a finished step, by its seq or by the node that finished it last."""
    if after is None or after.isdecimal():
        return int(after) if after else None
    done = parent.events.filter(kind="node.completed", data__node=after).order_by("-seq")
    event = done.first()
    if event is None:
        raise errors.StepNotFound(f"In this run no step of a node {after} has finished.")
    return event.seq


def _overrides(options: dict[str, Any]) -> dict[str, dict[str, str]]:
    changes: dict[str, dict[str, str]] = {}
    for node, text in options["prompt"]:
        path = text.removeprefix("@")
        changes.setdefault(node, {})["systemPrompt"] = text if path == text else _read(path)
    for node, model in options["node_model"]:
        changes.setdefault(node, {})["model"] = model
    return changes


def _text(path: str | None) -> str | None:
    """What a file holds; `-` is stdin."""
    if path is None:
        return None
    return sys.stdin.read() if path == "-" else _read(path)


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        _refuse(
            f"{path} cannot be read: {getattr(error, 'strerror', None) or 'it is not UTF-8'}."
        )
