"""Answers to a page's script: what it sends is read, and refusals come in the one envelope."""

import json
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache

from experience import errors as http_errors
from runtime import errors

View = Callable[..., HttpResponse]


class NotReadable(Exception):
    """What was sent is no JSON, or not of the form that is asked for; the message says it."""


def to_script(view: View) -> View:
    """For a view that a script calls: refusals come in the one envelope."""

    @wraps(view)
    def answer(request: HttpRequest, *args: Any, **named: Any) -> HttpResponse:
        if not request.user.is_authenticated:
            return problem(401, "not_authenticated", "You are signed out. Sign in again.")
        try:
            return view(request, *args, **named)
        except errors.Refusal as error:
            status = http_errors.STATUS[error.code]
            return problem(status, error.code, str(error), error.detail)
        except NotReadable as error:
            return problem(400, "parse_error", str(error))
        except RequestDataTooBig:
            return problem(413, "too_large", "The body is too large.")
        except (OperationalError, InterfaceError):
            said = "The database does not answer. Try again in a few seconds."
            return problem(503, "unavailable", said)

    return never_cache(answer)


def problem(
    status: int, code: str, message: str, detail: Mapping[str, Any] | None = None, **more: Any
) -> JsonResponse:
    """The envelope, with `more` beside it."""
    body = http_errors.envelope(code, message, dict(detail or {}))
    return JsonResponse({**body, **more}, status=status)


def said(request: HttpRequest) -> dict[str, Any]:
    """The JSON object that was sent. Raises NotReadable."""
    found = parsed(request.body)
    if not isinstance(found, dict):
        raise NotReadable("The body is a JSON object; send one.")
    return found


def parsed(text: bytes) -> Any:
    """Raises NotReadable."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise NotReadable("The JSON is nested too deeply.") from error
    except ValueError as error:
        raise NotReadable("It is no JSON that can be read.") from error


_TYPES = {int: "a whole number", str: "a text", bool: "true or false", dict: "an object"}


def of_type(said: Mapping[str, Any], name: str, kind: type) -> Any:
    """What a field holds; None if it is not there, or null. Raises NotReadable."""
    value = said.get(name)
    if value is None or type(value) is kind:
        return value
    raise NotReadable(f"`{name}` is {_TYPES[kind]}; send one.")
