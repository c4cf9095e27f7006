"""Limits as they are written on the command line: `calls=20 cost=0.5`."""

from collections.abc import Iterable, Mapping
from typing import Any

from runtime import budgets, errors


def one(word: str) -> tuple[str, int | float]:
    """Name and value of `NAME=VALUE`. Raises ValueError, saying what is wrong."""
    name, _, value = word.partition("=")
    if name not in budgets.LIMITS:
        raise ValueError(f"{name!r} is no limit; there are {', '.join(budgets.LIMITS)}")
    try:
        number = _number(value)
        budgets.checked({name: number})
    except (ValueError, errors.LimitsInvalid) as error:
        whole = "" if name in ("seconds", "cost") else "whole "
        raise ValueError(f"{name} is a positive {whole}number, not {value!r}") from error
    return name, number


def _number(text: str) -> int | float:
    return int(text) if text.lstrip("+").isdecimal() else float(text)


def several(words: Iterable[str]) -> dict[str, int | float]:
    """All of them; of one that is stated twice, the last. Raises ValueError."""
    return dict(map(one, words))


def written(limits: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in limits.items())
