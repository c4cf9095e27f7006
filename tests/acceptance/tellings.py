"""Logs of runs of every kind, as the frames of the council socket, written in a few words.

The council: `d` drafts, `k` criticises (revise: back to `d`; approve: on to `w`), `w` writes.
"""

from collections.abc import Callable
from typing import Any

PLAN: dict[str, Any] = {
    "nodes": [
        {"id": "d", "label": "d", "kind": "draft"},
        {"id": "k", "label": "k", "kind": "critic", "threshold": 8, "atLimit": "continue"},
        {"id": "w", "label": "w", "kind": "writer"},
    ],
    "edges": [
        {"id": "dk", "source": "d", "target": "k", "condition": None},
        {"id": "kd", "source": "k", "target": "d", "condition": "revise"},
        {"id": "kw", "source": "k", "target": "w", "condition": "approve"},
    ],
}
# A blueprint that has this plan.
DOCUMENT: dict[str, Any] = {
    "version": 1,
    "name": "As told",
    "nodes": [{key: node[key] for key in ("id", "label", "kind")} for node in PLAN["nodes"]],
    "edges": [
        {**edge, "type": "conditional" if edge["condition"] else "linear"}
        for edge in PLAN["edges"]
    ],
}
BEGIN = ("created", "started")
DRAFT = ("start d", "token d", "token d", "done d")
REVISE = ("start k", "token k", "done k revise")
APPROVE = ("start k", "done k approve")
WRITE = ("start w", "token w", "done w", "complete")
LOGS: dict[str, tuple[str, ...]] = {
    "pending": ("created",),
    "approved": (*BEGIN, *DRAFT, *REVISE, *DRAFT, *APPROVE, *WRITE),
    "limit": (*BEGIN, *DRAFT, "start k", "done k limit", *WRITE),
    "writing": (*BEGIN, *DRAFT, *REVISE, "start d", "token d", "token d"),
    "tried again": (*BEGIN, "start d", "token d", "retry d", "token d", "done d", *APPROVE),
    "interrupted": (*BEGIN, "start d", "token d", "interrupted", "started", *DRAFT, *APPROVE),
    "between": (*BEGIN, *DRAFT, "interrupted", "started", *APPROVE, *WRITE),
    "gates": (*BEGIN, *DRAFT, "gate k", "answer k", "resumed", "started", *REVISE),
    "sent elsewhere": (
        *(*BEGIN, *DRAFT, *REVISE, "gate k after"),
        *("answer k w", "resumed", "started", *WRITE),
    ),
    "cancelled": (*BEGIN, *DRAFT, "start k", "token k", "cancelled"),
    "cancelled at a gate": (*BEGIN, *DRAFT, "gate k", "cancelled"),
    "stopped": (*BEGIN, *DRAFT, "start k", "token k", "stop k", "complete"),
    "member lost": (*BEGIN, "start d", "start k", "token k", "fail k", "done d", *WRITE),
    "failed": (*BEGIN, *DRAFT, "start k", "token k", "failed k"),
    "retried": (
        *(*BEGIN, "start d", "token d", "retry d", "failed d", "retried d"),
        *("started", *DRAFT, "start k", "failed k", "retried k"),
        *("started", *APPROVE, *WRITE),
    ),
    "side by side failed": (
        *(*BEGIN, "start d", "start k", "token d", "token k", "failed d"),
        *("retried d", "started", "start d", "start k", "done d", "done k approve"),
    ),
}
# By log: the status, what became of each step, and how often each edge was taken.
_ROUND = {"dk": 2, "kd": 1, "kw": 1}
_STRAIGHT = {"dk": 1, "kd": 0, "kw": 1}
_NONE = {"dk": 0, "kd": 0, "kw": 0}
_BACK = {"dk": 1, "kd": 1, "kw": 0}
_ON = {"dk": 1, "kd": 0, "kw": 0}
ENDS: dict[str, tuple[str, str, dict[str, int]]] = {
    "pending": ("pending", "", _NONE),
    "approved": ("completed", "d+ k+ d+ k+ w+", _ROUND),
    "limit": ("completed", "d+ k+ w+", _STRAIGHT),
    "writing": ("running", "d+ k+ d…", _BACK),
    "tried again": ("running", "d+ k+", _ON),
    "interrupted": ("running", "d! d+ k+", _ON),
    "between": ("completed", "d+ k+ w+", _STRAIGHT),
    "gates": ("running", "d+ k+", _ON),
    "sent elsewhere": ("completed", "d+ k+ w+", _ON),
    "cancelled": ("cancelled", "d+ k.", _ON),
    "cancelled at a gate": ("cancelled", "d+", _NONE),
    "stopped": ("completed", "d+ k.", _ON),
    "member lost": ("completed", "d+ k- w+", _NONE),
    "failed": ("failed", "d+ k-", _ON),
    "retried": ("completed", "d- d+ k- k+ w+", _STRAIGHT),
    "side by side failed": ("running", "d- k. d+ k+", _NONE),
}
_SIGNS = {
    "working": "…",
    "done": "+",
    "failed": "-",
    "stopped": ".",
    "interrupted": "!",
}
USAGE = {"calls": 1, "input_tokens": 2, "output_tokens": 3, "cost": "0.01"}
KINDS = {"d": "draft", "k": "critic", "w": "writer"}


def summary(state: dict[str, Any]) -> tuple[str, str, dict[str, int]]:
    """What `ENDS` says of a state."""
    steps = " ".join(step["node"] + _SIGNS[step["state"]] for step in state["steps"])
    return state["status"], steps, {name: e["times"] for name, e in state["edges"].items()}


def frames(words: tuple[str, ...]) -> list[dict[str, Any]]:
    """The frames of a log; a second lies between two events."""
    told = []
    for seq, word in enumerate(words, 1):
        verb, *more = word.split()
        event, fields = _FRAMES[verb](*more)
        at = f"2026-11-21T12:{seq // 60:02}:{seq % 60:02}.000Z"
        frame = {"event": event, "run_id": "1", "seq": seq, "at": at, **fields}
        told += [frame, {**frame, "event": "node_active"}] if verb == "start" else [frame]
    return told


_VOIDS = ("node_complete", "node_retry", "node_failed", "node_stopped")
_VOIDS_ALL = ("run_interrupted", "run_retried")


def log(told: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of frames that were told one after the other those that a later reader is told."""
    return [frame for number, frame in enumerate(told) if _is_kept(frame, told[number + 1 :])]


def _is_kept(frame: dict[str, Any], later: list[dict[str, Any]]) -> bool:
    if frame["event"] == "run_failed":
        return not any(each["event"] == "run_retried" for each in later)
    return frame["event"] != "node_token" or not any(
        each["event"] in _VOIDS_ALL
        or (each["event"] in _VOIDS and each["node"] == frame["node"])
        for each in later
    )


def _node(node: str) -> dict[str, Any]:
    return {"node": node, "kind": KINDS[node], "iteration": 1}


def _done(node: str, decision: str = "") -> tuple[str, dict[str, Any]]:
    output = {"decision": decision, "score": 7} if decision else {"draft": "A text"}
    more = {"score": output.get("score"), "output": output, "duration_ms": 1000, "cut": False}
    model = {"model": "m:m", "scripted": False, "usage": USAGE, "first_token_ms": 200}
    return "node_complete", {**_node(node), **more, **model}


def _gate(node: str, place: str = "before") -> tuple[str, dict[str, Any]]:
    opened = "2026-11-21T12:00:00.000Z"
    gate = {"gate": f"g-{node}", "node": node, "place": place, "answerers": ["owner"]}
    return "run_paused", {"gate": {**gate, "opened_at": opened}, "next_nodes": [node]}


def _answer(node: str, to: str = "") -> tuple[str, dict[str, Any]]:
    said = {"next_node": to} if to else {}
    told = {"gate": f"g-{node}", "node": node, "action": "reject" if to else "approve"}
    return "gate_answered", {**told, "by": "ann", "answer": said}


_RETRIED = {"by": "ann", "code": "x", "error": "It broke."}
_retries = {"d": 1, "k": 2}
_FRAMES: dict[str, Callable[..., tuple[str, dict[str, Any]]]] = {
    "created": lambda: ("run_created", {"limits": {"iterations": 3}}),
    "started": lambda: ("run_started", {"attempt": 1}),
    "interrupted": lambda: ("run_interrupted", {"attempt": 1, "cause": "worker_lost"}),
    "start": lambda node: ("node_start", {**_node(node), "model": "m:m"}),
    "token": lambda node: ("node_token", {"node": node, "text": "some\n\nwords "}),
    "retry": lambda node: ("node_retry", {"node": node, "message": "Busy.", "next_try": 2}),
    "done": _done,
    "fail": lambda node: (
        "node_failed",
        {**_node(node), "code": "x", "message": "It broke.", "duration_ms": 1000},
    ),
    "stop": lambda node: ("node_stopped", {**_node(node), "limit": "call_limit"}),
    "gate": _gate,
    "answer": _answer,
    "resumed": lambda: ("run_resumed", {"by": "ann"}),
    "retried": lambda node: (
        "run_retried",
        {**_RETRIED, "retry": _retries[node], "node": node},
    ),
    "complete": lambda: (
        "run_complete",
        {"reason": "approved", "approved": True, "final_draft": "A text", "critic_score": 8.5},
    ),
    "failed": lambda node: ("run_failed", {"error": "It broke.", "code": "x", "node": node}),
    "cancelled": lambda: ("run_cancelled", {"reason": "cancelled", "by": "ann"}),
}
