"""The blueprints and agents that come with CouncilOS, loaded from the files beside this one."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from django.db import transaction

from runtime import blueprints, models

FOLDER = Path(__file__).parent
# The blueprint of `POST /api/councils/run`, by its file's name.
DEFAULT = "draft-critic-writer"


class Agent(NamedTuple):
    name: str
    blueprint: str
    description: str
    """What it is good for: people choose by it, and the guide's model does."""


AGENTS = {
    "guide.general": Agent(
        "Guide",
        "guide",
        "Answers whatever is asked, or hands over to the agent that is meant.",
    ),
    "liaison.content": Agent(
        "Content",
        "liaison-content",
        "Texts for people to read: articles, announcements, pages, letters, posts, and better "
        "versions of them. A council drafts, judges and polishes, which takes a while.",
    ),
    "liaison.insights": Agent(
        "Insights",
        "liaison-insights",
        "What numbers, survey answers, feedback and notes show and do not show, and what to "
        "find out next.",
    ),
    "liaison.journey": Agent(
        "Journey",
        "liaison-journey",
        "The way of customers or other people through something: its steps, where they get "
        "stuck or leave, and what to change first.",
    ),
    "liaison.outcomes": Agent(
        "Outcomes",
        "liaison-outcomes",
        "Goals: what to aim for, how to measure it, whether it was reached, and what to decide "
        "now.",
    ),
    "council.default": Agent(
        "Council",
        DEFAULT,
        "A council on any topic: a draft is judged, sent back until it is good enough, and "
        "polished.",
    ),
}
# The agents of the first version, which had no descriptions, with their blueprints.
_FIRST = {"guide.general": "single", "council.default": DEFAULT}


def load() -> Iterator[str]:
    """Load what ships; a sentence for each that is new or changed.

    A version never changes: a changed file becomes the blueprint's next version. An agent that
    is there is the operator's, and stays as it is.
    """
    for path in sorted(FOLDER.glob("*.json")):
        yield from _load_blueprint(path.stem, json.loads(path.read_text()))
    for slug, agent in AGENTS.items():
        yield from _load_agent(slug, agent)


def _load_agent(slug: str, agent: Agent) -> Iterator[str]:
    content = {
        "name": agent.name,
        "description": agent.description,
        "blueprint": models.Blueprint.objects.get(slug=agent.blueprint),
    }
    # What nobody has touched since the first version is not the operator's work.
    untouched = models.Agent.objects.filter(
        slug=slug, description="", name=agent.name, blueprint__slug=_FIRST.get(slug)
    )
    is_brought_up = slug in _FIRST and untouched.update(**content)
    _agent, is_new = models.Agent.objects.get_or_create(slug=slug, defaults=content)
    if is_new or is_brought_up:
        yield f"agent {slug}"


def _load_blueprint(slug: str, document: dict[str, Any]) -> Iterator[str]:
    blueprints.parse(document)
    with transaction.atomic():
        blueprint, _ = models.Blueprint.objects.get_or_create(
            slug=slug, defaults={"name": document["name"]}
        )
        newest = blueprint.versions.order_by("-number").first()
        if newest and newest.document == document:
            return
        number = newest.number + 1 if newest else 1
        blueprint.versions.create(number=number, document=document)
    yield f"blueprint {slug}, version {number}"
