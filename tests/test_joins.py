"""Branches: where they part, where they meet, and that no node waits for ever or runs twice."""

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

from runtime import blueprints
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
    ],
)  # fmt: skip
def test_where_a_node_would_wait_for_ever_or_run_twice_the_blueprint_is_refused(edges, at):
    assert ambiguous(*edges) == at


def test_an_entry_that_another_entry_leads_to_is_ambiguous():
    assert ambiguous("d > d1", "d1 > w", entries=("d", "d1")) == ["d1"]


# --- any blueprint ---------------------------------------------------------------------


@st.composite
def any_blueprint(draw: st.DrawFn) -> dict[str, Any]:
    names = draw(st.lists(st.sampled_from(["d", "k", "w", "d", "k"]), min_size=2, max_size=8))
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
        else:
            edges += [f"{name} > {target}" for target in draw(some)]
    return document(*edges, *names)


@limits(max_examples=300, deadline=None)
@given(blueprint=any_blueprint(), seed=st.integers(0, 1_000))
async def test_every_blueprint_has_faults_or_runs_to_its_end(blueprint, seed):
    if blueprints.faults(blueprint):
        return
    dice = random.Random(seed)

    def decide(critic: str, turn: int) -> str:
        return "approve" if turn > 3 or dice.random() < 0.5 else "revise"

    told = await councils.run(blueprint, decide)

    stops = {
        node["id"]
        for node in blueprint["nodes"]
        if node["kind"] == "critic"
        and {"approve", "revise"}
        != {
            edge.get("condition") for edge in blueprint["edges"] if edge["source"] == node["id"]
        }
    }
    assert stops & set(told.nodes) or not told.waiting
