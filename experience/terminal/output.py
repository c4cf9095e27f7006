"""What is printed for programs, and beside it for people."""

import os
import sys


def line(text: str) -> bool:
    """Print a line to standard output. Whether anybody still reads: `| head` leaves early."""
    try:
        print(text, flush=True)  # noqa: T201
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return False
    return True


def note(sentence: str) -> None:
    """Say something that is not part of what is shown, on standard error."""
    print(sentence, file=sys.stderr)  # noqa: T201
