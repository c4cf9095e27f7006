"""Whose words they are, nobody is told: letters for names, in an order of chance.

The order follows from a seed that can be worked out again and stands in the log, so that
afterwards everybody can tell who was who.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence

from runtime.nodes.kind import iteration
from runtime.nodes.state import Message
from runtime.nodes.step import Step

MEMBER, MODEL = "[a member]", "[a model]"
# A shorter name of letters alone may be an ordinary word ("a", "pro"). Nobody but the
# blueprint calls a member by it, so as a word it tells nothing: it is struck out only where it
# is written as a name.
_SHORT = 3
_START, _END = r"(?<![^\W_])", r"(?![^\W_])"
_TITLES = ("node", "agent", "member", "expert", "author", "reviewer")
_MENTION = re.compile(
    r"\b(?P<word>answers?)\s+(?P<letters>[A-Z]{1,2}(?:(?:\s*,\s*(?:and\s+|or\s+)?|\s*[/&]\s*"
    r"|\s+(?:and|or|vs\.?|versus|than|over|to)\s+)(?:answer\s+)?[A-Z]{1,2}\b)*)\b",
    re.IGNORECASE,
)
_LETTER = re.compile(r"\b[A-Z]{1,2}\b")


def seed(step: Step) -> int:
    """The seed of a node's order: the same for the same run, node and iteration."""
    number = iteration(step.node, step.state)
    of = f"{step.state['run_id']}/{step.node.id}/{number}"
    return int.from_bytes(hashlib.sha256(of.encode()).digest()[:4])


def shuffled(messages: Iterable[Message], seed: int) -> list[Message]:
    """The messages in the order of a seed, whatever order they came in."""

    def place(message: Message) -> bytes:
        return hashlib.sha256(f"{seed}/{message['node']}".encode()).digest()

    return sorted(messages, key=place)


def letter(number: int) -> str:
    """A, B … Z, AA, AB … for 0, 1 …"""
    before, place = divmod(number, 26)
    return (letter(before - 1) if before else "") + chr(ord("A") + place)


def letters(order: Sequence[str]) -> dict[str, str]:
    """The letter of each node in an order."""
    return {node: letter(number) for number, node in enumerate(order)}


def relabelled(text: str, letters: Mapping[str, str]) -> str:
    """The text with other letters in "Answer A", "Answers A and B" and the like."""

    def one(found: re.Match[str]) -> str:
        return letters.get(found[0], found[0])

    def mention(found: re.Match[str]) -> str:
        start = found.start("letters") - found.start()
        return found[0][:start] + _LETTER.sub(one, found[0][start:])

    return _MENTION.sub(mention, text)


class Scrub:
    """Strikes the names of members, models and providers out of a text.

    It rather strikes out too much than too little: a member that is labelled "Cost" loses the
    word.
    """

    def __init__(self, step: Step) -> None:
        node, upstream = step.node, step.node.upstream
        ours = (each for each in step.state["messages"] if "model" in each)
        models = {step.model, node.model, *(each.model for each in upstream)}
        models |= {each["model"] for each in ours}
        names = {node.id, node.label, *(each.id for each in upstream)}
        names |= {each.label for each in upstream}
        self._marks = (
            (_any(part for model in models for part in _of_model(model)), MODEL),
            # Whole names have gone: what is left of one is the family alone.
            (_any(map(_family, models)), MODEL),
            (_any(map(_of_member, names)), MEMBER),
        )

    def __call__(self, text: str) -> str:
        for name, mark in self._marks:
            text = name.sub(mark, text)
        return text


def _any(patterns: Iterable[str]) -> re.Pattern[str]:
    # The longest first: "openai:gpt-4o" before "openai".
    found = sorted({each for each in patterns if each}, key=lambda each: (-len(each), each))
    return re.compile("|".join(found) or r"(?!)", re.IGNORECASE)


def _of_model(model: str) -> Iterable[str]:
    """The full name, the model, who makes and who serves it: of `openai:meta/llama3.1:8b`."""
    provider, rest = _split(model)
    yield from map(_whole, (model, rest, *rest.split("/")))
    # "Open AI", as people write it.
    yield _whole(provider).replace("openai", r"open[ -]?ai")


def _family(model: str) -> str:
    """The first word of the model, with any version: "Llama 3.1 70B", "ChatGPT-4"."""
    _, rest = _split(model)
    word = re.match(r"[^\W\d_]{3,}", rest.split("/")[-1])
    if not word:
        return ""
    version = r"(?:[ \t_./:-]?[\w.:-]*\d[\w.:-]*)?"
    return rf"{_START}(?:chat[ -]?)?{re.escape(word[0])}{version}{_END}"


def _split(model: str) -> tuple[str, str]:
    provider, _, rest = model.partition(":")
    return (provider, rest) if rest else ("", model)


def _of_member(name: str) -> str:
    if len(name) > _SHORT or not name.isalpha():
        return _whole(name)
    titles = "|".join(rf"(?<=\b{title} )" for title in _TITLES)
    quoted = rf"(?<=[\"'`*_“‘\[(<]){name}(?=[\"'`*_”’\])>])"
    signed = rf"(?<=[—–-] ){name}(?=\s*(?m:$))"
    return rf"{quoted}|(?:{titles}){name}{_END}|(?m:^){name}(?=:)|{signed}"


def _whole(name: str) -> str:
    """The name, its parts apart or together ("GPT 4o", "gpt4o"), but not within a word."""
    parts = re.findall(r"[^\W\d_]+|\d+", name)
    most = max((len(gap) for gap in re.findall(r"[\W_]+", name)), default=1)
    between = rf"[ \t_.,/:-]{{0,{most}}}"
    return _START + between.join(map(re.escape, parts)) + _END if parts else ""
