"""What a model is told: the blueprint's prompt, and the working state between clear marks."""

import re
import zlib
from collections.abc import Callable, Sequence
from typing import Any

from langchain_core.messages import HumanMessage, SystemMessage

from runtime.nodes import members
from runtime.nodes.kind import KINDS, iteration
from runtime.nodes.state import Message, State
from runtime.nodes.step import Node, Step, Turn

_MARKS = re.compile(
    r"<(?=/?(?:topic|draft|feedback|answer|review|conversation|said)\b)", re.IGNORECASE
)
_VARIABLE = re.compile(r"\{\{[ \t]*([A-Za-z_]\w*)[ \t]*\}\}")
_NONE_YET = "none yet"
# What is said, but is no draft.
_REMARKS = frozenset({"critic", "review", "router", "handoff"})
_BEFORE = (
    "What was said before, the oldest first. Go by it where the topic refers to it; a question "
    "that nothing follows was not answered."
)
_LEFT_OUT = "What was said still earlier is left out here, for its length."


def system(
    step: Step,
    *,
    draft: str | None = None,
    clean: Callable[[str], str] = str,
    **hints: Any,
) -> SystemMessage:
    """The blueprint's prompt, with the values of its variables.

    `draft` is what the node is to take for the current draft, `clean` goes over what others
    have said. Beside it, unseen by providers, what the demo model needs.
    """
    node, state = step.node, step.state
    values = _values(state, state["current_draft"] if draft is None else draft, clean)
    stated = node.system_prompt.strip() or KINDS[node.kind].prompt

    def value(found: re.Match[str]) -> str:
        return values.get(found[1], found[0])

    return SystemMessage(
        content=_VARIABLE.sub(value, stated),
        additional_kwargs={
            "kind": node.kind,
            "iteration": iteration(node, state),
            "topic": state["input_topic"],
            "member": _number(node.id),
            **hints,
        },
    )


def _number(name: str) -> int:
    """By which the scripted members differ: of `answer_2` it is 2."""
    found = re.search(r"[0-9]{1,6}\Z", name)
    return int(found[0]) if found else zlib.crc32(name.encode())


def variables(text: str) -> set[str]:
    """The names of variables in a prompt that there are not. Single braces mean nothing."""
    return set(_VARIABLE.findall(text)) - VARIABLES


def _values(state: State, draft: str, clean: Callable[[str], str]) -> dict[str, str]:
    """What each variable stands for. What somebody wrote stands between marks."""
    rounds = [clean(text) for text in state["feedback_history"]]
    score = state["critic_score"]
    values = {
        "input_topic": marked("topic", state["input_topic"]),
        "current_draft": marked("draft", clean(draft) or _NONE_YET),
        "feedback_history": "\n\n".join(feedback(rounds)) or marked("feedback", _NONE_YET),
        "iteration_count": str(state["iteration_count"]),
        "critic_score": _NONE_YET if score is None else f"{score:g}",
    }
    return values | {short: values[name] for short, name in _SHORT_NAMES.items()}


_SHORT_NAMES = {
    "topic": "input_topic",
    "draft": "current_draft",
    "feedback": "feedback_history",
}
VARIABLES = frozenset(
    {"input_topic", "current_draft", "feedback_history", "iteration_count", "critic_score"}
).union(_SHORT_NAMES)


def human(step: Step, task: str) -> HumanMessage:
    """The topic, the drafts and the feedback so far, and what to do with them."""
    state = step.state
    return together(
        topic(step), *_drafts(step.node, state), *feedback(state["feedback_history"]), task
    )


def topic(step: Step, clean: Callable[[str], str] = str) -> str:
    """The topic between marks, after what was said in the conversation before.

    `clean` goes over what others have answered there.
    """
    stated = marked("topic", step.state["input_topic"])
    if not step.history and step.is_history_whole:
        return stated
    said = [mark for turn in step.history for mark in _said(turn, clean)]
    lines = [_BEFORE, *([] if step.is_history_whole else [_LEFT_OUT]), *said]
    told = "\n".join(lines)
    return f"<conversation>\n{told}\n</conversation>\n\n{stated}"


def _said(turn: Turn, clean: Callable[[str], str]) -> list[str]:
    answered = clean(turn.answered)
    return [
        marked("said", turn.asked, ' by="user"'),
        *([marked("said", answered, f' by="{_name(turn.by)}"')] if answered else []),
    ]


def _name(text: str) -> str:
    """A name on one line that cannot end the quotes around it."""
    return " ".join(re.sub(r'[<>"]', " ", text).split())


def together(*parts: str) -> HumanMessage:
    """One message of these parts; empty ones are left out."""
    return HumanMessage(content="\n\n".join(part for part in parts if part))


def feedback(rounds: Sequence[str]) -> list[str]:
    """The feedback of each round between marks."""
    return [
        marked("feedback", text, f' round="{number}"') for number, text in enumerate(rounds, 1)
    ]


def _drafts(node: Node, state: State) -> list[str]:
    joined = _joined(node, state["messages"])
    if len(joined) > 1:
        return [marked("draft", each["content"], f' by="{each["node"]}"') for each in joined]
    return [marked("draft", state["current_draft"])] if state["current_draft"] else []


def _joined(node: Node, messages: Sequence[Message]) -> list[Message]:
    """What the branches that join in a node have written since it was there last.

    A critic's words are feedback, not a draft; a member that failed has written nothing.
    """
    newest: dict[str, Message] = {}
    for message in messages:
        if message["node"] == node.id:
            newest.clear()
        elif message["role"] not in _REMARKS:
            newest[message["node"]] = message
    there = members.newest(newest.values())
    return [there[name] for name in node.joins if name in there]


def marked(mark: str, text: str, about: str = "") -> str:
    """A text between marks. Marks of ours within it are taken apart: it cannot end itself."""
    return f"<{mark}{about}>\n{_MARKS.sub('< ', text)}\n</{mark}>"
