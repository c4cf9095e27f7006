"""The councils that ship: each is sound, says what it is for, and runs without a key."""

import json
from typing import Any

import pytest

from runtime import blueprints, errors, models, nodes, shipped
from runtime.blueprints import compiler
from tests.steps import work

COUNCILS = sorted(path.stem for path in shipped.FOLDER.glob("*.json"))
every = pytest.mark.parametrize("slug", COUNCILS)


def document(slug: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((shipped.FOLDER / f"{slug}.json").read_text())
    return found


class Ran:
    """One run of a council with the scripted model."""

    def __init__(self) -> None:
        self.results: dict[str, nodes.Result] = {}
        self.calls = 0

    async def through(self, slug: str, away: tuple[str, ...] = ()) -> "Ran":
        """`away` are members that fail."""

        async def run_node(node: nodes.Node, at: nodes.State, task: str) -> dict[str, Any]:
            if node.id in away:
                fault = errors.Fault("model_auth", "It failed.")
                return nodes.absence(node, fault, at)
            result, heard = await work(node, at)
            assert heard.strip()
            self.results[node.id] = result
            self.calls += result.usage.calls
            return result.updates

        async def no_gate(*_: Any) -> Any:
            raise AssertionError

        graph = compiler.compile(blueprints.parse(document(slug)), run_node, no_gate)
        self.state = await graph.ainvoke(nodes.initial_state("1", "Should we meet less?"))
        return self


def test_five_councils_ship_and_five_to_talk_with():
    councils = {"draft-critic-writer", "red-team", "single", "three-opinions", "vote"}
    liaisons = {f"liaison-{name}" for name in ("content", "insights", "journey", "outcomes")}

    assert {*COUNCILS} == councils | liaisons | {"guide"}


@every
def test_it_has_no_faults_and_says_what_it_is_for(slug):
    council = document(slug)

    assert blueprints.faults(council) == []
    assert len(council["goodFor"]) > 40
    assert len(council["notFor"]) > 40
    assert 1 <= council["calls"]["least"] <= council["calls"]["most"]


@every
def test_its_prompts_are_prompts_and_its_variables_are_known(slug):
    for node in document(slug)["nodes"]:
        asks = nodes.KINDS[node["kind"]].calls
        assert len(node["systemPrompt"]) > 300 or not asks, node["id"]
        assert nodes.prompt.variables(node["systemPrompt"]) == set()


@every
async def test_it_runs_with_the_scripted_model_at_the_price_it_states(slug):
    ran = await Ran().through(slug)

    price = document(slug)["calls"]
    assert "[Scripted demo model" in ran.state["current_draft"]
    assert price["least"] <= ran.calls <= price["most"]
    assert len(ran.results) == len(document(slug)["nodes"])


@every
def test_without_a_loop_its_price_is_that_of_its_nodes(slug):
    council = document(slug)
    of_each = sum(nodes.KINDS[node["kind"]].calls for node in council["nodes"])

    assert council["calls"]["least"] == of_each
    loops = any(edge["type"] == "conditional" for edge in council["edges"])
    assert (council["calls"]["most"] > of_each) is loops


@pytest.mark.parametrize("slug", ["draft-critic-writer", "liaison-content"])
def test_the_most_that_a_loop_costs_is_its_critics_limit(slug):
    council = document(slug)
    rounds = council["nodes"][1]["settings"]["maxIterations"]

    assert council["calls"]["most"] == 2 * rounds + 1


async def test_three_opinions_differ_and_each_review_leaves_out_its_own():
    ran = await Ran().through("three-opinions")

    drafts = {ran.results[f"answer_{n}"].output["draft"] for n in (1, 2, 3)}
    assert len(drafts) == 3
    for n in (1, 2, 3):
        assert sorted(ran.results[f"review_{n}"].output["order"]) == [
            f"answer_{other}" for other in (1, 2, 3) if other != n
        ]
    assert ran.results["chair"].output["members"] == {"present": 3, "of": 3, "missing": []}
    assert ran.results["chair"].output["dissent"]


async def test_two_opinions_of_three_are_a_quorum_and_the_result_says_so():
    ran = await Ran().through("three-opinions", away=("answer_2", "review_1"))

    assert ran.state["current_draft"].endswith("(2 of 3 members took part.)")
    assert ran.results["chair"].output["members"]["missing"] == ["answer_2"]


async def test_the_scripted_voters_do_not_all_agree():
    ran = await Ran().through("vote")

    assert ran.results["count"].output["counts"] == {"yes": 2, "no": 1}


async def test_of_the_red_team_the_judge_has_the_last_word():
    ran = await Ran().through("red-team")

    assert [each["node"] for each in ran.state["scores"]] == ["attacker", "judge"]
    assert ran.state["critic_score"] == ran.results["judge"].output["score"]
    assert ran.state["current_draft"] == ran.results["defender"].output["draft"]


# --- the agents ------------------------------------------------------------------------


def agents() -> dict[str, tuple[str, str | None]]:
    """Name and blueprint of each that is there."""
    found = models.Agent.objects.select_related("blueprint")
    return {agent.slug: (agent.name, agent.blueprint.slug) for agent in found}


def test_each_agent_ships_with_a_name_a_blueprint_and_what_it_is_good_for(shipped_blueprints):
    assert agents() == {
        "council.default": ("Council", "draft-critic-writer"),
        "guide.general": ("Guide", "guide"),
        "liaison.content": ("Content", "liaison-content"),
        "liaison.insights": ("Insights", "liaison-insights"),
        "liaison.journey": ("Journey", "liaison-journey"),
        "liaison.outcomes": ("Outcomes", "liaison-outcomes"),
    }
    for agent in models.Agent.objects.all():
        assert len(agent.description) > 40, agent
        assert agent.enabled


def test_the_guide_is_one_node_that_can_hand_over_and_one_liaison_is_a_council():
    assert [node["kind"] for node in document("guide")["nodes"]] == ["guide"]
    council = [node["kind"] for node in document("liaison-content")["nodes"]]
    assert council == ["draft", "critic", "writer"]


def test_what_an_operator_has_made_of_an_agent_stays(shipped_blueprints):
    single = models.Blueprint.objects.get(slug="single")
    mine = {"name": "Ours", "description": "Ours.", "enabled": False, "blueprint": single}
    models.Agent.objects.filter(slug="guide.general").update(**mine)

    assert list(shipped.load()) == []

    agent = models.Agent.objects.get(slug="guide.general")
    assert (agent.name, agent.description, agent.enabled) == ("Ours", "Ours.", False)
    assert agent.blueprint == single


@pytest.mark.parametrize("change", [{"name": "Ours"}, {"blueprint": "vote"}])
def test_an_agent_of_the_first_version_that_was_changed_stays(shipped_blueprints, change):
    first = {"name": "Guide", "description": "", "blueprint": "single"} | change
    blueprint = models.Blueprint.objects.get(slug=first["blueprint"])
    models.Agent.objects.filter(slug="guide.general").update(**first | {"blueprint": blueprint})

    assert list(shipped.load()) == []

    assert agents()["guide.general"] == (first["name"], first["blueprint"])


def test_the_guide_of_the_first_version_becomes_one_that_can_hand_over(shipped_blueprints):
    single = models.Blueprint.objects.get(slug="single")
    first = {"description": "", "blueprint": single}
    models.Agent.objects.filter(slug="guide.general").update(**first)

    assert list(shipped.load()) == ["agent guide.general"]
    assert list(shipped.load()) == []

    assert agents()["guide.general"] == ("Guide", "guide")
