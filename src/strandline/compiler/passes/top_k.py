"""σ(row_number ≤ k)(ω(X)) = ω(top-k(X)): numbers of the first k rows need only the first k rows."""

from __future__ import annotations

from dataclasses import replace as evolve

from sqlglot import exp

from strandline.compiler import relations as r
from strandline.compiler.passes.rewriting import bottom_up


def top_k(root: r.Relation) -> r.Relation:
    """Where the window numbers rows and does nothing else."""

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
