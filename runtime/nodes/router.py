"""A router node: chooses how the run goes on, among the conditions of its own edges."""

from pydantic import BaseModel, Field

from runtime import errors
from runtime.nodes import asking, ballots, objects, prompt
from runtime.nodes.kind import Kind, iteration
from runtime.nodes.state import Message
from runtime.nodes.step import Result, Step

_TASK = (
    "Choose how to go on. Give your reason first, in a sentence or two, then your choice: "
    '{choices}. Answer with one JSON object, nothing else: {{"reason": "…", "choice": "…"}}'
)
_AGAIN = (
    "Your choice could not be read: {reason} Answer once more with one JSON object, nothing "
    'else: {"reason": "…", "choice": "…"}'
)


class Way(BaseModel):
    """How to go on."""

    # In this order: a model that has to give its reason first chooses better.
    reason: str = Field(description="Why, in a sentence or two.")
    choice: str = Field(description="One of the choices, as it is written.")


async def router(step: Step) -> Result:
    """Choose one of the conditions of the node's edges.

    Raises errors.Fault `router_unreadable` when two answers in a row chose none of them.
    """
    ways = list(step.node.choices)
    stated = ", or ".join(f'"{way}"' for way in ways)
    messages = [
        prompt.system(step, choices=ways),
        prompt.human(step, _TASK.format(choices=stated)),
    ]
    try:
        way, replies = await asking.until_read(
            step,
            messages,
            lambda text: _read(text, ways),
            objects.Unreadable,
            again=_AGAIN,
            schema=Way,
            shown=["reason"],
        )
    except objects.Unreadable as problem:
        sentence = f"The router answered twice without a choice that there is: {problem}"
        raise errors.Fault("router_unreadable", sentence) from problem
    said = Message(
        node=step.node.id,
        role=step.node.kind,
        content=way.reason,
        iteration=iteration(step.node, step.state),
    )
    updates = {"decisions": {step.node.id: way.choice}, "messages": [said]}
    return asking.result(replies, updates, {"decision": way.choice, "reason": way.reason})


def _read(text: str, ways: list[str]) -> Way:
    way = objects.read(text, Way)
    # Two conditions may differ in case alone; then only the very word will do.
    meant = way.choice if way.choice in ways else ballots.among(way.choice, ways)
    if meant is None:
        raise objects.Unreadable("its `choice` is none of those there are.")
    return way.model_copy(update={"choice": meant})


KIND = Kind(
    "router",
    router,
    prompt="You decide how a council goes on, by what its work needs next.",
    decides="edges",
    summary="chooses one of its edges, with a reason",
    retells=True,
)
