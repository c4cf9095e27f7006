"""What a model is told: the blueprint's prompt, and the working state between clear marks."""

import re
from collections.abc import Sequence

from langchain_core.messages import HumanMessage, SystemMessage

from runtime.nodes.state import Message, State
from runtime.nodes.step import Node, Step, iteration

# For a node whose blueprint says nothing: providers refuse an empty system message.
_UNSTATED = {
    "draft": "You write the draft that a council works on.",
    "critic": "You judge a draft strictly and fairly, and say what would make it better.",
    "writer": "You give a finished draft its final form.",
}
_MARKS = re.compile(r"<(?=/?(?:topic|draft|feedback)\b)")


def system(step: Step) -> SystemMessage:
    """The blueprint's prompt. Beside it, unseen by providers, what the demo model needs."""
    node, state = step.node, step.state
    return SystemMessage(
        content=node.system_prompt.strip() or _UNSTATED[node.kind],
        additional_kwargs={
            "kind": node.kind,
            "iteration": iteration(node, state),
            "topic": state["input_topic"],
        },
    )


def human(step: Step, task: str) -> HumanMessage:
    """The topic, the drafts and the feedback so far, and what to do with them."""
    state = step.state
    parts = [marked("topic", state["input_topic"]), *_drafts(step.node, state)]
    parts += [
        marked("feedback", text, f' round="{number}"')
        for number, text in enumerate(state["feedback_history"], 1)
    ]
    return HumanMessage(content="\n\n".join([*parts, task]))


def _drafts(node: Node, state: State) -> list[str]:
    joined = _joined(node, state["messages"])
    if len(joined) > 1:
        return [marked("draft", each["content"], f' by="{each["node"]}"') for each in joined]
    return [marked("draft", state["current_draft"])] if state["current_draft"] else []


def _joined(node: Node, messages: Sequence[Message]) -> list[Message]:
    """What the branches that join in a node have written since it was there last.

    A critic's words are feedback, not a draft.
    """
    newest: dict[str, Message] = {}
    for message in messages:
        if message["node"] == node.id:
            newest.clear()
        elif message["role"] != "critic":
            newest[message["node"]] = message
    return [newest[name] for name in node.joins if name in newest]


def marked(mark: str, text: str, about: str = "") -> str:
    """A text between marks. Marks of ours within it are taken apart: it cannot end itself."""
    return f"<{mark}{about}>\n{_MARKS.sub('< ', text)}\n</{mark}>"
