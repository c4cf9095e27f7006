"""How log lines look, and whose they are.

Everybody logs with the standard library. What a line belongs to (a request, a user, a
conversation, a run) is bound around the work, not written into each message. No line carries
a text that a person or a model wrote, a token or a key: so an exception is told by its class
and the places it went through, and by its own words only where those cannot quote anything.
"""

import logging
import re
import traceback
from collections.abc import Callable, MutableMapping
from contextlib import AbstractContextManager
from typing import Any

import psycopg
import structlog
from django.db import utils

# What a line may say of whom it belongs to, in this order.
IDS = ("request_id", "user_id", "conversation_id", "run_id")
# What the access line says beside that.
ACCESS = ("method", "path", "status", "ms")
# Where a request carries its own, for what Django says of it when all is over.
OF_REQUEST = "log_ids"
# Exceptions that speak of code or of a server, not of the values that it works on.
_DISCREET = (
    AttributeError,
    ImportError,
    NameError,
    NotImplementedError,
    OSError,
    RecursionError,
    *(psycopg.OperationalError, psycopg.InterfaceError),
    *(utils.OperationalError, utils.InterfaceError),
)
# A chain of causes that is longer than this says nothing new.
_LONGEST_CHAIN = 10
_CODE = re.compile(r"[\w.-]{1,60}")

Line = MutableMapping[str, Any]
Id = object | Callable[[], object]


def bound(**ids: Id) -> AbstractContextManager[None]:
    """Say of all lines that are logged in here whose they are.

    The names are those of IDS; another is a TypeError. A value may be a callable, for what
    is known only later; None and "" say nothing. It holds in tasks and threads begun in here,
    too, as context variables do.
    """
    _check(ids)
    return structlog.contextvars.bound_contextvars(**ids)


def bind(**ids: Id) -> None:
    """`bound`, to the end of the present task (or thread): for a task that is all of one."""
    _check(ids)
    structlog.contextvars.bind_contextvars(**ids)


def _check(ids: MutableMapping[str, Id]) -> None:
    if strange := ids.keys() - set(IDS):
        raise TypeError(f"not the name of an id: {', '.join(sorted(strange))}")


# --- rendering, for the logging configuration --------------------------------------------


def plain() -> logging.Formatter:
    """One line for a person: time, level, logger, message, and the ids that are known."""
    return _formatter(_as_text)


def json() -> logging.Formatter:
    """One line for a program: a JSON object."""
    return _formatter(
        structlog.processors.EventRenamer("message"),
        structlog.processors.JSONRenderer(ensure_ascii=False, default=str),
    )


def _formatter(*last: Any) -> logging.Formatter:
    return _Formatter(
        foreign_pre_chain=[_head, _ids, _exception],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
    )


class _Formatter(structlog.stdlib.ProcessorFormatter):
    def format(self, record: logging.LogRecord) -> str:
        record = logging.makeLogRecord(vars(record))  # as ours alone
        if isinstance(record.args, tuple):
            record.args = tuple(map(_discreet, record.args))
        if record.name == "asyncio":
            # What follows is the failed task in full, with its exception's words.
            record.msg = str(record.msg).partition("\n")[0]
        return super().format(record)


def _discreet(value: object) -> object:
    return _words(value) if isinstance(value, BaseException) else value


def _head(_logger: Any, _method: str, line: Line) -> Line:
    record: logging.LogRecord = line["_record"]
    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True, key="at")
    return stamp(_logger, _method, {"level": record.levelname, "logger": record.name, **line})


def _ids(_logger: Any, _method: str, line: Line) -> Line:
    # From the record, too (`extra=`), but no other names: Django puts the whole request there.
    stated = vars(line["_record"])
    of_request = getattr(stated.get("request"), OF_REQUEST, {})
    known = {**of_request, **structlog.contextvars.get_contextvars()}
    for name in (*IDS, *ACCESS):
        value = stated.get(name, known.get(name))
        value = value() if callable(value) else value
        if value not in (None, ""):
            line[name] = value if isinstance(value, int) else str(value)
    return line


def _exception(_logger: Any, _method: str, line: Line) -> Line:
    found = line.pop("exc_info", None)
    line.pop("stack_info", None)
    error = found[1] if isinstance(found, tuple) else None
    if error is not None:
        line["exception"] = told(error)
    return line


def told(error: BaseException) -> str:
    """A traceback without what exceptions say of the values they were raised over."""
    parts: list[str] = []
    now: BaseException | None = error
    while now is not None and len(parts) < _LONGEST_CHAIN:
        frames = traceback.format_list(traceback.extract_tb(now.__traceback__))
        inner = getattr(now, "exceptions", ()) if isinstance(now, BaseExceptionGroup) else ()
        parts.insert(0, "".join([*frames, _words(now), *(f"\n\n{told(one)}" for one in inner)]))
        now = now.__cause__ or (None if now.__suppress_context__ else now.__context__)
    return "\n\nwhich led to\n\n".join(parts)


def _words(error: BaseException) -> str:
    name = f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")
    if isinstance(error, _DISCREET):
        return f"{name}: {error}".strip()
    # PostgreSQL's own name for what is wrong, and of what: never the row.
    diagnosis = getattr(error, "diag", None)
    more = [getattr(diagnosis, part, None) for part in ("sqlstate", "constraint_name")]
    more.append(getattr(error, "code", None))
    words = (word for word in more if isinstance(word, str) and _CODE.fullmatch(word))
    return " ".join([name, *words])


def _as_text(_logger: Any, _method: str, line: Line) -> str:
    ids = "".join(f" {name}={line[name]}" for name in IDS if name in line)
    message = str(line["event"]).replace("\r", "\\r").replace("\n", "\\n")
    text = f"{line['at']} {line['level']} {line['logger']} {message}{ids}"
    return f"{text}\n{line['exception']}" if "exception" in line else text
