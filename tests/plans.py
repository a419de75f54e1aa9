"""How often a plan of Postgres reads a table: what its shape allows, and what a run of it has done."""

from __future__ import annotations

from collections.abc import Iterator, Set
from dataclasses import dataclass
from typing import Any

Node = dict[str, Any]

# Rounds that a run may make over a table that grows: its parallel workers, and the few versions of the terms.
FEW = 8


@dataclass(frozen=True)
class Plan:
    """A plan as `EXPLAIN (FORMAT JSON)` gives it, and the tables whose size does not grow."""

    root: Node
    small: Set[str]

    def lookups(self) -> list[str]:
        """Name each part that is read again for each row of something that grows; none is read in one pass."""
        return [
            f"{node['Node Type']} of {', '.join(sorted(self.growing(node)))}"
            for node, outer in parts(self.root)
            if self.growing(node) and (self.is_again_for_each(node, outer) or node.get("Actual Loops", 0) > FEW)
        ]

    def is_again_for_each(self, node: Node, outer: Node | None) -> bool:
        """Whether the shape has it read for each row of what grows, though today it may be a few rows or none."""
        is_subplan = node.get("Parent Relationship") == "SubPlan"
        return is_subplan or (outer is not None and bool(self.growing(outer)))

    def growing(self, node: Node) -> set[str]:
        """The tables that grow, of those that it reads, itself or through a CTE."""
        found = set()
        for part, _ in parts(node):
            found |= {part["Relation Name"]} if "Relation Name" in part else set()
            if part["Node Type"] == "CTE Scan":
                found |= self.growing(self.cte(part["CTE Name"]))
        return found - self.small

    def cte(self, name: str) -> Node:
        return next(node for node, _ in parts(self.root) if node.get("Subplan Name") == f"CTE {name}")


def parts(node: Node, outer: Node | None = None) -> Iterator[tuple[Node, Node | None]]:
    """Yield each node, and with the inner side of a nested loop its outer side."""
    yield node, outer
    for child in node.get("Plans", []):
        is_inner = node["Node Type"] == "Nested Loop" and child["Parent Relationship"] == "Inner"
        yield from parts(child, node["Plans"][0] if is_inner else None)
