"""ω(L ⟕ R) = ω(L) ⟕ R: reference columns are joined in above the windows that do not look at them.

A reference column joined in for show then costs no partition when it changes.
"""

from __future__ import annotations

from dataclasses import replace as evolve

from strandline.compiler import relations as r
from strandline.compiler.passes.rewriting import Rule, bottom_up, window_references


def late_lookups(root: r.Relation) -> r.Relation:
    """Where R adds at most one row's columns, joined by its stored key, and the windows name none of them."""

    def rule(node: r.Relation) -> r.Relation:
        if isinstance(node, r.Window) and isinstance(node.input, r.Project):
            return below_projection(node, node.input, rule)
        if not isinstance(node, r.Window) or not isinstance(node.input, r.Join):
            return node
        join = node.input
        used = window_references(node)
        if join.kind == "left" and r.stored_lookup(join) and used <= set(r.columns(join.left)):
            return evolve(join, left=rule(evolve(node, input=join.left)))
        return node

    return bottom_up(root, rule)


def below_projection(window: r.Window, project: r.Project, rule: Rule) -> r.Relation:
    """ω(π(L ⟕ R)) = π'(ω(π_L(L)) ⟕ R): only what the lookup feeds is projected above it."""
    join = project.input
    if not isinstance(join, r.Join) or join.kind != "left" or not r.stored_lookup(join):
        return window
    left = set(r.columns(join.left))
    lower = [o for o in project.outs if r.references(o.expr) <= left]
    if not window_references(window) | set(project.ids) <= {o.name for o in lower}:
        return window
    computed = {o.name for o in lower}
    passed = [r.Out(c, r.column(c)) for c in r.columns(join.left) if c not in computed]
    inner = evolve(project, input=join.left, outs=(*lower, *passed))
    moved = evolve(join, left=rule(evolve(window, input=inner)))
    outs = [r.Out(o.name, r.column(o.name)) if o.name in computed else o for o in project.outs]
    outs += [r.Out(f.name, r.column(f.name)) for f in window.computed]
    return evolve(project, input=moved, outs=tuple(outs))
