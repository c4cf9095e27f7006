"""Which agent answers a message: a pure function of what was asked and where (protocol §2)."""

from collections.abc import Mapping
from typing import NamedTuple

# Why an agent answers, in words, by what `Route.by` says; a hand-over routes too.
WHY: Mapping[str, str] = {
    "asked": "as you asked",
    "conversation": "as before",
    "surface": "because of the surface",
    "default": "by default",
    "handoff": "by the hand-over",
}


class Route(NamedTuple):
    """Who answers, and why it is them."""

    agent: str
    by: str
    """`asked`, `conversation`, `surface` or `default`."""


def route(
    *,
    asked: str = "",
    surface: str = "",
    last_agent: str = "",
    last_surface: str = "",
    table: Mapping[str, str],
    default: str,
) -> Route:
    """The agent asked for, else the conversation's unless the surface has changed, else the
    surface's, else the default.

    Agents go by their slugs; empty texts are "none". A message that names no surface was
    written where the one before it was. `table` maps surfaces to agents.
    """
    if asked:
        return Route(asked, "asked")
    stays = not surface or surface == last_surface
    if last_agent and stays:
        return Route(last_agent, "conversation")
    place = surface or last_surface
    return Route(table[place], "surface") if place in table else Route(default, "default")
