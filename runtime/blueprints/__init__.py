"""Blueprints: councils as JSON. Check them, and compile them to LangGraph.

`faults(document)` names everything that is wrong, `parse(document)` gives a blueprint that
can be run or refuses it, `compiler.compile(...)` makes the graph. No graph is hard-coded: those
that ship are documents too (`shipped(slug)`).
"""

from runtime.blueprints import continuing
from runtime.blueprints.diff import between as difference
from runtime.blueprints.diff import same
from runtime.blueprints.document import Document, ordered
from runtime.blueprints.drawing import draw
from runtime.blueprints.faults import Fault, faults, parse, readable, unkeepable
from runtime.blueprints.formats import newest
from runtime.blueprints.gating import Ask, Gate, Passage
from runtime.blueprints.members import dispensable, members
from runtime.blueprints.overrides import overridden
from runtime.blueprints.runnables import RunNode, runnable

__all__ = [
    "Ask",
    "Document",
    "Fault",
    "Gate",
    "Passage",
    "RunNode",
    "continuing",
    "difference",
    "dispensable",
    "draw",
    "faults",
    "members",
    "newest",
    "ordered",
    "overridden",
    "parse",
    "readable",
    "runnable",
    "same",
    "unkeepable",
]
