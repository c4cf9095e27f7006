"""The blueprints and agents that come with CouncilOS, loaded from the files beside this one."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.db import transaction

from runtime import blueprints, models

FOLDER = Path(__file__).parent
# The blueprint of `POST /api/councils/run`, by its file's name.
DEFAULT = "draft-critic-writer"
# The guide answers alone until conversations arrive; the liaisons likewise.
AGENTS = {"guide.general": ("Guide", "single"), "council.default": ("Council", DEFAULT)}


def load() -> Iterator[str]:
    """Load what ships; a sentence for each that is new or changed.

    A version never changes: a changed file becomes the blueprint's next version.
    """
    for path in sorted(FOLDER.glob("*.json")):
        yield from _load_blueprint(path.stem, json.loads(path.read_text()))
    for slug, (name, blueprint) in AGENTS.items():
        _agent, is_new = models.Agent.objects.get_or_create(
            slug=slug,
            defaults={"name": name, "blueprint": models.Blueprint.objects.get(slug=blueprint)},
        )
        if is_new:
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
