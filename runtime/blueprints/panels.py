"""What is wrong with how answers come to those who join them: reviews, votes, chairs."""

from collections.abc import Iterator, Sequence

from runtime import nodes as kinds
from runtime.blueprints.document import Node
from runtime.blueprints.graph import Graph
from runtime.blueprints.reading import Fault

ANSWER, VOTE = "answer", "vote"


def faults(nodes: Sequence[Node], graph: Graph) -> Iterator[Fault]:
    """The nodes and the edges between them could all be read."""
    for node in nodes:
        if "quorum" in kinds.KINDS[graph.kinds[node.id]].settings.model_fields:
            answers = _answers_before(graph, node.id)
            yield from _of_joiner(node, graph, answers)
            if graph.kinds[node.id] == VOTE:
                yield from _open(node, [each for each in nodes if each.id in answers])


def _answers_before(graph: Graph, node: str) -> list[str]:
    return [
        name
        for name, kind in graph.kinds.items()
        if kind == ANSWER and name != node and node in graph.reachable([name])
    ]


def _open(vote: Node, answers: Sequence[Node]) -> Iterator[Fault]:
    """Opinions in free words cannot be counted."""
    for answer in answers:
        if not (answer.settings.get("closed") or answer.settings.get("choices")):
            message = (
                f"Node {vote.id} counts choices, and answer {answer.id} makes none; set its "
                "`closed`, or state `choices`."
            )
            yield Fault("open_answer", message, node=answer.id, field="settings.closed")


def _of_joiner(node: Node, graph: Graph, answers: list[str]) -> Iterator[Fault]:
    kind = graph.kinds[node.id]
    if not answers:
        message = f"No answer leads to node {node.id}, a {kind}; lead edges of answers to it."
        yield Fault("no_answers", message, node=node.id)
        return
    quorum = node.settings.get("quorum")
    if isinstance(quorum, int) and quorum > len(answers):
        message = (
            f"The quorum of node {node.id} can never be met, for {len(answers)} answers lead "
            "to it; lower it or leave it out."
        )
        yield Fault("quorum_too_large", message, node=node.id, field="settings.quorum")
    own = node.settings.get("own")
    if "own" in kinds.KINDS[kind].settings.model_fields and own and own not in answers:
        message = (
            f"The own answer of node {node.id} is none that leads to it; use one of "
            f"{', '.join(answers)}."
        )
        yield Fault("unknown_own_answer", message, node=node.id, field="settings.own")
