"""Blueprint documents: what is wrong with one is named, all of it, and nothing else is."""

import copy
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver

from runtime import blueprints, errors, nodes, shipped
from runtime.blueprints import compiler
from tests import councils

LOOP = ["d > k", "k revise> d", "k approve> w"]


def codes(document: object) -> list[str]:
    return [fault.code for fault in blueprints.faults(document)]


def changed(*path: str | int, to: Any) -> dict[str, Any]:
    """The loop of draft, critic and writer, with one value another."""
    document: Any = councils.document(*LOOP)
    place = document
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = to
    return document


def nested(depth: int) -> Any:
    inner: Any = {}
    for _ in range(depth):
        inner = [inner]
    return inner


def without(*path: str | int) -> dict[str, Any]:
    document: Any = councils.document(*LOOP)
    place = document
    for step in path[:-1]:
        place = place[step]
    del place[path[-1]]
    return document


# --- faults ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ([], "not_an_object"),
        (None, "not_an_object"),
        (without("nodes"), "missing_field"),
        (without("name"), "missing_field"),
        (without("edges", 0, "id"), "missing_field"),
        (without("edges", 0, "type"), "missing_field"),
        (changed("name", to=""), "missing_field"),
        (changed("name", to=7), "wrong_type"),
        (changed("edges", to={}), "wrong_type"),
        (changed("nodes", to="d, k, w"), "wrong_type"),
        (changed("nodes", 0, "systemPrompt", to=None), "wrong_type"),
        (changed("nodes", 0, "entry", to="yes"), "wrong_type"),
        (changed("nodes", 0, "position", "x", to=float("nan")), "wrong_type"),
        (changed("nodes", 0, "settings", to=[]), "wrong_type"),
        (changed("nodes", to=[]), "no_nodes"),
        (changed("nodes", to=[councils.node(f"d{n}") for n in range(201)]), "too_many_nodes"),
        (changed("version", to=2), "unknown_version"),
        (changed("version", to="2.0"), "unknown_version"),
        (changed("version", to=1.5), "unknown_version"),
        (changed("version", to=True), "unknown_version"),
        (changed("version", to=None), "unknown_version"),
        (changed("version", to=[1]), "unknown_version"),
        (changed("version", to="9" * 5_000), "unknown_version"),
        (changed("nodes", 0, "systemPrompt", to="x" * 20_001), "prompt_too_long"),
        (changed("nodes", 0, "label", to="a\x00b"), "unstorable_text"),
        (changed("nodes", 0, "notes", to=["\ud800"]), "unstorable_text"),
        (changed("nodes", 0, "weight", to=float("inf")), "unstorable_number"),
        (changed("nodes", 0, "notes", to="x" * 1_000_001), "too_large"),
        (changed("nodes", 0, "notes", to=nested(60)), "too_deep"),
        (changed("nodes", 0, "model", to="nonsense"), "unknown_model"),
        (changed("nodes", 0, "model", to="demo:nonsense"), "unknown_model"),
        (changed("nodes", 0, "systemPrompt", to="Use {{nothing}}."), "unknown_variable"),
        (changed("nodes", 0, "kind", to="master"), "unknown_kind"),
        (changed("edges", 1, "condition", to=" "), "unknown_condition"),
        (changed("edges", 1, "condition", to="x" * 101), "unknown_condition"),
        (changed("edges", 0, "type", to="dotted"), "unknown_edge_type"),
        (changed("edges", 1, "condition", to="score < 8"), "unknown_condition"),
        (without("edges", 1, "condition"), "unknown_condition"),
        (councils.document("d > k", "k approve> d1", "d1 > d1"), "loop_without_limit"),
    ],
)
def test_a_fault_of_the_document_is_named(document, code):
    assert code in codes(document)


@pytest.mark.parametrize(
    ("kind", "settings", "code"),
    [
        ("k", {"threshold": 10.5}, "bad_setting"),
        ("k", {"threshold": -1}, "bad_setting"),
        ("k", {"threshold": "8"}, "bad_setting"),
        ("k", {"threshold": float("nan")}, "bad_setting"),
        ("k", {"maxIterations": 0}, "bad_setting"),
        ("k", {"maxIterations": 51}, "bad_setting"),
        ("k", {"maxIterations": True}, "bad_setting"),
        ("k", {"atLimit": "stop"}, "bad_setting"),
        ("d", {"temperature": 2.1}, "bad_setting"),
        ("d", {"maxTokens": 0}, "bad_setting"),
        ("d", {"threshold": 8}, "unknown_setting"),
        ("k", {"tresholt": 8}, "unknown_setting"),
    ],
)
def test_a_bad_setting_is_named_with_its_node(kind, settings, code):
    found = blueprints.faults(councils.document(*LOOP, **{kind: settings}))

    assert [(fault.code, fault.node) for fault in found] == [(code, kind)]
    assert next(iter(settings)) in found[0].message


@pytest.mark.parametrize(
    ("edges", "expected"),
    [
        ([*LOOP, "d > d9", "d9 > d9"], [("loop_without_limit", "d9"), ("no_way_out", "d9")]),
        ([*LOOP, "w9 > w8", "w8 > w9"], [
            ("loop_without_limit", "w9"), ("loop_without_draft", "w9"),
            ("unreachable_node", "w9"), ("no_way_out", "w9"),
            ("unreachable_node", "w8"), ("no_way_out", "w8"),
        ]),
        (["d > w", "w > d"], [
            ("loop_without_limit", "d"), ("no_way_out", "d"), ("no_way_out", "w"),
        ]),
        (["w1 > k", "k revise> w1", "k approve> w"], [("loop_without_draft", "w1")]),
        (["d > k", "k approve> d", "k revise> w"], [("loop_without_limit", "d")]),
        (["d > k", "k revise> d"], [("no_approve", "k")]),
        (["d > k", "k > w", "k revise> d"], [("mixed_edges", "k"), ("no_approve", "k")]),
        ([*LOOP, "w approve> w2"], [("not_a_critic", "w")]),
        ([*LOOP, "d9"], [("unreachable_node", "d9")]),
        (["d > r", "r x> w"], [("too_few_conditions", "r")]),
        (["d > r", "r > w"], [("mixed_edges", "r"), ("too_few_conditions", "r")]),
        (["d > r", "r x> w1", "r y> w2", "r > w3"], [("mixed_edges", "r")]),
        (["d > r", "r x> d", "r y> w"], [("loop_without_limit", "d")]),
        (["d > r", "r x> w", "r y> r"], [
            ("loop_without_limit", "r"), ("loop_without_draft", "r"),
        ]),
        (["d > o"], [("no_answers", "o")]),
        (["d > a", "a > v", "d > s"], [("no_answers", "s")]),
    ],
)  # fmt: skip
def test_a_fault_of_the_graph_is_named_with_its_node(edges, expected):
    found = blueprints.faults(councils.document(*edges))

    assert [(fault.code, fault.node) for fault in found] == expected


PANEL = ["a1 > v", "a2 > v", "v > s"]


@pytest.mark.parametrize(
    ("settings", "code", "node", "field"),
    [
        ({"s": {"quorum": 3}}, "quorum_too_large", "s", "settings.quorum"),
        ({"v": {"quorum": 0}}, "bad_setting", "v", "settings.quorum"),
        ({"v": {"own": "a3"}}, "unknown_own_answer", "v", "settings.own"),
        ({"v": {"own": "s"}}, "unknown_own_answer", "v", "settings.own"),
        ({"a1": {"fallbackModel": "?"}}, "unknown_model", "a1", "settings.fallbackModel"),
        ({"a1": {"gateBefore": {"deadline": 0}}}, "bad_setting", "a1",
         "settings.gateBefore.deadline"),
        ({"a1": {"gateAfter": {"answerers": ["boss"]}}}, "bad_setting", "a1",
         "settings.gateAfter.answerers.0"),
        ({"a1": {"gateAfter": {"question": "?"}}}, "unknown_setting", "a1",
         "settings.gateAfter.question"),
        ({"a1": {"gateBefore": True}}, "bad_setting", "a1", "settings.gateBefore"),
        ({"a1": {"retries": 11}}, "bad_setting", "a1", "settings.retries"),
    ],
)  # fmt: skip
def test_a_fault_of_a_panel_is_named_with_its_node_and_field(settings, code, node, field):
    found = blueprints.faults(councils.document(*PANEL, **settings))

    assert [(fault.code, fault.node, fault.field) for fault in found] == [(code, node, field)]


def test_answers_that_a_vote_is_to_count_have_to_choose():
    closed = {"closed": True}
    wanted = councils.document("a1 > o", "a2 > o", a1=closed, a2={"choices": ["yes", "no"]})
    assert blueprints.faults(wanted) == []

    (fault,) = blueprints.faults(councils.document("a1 > o", "a2 > o", a1=closed))

    assert (fault.code, fault.node) == ("open_answer", "a2")


@pytest.mark.parametrize(
    "settings",
    [
        {"s": {"quorum": 2}},
        {"v": {"own": "a1", "quorum": 1}},
        {"a1": {"gateBefore": {}, "gateAfter": {"answerers": ["owner", "group:editors"]}}},
        {"a1": {"fallbackModel": "anthropic:claude-sonnet-5"}},
        {"a1": {"fallbackModel": "gpt-4o"}},
    ],
)
def test_a_panel_may_have_quorums_gates_and_models_that_are_not_set_up(settings):
    assert blueprints.faults(councils.document(*PANEL, **settings)) == []


def test_the_settings_of_a_gate_are_named_where_one_of_them_is_not_known():
    gate = {"gateBefore": {"question": "?"}}

    (found,) = blueprints.faults(councils.document("d > w", d=gate))

    assert "ask, answerers, deadline, onDeadline, actions" in found.message


@pytest.mark.parametrize(
    ("limits", "found"),
    [
        ({}, []),
        (None, []),
        ({"iterations": 3, "seconds": 60, "calls": 9, "tokens": 9_000, "cost": 0.5}, []),
        ({"cost": 1, "atLimit": "ask"}, []),
        ({"iterations": 0}, [("bad_limit", "limits.iterations")]),
        ({"calls": 1.5}, [("bad_limit", "limits.calls")]),
        ({"tokens": True}, [("bad_limit", "limits.tokens")]),
        ({"cost": -1}, [("bad_limit", "limits.cost")]),
        ({"seconds": 10**12}, [("bad_limit", "limits.seconds")]),
        ({"atLimit": "explode"}, [("bad_limit", "limits.atLimit")]),
        ({"token": 5}, [("unknown_limit", "limits.token")]),
        ([], [("wrong_type", "limits")]),
    ],
)
def test_the_limits_are_checked_one_by_one(limits, found):
    faults = blueprints.faults({**councils.document(*LOOP), "limits": limits})

    assert [(fault.code, fault.field) for fault in faults] == found


def test_the_limits_that_are_stated_are_known_by_their_names():
    limits = {"iterations": 3, "cost": 0.5, "atLimit": "ask"}

    parsed = blueprints.parse({**councils.document(*LOOP), "limits": limits})

    assert parsed.stated_limits == {"iterations": 3, "cost": 0.5}
    assert parsed.as_json()["limits"] == limits
    assert blueprints.parse(councils.document(*LOOP)).stated_limits == {}


def test_a_fault_shows_no_more_of_a_text_than_can_be_read():
    council = changed("nodes", 0, "kind", to="\ud800" * 10_000)
    council["nodes"][0]["id"] = "i" * 10_000

    for fault in blueprints.faults(council):
        assert len(fault.message) <= 501
        json.dumps(asdict(fault), ensure_ascii=False).encode()


@pytest.mark.parametrize("name", ["", "messages", "__end__", "a|b", "a:b", "-a", "a\nb"])
def test_an_id_that_langgraph_cannot_take_is_refused(name):
    document = councils.document("d > w")
    document["nodes"][1]["id"] = document["edges"][0]["target"] = name

    assert set(codes(document)) & {"bad_id", "missing_field"}


@pytest.mark.parametrize(
    ("end", "code"), [("source", "edge_from_nowhere"), ("target", "edge_to_nowhere")]
)
def test_an_edge_without_an_end_is_named(end, code):
    found = blueprints.faults(changed("edges", 2, end, to="nobody"))

    assert (code, "k-approve-w") in [(fault.code, fault.edge) for fault in found]


def test_what_is_there_twice_is_named():
    document = councils.document(*LOOP)
    document["nodes"].append(councils.node("d"))
    document["edges"].append(dict(document["edges"][0]))
    document["edges"].append({**document["edges"][0], "id": "another"})

    assert codes(document) == [
        "duplicate_node",
        "duplicate_edge",
        "repeated_edge",
        "repeated_edge",
    ]


def test_every_fault_is_named_at_once():
    document = councils.document(*LOOP, "d > d9", "d9 > d9", k={"threshold": 11})
    document["nodes"] += [{**councils.node("d5"), "kind": "sage"}, {"label": "nameless"}]
    document["edges"] += [
        {"id": "e", "source": "w", "target": "nobody", "type": "linear"},
        {"id": "f", "source": "d", "target": "w", "type": "curly"},
    ]
    document["name"] = None

    found = set(codes(document))

    assert found >= {
        "wrong_type", "missing_field", "unknown_kind", "unknown_edge_type", "edge_to_nowhere",
        "bad_setting", "unreachable_node", "no_way_out", "loop_without_limit",
    }  # fmt: skip


def test_a_fault_makes_no_others():
    assert codes(changed("nodes", 0, "kind", to="master")) == ["unknown_kind"]
    assert codes(changed("edges", 2, "target", to="nobody")) == [
        "edge_to_nowhere",
        "unreachable_node",
    ]
    routed = councils.document("a1 > r", "a2 > r", "r x> o", "r y> s")
    routed["nodes"][1]["kind"] = "rooter"
    assert codes(routed) == ["unknown_kind"]
    assert codes(changed("nodes", 1, "model", to=None)) == ["wrong_type"]
    assert codes(changed("edges", 1, "condition", to="no")) == ["unknown_condition"]
    assert codes(changed("edges", 2, "type", to="dotted")) == [
        "unknown_edge_type",
        "no_approve",
    ]


def test_parsing_refuses_with_every_fault_as_data():
    with pytest.raises(errors.BlueprintInvalid) as refused:
        blueprints.parse(changed("nodes", 0, "kind", to="master"))

    (fault,) = refused.value.detail["faults"]
    assert (fault["code"], fault["node"], fault["edge"]) == ("unknown_kind", "d", None)
    assert "draft, critic, writer" in fault["message"]
    json.dumps(refused.value.detail["faults"])


# --- documents -------------------------------------------------------------------------


def test_what_is_not_known_comes_back_as_it_was_sent():
    sent = councils.document(*LOOP)
    sent |= {"id": "b1", "createdAt": "2026-01-01T00:00:00Z", "theme": {"dark": True}}
    sent["nodes"][0] |= {"color": "red", "tools": {"webSearch": True, "codeRunner": True}}
    sent["edges"][0]["animated"] = True
    before = copy.deepcopy(sent)

    assert blueprints.parse(sent).as_json() == before


def test_a_node_without_a_kind_is_a_critic_if_it_decides_else_a_draft():
    document = councils.document(*LOOP)
    for node in document["nodes"]:
        del node["kind"]

    graph = _compiled(document)

    assert {name: node.kind for name, node in graph.items()} == {
        "d": "draft", "k": "critic", "w": "draft",
    }  # fmt: skip


def test_the_condition_of_a_linear_edge_says_nothing():
    assert codes(changed("edges", 0, "condition", to="always")) == []


async def test_without_a_marked_entry_a_loop_begins_at_its_first_draft():
    document = councils.document(*LOOP)
    document["nodes"].reverse()

    told = await councils.run(document)

    assert told.nodes == ["d", "k", "w"]


@pytest.mark.parametrize("path", sorted(Path(shipped.__file__).parent.glob("*.json")), ids=str)
def test_what_ships_has_no_faults(path):
    assert blueprints.faults(json.loads(path.read_text())) == []


async def test_the_default_is_the_loop_of_the_protocol():
    path = Path(shipped.__file__).with_name(f"{shipped.DEFAULT}.json")

    told = await councils.run(json.loads(path.read_text()), councils.revising(1))

    drafting = ["master_agent", "critic_agent"]
    assert told.nodes == [*drafting, *drafting, "writer_agent"]


def _compiled(document: dict[str, Any]) -> dict[str, nodes.Node]:
    parsed = blueprints.parse(document)
    graph = blueprints.document.graph(parsed.nodes, parsed.edges)
    return {
        node.id: blueprints.document.runnable(node, graph.kinds[node.id], ())
        for node in parsed.nodes
    }


# --- running one -----------------------------------------------------------------------


async def _run(run_node: blueprints.RunNode) -> Any:
    parsed = blueprints.parse(councils.document("d > w"))
    graph = compiler.compile(parsed, run_node, councils.approve, checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "1"}}
    return await graph.ainvoke(nodes.initial_state("1", "a topic"), config)


async def test_each_node_is_told_a_task_of_its_own():
    seen = []

    async def run_node(node, state, task):
        seen.append((node.id, task))
        return {}

    await _run(run_node)

    assert [name for name, _ in seen] == ["d", "w"]
    assert len({task for _, task in seen}) == 2


# What may be tried again the execution tries, behind the node's calls.
@pytest.mark.parametrize(
    "fault",
    [
        errors.ModelFault("model_unavailable", "Busy.", transient=True),
        errors.Fault("critic_unreadable", "No."),
        ConnectionError("of ours, not of a model"),
    ],
)
async def test_the_graph_itself_tries_no_node_again(fault):
    calls = []

    async def run_node(node, state, task):
        calls.append(node.id)
        raise fault

    with pytest.raises(type(fault)):
        await _run(run_node)

    assert calls == ["d"]
