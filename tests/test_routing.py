"""Which agent answers, as a table (protocol.md §2)."""

import pytest

from experience import routing

TABLE = {"content_pillar": "liaison.content", "insights_pillar": "liaison.insights"}


@pytest.mark.parametrize(
    ("asked", "surface", "last_agent", "last_surface", "agent", "by"),
    [
        # nothing is known: the default
        ("", "", "", "", "guide.general", "default"),
        ("", "elsewhere", "", "", "guide.general", "default"),
        # the surface
        ("", "content_pillar", "", "", "liaison.content", "surface"),
        ("", "insights_pillar", "", "", "liaison.insights", "surface"),
        # asked for comes before everything
        ("liaison.x", "", "", "", "liaison.x", "asked"),
        ("liaison.x", "content_pillar", "liaison.y", "insights_pillar", "liaison.x", "asked"),
        # the conversation's agent stays …
        ("", "", "liaison.x", "", "liaison.x", "conversation"),
        ("", "", "liaison.x", "content_pillar", "liaison.x", "conversation"),
        ("", "content_pillar", "liaison.x", "content_pillar", "liaison.x", "conversation"),
        ("", "elsewhere", "liaison.x", "elsewhere", "liaison.x", "conversation"),
        # … unless the surface has changed
        ("", "insights_pillar", "liaison.x", "content_pillar", "liaison.insights", "surface"),
        ("", "insights_pillar", "guide.general", "", "liaison.insights", "surface"),
        ("", "elsewhere", "liaison.x", "content_pillar", "guide.general", "default"),
        # the conversation's agent is gone: by where the user wrote last
        ("", "", "", "content_pillar", "liaison.content", "surface"),
        ("", "", "", "elsewhere", "guide.general", "default"),
    ],
)  # fmt: skip
def test_the_agent_asked_for_then_the_conversations_then_the_surfaces_then_the_guide(
    asked, surface, last_agent, last_surface, agent, by
):
    found = routing.route(
        asked=asked,
        surface=surface,
        last_agent=last_agent,
        last_surface=last_surface,
        table=TABLE,
        default="guide.general",
    )

    assert found == (agent, by)
