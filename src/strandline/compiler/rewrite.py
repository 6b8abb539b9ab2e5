"""Rewrites of the algebra before stages are cut; each keeps the result and the row identities.

PASSES of the compiler name them in order:
`merge_projections` → `push_filters` → `late_lookups` → `top_k` → `nest_windows` (a file of its own) →
`lift_projections` → `merge_projections` → `top_k` → `prune`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace as evolve

from sqlglot import exp

from strandline.compiler import relations as r
from strandline.compiler.binding import replace

Rule = Callable[[r.Relation], r.Relation]


def bottom_up(node: r.Relation, rule: Rule) -> r.Relation:
    """Apply a rule to every relation, children first."""
    match node:
        case r.Scan() | r.Constant():
            new: r.Relation = node
        case r.Join() | r.SemiJoin():
            new = evolve(node, left=bottom_up(node.left, rule), right=bottom_up(node.right, rule))
        case r.Union():
            new = evolve(node, inputs=tuple(bottom_up(i, rule) for i in node.inputs))
        case _:
            new = evolve(node, input=bottom_up(node.input, rule))
    return rule(new)


def merge_projections(root: r.Relation) -> r.Relation:
    """π(π(X)) = π(X) and σ(π(X)) = π(σ(X)), by substitution."""
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


def substitution(project: r.Project) -> dict[exp.Expr, exp.Expr]:
    """Column → the expression that computes it."""
    return {r.column(o.name): closed(o.expr) for o in project.outs}


def closed(expr: exp.Expr) -> exp.Expr:
    """Parenthesised where an operator around it could capture a part of it."""
    atomic = (exp.Column, exp.Literal, exp.Null, exp.Boolean, exp.Paren, exp.Func, exp.Cast)
    return expr if isinstance(expr, atomic) and not isinstance(expr, exp.Connector) else exp.Paren(this=expr)


def push_filters(root: r.Relation) -> r.Relation:
    """σ(L ⋈ R) = σ(L) ⋈ R where the predicate names columns of L only: lets joins move up later."""

    def rule(node: r.Relation) -> r.Relation:
        if isinstance(node, r.Filter) and isinstance(node.input, r.Join):
            join = node.input
            if r.references(node.predicate) <= set(r.columns(join.left)):
                return evolve(join, left=rule(r.Filter(join.left, node.predicate)))
        return node

    return bottom_up(root, rule)


def late_lookups(root: r.Relation) -> r.Relation:
    """ω(L ⟕ R) = ω(L) ⟕ R where R adds at most one row's columns and the windows name none of them.

    A reference column joined in for show then costs no partition when it changes.
    """

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


def lift_projections(root: r.Relation) -> r.Relation:
    """π(X) ⟕ R = π'(X ⟕ R) over a windowed X: computed and looked-up columns become one projection.

    The stage of X then writes both when it writes its rows, and no second copy of them is kept.
    """

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


def window_references(node: r.Window) -> frozenset[str]:
    """Every column a window relation looks at."""
    keys = {*node.partition, *(o.column for o in node.order + node.ties)}
    used = frozenset(keys).union(*(r.references(o.expr) for o in node.computed))
    return used - {o.name for o in node.computed}


def top_k(root: r.Relation) -> r.Relation:
    """σ(row_number ≤ k)(ω(X)) = ω(top-k(X)): numbers of the first k rows need only the first k rows."""

    def rule(node: r.Relation) -> r.Relation:
        if not isinstance(node, r.Filter) or not isinstance(node.input, r.Window):
            return node
        window = node.input
        bound = row_number_bound(node.predicate, window)
        if bound is None:
            return node
        order = window.order + window.ties
        return evolve(window, input=r.TopK(window.input, window.partition, order, bound))

    return bottom_up(root, rule)


def row_number_bound(predicate: exp.Expr, window: r.Window) -> int | None:
    """k for `rn = 1`, `rn <= k` or `rn < k` over a relation that only numbers rows."""
    numbers = {f.name for f in window.functions if isinstance(f.expr.this, exp.RowNumber)}
    if len(numbers) != len(window.computed) or not isinstance(predicate, (exp.EQ, exp.LTE, exp.LT)):
        return None
    left, right = predicate.this, predicate.expression
    if not isinstance(left, exp.Column) or left.name not in numbers:
        return None
    if not isinstance(right, exp.Literal) or not right.name.isdigit():
        return None
    value = int(right.name)
    if isinstance(predicate, exp.EQ):
        return 1 if value == 1 else None
    return value - isinstance(predicate, exp.LT)


def prune(node: r.Relation, needed: frozenset[str]) -> r.Relation:
    """Drop columns and functions that nothing above uses; identities stay."""
    match node:
        case r.Scan():
            keep = needed | set(node.ids)
            read = tuple(c for c in node.columns if c[0] in keep)
            return evolve(node, columns=read or node.columns[:1])
        case r.Constant():
            return node
        case r.Unnest():
            own = {o.name for o in node.lists} | {node.place}
            below = frozenset(needed - own).union(*(r.references(o.expr) for o in node.lists))
            return evolve(node, input=prune(node.input, below))
        case r.Filter():
            return evolve(node, input=prune(node.input, needed | r.references(node.predicate)))
        case r.Project():
            outs = tuple(o for o in node.outs if o.name in needed or o.name in node.ids)
            below = frozenset().union(*(r.references(o.expr) for o in outs))
            return evolve(node, outs=outs, input=prune(node.input, below))
        case r.Join() | r.SemiJoin():
            return prune_join(node, needed)
        case r.Union():
            return prune_union(node, needed)
        case r.Aggregate():
            kept = tuple(o for o in node.aggregates if o.name in needed)
            if not kept and not node.grouped:
                kept = node.aggregates[:1]  # its one row has to be made of something
            below = frozenset().union(*(r.references(o.expr) for o in node.groups + kept))
            return evolve(node, aggregates=kept, input=prune(node.input, below))
        case r.Window():
            return prune_window(node, needed)
        case r.TopK():
            keys = {*node.partition, *(o.column for o in node.order)}
            return evolve(node, input=prune(node.input, needed | keys))


def prune_join(node: r.Join | r.SemiJoin, needed: frozenset[str]) -> r.Relation:
    right = frozenset(r.columns(node.right))
    if isinstance(node, r.Join) and node.kind.endswith("left") and r.lookup(node) and not needed & right:
        return prune(node.left, needed)
    needed = needed | r.references(node.on)
    return evolve(node, left=prune(node.left, needed - right), right=prune(node.right, needed & right))


def prune_union(node: r.Union, needed: frozenset[str]) -> r.Relation:
    kept = [i for i, n in enumerate(node.names) if n in needed or n in node.ids]
    branches = []
    for branch in node.inputs:
        assert isinstance(branch, r.Project)
        outs = tuple(branch.outs[i] for i in kept)
        below = frozenset().union(*(r.references(o.expr) for o in outs))
        branches.append(
            evolve(branch, outs=outs, input=prune(branch.input, below | set(r.ids(branch.input))))
        )
    return evolve(node, inputs=tuple(branches), names=tuple(node.names[i] for i in kept))


def prune_window(node: r.Window, needed: frozenset[str]) -> r.Relation:
    kept: list[r.Level] = []
    for level in reversed(node.stack):
        outs = tuple(o for o in level.outs if o.name in needed)
        needed = needed.union(*(r.references(o.expr) for o in outs))
        functions = tuple(f for f in level.functions if f.name in needed)
        needed = needed.union(*(r.references(f.expr) for f in functions))
        if functions or outs:
            kept.insert(0, r.Level(functions, outs))
    if not kept:
        return prune(node.input, needed)
    pruned = evolve(node, functions=(), levels=tuple(kept))
    if not kept[-1].outs:
        pruned = evolve(node, functions=kept[-1].functions, levels=tuple(kept[:-1]))
    below = (needed - {o.name for o in pruned.computed}) | window_references(pruned)
    return evolve(pruned, input=prune(node.input, below))
