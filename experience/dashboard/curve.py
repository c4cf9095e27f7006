"""The scores of two runs as a picture and a table: A with circles, B with squares."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import NamedTuple

WIDTH, HEIGHT, EDGE = 340, 124, 16
# Rounds that the picture has room for at least, so that two do not stand at its ends.
LEAST = 5


class Curve(NamedTuple):
    """The scores of one critic in one run."""

    critic: str
    scores: Mapping[int, float]
    """By round, from 1."""
    threshold: float


class Point(NamedTuple):
    x: float
    y: float
    left: float
    """Of a square around it, with `top`."""
    top: float


@dataclass(frozen=True)
class Line:
    points: list[Point]

    @property
    def path(self) -> str:
        return " ".join(f"{point.x:g},{point.y:g}" for point in self.points)


@dataclass(frozen=True)
class Chart:
    """The scores of a critic of A, of one of B, or of one of each."""

    title: str
    a: Line | None
    b: Line | None
    needed: list[tuple[str, float]]
    """What is needed in words, and how far down that line lies: one, unless they differ."""
    rows: list[tuple[int, str, str]]
    """Round, and the scores of both; empty where there is none."""


def charts(a: Sequence[Curve], b: Sequence[Curve]) -> list[Chart]:
    """One for each critic, those of both runs side by side in the order of their councils."""
    return [_chart(one, other) for one, other in zip_longest(a, b)]


def _chart(a: Curve | None, b: Curve | None) -> Chart:
    both = [each for each in (a, b) if each]
    rounds = sorted({number for each in both for number in each.scores})
    columns = max(LEAST, rounds[-1])
    return Chart(
        title=" and ".join(dict.fromkeys(each.critic for each in both)),
        a=_line(a, columns),
        b=_line(b, columns),
        needed=list(_needed(a, b)),
        rows=[(number, _score(a, number), _score(b, number)) for number in rounds],
    )


def _needed(a: Curve | None, b: Curve | None) -> Iterator[tuple[str, float]]:
    if a and b and a.threshold != b.threshold:
        yield f"{a.threshold:g} needed in A", _y(a.threshold)
        yield f"{b.threshold:g} needed in B", _y(b.threshold)
    elif either := a or b:
        yield f"{either.threshold:g} needed", _y(either.threshold)


def _line(curve: Curve | None, columns: int) -> Line | None:
    if curve is None:
        return None
    step = (WIDTH - 2 * EDGE) / (columns - 1)
    spots = [(EDGE + (n - 1) * step, _y(s)) for n, s in sorted(curve.scores.items())]
    return Line([Point(round(x, 1), y, round(x - 3, 1), round(y - 3, 1)) for x, y in spots])


def _y(score: float) -> float:
    return round(HEIGHT - EDGE - score * (HEIGHT - 2 * EDGE) / 10, 1)


def _score(curve: Curve | None, number: int) -> str:
    score = curve.scores.get(number) if curve else None
    return "" if score is None else f"{score:g}"
