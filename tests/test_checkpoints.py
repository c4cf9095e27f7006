"""The checkpointer keeps LangGraph's contract."""

import pytest
from langgraph.checkpoint.conformance import checkpointer_test, validate

from runtime import checkpoints

pytestmark = pytest.mark.django_db(transaction=True)


async def test_the_saver_passes_langgraphs_conformance_suite_with_every_capability():
    @checkpointer_test(name="councilos")
    async def saver():
        yield checkpoints.Saver()

    report = await validate(saver)

    assert {name: result.failures for name, result in report.results.items()} == {
        name: [] for name in report.results
    }
    assert all(result.passed for result in report.results.values())
