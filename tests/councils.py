"""Blueprints written in a line, and their runs without a model, for tests.

`document("d > k", "k revise> d", "k approve> w")`: what a node is, its first letter says (d a
draft, k a critic, w a writer, a an answer, v a review, s a synthesis, o a vote, r a router, g a
guide); nodes stand in the document in the order they are named.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langgraph.checkpoint.memory import InMemorySaver

from runtime import blueprints, nodes
from runtime.blueprints import compiler

KINDS = {
    "d": "draft",
    "k": "critic",
    "w": "writer",
    "a": "answer",
    "v": "review",
    "s": "synthesis",
    "o": "vote",
    "r": "router",
    "g": "guide",
}
Decide = Callable[[str, int], str]
Choose = Callable[[str, Sequence[str]], str]


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
    blueprint: Mapping[str, Any],
    decide: Decide = lambda critic, turn: "approve",
    choose: Choose = lambda router, choices: choices[0],
    ask: blueprints.Ask | None = None,
) -> Told:
    """Run a blueprint with nodes that take no time.

    `decide` stands for the critics' scores, `choose` for what the routers choose, `ask` for
    whoever is asked at the gates; without it everything is approved.
    """
    told = Told()

    async def run_node(node: nodes.Node, state: nodes.State, task: str) -> dict[str, Any]:
        told.nodes.append(node.id)
        told.joins[node.id] = node.joins
        number = nodes.iteration(node, state)
        if node.kind == "router":
            return {"decisions": {node.id: choose(node.id, node.choices)}}
        if node.kind != "critic":
            return {"iteration_count": number, "current_draft": node.id}
        decision = decide(node.id, told.of(node.id))
        return {
            "rounds_reviewed": number,
            "first_judged": {node.id: number},
            "route_decision": decision,
            "decisions": {node.id: decision},
        }

    saver = InMemorySaver()
    parsed = blueprints.parse(blueprint)
    graph = compiler.compile(parsed, run_node, ask or approve, checkpointer=saver)
    config: Any = {"configurable": {"thread_id": "1"}, "recursion_limit": 500}
    told.state = await graph.ainvoke(nodes.initial_state("1", "a topic"), config)
    last = saver.get_tuple(config)
    assert last is not None
    values = last.checkpoint["channel_values"]
    told.waiting = [name for name, seen in values.items() if name.startswith("join:") and seen]
    return told


async def approve(gate: blueprints.Gate, state: nodes.State, task: str) -> blueprints.Passage:
    """Let everything pass a gate."""
    return blueprints.Passage({})


def revising(times: int) -> Decide:
    """Every critic sends back so often, then approves."""
    return lambda critic, turn: "revise" if turn <= times else "approve"
