"""The command line of `manage.py council`."""

import argparse
from collections.abc import Callable, Sequence
from typing import Any

from django.core.management.base import CommandParser

from experience.terminal import limits
from runtime import models, shipped

RUN = "run"
LISTED = 20


def add_actions(parser: CommandParser) -> None:
    """What it can be asked to do, each with its own options."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, (add, sentence) in ACTIONS.items():
        action = actions.add_parser(name, help=sentence, description=sentence)
        _add_django(action, argparse.SUPPRESS)
        add(action)


def with_action(args: Sequence[str]) -> list[str]:
    """The arguments with the action that they leave out: a topic is to be run."""
    django = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    _add_django(django, None)
    _known, rest = django.parse_known_args(list(args))
    first = rest[0] if rest else ""
    if first in ACTIONS or first in ("-h", "--help", "--version"):
        return list(args)
    return [RUN, *args]


def _add_django(parser: argparse.ArgumentParser, default: Any) -> None:
    """The options that all commands of Django have; so they may stand at any place."""
    for name in ("--settings", "--pythonpath"):
        parser.add_argument(name, default=default, help=argparse.SUPPRESS)
    for name in ("--traceback", "--no-color", "--force-color", "--skip-checks"):
        parser.add_argument(name, action="store_true", default=default, help=argparse.SUPPRESS)
    parser.add_argument("-v", "--verbosity", type=int, default=default, help=argparse.SUPPRESS)


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
