"""Blueprints: councils as JSON. Check them, and compile them to LangGraph.

`faults(document)` names everything that is wrong, `parse(document)` gives a blueprint that
can be run or refuses it, `compile(...)` makes the graph. No graph is hard-coded: those that
ship are documents too (`shipped(slug)`).
"""

from runtime.blueprints.compiler import Compiled, RunNode, compile
from runtime.blueprints.document import Document
from runtime.blueprints.faults import Fault, faults, parse

__all__ = ["Compiled", "Document", "Fault", "RunNode", "compile", "faults", "parse"]
