"""A command of ours as it is to be typed here."""

import os
import shlex
import shutil
import sys

from django.conf import settings


def of(command: str) -> str:
    """`python manage.py COMMAND`, with this interpreter, from the current directory."""
    program = [_interpreter(), _shorter(str(settings.BASE_DIR / "manage.py")), command]
    return " ".join(shlex.quote(word) for word in program)


def _interpreter() -> str:
    """The one that runs us: another one may lack what we need."""
    own = sys.executable or "python"
    name = os.path.basename(own)
    return name if shutil.which(name) == own else _shorter(own)


def _shorter(path: str) -> str:
    """The path, or the way there from the current directory if that is shorter."""
    try:
        return min(path, os.path.relpath(path), key=len)
    except OSError:
        return path  # the current directory is gone
