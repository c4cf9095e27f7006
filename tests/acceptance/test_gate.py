"""A gate stays open through restarts of everything, and its answer is not lost."""

import asyncio

import pytest

from tests.acceptance import stack as stacks

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(240)]


def test_a_gate_is_open_through_restarts_of_everything_and_answered_after_them():
    with stacks.running(DEMO_TOKENS_PER_SECOND="0") as stack:
        run_id = stack.start_run(god_mode=True)
        asked = []
        for part in ("worker0", "server", "valkey", "postgres", "worker0"):
            stacks.wait_until(lambda: stack.status(run_id) == "paused")
            stack.restart(part)
            stacks.wait_until(lambda: stack.request("GET", "/readyz").status_code == 200)
            state = stack.request("GET", f"/api/councils/run/{run_id}").json()
            asked += state["next_nodes"]
            gate = state["gates"][0]["gate"]
            answer = {"action": "approve", "gate_id": gate}
            path = f"/api/councils/run/{run_id}/approve"
            assert stack.request("POST", path, json=answer).status_code == 200
            again = stack.request("POST", path, json=answer)
            assert again.json()["error"]["code"] == "gate_answered"
        viewer = stacks.Viewer(stack, run_id)
        asyncio.run(viewer.follow())

        assert asked == [*["master_agent", "critic_agent"] * 2, "writer_agent"]
        assert stack.status(run_id) == "completed"
        kinds = [event["kind"] for event in stack.log(run_id)]
        assert kinds.count("node.completed") == kinds.count("node.started") == 5
        assert kinds.count("gate.opened") == kinds.count("gate.answered") == 5
        told = [name for _, name in viewer.events]
        assert told.count("run_paused") == told.count("run_resumed") == 5
