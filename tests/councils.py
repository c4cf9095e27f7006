"""Blueprints written in a line, and their runs without a model, for tests.

`document("d > k", "k revise> d", "k approve> w")`: what a node is, its first letter says (d a
draft, k a critic, w a writer); nodes stand in the document in the order they are named.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langgraph.checkpoint.memory import InMemorySaver

from runtime import blueprints, nodes

KINDS = {"d": "draft", "k": "critic", "w": "writer"}
Decide = Callable[[str, int], str]


def document(*edges: str, entries: Sequence[str] = (), **settings: Any) -> dict[str, Any]:
    """A blueprint document; `settings` are by node."""
    parts = [edge.replace(">", " > ").split() for edge in edges]
    names = dict.fromkeys(name for part in parts for name in (part[0], part[-1]) if name)
    return {
        "version": 1,
        "name": "A council",
        "nodes": [node(name, name in entries, settings.get(name, {})) for name in names],
        "edges": [edge(part) for part in parts if ">" in part],
    }


def node(name: str, entry: bool = False, settings: Mapping[str, Any] = {}) -> dict[str, Any]:
    return {
        "id": name,
        "label": name,
        "kind": KINDS[name[0]],
        "entry": entry,
        "systemPrompt": f"You are {name}.",
        "model": "",
        "tools": {"webSearch": False, "pdfReader": False},
        "position": {"x": 0, "y": 0},
        "settings": dict(settings),
    }


def edge(part: Sequence[str]) -> dict[str, Any]:
    source, *condition, _, target = part
    kind = (
        {"type": "conditional", "condition": condition[0]} if condition else {"type": "linear"}
    )
    return {
        "id": "-".join([source, *condition, target]),
        "source": source,
        "target": target,
    } | kind


@dataclass
class Told:
    """What happened in a run."""

    nodes: list[str] = field(default_factory=list)
    joins: dict[str, tuple[str, ...]] = field(default_factory=dict)
    state: Mapping[str, Any] = field(default_factory=dict)
    waiting: list[str] = field(default_factory=list)
    """The joins of which a part had come when the run was over."""

    def of(self, name: str) -> int:
        return self.nodes.count(name)


async def run(
    blueprint: Mapping[str, Any], decide: Decide = lambda critic, turn: "approve"
) -> Told:
    """Run a blueprint with nodes that take no time. `decide` stands for the critics' scores."""
    told = Told()

    async def run_node(
        node: nodes.Node, state: nodes.State, task: str, tries: int
    ) -> dict[str, Any]:
        told.nodes.append(node.id)
        told.joins[node.id] = node.joins
        number = nodes.iteration(node, state)
        if node.kind != "critic":
            return {"iteration_count": number, "current_draft": node.id}
        return {
            "rounds_reviewed": number,
            "first_judged": {node.id: number},
            "route_decision": decide(node.id, told.of(node.id)),
        }

    saver = InMemorySaver()
    graph = blueprints.compile(
        blueprints.parse(blueprint), run_node, checkpointer=saver, max_tries=1, first_wait=0.0
    )
    config: Any = {"configurable": {"thread_id": "1"}, "recursion_limit": 500}
    told.state = await graph.ainvoke(nodes.initial_state("1", "a topic"), config)
    last = saver.get_tuple(config)
    assert last is not None
    values = last.checkpoint["channel_values"]
    told.waiting = [name for name, seen in values.items() if name.startswith("join:") and seen]
    return told


def revising(times: int) -> Decide:
    """Every critic sends back so often, then approves."""
    return lambda critic, turn: "revise" if turn <= times else "approve"
