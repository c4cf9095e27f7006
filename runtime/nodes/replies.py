"""Read a critic's answer, however the model wrote it down.

A score is read or refused, never guessed: what is missing, out of range, on another scale or
said in two ways is `Unreadable`, and the critic is asked once more.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from runtime.nodes import spoken
from runtime.nodes.objects import Unreadable

__all__ = ["Review", "Unreadable", "read_critic"]

Verdict = Literal["revise", "approve"]

_SCORE_KEYS = frozenset({"score", "critic_score", "overall_score", "final_score"})
_MOST_OBJECTS = 50  # places in a text at which a JSON object is looked for

# A label is `score`, perhaps with a word before it that makes it no other score.
_LABEL = re.compile(
    r"(?P<words>(?:(?:my|the|your|critic|overall|final|total)[\s_*]+)*)(?<![^\W_])score(?![^\W_])",
    re.IGNORECASE,
)
_WEIGHTY = re.compile(r"overall|final|total", re.IGNORECASE)
# What may stand between a label and its number: quotes, emphasis, table bars, `(0-10)`,
# a separator. A dash is a separator only if a blank follows, else it is a minus.
_GAP = re.compile(
    r"""["'“”*_`|\[\]\s]*
    (?: \([^()\n]{0,40}\) ["'*_`\s]* | out\ of\ 10 ["'*_`\s]* )?
    (?: (?: [:=–—] | -(?=[\s*_`]) | is\b ) ["'“”*_`|\[\]\s]* )?""",
    re.VERBOSE | re.IGNORECASE,
)
_NUMBER = re.compile(
    r"""(?P<number> [-−+]? [0-9]+ (?: [.,][0-9]+ )? )
    (?: [ \t"'*_`\])(]* (?: / | out\ of | of ) [ \t"'*_`(]*
        (?P<scale> [0-9]+ (?:[.,][0-9]+)? ) )?
    """,
    re.VERBOSE | re.IGNORECASE,
)
# What makes a number another one, a range, or a bound.
_SPOILED = re.compile(
    r"""[0-9A-Za-z%+/] | [.,][0-9]
    | [ \t]* (?: % | percent\b | [-–—][ \t]*[0-9] | or\b | to\b | and[ ]+[0-9] | [0-9] | / )""",
    re.VERBOSE | re.IGNORECASE,
)
_BEFORE = " \t*_`-–—"
_AROUND = " \t*_`#>\"'“”|([{-–—•"
_ALONE = re.compile(r"""["'*_`|\])., \t]*(?:\n|\Z)""")
_VERDICT = re.compile(r"verdict[\"'*_`\s]*[:=–—-][\"'*_`\s]*(?P<word>[A-Za-z]+)", re.IGNORECASE)
_LABEL_LINE = re.compile(
    r"^[\W_]*(?:(?:my|the|your|critic|overall|final|total)[\s_]+)*(?:score|verdict)\b.{0,40}$",
    re.IGNORECASE | re.MULTILINE,
)
_FEEDBACK_LABEL = re.compile(r"^[\s#>*_`-]*feedback[\s*_`]*:?[\s*_`]*", re.IGNORECASE)
_BROKEN_OBJECT = re.compile(r"\s*(?:```\w*\s*)?\{")
_FENCE = re.compile(r"^\s*```\w*\s*$", re.MULTILINE)

_NO_SCORE = "it has no score."
_TWO_SCORES = "it has more than one score."
_CUT = "it ends in the middle of the score."
_NO_NUMBER = "its score is not a plain number."
_OTHER_SCALE = "its score is not on the scale from 0 to 10."


@dataclass(frozen=True)
class Review:
    """A critic's judgement as it was read. `verdict` is None where the model gave none."""

    score: float
    verdict: Verdict | None
    feedback: str


def read_critic(answer: str | Sequence[object]) -> Review:
    """Read an answer: a text, or a list of content parts. Raises Unreadable."""
    text = answer if isinstance(answer, str) else "".join(_texts(answer))
    objects = list(_objects(text))
    prose = _without(text, [(start, end) for start, end, _ in objects])
    scored = [found for _, _, found in objects if _scores(found)]
    if scored:
        return _from_object(scored, prose)
    return _from_prose(prose, whole=text)


def _texts(parts: Sequence[object]) -> Iterator[str]:
    for part in parts:
        if isinstance(part, str):
            yield part
        elif isinstance(part, Mapping) and part.get("type", "text") == "text":
            yield str(part.get("text") or "")


# --- JSON ------------------------------------------------------------------------------


def _objects(text: str) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """The outermost JSON objects, fenced or amid prose, and where they stand."""
    decoder = json.JSONDecoder(object_pairs_hook=_unambiguous, strict=False)
    position = -1
    for _ in range(_MOST_OBJECTS):
        position = text.find("{", position + 1)
        if position < 0:
            return
        try:
            found, end = decoder.raw_decode(text, position)
        except (ValueError, RecursionError):
            continue
        # Inside something larger that is broken: its part is not the whole.
        if not text[:position].rstrip().endswith(('":', "':")):
            yield position, end, found
        position = end - 1


def _unambiguous(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = {name.strip().lower(): value for name, value in pairs}
    if len(found) < len(pairs) and not _SCORE_KEYS.isdisjoint(found):
        raise Unreadable(_TWO_SCORES)
    return found


def _scores(found: Mapping[str, Any]) -> list[Any]:
    return [found[name] for name in sorted(_SCORE_KEYS & found.keys())]


def _from_object(scored: list[dict[str, Any]], prose: str) -> Review:
    score = _the_one([_number_of(value) for found in scored for value in _scores(found)])
    found = scored[-1]
    feedback = _as_text(found.get("feedback")) or _FENCE.sub("", prose).strip()
    return Review(score, _verdict(str(found.get("verdict", ""))), feedback)


def _number_of(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise Unreadable(_NO_NUMBER)
    if isinstance(value, str):
        text = value.strip()
        found = _NUMBER.match(text)
        if found is None or found.end() != len(text):
            raise Unreadable(_NO_NUMBER)
        return _score_of(found)
    return _in_range(value)


def _as_text(value: object) -> str:
    if isinstance(value, list):
        return "\n".join(str(item) for item in value).strip()
    return value.strip() if isinstance(value, str) else ""


# --- prose -----------------------------------------------------------------------------


def _from_prose(prose: str, *, whole: str) -> Review:
    labelled = list(_labelled(prose))
    weighty = [score for score, is_weighty in labelled if is_weighty]
    score = _the_one(weighty or [score for score, _ in labelled] or list(_alone(prose)))
    verdict = _VERDICT.search(whole)
    return Review(score, _verdict(verdict["word"] if verdict else ""), _remarks(prose))


def _labelled(text: str) -> Iterator[tuple[float, bool]]:
    """Every `score: n` that is not the score of something else, and whether it is final."""
    for label in _LABEL.finditer(text):
        line = text[text.rfind("\n", 0, label.start()) + 1 : label.start()]
        before = line.rstrip(_BEFORE)
        if before and before[-1].isalnum():
            continue  # "clarity score", "the required score", "a score"
        if _open_braces(text[: label.start()]) > 1:
            continue  # the same within broken JSON
        gap = _GAP.match(text, label.end())
        found = _NUMBER.match(text, gap.end()) if gap else None
        if gap is None or found is None:
            continue
        if "\n" in gap[0] and not found["scale"] and not _ALONE.match(text, found.end()):
            continue  # the first item of a list below a heading
        _check_end(text, found)
        yield _score_of(found), bool(_WEIGHTY.search(label["words"]))


def _check_end(text: str, found: re.Match[str]) -> None:
    if _SPOILED.match(text, found.end()):
        raise Unreadable(_NO_NUMBER)
    if _open_braces(text[: found.start()]) and not text[found.end() :].strip(" \t\n.,"):
        raise Unreadable(_CUT)


def _open_braces(text: str) -> int:
    return text.count("{") - text.count("}")


def _alone(text: str) -> Iterator[float]:
    """Every line that is `n/10` and nothing else."""
    for line in text.splitlines():
        found = _NUMBER.match(line.strip(_AROUND))
        if found and found["scale"] and _ALONE.match(found.string, found.end()):
            yield _score_of(found)


def _remarks(text: str) -> str:
    if _BROKEN_OBJECT.match(text):
        said: list[str] = []
        spoken.Fields(said.append, "feedback").hear(text)
        return "".join(said).strip()
    return _FEEDBACK_LABEL.sub("", _LABEL_LINE.sub("", text).strip()).strip()


# --- both ------------------------------------------------------------------------------


def _score_of(found: re.Match[str]) -> float:
    number, scale = found["number"], found["scale"]
    if scale is not None and float(scale.replace(",", ".")) != 10:
        raise Unreadable(_OTHER_SCALE)
    if "," in number and len(number.rpartition(",")[2]) > 2:
        raise Unreadable(_NO_NUMBER)  # 1,000 may be one or a thousand
    return _in_range(float(number.replace(",", ".").replace("−", "-")))


def _in_range(number: float) -> float:
    if not (math.isfinite(number) and 0 <= number <= 10):
        raise Unreadable(_OTHER_SCALE)
    return float(number)


def _the_one(scores: list[float]) -> float:
    if not scores:
        raise Unreadable(_NO_SCORE)
    if len(set(scores)) > 1:
        raise Unreadable(_TWO_SCORES)
    return scores[0]


def _verdict(word: str) -> Verdict | None:
    said = word.strip().lower()
    if said.startswith(("approv", "accept")):
        return "approve"
    return "revise" if said.startswith(("revis", "reject")) else None


def _without(text: str, spans: Sequence[tuple[int, int]]) -> str:
    kept, position = [], 0
    for start, end in spans:
        kept.append(text[position:start])
        position = end
    return "".join([*kept, text[position:]])
