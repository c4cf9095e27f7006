"""The surfaces that are known from the start, beside the runtime's blueprints and agents."""

from collections.abc import Iterator

from experience import models
from runtime import shipped
from runtime.models import Agent

SURFACES = {
    "content_pillar": "liaison.content",
    "insights_pillar": "liaison.insights",
    "journey_pillar": "liaison.journey",
    "outcomes_pillar": "liaison.outcomes",
}


def load() -> Iterator[str]:
    """Load what ships; a sentence for each that is new or changed.

    A surface that is there is the operator's, and stays as it is.
    """
    yield from shipped.load()
    for slug, agent in SURFACES.items():
        _surface, is_new = models.Surface.objects.get_or_create(
            slug=slug, defaults={"agent": Agent.objects.get(slug=agent)}
        )
        if is_new:
            yield f"surface {slug}"
