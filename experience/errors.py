"""Refusals as HTTP: the one table of codes, and the one envelope."""

import logging
from typing import Any

from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import exception_handler

from runtime import errors

logger = logging.getLogger(__name__)

STATUS = {
    "run_not_found": 404,
    "blueprint_not_found": 404,
    "run_finished": 409,
    "idempotency_conflict": 409,
    "input_invalid": 400,
    "blueprint_invalid": 400,
    "model_unknown": 400,
    "model_not_configured": 409,
    "token_name_taken": 409,
    "token_not_found": 404,
}


def envelope(code: str, message: str, detail: Any = None) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "detail": detail or {}}}


def answer(error: Exception, context: dict[str, Any]) -> Response | None:
    """REST framework's exception handler: refusals and its own errors, in one shape."""
    if isinstance(error, errors.Refusal):
        body = envelope(error.code, str(error), dict(error.detail))
        return Response(body, status=STATUS.get(error.code, 400))
    response = exception_handler(error, context)
    if response is not None:
        response.data = _from_framework(error, response.data)
    return response


def _from_framework(error: Exception, data: Any) -> dict[str, Any]:
    if isinstance(error, exceptions.ValidationError):
        return envelope("input_invalid", "The request is not valid; see detail.", data)
    code = getattr(error, "default_code", "not_found")
    message = data.get("detail", "") if isinstance(data, dict) else ""
    return envelope(str(code), str(message))
