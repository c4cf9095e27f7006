"""What the routes share: the error envelope, and who asks."""

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


ERRORS = {400: Problem, 401: Problem, 403: Problem, 404: Problem, 409: Problem}
# Of a call that starts something.
STARTING = {**ERRORS, 429: Problem}


def user(request: Request) -> AbstractBaseUser:
    """Who asks; the permission class has seen to it that it is somebody."""
    assert isinstance(request.user, AbstractBaseUser)
    return request.user
