"""Branches: where they part, where they meet, and that no node waits for ever or runs twice."""

import random
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

from runtime import blueprints, nodes
from runtime.blueprints import joins
from runtime.blueprints.document import graph as graph_of
from runtime.blueprints.graph import Graph
from tests import councils
from tests.councils import document, revising, run


def ambiguous(*edges: str, **more: Any) -> list[str | None]:
    found = blueprints.faults(document(*edges, **more))
    assert {fault.code for fault in found} <= {"ambiguous_join"}, found
    return [fault.node for fault in found]


# --- what runs -------------------------------------------------------------------------


async def test_the_default_council_loops_until_the_critic_approves():
    told = await run(document("d > k", "k revise> d", "k approve> w"), revising(2))

    assert told.nodes == ["d", "k", "d", "k", "d", "k", "w"]
    assert told.state["iteration_count"] == 3


async def test_branches_run_once_each_and_the_join_waits_for_the_longest():
    council = document("d > d1", "d > d2", "d1 > d11", "d11 > d12", "d12 > w", "d2 > w")

    told = await run(council)

    assert sorted(told.nodes) == ["d", "d1", "d11", "d12", "d2", "w"]
    assert told.nodes[-1] == "w"
    assert told.joins["w"] == ("d12", "d2")


async def test_a_fork_within_a_fork_joins_in_two_steps():
    council = document(
        "d > d1", "d > d2", "d1 > d3", "d1 > d4", "d4 > d5", "d3 > w1", "d5 > w1", "w1 > w",
        "d2 > w",
    )  # fmt: skip

    told = await run(council)

    assert [told.of(name) for name in ("w1", "w")] == [1, 1]
    assert told.nodes[-1] == "w"


async def test_a_join_within_a_loop_waits_anew_in_every_round():
    council = document(
        "d > d1", "d > d2", "d2 > d3", "d1 > k", "d3 > k", "k revise> d", "k approve> w"
    )

    told = await run(council, revising(2))

    assert [told.of(name) for name in ("d", "d1", "d3", "k", "w")] == [3, 3, 3, 3, 1]
    assert told.waiting == []


async def test_a_critic_can_send_back_to_all_the_branches_at_once():
    edges = ["d1 > k", "d2 > k", "k revise> d1", "k revise> d2", "k approve> w"]
    council = document(*edges, entries=("d1", "d2"))

    told = await run(council, revising(2))

    assert [told.of(name) for name in ("d1", "d2", "k", "w")] == [3, 3, 3, 1]


async def test_two_entries_are_joined():
    told = await run(document("d1 > w", "d2 > d3", "d3 > w"))

    assert sorted(told.nodes[:2]) == ["d1", "d2"]
    assert told.nodes[-1] == "w"
    assert told.of("w") == 1


@pytest.mark.parametrize(("decision", "branch"), [("approve", "w1"), ("revise", "w2")])
async def test_branches_that_exclude_each_other_merge_without_waiting(decision, branch):
    council = document("d > k", "k approve> w1", "k revise> w2", "w1 > w3", "w2 > w3")

    told = await run(council, lambda critic, turn: decision)

    assert told.nodes == ["d", "k", branch, "w3"]


async def test_merged_branches_join_with_one_that_always_runs():
    council = document(
        "d > k", "k approve> w1", "k revise> w2", "w1 > w3", "w2 > w3", "d > d1", "d1 > w",
        "w3 > w",
    )  # fmt: skip

    told = await run(council, revising(1))

    assert told.nodes[-1] == "w"
    assert told.of("w") == 1
    assert told.waiting == []


async def test_a_branch_with_a_loop_of_its_own_is_waited_for():
    council = document(
        "d > d1", "d > d2", "d1 > k", "k revise> d1", "k approve> w1", "w1 > w", "d2 > w"
    )

    told = await run(council, revising(3))

    assert [told.of(name) for name in ("d1", "d2", "w")] == [4, 1, 1]
    assert told.nodes[-1] == "w"


async def test_a_loop_within_a_loop():
    council = document(
        "d > k1", "k1 revise> d", "k1 approve> k2", "k2 revise> d", "k2 approve> w"
    )

    told = await run(council, revising(1))

    assert told.nodes == ["d", "k1", "d", "k1", "k2", "d", "k1", "k2", "w"]


async def test_a_way_back_that_takes_two_critics():
    council = document(
        "d > k1", "k1 approve> w", "k1 revise> d2", "d2 > k2", "k2 revise> d", "k2 approve> w2"
    )

    told = await run(council, revising(1))

    assert told.nodes == ["d", "k1", "d2", "k2", "d", "k1", "w"]


async def test_the_way_back_may_have_nodes_and_branches_of_its_own():
    council = document(
        "d > d1", "d1 > k", "k approve> w",
        "k revise> d2", "d2 > d3", "d2 > d4", "d3 > w1", "d4 > w1", "w1 > d1",
    )  # fmt: skip

    told = await run(council, revising(2))

    assert [told.of(name) for name in ("d", "d1", "w1", "k", "w")] == [1, 3, 2, 3, 1]
    assert told.waiting == []


async def test_an_approval_can_lead_to_several_branches():
    told = await run(document("d > k", "k approve> w1", "k approve> w2", "w1 > w", "w2 > w"))

    assert sorted(told.nodes) == ["d", "k", "w", "w1", "w2"]


@pytest.mark.parametrize(("at_limit", "last"), [("continue", "w"), ("end", "k")])
async def test_at_the_limit_the_blueprint_says_whether_the_run_goes_on(at_limit, last):
    council = document("d > k", "k revise> d", "k approve> w", k={"atLimit": at_limit})

    told = await run(council, lambda critic, turn: "limit" if turn == 2 else "revise")

    assert told.nodes[-1] == last
    assert told.state["route_decision"] == "limit"


# --- routers ---------------------------------------------------------------------------

THREE_WAYS = ["d > r", "r a> w1", "r b> w2", "r c> w3"]


def always(choice: str) -> councils.Choose:
    return lambda router, choices: choice


@pytest.mark.parametrize(("choice", "branch"), [("a", "w1"), ("b", "w2"), ("c", "w3")])
async def test_a_router_takes_one_of_its_ways_which_meet_without_waiting(choice, branch):
    council = document(*THREE_WAYS, "w1 > w", "w2 > w", "w3 > w")

    told = await run(council, choose=always(choice))

    assert told.nodes == ["d", "r", branch, "w"]


@pytest.mark.parametrize("choice", ["a", "b", "c"])
async def test_ways_of_a_router_that_all_meet_join_with_a_branch_that_always_runs(choice):
    council = document(
        *THREE_WAYS, "w1 > w4", "w2 > w4", "w3 > w4", "w4 > w", "d > d1", "d1 > d2", "d2 > w"
    )

    told = await run(council, choose=always(choice))

    assert told.of("w") == 1
    assert told.nodes[-1] == "w"
    assert told.joins["w"] == ("d2", "w4")
    assert told.waiting == []


async def test_ways_that_meet_in_two_steps_are_always_taken():
    council = document(
        *THREE_WAYS, "w1 > w4", "w2 > w4", "w4 > w5", "w3 > w5", "w5 > w", "d > d1", "d1 > w"
    )

    told = await run(council, choose=always("b"))

    assert told.joins["w"] == ("d1", "w5")
    assert told.waiting == []


async def test_a_choice_can_lead_to_several_branches_that_join():
    council = document("d > r", "r a> w1", "r a> w2", "r b> w9", "w1 > w", "w2 > w")

    told = await run(council, choose=always("a"))

    assert sorted(told.nodes) == ["d", "r", "w", "w1", "w2"]


async def test_a_router_within_a_loop_chooses_anew_in_every_round():
    council = document(
        "d > r", "r a> w1", "r b> w2", "w1 > k", "w2 > k", "k revise> d", "k approve> w"
    )
    choices = iter(["a", "b", "a"])

    told = await run(council, revising(2), lambda router, among: next(choices))

    assert told.nodes == ["d", "r", "w1", "k", "d", "r", "w2", "k", "d", "r", "w1", "k", "w"]


async def test_the_ways_of_a_router_within_those_of_another():
    council = document(
        "d > r1", "r1 a> r2", "r1 b> w3", "r2 a> w1", "r2 b> w2", "w1 > w4", "w2 > w4",
        "w3 > w4", "w4 > w", "d > d1", "d1 > w",
    )  # fmt: skip

    told = await run(council, choose=always("a"))

    assert told.joins["w"] == ("d1", "w4")
    assert told.nodes[-1] == "w"


# --- what is refused -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("edges", "at"),
    [
        pytest.param(["d > k", "k approve> w", "d > w"], ["w"], id="one always, one sometimes"),
        pytest.param(
            ["d > k", "k approve> w1", "w1 > w", "d > w"], ["w"], id="the same, a node between"
        ),
        pytest.param(
            ["d > k1", "d > k2", "k1 approve> w", "k2 approve> w"], ["w"], id="of two critics"
        ),
        pytest.param(
            ["d > d1", "d > d2", "d1 > k", "d2 > k", "k revise> d1", "k approve> w"],
            ["k"],
            id="a critic sends back to one of two branches",
        ),
        pytest.param(
            ["d > d1", "d1 > k", "d > d2", "d2 > w", "k revise> d", "k approve> w1", "w1 > w"],
            ["w"],
            id="a branch that leaves a loop beside its critic",
        ),
        pytest.param(
            [
                "d > k1", "d > k2", "k1 revise> d", "k2 revise> d",
                "k1 approve> w1", "k2 approve> w2", "w1 > w", "w2 > w",
            ],
            ["k1", "k2", "w"],
            id="two critics in parallel that send back to the same node",
        ),
        pytest.param(
            [
                "d > k", "k revise> d", "k approve> w",
                "d > d1", "d > d2", "d2 > d3", "d1 > w1", "d3 > w1",
            ],
            ["w1"],
            id="a join beside a loop, which the next round could overtake",
        ),
        pytest.param(
            [
                "w3 > k4", "k4 revise> d2", "k4 approve> w6", "d2 > k5", "k5 approve> w7",
                "k5 revise> d0", "d0 > d1", "d0 > d2", "d1 > d2", "d1 > k4",
            ],
            ["d2"],
            id="a loop beside a loop, which would start two rounds of it at once",
        ),
        pytest.param(
            [
                "d > k2", "k2 approve> w1", "w1 > w", "d > d5", "d5 > w",
                "k2 revise> d2", "d2 > k3", "k3 approve> k2", "k3 revise> w9",
            ],
            ["w"],
            id="a branch whose loop may be left without coming back",
        ),
        pytest.param(
            [
                "d > k", "k approve> k1", "k revise> k1", "k revise> d", "k1 revise> d",
                "k1 approve> w",
            ],
            ["k1"],
            id="a critic sends back and goes on at the same time",
        ),
        pytest.param(
            [*THREE_WAYS, "w1 > w4", "w2 > w4", "w4 > w", "d > d1", "d1 > w"],
            ["w"],
            id="two of a router's three ways, and one always",
        ),
        pytest.param(
            [*THREE_WAYS, "w1 > w4", "w2 > w4", "r c> w4", "w4 > w", "w3 > w"],
            ["w"],
            id="one choice of a router that leads to both of two that meet",
        ),
        pytest.param(
            ["d > r1", "d > r2", "r1 a> w", "r1 b> w1", "r2 a> w", "r2 b> w2"],
            ["w"],
            id="of two routers",
        ),
        pytest.param(
            [
                "d > r", "r a> k", "r b> w1", "k revise> d", "k approve> w2", "w2 > w",
                "d0 > d", "d0 > d3", "d3 > w", "w1 > w",
            ],
            ["w"],
            id="a branch whose loop a router may leave",
        ),
    ],
)  # fmt: skip
def test_where_a_node_would_wait_for_ever_or_run_twice_the_blueprint_is_refused(edges, at):
    assert ambiguous(*edges) == at


def test_an_entry_that_another_entry_leads_to_is_ambiguous():
    assert ambiguous("d > d1", "d1 > w", entries=("d", "d1")) == ["d1"]


# --- where a person may send a run -----------------------------------------------------


def targets(node: str, *edges: str, **more: Any) -> set[str]:
    parsed = blueprints.parse(document(*edges, **more))
    found = joins.sound_targets(parsed_graph(parsed), node, "before")
    assert found == joins.sound_targets(parsed_graph(parsed), node, "after")
    return set(found)


def parsed_graph(parsed: blueprints.Document) -> Graph:
    return graph_of(parsed.nodes, parsed.edges)


BRANCHED = [
    "d > d1", "d1 > d2", "d1 > d3", "d2 > d4", "d4 > d5", "d5 > w1", "d3 > d6", "d6 > w1",
    "w1 > w2", "w2 > w",
]  # fmt: skip


@pytest.mark.parametrize(
    ("node", "expected"), [("d4", {"d2", "d5"}), ("d6", {"d3"}), ("d2", {"d4", "d5"})]
)
def test_from_within_a_branch_only_the_same_branch_can_be_reached(node, expected):
    assert targets(node, *BRANCHED) == expected


@pytest.mark.parametrize("node", ["d", "d1", "w1", "w2", "w"])
def test_from_an_undivided_place_all_that_is_undivided_can_be_reached(node):
    assert targets(node, *BRANCHED) == {"d", "d1", "w1", "w2", "w"} - {node}


def test_a_loop_can_be_left_and_entered_where_nothing_is_parallel():
    loop = ["d > d1", "d1 > k", "k revise> d1", "k approve> w", "w > w1"]

    for node in ("d", "d1", "k", "w", "w1"):
        assert targets(node, *loop) == {"d", "d1", "k", "w", "w1"} - {node}


def test_the_ways_of_a_router_can_be_changed_for_each_other():
    routed = ["d > r", "r a> w1", "r b> w2", "w1 > w", "w2 > w"]

    assert targets("w1", *routed) == {"d", "r", "w2", "w"}
    assert targets("r", *routed) == {"d", "w1", "w2", "w"}


def test_two_hundred_nodes_are_looked_through_in_seconds_and_twenty_at_once():
    edges = [
        edge
        for n in range(0, 200, 4)
        for edge in (f"d{n} > k{n}", f"k{n} revise> d{n}", f"k{n} approve> w{n}",
                     f"w{n} > w{n}x", f"w{n}x > d{n + 4}")
    ]  # fmt: skip

    assert _seconds(edges[:24]) < 0.2
    assert _seconds(edges[:-1]) < 20


def _seconds(edges: list[str]) -> float:
    graph = parsed_graph(blueprints.parse(document(*edges)))
    begun = time.process_time()
    assert joins.sound_targets(graph, "k0")
    return time.process_time() - begun


# --- any blueprint ---------------------------------------------------------------------


@st.composite
def any_blueprint(draw: st.DrawFn) -> dict[str, Any]:
    kinds = st.sampled_from([*"dkwdkraavsog"])
    names = draw(st.lists(kinds, min_size=2, max_size=8))
    names = [f"{kind}{number}" for number, kind in enumerate(names)]
    edges = []
    for number, name in enumerate(names):
        ahead = names[number + 1 :]
        some = (
            st.lists(st.sampled_from(ahead), max_size=2, unique=True) if ahead else st.just([])
        )
        if name[0] == "k":
            back = st.lists(st.sampled_from(names), max_size=2, unique=True)
            edges += [f"{name} approve> {target}" for target in draw(some)]
            edges += [f"{name} revise> {target}" for target in draw(back | some)]
        elif name[0] == "r":
            for choice in draw(st.sampled_from(["xy", "xyz", "x"])):
                edges += [f"{name} {choice}> {target}" for target in draw(some)]
        else:
            edges += [f"{name} > {target}" for target in draw(some)]
    return document(*edges, *names)


_VERDICTS = st.sampled_from([" approve", " approve", " revise"])


@st.composite
def likely_blueprint(draw: st.DrawFn) -> dict[str, Any]:
    """One that has fewer faults than any: everything is reached, routers have a choice."""
    names = ["d0"]
    for number in range(1, draw(st.integers(2, 9))):
        joiners = "vso" if any(name[0] == "a" for name in names) else ""
        names.append(f"{draw(st.sampled_from(f'dddkkkwrraag{joiners}'))}{number}")
    out: dict[str, list[str]] = {name: [] for name in names}
    for number, name in enumerate(names[1:], 1):
        sources = st.sampled_from(names[max(0, number - 3) : number])
        for source in draw(st.lists(sources, min_size=1, max_size=2, unique=True)):
            out[source].append(name)
    edges = []
    for number, name in enumerate(names):
        for turn, target in enumerate(out[name]):
            condition = ""
            if name[0] == "k":
                condition = " approve" if turn == 0 else draw(_VERDICTS)
            elif name[0] == "r":
                condition = f" {'xyz'[turn % 3]}"
            edges.append(f"{name}{condition}> {target}")
        if name[0] == "k" and draw(st.booleans()):
            edges.append(f"{name} revise> {draw(st.sampled_from(names[:number]))}")
            edges += [] if out[name] else [f"{name} approve> w9{number}"]
        if name[0] == "r" and len(out[name]) < 2:
            edges += [
                f"{name} {choice}> w9{number}{choice}" for choice in "pq"[len(out[name]) :]
            ]
    return document(*edges, *names)


@limits(max_examples=400, deadline=None)
@given(blueprint=any_blueprint() | likely_blueprint(), seed=st.integers(0, 1_000))
async def test_every_blueprint_has_faults_or_runs_to_its_end(blueprint, seed):
    found = blueprints.faults(blueprint)
    assert all(fault.message and (fault.node or fault.edge) for fault in found)
    if found:
        return
    dice = random.Random(seed)

    told = await councils.run(blueprint, _by(dice), lambda router, among: dice.choice(among))

    assert _goes_round(blueprint) or len(told.nodes) == len(set(told.nodes))
    assert _stops(blueprint) & set(told.nodes) or not told.waiting


@limits(max_examples=400, deadline=None)
@given(blueprint=likely_blueprint(), data=st.data())
async def test_wherever_a_person_may_send_a_run_it_goes_on_to_its_end(blueprint, data):
    if blueprints.faults(blueprint):
        return
    parsed = blueprints.parse(blueprint)
    ways = [
        (node, target)
        for node in (each.id for each in parsed.nodes)
        for target in joins.sound_targets(parsed_graph(parsed), node, "before")
    ]
    if not ways:
        return
    node, target = data.draw(st.sampled_from(ways))
    place = data.draw(st.sampled_from(["gateBefore", "gateAfter"]))
    dice = random.Random(data.draw(st.integers(0, 1_000)))
    next(each for each in blueprint["nodes"] if each["id"] == node)["settings"] = {place: {}}
    sent: list[str] = []

    async def send(gate: blueprints.Gate, state: nodes.State, task: str) -> blueprints.Passage:
        assert target in gate.targets
        return blueprints.Passage({}, None if sent else (sent.append(target) or target))

    told = await councils.run(
        blueprint, _by(dice), lambda router, among: dice.choice(among), send
    )

    assert _stops(blueprint) & set(told.nodes) or not told.waiting


def _goes_round(blueprint: dict[str, Any]) -> bool:
    return bool(parsed_graph(blueprints.parse(blueprint)).returns)


def _by(dice: random.Random) -> councils.Decide:
    return lambda critic, turn: "approve" if turn > 3 or dice.random() < 0.5 else "revise"


def _stops(blueprint: dict[str, Any]) -> set[str]:
    """The critics that may end their branch."""
    return {
        node["id"]
        for node in blueprint["nodes"]
        if node["kind"] == "critic"
        and {"approve", "revise"}
        != {
            edge.get("condition") for edge in blueprint["edges"] if edge["source"] == node["id"]
        }
    }
