"""What the scripted model says. Every text says so itself."""

import json
from dataclasses import dataclass

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
    "else begins. One person owns it by name and reports every Friday. Three options are "
    "compared on cost, risk and time; the two that lose are kept on record, each with its "
    "reason. A trial with one small group runs for two weeks and is measured against today, "
    "not against hope. If fewer than half of the group would keep it, the plan stops there and "
    "says so. If it holds, it grows group by group, and its price is stated before each step."
)
_FINAL_TEXT = (
    "{topic}: a plan in four steps. First, agree on one result that can be checked in six "
    "weeks, and put it in writing. Second, name one owner, who reports every Friday in five "
    "lines. Third, compare three options on cost, risk and time, choose one, and record why "
    "the other two lost. Fourth, try it with one small group for two weeks and measure it "
    "against today. Should fewer than half of them want to keep it, stop, and say so openly. "
    "Should it hold, extend it group by group and state the price before each step. Small "
    "enough to begin on Monday, plain enough to judge by the end."
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
_USUAL_FEEDBACK = "who does what by when, and how failure would show"


@dataclass(frozen=True)
class Asked:
    """What a node asked for."""

    kind: str
    iteration: int
    topic: str
    feedback: str = ""


def answer(asked: Asked, *, as_json: bool) -> str:
    """The text for a node; a critic's as JSON or in words."""
    if asked.kind == "critic":
        return _review(asked, as_json=as_json)
    return LABEL + _TEXTS.get(asked.kind, _draft)(asked)


def _draft(asked: Asked) -> str:
    text = _FIRST_DRAFT if asked.iteration <= 1 else _REVISED_DRAFT
    return text.format(
        topic=_short(asked.topic),
        iteration=asked.iteration,
        feedback=_short(asked.feedback) if asked.feedback else _USUAL_FEEDBACK,
    )


def _writer(asked: Asked) -> str:
    return _FINAL_TEXT.format(topic=_short(asked.topic))


def _review(asked: Asked, *, as_json: bool) -> str:
    score, verdict, feedback = _LOW if asked.iteration <= 1 else _HIGH
    feedback = LABEL + feedback
    if as_json:
        return json.dumps({"score": score, "verdict": verdict, "feedback": feedback})
    return f"**SCORE:** {score}/10\n**VERDICT:** {verdict}\n**FEEDBACK:** {feedback}"


def _short(text: str) -> str:
    words = " ".join(text.split()) or "This topic"
    if len(words) <= _LONGEST_TOPIC:
        return words.rstrip(".!?")
    return words[:_LONGEST_TOPIC].rsplit(" ", 1)[0].rstrip(".!?,;:") + " …"


_TEXTS = {"draft": _draft, "writer": _writer}
