"""The councils that a reader may choose from, and what a page says of each."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from experience import access
from experience.dashboard import told as figures
from runtime import library, models, shipped

# More than anybody reads in one list.
MOST = 200
_LIMITS = {
    "iterations": "rounds",
    "calls": "calls",
    "tokens": "tokens",
    "seconds": "seconds of work",
    "cost": "US dollars",
}


@dataclass(frozen=True)
class Council:
    """A blueprint as one chooses it. A document may hold anything beside what is checked, so
    what it says of itself is taken only if it has the form."""

    id: UUID
    name: str
    version: int
    changed: datetime
    owner: str
    is_default: bool
    agents: tuple[str, ...]
    """The slugs of those that run it."""
    good_for: str
    not_for: str
    calls: str
    """Its price in calls as it states it: `3 to 11 model calls`; empty: it states none."""
    limits: str
    """Its own limits, which those of a run take the place of."""

    @property
    def is_agent(self) -> bool:
        """Whether it is made for conversations, and not for being started by itself."""
        return bool(self.agents) and not self.is_default

    @property
    def start_at(self) -> str:
        return f"/api/councils/{self.id}/run"

    @property
    def drawing_at(self) -> str:
        # The number lets nobody see a drawing that their browser has kept of an older one.
        return f"/api/councils/{self.id}/drawing?format=svg&version={self.version}"


def of(user: Any) -> list[Council]:
    """Those that the user may run: the default first, then their own and others' by name,
    those of agents last."""
    found = access.blueprints_of(user).prefetch_related("agents").order_by("name", "pk")[:MOST]
    councils = [told(version) for version in library.newest(found)]
    return sorted(councils, key=lambda each: (not each.is_default, each.is_agent))


def told(version: models.BlueprintVersion) -> Council:
    """What a version says of its council."""
    blueprint, document = version.blueprint, version.document
    return Council(
        id=blueprint.pk,
        name=blueprint.name,
        version=version.number,
        changed=version.created_at,
        owner=blueprint.owner.get_username() if blueprint.owner else "",
        is_default=blueprint.slug == shipped.DEFAULT,
        agents=tuple(sorted(agent.slug for agent in blueprint.agents.all())),
        good_for=_text(document.get("goodFor")),
        not_for=_text(document.get("notFor")),
        calls=_calls(document.get("calls")),
        limits=limits(document.get("limits")),
    )


def _text(said: Any) -> str:
    return said if isinstance(said, str) else ""


def _calls(said: Any) -> str:
    if not isinstance(said, Mapping):
        return ""
    least, most = said.get("least"), said.get("most")
    if not isinstance(least, int) or not isinstance(most, int):
        return ""
    if least == most:
        return f"{most} model call{'s' if most != 1 else ''}"
    return f"{least} to {most} model calls"


def limits(said: Any) -> str:
    """Limits in words: `4 rounds, 60000 tokens`; empty where none is stated."""
    if not isinstance(said, Mapping):
        return ""
    stated = [(said.get(name), unit) for name, unit in _LIMITS.items()]
    return ", ".join(f"{_number(value)} {unit}" for value, unit in stated if _is_number(value))


def _number(value: Any) -> str:
    return figures.count(value) if isinstance(value, int) else f"{value:g}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
