"""`manage.py council`: run councils in the terminal, and do all that can be done with a run."""

import argparse
import asyncio
import contextlib
import difflib
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn
from uuid import UUID

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import OperationalError
from django.db.models import Q
from django.utils import timezone
from rich.console import Console

from experience import access, export
from experience.management.commands import token
from experience.terminal import follower, limits, listing
from runtime import errors, gates, library, models, runs, shipped

RUN = "run"
LISTED = 20


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
            return parse(with_action(args or []), namespace)

        parser.parse_args = parse_args  # type: ignore[method-assign, assignment]
        return parser

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        for name, (add, sentence) in ACTIONS.items():
            action = actions.add_parser(
                name, help=sentence, description=sentence, parents=[_django(argparse.SUPPRESS)]
            )
            add(action)

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
        run = runs.retry(run.pk, by=_name(user), limits=dict(options["limit"]))
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
        gate = gates.answer(gate.pk, action=options["answer"], by=_name(user), says=says)
        run.refresh_from_db()
        self.stdout.write(f"{gate.node}: {options['answer']}; the run is {run.status}")

    def _cancel(self, options: dict[str, Any]) -> None:
        user = _user(options["user"])
        run = _own(options["run_id"], user)
        runs.cancel(run.pk, by=_name(user))
        self.stdout.write(f"cancelled {run.pk}")

    # --- what is looked at ---

    def _list(self, options: dict[str, Any]) -> None:
        found = models.Run.objects.order_by("-created_at", "pk")
        if options["user"]:
            found = found.filter(owner=_user(options["user"]))
        if options["status"]:
            found = found.filter(status=options["status"])
        listing.show_many(Console(file=self.stdout), found[: options["limit_rows"]])

    def _show(self, options: dict[str, Any]) -> None:
        listing.show(Console(file=self.stdout), _find(options["run_id"]))

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


# --- the command line ------------------------------------------------------------------


def with_action(args: Sequence[str]) -> list[str]:
    """The arguments with the action that they leave out: a topic is to be run."""
    _known, rest = _django(None).parse_known_args(list(args))
    first = rest[0] if rest else ""
    if first in ACTIONS or first in ("-h", "--help", "--version"):
        return list(args)
    return [RUN, *args]


def _django(default: Any) -> argparse.ArgumentParser:
    """The options that all commands of Django have; so they may stand at any place."""
    parser = argparse.ArgumentParser(
        add_help=False, allow_abbrev=False, argument_default=default
    )
    for name in ("--settings", "--pythonpath"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    for name in ("--traceback", "--no-color", "--force-color", "--skip-checks"):
        parser.add_argument(name, action="store_true", default=default, help=argparse.SUPPRESS)
    parser.add_argument("-v", "--verbosity", type=int, help=argparse.SUPPRESS)
    return parser


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("topic", nargs="?", help="what the council works on")
    parser.add_argument(
        "--blueprint",
        default=shipped.DEFAULT,
        help="a slug or an id, and @VERSION if not the newest",
    )
    _add_model(parser, default="")
    parser.add_argument("--god-mode", action="store_true", help="ask before every node")
    _add_limit(parser)
    parser.add_argument(
        "--user", default="", help="who owns the run and answers its gates (a user name)"
    )
    parser.add_argument("--follow", metavar="RUN_ID", help="follow this run instead")
    _add_following(parser)


def _add_answer(parser: argparse.ArgumentParser) -> None:
    _add_run_id(parser)
    parser.add_argument("answer", choices=models.Action.values)
    parser.add_argument("--gate", metavar="ID", help="needed if several gates are open")
    parser.add_argument(
        "--draft", metavar="FILE", help="with modify: the new draft; - for stdin"
    )
    parser.add_argument("--feedback", metavar="TEXT", help="with modify")
    parser.add_argument("--to", metavar="NODE", help="with modify or reject: where it goes on")
    parser.add_argument("--comment", metavar="TEXT", help="with reject, for that node")
    _add_limit(parser)
    _add_user(parser)


def _add_retry(parser: argparse.ArgumentParser) -> None:
    _add_run_id(parser)
    _add_limit(parser)
    _add_user(parser)
    _add_following(parser)


def _add_fork(parser: argparse.ArgumentParser) -> None:
    _add_run_id(parser)
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--after",
        metavar="SEQ|NODE",
        help="the last step that is reused: its seq (see `council show`), or the node that "
        "finished it; the run's last if absent",
    )
    where.add_argument("--again", action="store_true", help="reuse nothing, begin anew")
    parser.add_argument("--blueprint", default="", help="another one, as with run")
    _add_model(parser, default=None)
    parser.add_argument(
        "--prompt",
        metavar="NODE=TEXT",
        type=_pair,
        action="append",
        default=[],
        help="another prompt for a node; NODE=@FILE from a file; may be repeated",
    )
    parser.add_argument(
        "--node-model",
        metavar="NODE=MODEL",
        type=_pair,
        action="append",
        default=[],
        help="another model for a node; may be repeated",
    )
    parser.add_argument(
        "--god-mode", action=argparse.BooleanOptionalAction, default=None, help="or as it was"
    )
    _add_limit(parser)
    _add_user(parser)
    _add_following(parser)


def _add_list(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--user", default="", help="the runs of this user")
    parser.add_argument("--status", choices=models.Status.values)
    parser.add_argument(
        "--limit-rows", type=_count, default=LISTED, metavar="N", help="the newest N"
    )


def _add_export(parser: argparse.ArgumentParser) -> None:
    _add_run_id(parser)
    parser.add_argument("--format", choices=["markdown", "json"], default="markdown")
    parser.add_argument("--output", metavar="FILE", default="-", help="- for stdout")


def _add_cancel(parser: argparse.ArgumentParser) -> None:
    _add_run_id(parser)
    _add_user(parser)


def _add_run_id(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run_id", metavar="RUN_ID")


def _add_user(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--user", default="", help="in this user's name, with their rights")


def _add_model(parser: argparse.ArgumentParser, *, default: str | None) -> None:
    parser.add_argument("--model", default=default, help="provider:model for nodes without one")


def _add_limit(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--limit",
        metavar="NAME=VALUE",
        type=_limit,
        action="append",
        default=[],
        help="iterations, seconds, calls, tokens or cost (US dollars); may be repeated",
    )


def _add_following(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="the events, one per line")
    parser.add_argument(
        "--no-follow", action="store_true", help="print the run's id, and leave"
    )


ACTIONS: dict[str, tuple[Callable[[argparse.ArgumentParser], None], str]] = {
    RUN: (_add_run, "run a council on a topic, or follow a run"),
    "answer": (_add_answer, "answer the gate that a run waits at"),
    "retry": (_add_retry, "take a failed run up again after its last finished step"),
    "fork": (_add_fork, "start a run that goes on from a finished step of another"),
    "cancel": (_add_cancel, "stop a run"),
    "list": (_add_list, "the newest runs"),
    "show": (_add_run_id, "a run's result, and how it came about"),
    "export": (_add_export, "a run as a document: Markdown, or JSON with its whole log"),
}


def _pair(text: str) -> tuple[str, str]:
    node, is_pair, value = text.partition("=")
    if not (node and is_pair and value):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form NODE=VALUE")
    return node, value


def _limit(text: str) -> tuple[str, int | float]:
    try:
        return limits.one(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of rows")
    return int(text)


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
    close = difflib.get_close_matches(topic, ACTIONS, n=1, cutoff=0.7)
    if close and topic not in ACTIONS:
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
    found = models.Blueprint.objects.filter(wanted, deleted_at=None).first()
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


def _name(user: Any) -> str:
    return user.get_username() if user else follower.NOBODY


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
