"""σ(L ⋈ R) = σ(L) ⋈ R: a filter over a join goes to the side that it looks at."""

from __future__ import annotations

from dataclasses import replace as evolve

from strandline.compiler import relations as r
from strandline.compiler.passes.rewriting import bottom_up


def push_filters(root: r.Relation) -> r.Relation:
    """Where the predicate names columns of L only: the join, now on top, can move up later."""

    def rule(node: r.Relation) -> r.Relation:
        if isinstance(node, r.Filter) and isinstance(node.input, r.Join):
            join = node.input
            if r.references(node.predicate) <= set(r.columns(join.left)):
                return evolve(join, left=rule(r.Filter(join.left, node.predicate)))
        return node

    return bottom_up(root, rule)
