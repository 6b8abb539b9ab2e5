"""Columns and functions that nothing above uses are dropped; identities stay."""

from __future__ import annotations

from dataclasses import replace as evolve

from strandline.compiler import relations as r
from strandline.compiler.passes.rewriting import window_references


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
    there = r.columns(node.input)
    if not below & {*there, *r.ids(node.input)}:
        below |= set(there[:1])  # the one row of an aggregate has to be made of something here, too
    return evolve(pruned, input=prune(node.input, below))
