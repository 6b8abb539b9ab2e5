"""π(X) ⟕ R = π'(X ⟕ R) over a windowed X: computed and looked-up columns become one projection.

The stage of X then writes both when it writes its rows, and no second copy of them is kept.
"""

from __future__ import annotations

from dataclasses import replace as evolve

from strandline.compiler import relations as r
from strandline.compiler.binding import replace
from strandline.compiler.passes.rewriting import bottom_up, substitution


def lift_projections(root: r.Relation) -> r.Relation:
    """Where the join is by R's stored key and names only columns that the projection passes on."""

    def rule(node: r.Relation) -> r.Relation:
        if not isinstance(node, r.Join) or not isinstance(node.left, r.Project):
            return node
        project, own = node.left, r.columns(node.right)
        if node.kind != "left" or node.on is None or not r.stored_lookup(node) or not windowed(project.input):
            return node
        passed = {o.name for o in project.outs if o.source is not None}
        below = set(r.columns(project.input)) | {o.name for o in project.outs}
        if not r.references(node.on) <= passed | set(own) or below & set(own):
            return node
        joined = r.Join("left", project.input, node.right, replace(node.on, substitution(project)))
        outs = (*project.outs, *(r.Out(c, r.column(c)) for c in own))
        return evolve(project, input=joined, outs=outs)

    return bottom_up(root, rule)


def windowed(node: r.Relation) -> bool:
    """A window, with filters and lookups above it."""
    while isinstance(node, r.Filter) or (isinstance(node, r.Join) and r.stored_lookup(node)):
        node = node.left if isinstance(node, r.Join) else node.input
    return isinstance(node, r.Window)
