"""What went wrong in a call, as one of our own codes and sentences.

The libraries' exceptions carry prompts, keys and the provider's words in their messages. Of
all that only the class and the HTTP status reach the log; the sentence is ours. The exception
itself stays reachable as the fault's `__cause__`.
"""

import logging
from dataclasses import dataclass
from typing import Any

import httpx2
from langchain_core import exceptions

from runtime import errors

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Kind:
    """One way to fail: its code, whether the same call may succeed later, its sentence."""

    code: str
    transient: bool
    sentence: str


AUTH = Kind("model_auth", False, "The provider refused the key set up for {model}.")
RATE = Kind("model_rate_limited", True, "The provider of {model} takes no more calls for now.")
QUOTA = Kind("model_rate_limited", False, "The quota or credit for {model} is used up.")
NOT_FOUND = Kind("model_not_found", False, "The provider has no model {model}.")
TIMEOUT = Kind("model_timeout", True, "{model} did not answer in time.")
REFUSED = Kind("model_refused_request", False, "The provider of {model} refused the request.")
TOO_LONG = Kind("model_refused_request", False, "The text is too long for {model}.")
DECLINED = Kind("model_refused_request", False, "{model} declined to answer.")
DOWN = Kind("model_unavailable", True, "The provider of {model} had a fault of its own.")
UNREACHABLE = Kind("model_unavailable", True, "The provider of {model} cannot be reached.")
CUT = Kind("model_unavailable", True, "The answer of {model} broke off.")
GARBLED = Kind("model_unavailable", True, "The answer of {model} could not be read.")
EMPTY = Kind("model_unavailable", True, "{model} gave an empty answer.")
NO_ROOM = Kind(
    "model_unavailable", False, "{model} reached its token limit before it wrote a word."
)

_BY_STATUS = {
    401: AUTH,
    402: QUOTA,
    403: AUTH,
    404: NOT_FOUND,
    408: TIMEOUT,
    409: DOWN,
    429: RATE,
}
# The providers' own labels: `error.type` and `error.code` of both. They decide where the
# status says too little (429 for an empty purse) or nothing (an error within a stream).
_BY_LABEL = {
    "insufficient_quota": QUOTA,
    "billing_error": QUOTA,
    "billing_not_active": QUOTA,
    "context_length_exceeded": TOO_LONG,
    "request_too_large": TOO_LONG,
    "rate_limit_error": RATE,
    "rate_limit_exceeded": RATE,
    "timeout_error": TIMEOUT,
    "authentication_error": AUTH,
    "permission_error": AUTH,
    "not_found_error": NOT_FOUND,
    "model_not_found": NOT_FOUND,
}
# An invalid request is labelled so generally that a more exact label must be able to win.
_BY_VAGUE_LABEL = {"invalid_request_error": REFUSED}
# What a client raises over an answer that is not what its protocol says.
_DATA_ERRORS = (ValueError, TypeError, LookupError, AttributeError, AssertionError)


def fault(kind: Kind, model: str) -> errors.ModelFault:
    """The fault of this kind, for a call of `provider:model`."""
    return errors.ModelFault(
        kind.code, kind.sentence.format(model=model), transient=kind.transient
    )


def translate(problem: Exception, model: str) -> errors.ModelFault | None:
    """The fault behind a provider library's exception; None for what is a bug of ours."""
    kind = _kind(problem)
    if kind is None:
        return None
    logger.warning(
        "%s: %s (%s, HTTP status %s)", model, kind.code, type(problem).__name__, status(problem)
    )
    return fault(kind, model)


def status(problem: BaseException | None) -> int | None:
    """The HTTP status a provider answered with, if it got that far."""
    found = getattr(problem, "status_code", None)
    return found if isinstance(found, int) else None


def field(problem: BaseException | None, name: str) -> str:
    """A field of the provider's error body (`type`, `code`, `param`); empty when missing."""
    body = getattr(problem, "body", None)
    outer: dict[str, Any] = body if isinstance(body, dict) else {}
    inner = outer.get("error")
    # The OpenAI client hands over the inner object, Anthropic's the outer one.
    found = inner.get(name) if isinstance(inner, dict) else outer.get(name)
    return found if isinstance(found, str) else ""


def _kind(problem: Exception) -> Kind | None:
    if isinstance(problem, exceptions.ContextOverflowError):
        return TOO_LONG
    if isinstance(
        problem, TimeoutError | httpx2.TimeoutException | exceptions.ModelTimeoutError
    ):
        return TIMEOUT
    labelled = _labelled(problem, _BY_LABEL)
    if labelled is not None:
        return labelled
    code = status(problem)
    if code is not None and code >= 300:
        return _BY_STATUS.get(code) or (DOWN if code >= 500 else REFUSED)
    if hasattr(problem, "body"):  # an error object within a stream that began well
        return _labelled(problem, _BY_VAGUE_LABEL) or _of_transport(problem) or DOWN
    return _of_transport(problem)


def _labelled(problem: Exception, table: dict[str, Kind]) -> Kind | None:
    return table.get(field(problem, "code")) or table.get(field(problem, "type"))


def _of_transport(problem: Exception) -> Kind | None:
    if isinstance(problem, httpx2.RemoteProtocolError | httpx2.ReadError):
        return CUT
    if isinstance(problem, exceptions.ModelConnectionError):
        # The OpenAI client wraps both, a refused connection and a cut stream.
        return CUT if _is_cut(problem) else UNREACHABLE
    if isinstance(problem, httpx2.HTTPError | OSError):
        return UNREACHABLE
    if isinstance(problem, _DATA_ERRORS):
        return GARBLED
    return None


def _is_cut(problem: BaseException) -> bool:
    cause: BaseException | None = problem
    while cause is not None:
        if isinstance(cause, httpx2.RemoteProtocolError | httpx2.ReadError):
            return True
        cause = cause.__cause__
    return False
