"""Refusals as HTTP: the one table of codes, and the one envelope."""

import logging
from io import BytesIO
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views import defaults
from rest_framework import exceptions, parsers
from rest_framework.response import Response
from rest_framework.views import exception_handler

from experience import metrics
from runtime import errors

logger = logging.getLogger(__name__)

STATUS = {
    "run_not_found": 404,
    "blueprint_not_found": 404,
    "run_finished": 409,
    "idempotency_conflict": 409,
    "idempotency_key_invalid": 400,
    "input_invalid": 400,
    "blueprint_invalid": 400,
    "blueprint_read_only": 403,
    "blueprint_conflict": 409,
    "blueprint_in_use": 409,
    "version_not_found": 404,
    "model_unknown": 400,
    "model_not_configured": 409,
    "run_read_only": 403,
    "run_not_failed": 409,
    "run_not_running": 409,
    "step_not_found": 404,
    "fork_not_possible": 409,
    "limits_invalid": 400,
    "price_unknown": 409,
    "too_many_runs": 429,
    "gate_not_found": 404,
    "gate_not_open": 409,
    "gate_answered": 409,
    "gate_ambiguous": 409,
    "gate_not_yours": 403,
    "answer_invalid": 400,
    "token_name_taken": 409,
    "token_not_found": 404,
    "ticket_not_found": 404,
    "agent_not_found": 404,
    "agent_not_yours": 403,
    "conversation_not_found": 404,
    "run_answers": 409,
    "user_inactive": 403,
    "conversation_busy": 409,
    "conversation_idle": 409,
    "too_large": 413,
    "too_many_messages": 429,
    "too_many_sockets": 429,
    "overloaded": 503,
    "message_conflict": 409,
    "project_conflict": 409,
    "sketch_not_found": 404,
    "sketch_changed": 409,
}


def envelope(code: str, message: str, detail: Any = None) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "detail": detail or {}}}


class JSONParser(parsers.JSONParser):
    """JSON of a stated size, also when somebody nests it deeper than Python can follow."""

    def parse(self, stream: Any, *args: Any, **more: Any) -> Any:
        # Django applies its limit to what it reads itself, and REST framework reads around it.
        most = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        body = stream.read(most + 1)
        if len(body) > most:
            raise RequestDataTooBig
        try:
            return super().parse(BytesIO(body), *args, **more)
        except RecursionError as error:
            raise exceptions.ParseError("The JSON is nested too deeply.") from error


def answer(error: Exception, context: dict[str, Any]) -> Response:
    """REST framework's exception handler: refusals, its own errors and mistakes of ours.

    They are JSON, whatever else the route can answer with.
    """
    response = _answer(error, context)
    response.content_type = "application/json"
    metrics.refused("rest", response.data["error"]["code"])
    return response


def _answer(error: Exception, context: dict[str, Any]) -> Response:
    if isinstance(error, errors.Refusal):
        body = envelope(error.code, str(error), dict(error.detail))
        wait = error.detail.get("retry_after")
        headers = {"Retry-After": str(wait)} if wait is not None else None
        return Response(body, status=STATUS[error.code], headers=headers)
    if isinstance(error, OperationalError | InterfaceError):
        message = "The database does not answer. Try again in a few seconds."
        return Response(envelope("unavailable", message), status=503)
    if isinstance(error, RequestDataTooBig):
        return Response(envelope("too_large", "The body is too large."), status=413)
    response = exception_handler(error, context)
    if response is None:
        return Response(_mistake(), status=500)
    response.data = _from_framework(error, response.data)
    return response


def _mistake() -> dict[str, Any]:
    """Log what is being handled, and name the entry to the caller."""
    number = uuid4().hex[:12]
    logger.exception("a mistake of ours, %s", number)
    message = "Something went wrong inside CouncilOS; its log names this number."
    return envelope("internal", message, {"number": number})


def _from_framework(error: Exception, data: Any) -> dict[str, Any]:
    if isinstance(error, exceptions.ValidationError):
        return envelope("input_invalid", "The request is not valid; see detail.", data)
    if isinstance(error, exceptions.APIException):
        return envelope(error.default_code, str(error.detail))
    if isinstance(error, PermissionDenied):
        return envelope("permission_denied", "You may not do this.")
    return envelope("not_found", "There is no such thing.")


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's 404, in the envelope below `/api/`."""
    if request.path.startswith("/api/"):
        metrics.refused("rest", "not_found")
        body = envelope("not_found", "There is no such address; see /api/docs/.")
        return JsonResponse(body, status=404)
    return defaults.page_not_found(request, exception)
