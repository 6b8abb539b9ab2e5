"""Columns whose values may be equal in SQL and yet not the same: 1 month and 30 days, 0.0 and -0.0.

Where a row is told to be unchanged such columns are compared by what they show as well. They are those
that come from a stored column of such a type; what is computed from others (the time between two
timestamps) has one way to be written, and is not made dearer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace as evolve

from sqlglot import exp

from strandline.compiler import relations as r
from strandline.compiler.catalog import Catalog
from strandline.compiler.plan import Stage
from strandline.compiler.text import DIALECT, listed, same
from strandline.compiler.trees import find_all

Kinds = Mapping[str, str]
"""Delicate columns with what tells their values apart: a function's name, or `text`."""


def kind_of(type_: str) -> str:
    """What tells apart equal values of a type; "" where equal values are the same."""
    upper = type_.upper()
    if upper in ("DOUBLE", "FLOAT", "REAL"):
        return "signbit"
    nested = upper.endswith("]") or upper.startswith(("STRUCT", "MAP", "UNION", "VARIANT", "LIST"))
    return "text" if nested or upper == "INTERVAL" else ""


def kind_of_expression(expr: exp.Expr) -> str:
    """What tells apart equal values of an expression; their text where its type is not known."""
    if expr.type is None or expr.type.this == exp.DataType.Type.UNKNOWN:
        return "text"
    return kind_of(expr.type.sql(dialect=DIALECT))


def shown(name: str, kind: str, prefix: str = "") -> str:
    """An expression that differs for equal values that are not the same."""
    column = f"{prefix}{r.quote(name)}"
    return f"{column}::VARCHAR" if kind == "text" else f"{kind}({column})"


def exactly(stage: Stage, columns: Sequence[str]) -> str:
    """A column list by which rows are the same only where every value is."""
    there = set(columns)
    return ", ".join([listed(columns), *(shown(n, k) for n, k in stage.delicate if n in there)])


def identical(stage: Stage, columns: Sequence[str], left: str, right: str) -> str:
    """True where two rows have the same values, not just equal ones, in these columns."""
    there = set(columns)
    told = (
        f"{shown(n, k, left + '.')} IS NOT DISTINCT FROM {shown(n, k, right + '.')}"
        for n, k in stage.delicate
        if n in there
    )
    return " AND ".join([same(columns, left, right), *told])


def mark(stages: Iterable[Stage], catalog: Catalog) -> tuple[Stage, ...]:
    """The stages, knowing their delicate columns."""
    known: dict[str, Kinds] = {
        r_.table: {c.stored: kind for c in r_.columns if (kind := kind_of(c.type))} for r_ in catalog.values()
    }
    made = []
    for stage in stages:
        below = dict(of(stage.input, known))
        if stage.operator is not None:
            below |= of_operator(stage.operator, below)
        for look in stage.lookups:
            below |= of(look.scan, known)
        below |= of_outs(stage.post, below)
        stored = {*stage.raw, *(o.name for o in stage.stored_post)}
        found = {name: kind for name, kind in below.items() if name in stored}
        known[stage.table] = found
        made.append(evolve(stage, delicate=tuple(sorted(found.items()))))
    return tuple(made)


def of(node: r.Relation, known: Mapping[str, Kinds]) -> Kinds:
    """The delicate columns of a stage's input."""
    match node:
        case r.Scan():
            stored = known.get(node.table, {})
            return {name: stored[column] for name, column in node.columns if column in stored}
        case r.Project():
            return of_outs(node.outs, of(node.input, known))
        case r.Union():
            parts = [(r.columns(i), of(i, known)) for i in node.inputs]
            return {
                n: kind
                for names, kinds in parts
                for n, source in zip(node.names, names, strict=False)
                if (kind := kinds.get(source))
            }
        case _:
            return {name: kind for i in r.inputs(node) for name, kind in of(i, known).items()}


def of_operator(operator: r.Relation, below: Kinds) -> Kinds:
    if isinstance(operator, r.Aggregate):
        return of_outs((*operator.groups, *operator.aggregates), below)
    found: dict[str, str] = {}
    for out in operator.computed if isinstance(operator, r.Window) else ():
        found |= of_outs((out,), {**below, **found})  # a later level may look at it
    return found


def of_outs(outs: Iterable[r.Out], below: Kinds) -> Kinds:
    return {o.name: kind for o in outs if (kind := of_expression(o.expr, below))}


def of_expression(expr: exp.Expr, below: Kinds) -> str:
    """The kind of what is made from delicate columns; by text where its type is not known."""
    if isinstance(expr, exp.Column):
        return below.get(expr.name, "")
    if not any(c.name in below for c in find_all(expr, exp.Column)):
        return ""
    return kind_of_expression(expr)
