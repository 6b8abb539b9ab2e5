"""π(π(X)) = π(X) and σ(π(X)) = π(σ(X)): one projection between two operators, filters below it."""

from __future__ import annotations

from dataclasses import replace as evolve

from strandline.compiler import relations as r
from strandline.compiler.binding import replace
from strandline.compiler.passes.rewriting import bottom_up, substitution


def merge_projections(root: r.Relation) -> r.Relation:
    """By substitution: what is computed below is written out where it is used."""
    return bottom_up(root, merged)


def merged(node: r.Relation) -> r.Relation:
    """A projection or filter with the projection right below it."""
    if isinstance(node, r.Project) and isinstance(node.input, r.Project):
        below = substitution(node.input)
        outs = tuple(r.Out(o.name, replace(o.expr, below)) for o in node.outs)
        return evolve(node, outs=outs, input=node.input.input)
    if isinstance(node, r.Filter) and isinstance(node.input, r.Project):
        predicate = replace(node.predicate, substitution(node.input))
        return evolve(node.input, input=merged(r.Filter(node.input.input, predicate)))
    return node
