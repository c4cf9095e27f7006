"""What holds for every HTTP request: it has an id, and leaves one line in the access log."""

import contextlib
import logging
import re
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any
from uuid import uuid4

from asgiref.sync import iscoroutinefunction
from django.conf import settings
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponseBase
from django.utils.decorators import sync_and_async_middleware
from django.utils.functional import SimpleLazyObject, empty

from experience import metrics
from runtime import logs

access = logging.getLogger("councilos.access")

# An id from outside is taken if it can do no harm in a log or a header.
_SANE = re.compile(r"[A-Za-z0-9._-]{1,64}")
LONGEST_PATH = 200

Answer = Callable[[HttpRequest], Any]


@sync_and_async_middleware
def identify(get_response: Answer) -> Answer:
    """Give each request an id and say in every log line whose it is. The first middleware.

    The id is the request's `X-Request-ID` if that is sane, else a new one; the answer has it
    in its `X-Request-ID`.
    """
    return (
        _under_asgi(get_response) if iscoroutinefunction(get_response) else _plain(get_response)
    )


def _plain(get_response: Callable[[HttpRequest], HttpResponseBase]) -> Answer:
    def answer(request: HttpRequest) -> HttpResponseBase:
        begun = time.monotonic()
        with _told(request) as request_id:
            return _finish(request, get_response(request), begun, request_id)

    return answer


def _under_asgi(get_response: Callable[[HttpRequest], Awaitable[HttpResponseBase]]) -> Answer:
    async def answer(request: HttpRequest) -> HttpResponseBase:
        begun = time.monotonic()
        with _told(request) as request_id:
            return _finish(request, await get_response(request), begun, request_id)

    return answer


@contextlib.contextmanager
def _told(request: HttpRequest) -> Iterator[str]:
    """Bind the request's ids; gives the first."""
    ids = _ids(request)
    vars(request)[logs.OF_REQUEST] = ids
    if isinstance(request, ASGIRequest):
        # To the end of the task, which is this request's: a stream is sent after we return.
        logs.bind(**ids)
        yield ids["request_id"]
        return
    with logs.bound(**ids):
        yield ids["request_id"]


def _ids(request: HttpRequest) -> dict[str, Any]:
    """Whose the request is. All but the first is known only when somebody has looked."""
    stated = request.headers.get("X-Request-ID", "")

    def in_address(name: str) -> Callable[[], object]:
        return lambda: request.resolver_match and request.resolver_match.kwargs.get(name)

    return {
        "request_id": stated if _SANE.fullmatch(stated) else uuid4().hex,
        "user_id": lambda: _user_id(request),
        "conversation_id": in_address("conversation_id"),
        "run_id": in_address("run_id"),
    }


def _user_id(request: HttpRequest) -> object:
    """Who is signed in, if that was looked up already: a log line asks no database."""
    user = getattr(request, "user", None)
    if isinstance(user, SimpleLazyObject) and vars(user).get("_wrapped") is empty:
        return None
    return getattr(user, "pk", None)


def _finish(
    request: HttpRequest, response: HttpResponseBase, begun: float, request_id: str
) -> HttpResponseBase:
    response["X-Request-ID"] = request_id
    metrics.answered(request.method or "", response.status_code)
    if request.path not in settings.ACCESS_LOG_SKIPS:
        _note(request, response, begun)
    return response


def _note(request: HttpRequest, response: HttpResponseBase, begun: float) -> None:
    """The line. Without the query: it may hold a ticket."""
    line = {
        "method": request.method,
        "path": request.path[:LONGEST_PATH],
        "status": response.status_code,
        "ms": round((time.monotonic() - begun) * 1000),
    }
    access.info("%(method)s %(path)s %(status)s %(ms)s ms", line, extra=line)
