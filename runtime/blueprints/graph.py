"""A blueprint as a graph: who leads to whom, where it begins, what goes round."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from runtime import nodes

APPROVE, REVISE = "approve", "revise"


@dataclass(frozen=True)
class Link:
    """An edge."""

    id: str
    source: str
    target: str
    type: str
    condition: str | None = None
    """Of a conditional edge: approve or revise, or anything if a router chooses among them."""


@dataclass(frozen=True)
class Graph:
    kinds: Mapping[str, str]
    """Of every node, in the order of the document."""
    links: tuple[Link, ...]
    marked: tuple[str, ...] = ()
    """The nodes that are marked as entries."""

    @cached_property
    def entries(self) -> tuple[str, ...]:
        """Where a run begins: the nodes marked so, else those that lead on and that none
        leads to, else the first draft, else the first node."""
        if self.marked:
            return self.marked
        sources = {link.source for link in self.links}
        targets = {link.target for link in self.links if link.source != link.target}
        roots = tuple(node for node in self.kinds if node in sources and node not in targets)
        drafts = tuple(node for node in self.kinds if self.revises(node))
        return roots or drafts[:1] or tuple(self.kinds)[:1]

    @cached_property
    def _out(self) -> Mapping[str, list[Link]]:
        out: dict[str, list[Link]] = {node: [] for node in self.kinds}
        for link in self.links:
            out[link.source].append(link)
        return out

    @cached_property
    def _into(self) -> Mapping[str, list[Link]]:
        into: dict[str, list[Link]] = {node: [] for node in self.kinds}
        for link in self.links:
            into[link.target].append(link)
        return into

    def into(self, node: str) -> list[Link]:
        """The edges that lead to a node."""
        return self._into[node]

    def out(self, node: str) -> list[Link]:
        """The edges that leave a node."""
        return self._out[node]

    def conditions(self, node: str) -> set[str | None]:
        """The conditions of a node's conditional edges."""
        return {link.condition for link in self.out(node) if link.type == "conditional"}

    def decides(self, node: str) -> str:
        """What a node decides: nothing, a verdict (a critic), or its edges (a router)."""
        # A kind may be gone since the blueprint was saved; that is a fault, not an end.
        kind = nodes.KINDS.get(self.kinds[node])
        return kind.decides if kind else "nothing"

    def revises(self, node: str) -> bool:
        """Whether it makes a new draft of the old one (a draft)."""
        kind = nodes.KINDS.get(self.kinds[node])
        return kind is not None and kind.revises

    def outcomes(self, node: str) -> frozenset[str | None]:
        """All the decisions that a deciding node may take."""
        if self.decides(node) == "verdict":
            return frozenset({APPROVE, REVISE})
        return frozenset(self.conditions(node))

    def is_revision(self, link: Link) -> bool:
        """Whether it leaves a critic whose score was too low."""
        return link.condition == REVISE and self.decides(link.source) == "verdict"

    @cached_property
    def returns(self) -> frozenset[Link]:
        """The revisions that go round. Without them nothing does, if every loop has a limit.

        Of a loop with several, that which lies farthest from the entries is the way back.
        """
        forward = {link for link in self.links if not self.is_revision(link)}
        back: set[Link] = set()
        for link in sorted(self.links, key=lambda link: self._depths.get(link.source, 0)):
            if not self.is_revision(link):
                continue
            goes_round = link.source in self.reachable([link.target], forward.__contains__)
            (back if goes_round else forward).add(link)
        return frozenset(back)

    @cached_property
    def _depths(self) -> Mapping[str, int]:
        """How many steps each node is from the nearest entry."""
        depths, waiting = dict.fromkeys(self.entries, 0), deque(self.entries)
        while waiting:
            node = waiting.popleft()
            for link in self.out(node):
                if link.target not in depths:
                    depths[link.target] = depths[node] + 1
                    waiting.append(link.target)
        return depths

    def reachable(
        self, starts: Iterable[str], follow: Callable[[Link], bool] = lambda link: True
    ) -> set[str]:
        """The starts, and all that the edges to `follow` lead to from there."""
        found, waiting = set(starts), list(starts)
        while waiting:
            for link in self.out(waiting.pop()):
                if link.target not in found and follow(link):
                    found.add(link.target)
                    waiting.append(link.target)
        return found

    def cycles(self, follow: Callable[[Link], bool]) -> Iterator[list[str]]:
        """The sets of nodes that go round on the edges to `follow`, each set once."""
        ahead = {
            node: self.reachable(
                [link.target for link in self.out(node) if follow(link)], follow
            )
            for node in self.kinds
        }
        told: set[str] = set()
        for node in self.kinds:
            if node in ahead[node] and node not in told:
                ring = [
                    each for each in self.kinds if each in ahead[node] and node in ahead[each]
                ]
                told.update(ring)
                yield ring
