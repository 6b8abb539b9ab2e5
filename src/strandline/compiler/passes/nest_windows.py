"""Nested windows over one partition and order become the levels of one stage.

ω₂(π(ω₁(X))) = π'(ω₁₂(X)): what a window computes over another one's results is then kept in
one head and one history, instead of two of each with a change set between them.
"""

from __future__ import annotations

from dataclasses import replace as evolve
from typing import TYPE_CHECKING

from strandline.compiler import relations as r
from strandline.compiler.binding import replace
from strandline.compiler.passes.merge_projections import merged
from strandline.compiler.passes.rewriting import bottom_up, window_references

if TYPE_CHECKING:
    from sqlglot import exp


def nest_windows(root: r.Relation) -> r.Relation:
    """Join every window with the window below it, where both look at the same rows in the same order."""

    def rule(node: r.Relation) -> r.Relation:
        if not isinstance(node, r.Window):
            return merged(node)
        below = merged(node.input)
        if isinstance(below, r.Window) and alike(node, below):
            return on_top(node, below, ())
        if isinstance(below, r.Project) and isinstance(below.input, r.Window):
            return through(node, below, below.input)
        return node

    return bottom_up(root, rule)


def alike(upper: r.Window, lower: r.Window) -> bool:
    """The same partition and order, in which no value of the lower window takes part.

    Tie-breakers may be one window's alone: functions that keep their peers do not look at them.
    """
    return (
        not upper.levels
        and set(upper.partition) == set(lower.partition)
        and upper.order == lower.order
        and (upper.ties == lower.ties or (bool(upper.order) and not (upper.ties and lower.ties)))
    )


def on_top(upper: r.Window, lower: r.Window, outs: tuple[r.Out, ...]) -> r.Window:
    """The upper window's functions beside the lower one's, or a level above them if they look at those."""
    lower = evolve(lower, ties=lower.ties or upper.ties)
    made = {o.name for o in lower.computed} | {o.name for o in outs}
    if not made & window_references(upper):
        return evolve(lower, functions=(*lower.functions, *upper.functions))
    last = r.Level(lower.functions, outs)
    return evolve(lower, functions=upper.functions, levels=(*lower.levels, last))


def through(upper: r.Window, project: r.Project, lower: r.Window) -> r.Relation:
    """A projection between the two goes above; what the upper window looks at is computed in between."""
    renames = {o.name: o.source for o in project.outs if o.source is not None}
    moved = renamed(upper, renames)
    if moved is None or not alike(moved, lower):
        return upper
    looked_at = {c for f in upper.functions for c in r.references(f.expr)}
    between = tuple(o for o in project.outs if o.source is None and o.name in looked_at)
    if {o.name for o in between} & set(r.columns(lower)):
        return upper
    nested = on_top(moved, lower, between)
    outs = [r.Out(o.name, r.column(o.name)) if o in between else o for o in project.outs]
    outs += [r.Out(f.name, r.column(f.name)) for f in upper.functions]
    return evolve(project, input=nested, outs=tuple(outs))


def renamed(window: r.Window, names: dict[str, str]) -> r.Window | None:
    """The window under the names below a projection; None where its order or partition is computed there."""
    keys = [*window.partition, *(o.column for o in window.order + window.ties)]
    if any(k not in names for k in keys):
        return None
    below: dict[exp.Expr, exp.Expr] = {r.column(n): r.column(source) for n, source in names.items()}
    return evolve(
        window,
        partition=tuple(names[k] for k in window.partition),
        order=tuple(evolve(o, column=names[o.column]) for o in window.order),
        ties=tuple(evolve(o, column=names[o.column]) for o in window.ties),
        functions=tuple(r.Out(f.name, replace(f.expr, below)) for f in window.functions),
    )
