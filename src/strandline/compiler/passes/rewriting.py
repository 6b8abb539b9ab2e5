"""What the passes share: rules applied bottom up, and substitution of computed columns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace as evolve

from sqlglot import exp

from strandline.compiler import relations as r

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


def substitution(project: r.Project) -> dict[exp.Expr, exp.Expr]:
    """Column → the expression that computes it."""
    return {r.column(o.name): closed(o.expr) for o in project.outs}


def closed(expr: exp.Expr) -> exp.Expr:
    """Parenthesised where an operator around it could capture a part of it."""
    atomic = (exp.Column, exp.Literal, exp.Null, exp.Boolean, exp.Paren, exp.Func, exp.Cast)
    return expr if isinstance(expr, atomic) and not isinstance(expr, exp.Connector) else exp.Paren(this=expr)


def window_references(node: r.Window) -> frozenset[str]:
    """Every column a window relation looks at."""
    keys = {*node.partition, *(o.column for o in node.order + node.ties)}
    used = frozenset(keys).union(*(r.references(o.expr) for o in node.computed))
    return used - {o.name for o in node.computed}
