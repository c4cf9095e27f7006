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


class Asked(serializers.Serializer[Any]):
    """A request. Fields that are not known are left alone, unless they look misspelled: nobody
    should believe that a run waits for them because they wrote `godmode`."""

    def to_internal_value(self, data: Any) -> Any:
        known = list(self.fields)
        for name in set(data) - set(known) if isinstance(data, dict) else ():
            if close := difflib.get_close_matches(str(name), known, n=1, cutoff=0.8):
                raise serializers.ValidationError({name: [f"Do you mean {close[0]}?"]})
        return super().to_internal_value(data)


ERRORS = {400: Problem, 401: Problem, 403: Problem, 404: Problem, 409: Problem}
# Of a call that starts something.
STARTING = {**ERRORS, 429: Problem}


def user(request: Request) -> AbstractBaseUser:
    """Who asks; the permission class has seen to it that it is somebody."""
    assert isinstance(request.user, AbstractBaseUser)
    return request.user
