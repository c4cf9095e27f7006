"""What the scripted model says. Every text says so itself."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runtime.llm import examples

LABEL = "[Scripted demo model: no AI wrote this.] "
_LONGEST_TOPIC = 90  # characters of it that are quoted

_FIRST_DRAFT = (
    "{topic} deserves a careful answer. There are many aspects to it, and each of them matters "
    "in its own way. Most people agree that something should be done, and that it should be "
    "done well. A good approach begins with the goal, looks at the possibilities and then "
    "chooses among them. It is important to involve everyone, to stay flexible and to keep an "
    "eye on quality. Costs should be kept low while results should be high. With the right "
    "attitude, and with a little patience, success will follow almost by itself. In short, "
    "{topic} is worth the effort, and now is the time to begin."
)
_REVISED_DRAFT = (
    "Version {iteration} on {topic}, rewritten to answer the feedback ({feedback}). The aim "
    "comes first: one result that can be checked in six weeks, written down before anything "
    "else begins. One person owns it by name and reports every Friday.\n\nThree options are "
    "compared on cost, risk and time; the two that lose are kept on record, each with its "
    "reason. A trial with one small group runs for two weeks and is measured against today, "
    "not against hope.\n\nIf fewer than half of the group would keep it, the plan stops there "
    "and says so. If it holds, it grows group by group, and its price is stated before each "
    "step."
)
_FINAL_TEXT = (
    "{topic}: a plan in four steps.\n\n"
    "1. **Agree on one result** that can be checked in six weeks, and put it in writing.\n"
    "2. **Name one owner**, who reports every Friday in five lines.\n"
    "3. **Compare three options** on cost, risk and time, choose one, and record why the other "
    "two lost.\n"
    "4. **Try it with one small group** for two weeks and measure it against today.\n\n"
    "Should fewer than half of them want to keep it, stop, and say so openly. Should it hold, "
    "extend it group by group and state the price before each step. Small enough to begin on "
    "Monday, plain enough to judge by the end."
)
_LOW = (
    6.5,
    "revise",
    "It stays general: nobody is named, nothing can be measured, and no option is compared "
    "with another. Say who does what by when, and what would show that it failed.",
)
_HIGH = (
    8.5,
    "approve",
    "It names an owner, a date, a trial and a reason to stop. Only the wording could still be "
    "tighter.",
)
_ANSWERS = (
    "{topic} is a question of people first. Those who will have to live with the answer know "
    "best what stands in its way, and a plan that they have not shaped will be undone as soon "
    "as nobody looks. So begin by asking five of them what they would stop doing tomorrow, and "
    "stop one of these things in the first week. That costs nothing, shows that it is meant, "
    "and frees the hours that all the rest needs. Then let the same five choose the next step. "
    "The weak point of this way is its pace: it takes a month before there is much to show.",
    "{topic} should be decided by what it costs and what it saves, in hours and in money, and "
    "neither is known today. Measure for two weeks what happens now, with a plain list and "
    "nothing cleverer. Then change one thing only and measure for two weeks more. If the "
    "difference cannot be seen without statistics, it is not worth having. This way is slow to "
    "begin and quick afterwards, because nobody argues with a number that they took. "
    "Its weak point: what matters most, trust for one, does not show up in a list of hours.",
    "{topic} carries one risk that is larger than all the gains: that it cannot be taken back. "
    "So ask of every option first how it would be undone, by whom and at what price, and drop "
    "those without an answer. Among the rest take the one that teaches most for the least, and "
    "write down beforehand what would make you stop. Keep what works today running beside it "
    "until then. That is dearer at first, since two ways run side by side, and it is the weak "
    "point of this proposal. It is also why a failure would stay small.",
)
_REASONS = (
    "What can be checked speaks for it, and what speaks against it can be put right later.",
    "The gain is small but sure, and waiting would cost more than being wrong.",
    "It cannot be taken back, and nobody has yet said who would have to carry that.",
)
_STRENGTHS = (
    "It begins with something that can be done at once and names its own weak point.",
    "It says how one would find out that it is wrong, and what to do then.",
    "It is short, and every sentence of it can be acted on.",
)
_WEAKNESSES = (
    "It names no date and nobody who is responsible.",
    "It takes for granted that people will say what they think.",
    "It leaves open what the first step would cost.",
)
_JOINED = (
    "{topic}: three steps, each of which can be taken back. First, measure for two weeks what "
    "happens today, with a plain list, and ask five people who live with it what they would "
    "stop doing. Second, stop one of these things and change one thing more, beside what works "
    "now, and write down beforehand what would end the trial. Third, compare the two lists and "
    "let the same five people choose what comes next. One person answers for it by name. If "
    "the difference cannot be seen after four weeks, everything goes back to where it was."
)
_DISSENT = (
    "Whether to begin with people or with numbers stays open: asking first wins support, "
    "measuring first shows later whether it helped."
)
_WAY = "The topic asks for this more than for the rest."
_GUIDED = (
    "{topic} is a question that a guide can answer at once. Say first what you want to have in "
    "your hands at the end: a text, a number, a decision or a plan. Say next what is fixed, "
    "such as a date, a price or a person who has to agree, and what is not. With these two "
    "things the rest is soon done; without them every answer stays general, this one included. "
    "If somebody else is better placed to help, a word that tells it is enough: where an agent "
    "can be handed to and its name is in the message, this script hands over to it."
)
_HANDED_OVER = "The message has the word “{word}”, so this goes to {name}."
_KEPT = "The message names nobody else."
_USUAL_FEEDBACK = "who does what by when, and how failure would show"


@dataclass(frozen=True)
class Asked:
    """What a node asked for."""

    kind: str
    iteration: int
    topic: str
    feedback: str = ""
    member: int = 1
    choices: tuple[str, ...] = ()
    letters: tuple[str, ...] = ()
    handoffs: tuple[tuple[str, str], ...] = ()
    """Slug and name of each to whom a guide may hand over."""


def answer(asked: Asked, *, as_json: bool, form: Mapping[str, Any] | None = None) -> str:
    """The text for a node; in JSON where that is asked for.

    `form` is the JSON Schema of it. Where the script has no answer of its own in a form, it
    says its text in every place that the form has for one.
    """
    text = _TEXTS.get(asked.kind, _draft)(asked)
    if asked.kind != "critic":  # which has it in its feedback
        text = LABEL + text
    if not as_json:
        return text
    if asked.kind in _FORMS and (asked.choices or asked.kind not in ("answer", "router")):
        return json.dumps(_FORMS[asked.kind](asked))
    return json.dumps(examples.fitting(form or {}, text))


def _draft(asked: Asked) -> str:
    text = _FIRST_DRAFT if asked.iteration <= 1 else _REVISED_DRAFT
    return text.format(
        topic=_short(asked.topic),
        iteration=asked.iteration,
        feedback=_short(asked.feedback) if asked.feedback else _USUAL_FEEDBACK,
    )


def _writer(asked: Asked) -> str:
    return _FINAL_TEXT.format(topic=_short(asked.topic))


def _answer(asked: Asked) -> str:
    return _of(_ANSWERS, asked.member - 1).format(topic=_short(asked.topic))


def _guide(asked: Asked) -> str:
    return _GUIDED.format(topic=_short(asked.topic))


def _verdict(asked: Asked) -> str:
    score, verdict, feedback = _LOW if asked.iteration <= 1 else _HIGH
    return f"**SCORE:** {score}/10\n**VERDICT:** {verdict}\n**FEEDBACK:** {LABEL}{feedback}"


# --- in JSON ---------------------------------------------------------------------------


def _judged(asked: Asked) -> dict[str, Any]:
    score, verdict, feedback = _LOW if asked.iteration <= 1 else _HIGH
    return {"score": score, "verdict": verdict, "feedback": LABEL + feedback}


def _chosen(asked: Asked) -> dict[str, Any]:
    # Every third member is against it.
    choice = _of(asked.choices, 1 if asked.member % 3 == 0 else 0)
    return {"reason": LABEL + _of(_REASONS, asked.member - 1), "choice": choice}


def _assessed(asked: Asked) -> dict[str, Any]:
    found = [
        {
            "answer": letter,
            "strengths": LABEL + _of(_STRENGTHS, number + asked.member),
            "weaknesses": _of(_WEAKNESSES, number + asked.member),
        }
        for number, letter in enumerate(asked.letters)
    ]
    first = asked.member % max(1, len(asked.letters))
    return {"assessments": found, "ranking": [*asked.letters[first:], *asked.letters[:first]]}


def _joined(asked: Asked) -> dict[str, Any]:
    return {
        "text": LABEL + _JOINED.format(topic=_short(asked.topic)),
        "dissent": LABEL + _DISSENT,
    }


def _way(asked: Asked) -> dict[str, Any]:
    return {"reason": LABEL + _WAY, "choice": asked.choices[0]}


def _guided(asked: Asked) -> dict[str, Any]:
    for to, name in asked.handoffs:
        if word := _mention(asked.topic, to, name):
            return {
                "reason": LABEL + _HANDED_OVER.format(word=word, name=name),
                "handoff": to,
                "text": "",
            }
    return {"reason": LABEL + _KEPT, "handoff": "", "text": LABEL + _guide(asked)}


def _mention(message: str, slug: str, name: str) -> str:
    """The word of a message that means an agent: what its slug ends with, or its name, each
    also with an s more or less ("an insight" means `liaison.insights`)."""
    domain = slug.rpartition(".")[2].replace("_", " ")
    for stated in (domain, name):
        stem = re.escape(stated.strip().removesuffix("s"))
        found = re.search(rf"\b{stem}s?\b", message, re.IGNORECASE) if stem else None
        if found:
            return found[0]
    return ""


def _of(texts: Sequence[str], number: int) -> str:
    return texts[number % len(texts)]


def _short(text: str) -> str:
    words = " ".join(text.split()) or "This topic"
    if len(words) <= _LONGEST_TOPIC:
        return words.rstrip(".!?")
    return words[:_LONGEST_TOPIC].rsplit(" ", 1)[0].rstrip(".!?,;:") + " …"


_TEXTS: Mapping[str, Callable[[Asked], str]] = {
    "draft": _draft,
    "writer": _writer,
    "critic": _verdict,
    "answer": _answer,
    "guide": _guide,
}
_FORMS: Mapping[str, Callable[[Asked], dict[str, Any]]] = {
    "critic": _judged,
    "answer": _chosen,
    "review": _assessed,
    "synthesis": _joined,
    "router": _way,
    "guide": _guided,
}
