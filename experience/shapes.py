"""What the routes share: the error envelope, and who asks."""

import difflib
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from rest_framework import serializers
from rest_framework.request import Request


class ProblemFields(serializers.Serializer[Any]):
    code = serializers.CharField()
    message = serializers.CharField()
    detail = serializers.JSONField()


class Problem(serializers.Serializer[Any]):
    """The one error envelope."""

    error = ProblemFields()


# What JSON has for a field: by itself the framework takes 7 for a text and "yes" for true.
_TYPES: tuple[tuple[Any, Any, str], ...] = (
    ((serializers.CharField, serializers.ChoiceField, serializers.UUIDField), str, "a text"),
    (serializers.BooleanField, bool, "true or false"),
    (serializers.IntegerField, int, "a whole number"),
    (serializers.FloatField, (int, float), "a number"),
)


class Asked(serializers.Serializer[Any]):
    """A request: every value in its JSON type. Fields that are not known are left alone, unless
    they look misspelled: nobody should believe that a run waits for them because they wrote
    `godmode`."""

    def to_internal_value(self, data: Any) -> Any:
        for name, value in data.items() if isinstance(data, dict) else ():
            if complaint := self._complaint(str(name), value):
                raise serializers.ValidationError({name: [complaint]})
        return super().to_internal_value(data)

    def _complaint(self, name: str, value: Any) -> str:
        if (field := self.fields.get(name)) is None:
            close = difflib.get_close_matches(name, list(self.fields), n=1, cutoff=0.8)
            return f"Do you mean {close[0]}?" if close else ""
        for kinds, wanted, words in _TYPES:
            if isinstance(field, kinds) and value is not None:
                is_bool = isinstance(value, bool)
                is_it = isinstance(value, wanted) and is_bool == (wanted is bool)
                return "" if is_it else f"This must be {words}."
        return ""


class PageQuery(serializers.Serializer[Any]):
    limit = serializers.IntegerField(min_value=1, max_value=200, default=50)
    offset = serializers.IntegerField(min_value=0, max_value=2**31 - 1, default=0)


# What a body, and what a session without its CSRF token, may be answered.
BODY = (400, 403, 413, 415)


def problems(*statuses: int) -> dict[int, type[Problem]]:
    """The refusals of a route: these, and those that every route has."""
    return dict.fromkeys(sorted({401, 406, 503, *statuses}), Problem)


ERRORS = problems(404, 409, *BODY)
# Of a call that starts something.
STARTING = problems(404, 409, 429, *BODY)


def query(shape: type[serializers.Serializer[Any]], request: Request) -> dict[str, Any]:
    """What the query string says, checked. Raises ValidationError."""
    said = shape(data=request.query_params)
    said.is_valid(raise_exception=True)
    return dict(said.validated_data)


def page(request: Request) -> slice:
    """The part of a list that the query string asks for. Raises ValidationError."""
    asked = query(PageQuery, request)
    return slice(asked["offset"], asked["offset"] + asked["limit"])


def body(shape: type[serializers.Serializer[Any]], request: Request) -> dict[str, Any]:
    """What the body says, checked. Raises ValidationError."""
    said = shape(data=request.data)
    said.is_valid(raise_exception=True)
    return dict(said.validated_data)


def user(request: Request) -> AbstractBaseUser:
    """Who asks; the permission class has seen to it that it is somebody."""
    assert isinstance(request.user, AbstractBaseUser)
    return request.user


def trace(request: Request) -> str:
    """The W3C traceparent that the caller has sent, if it has."""
    return request.headers.get("traceparent", "")
