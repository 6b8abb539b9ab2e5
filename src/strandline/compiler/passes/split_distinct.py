"""Aggregates over distinct values, from a stage that holds each group's values once.

γ_G(count(DISTINCT x), sum(y))(X) = γ_G(count(x), sum(s))(γ_{G,x}(sum(y) AS s)(X)): the inner stage has
a row per group and value, so both stages are kept by `merge`, and no group is read again for a value
that came or went. What else is aggregated beside is kept in parts there and added up.

That pays where groups are large. Where there may be many small ones, reading them again costs less
than looking up the rows of a second table, and the aggregate stays as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import replace as evolve
from math import prod

from sqlglot import exp

from strandline.compiler import relations as r
from strandline.compiler.accumulators import inexact
from strandline.compiler.aggregate import accumulators
from strandline.compiler.delicate import kind_of_expression
from strandline.compiler.groups import values_of
from strandline.compiler.passes.merge_projections import merged
from strandline.compiler.passes.rewriting import bottom_up

LARGE = 1000
"""With at most so many groups, the touched ones are taken to be a large part of the rows."""
REPEATABLE = (exp.Min, exp.Max, exp.LogicalAnd, exp.LogicalOr)
"""Aggregates to which it makes no difference how often a value is there."""
WIDE = frozenset([exp.DataType.Type.INT128, exp.DataType.Type.UINT128])
"""Sums of these overflow in parts where the whole may not."""


@dataclass(frozen=True)
class Split:
    """An aggregate in two steps: what is kept per group and value, what is made of it, and the result."""

    inner: tuple[r.Out, ...]
    outer: tuple[r.Out, ...]
    result: exp.Expr


def split_distinct(root: r.Relation) -> r.Relation:
    """Every aggregate over distinct values in few groups, in two stages."""

    def rule(node: r.Relation) -> r.Relation:
        return in_two(plain(node)) if isinstance(node, r.Aggregate) else merged(node)

    return bottom_up(root, rule)


def plain(node: r.Aggregate) -> r.Aggregate:
    """min(DISTINCT x) = min(x)"""
    return evolve(node, aggregates=tuple(r.Out(o.name, repeatable(o.expr)) for o in node.aggregates))


def repeatable(expr: exp.Expr) -> exp.Expr:
    """The call without a DISTINCT that makes no difference."""
    call = call_of(expr)
    value = distinct_value(call)
    return with_argument(expr, value) if isinstance(call, REPEATABLE) and value is not None else expr


def in_two(node: r.Aggregate) -> r.Relation:
    """The aggregate over an inner one, where all it computes can be had from that."""
    values = {v for o in node.aggregates if (v := distinct_value(call_of(o.expr))) is not None}
    if len(values) != 1 or not few(node.groups):
        return node
    value = r.Out(f"{node.aggregates[0].name} of", values.pop())
    if not r.references(value.expr):
        return node
    conditions = dict.fromkeys(c for o in node.aggregates if (c := condition_of(o.expr)) is not None)
    flags = {
        c: r.Out(f"{value.name} if {i}", exp.LogicalOr(this=exp.Paren(this=c.copy())))
        for i, c in enumerate(conditions)
    }
    splits = [split(o, value, flags) for o in node.aggregates]
    found = [s for s in splits if s is not None]
    return stacked(node, value, found) if len(found) == len(splits) else node


def few(groups: tuple[r.Out, ...]) -> bool:
    """True where what is grouped by cannot have many values."""
    counts = [values_of(o.expr) for o in groups]
    return all(counts) and prod(c or 0 for c in counts) <= LARGE


def stacked(node: r.Aggregate, value: r.Out, splits: list[Split]) -> r.Relation:
    """Both aggregates, and a projection where a result is more than a column of the outer one."""
    keys = tuple(r.Out(f"{o.name} in", o.expr) for o in node.groups)
    partial = dict.fromkeys(o for s in splits for o in s.inner)
    inner = r.Aggregate(node.input, (*keys, value), tuple(partial))
    groups = tuple(
        r.Out(o.name, r.column(k.name, k.expr.type)) for o, k in zip(node.groups, keys, strict=True)
    )
    outer = r.Aggregate(inner, groups, tuple(o for s in splits for o in s.outer), node.grouped)
    results = tuple(r.Out(o.name, s.result) for o, s in zip(node.aggregates, splits, strict=True))
    if all(o.source == o.name for o in results):
        return outer
    passed = tuple(r.Out(o.name, r.column(o.name)) for o in node.groups)
    return r.Project(outer, (*passed, *results), r.ids(outer))


def split(out: r.Out, value: r.Out, flags: dict[exp.Expr, r.Out]) -> Split | None:
    """One aggregate in two steps; None where its parts cannot be put together."""
    call = call_of(out.expr)
    argument = distinct_value(call)
    if argument is not None:
        return over_values(out, call, value, flags)
    if accumulators(out) is None:
        return None
    if call.this == value.expr and isinstance(call, REPEATABLE) and not kind_of_expression(call.this):
        return over_values(out, call, value, flags)
    return in_parts(out, call)


def over_values(out: r.Out, call: exp.Expr, value: r.Out, flags: dict[exp.Expr, r.Out]) -> Split | None:
    """Of the values themselves, those that a row with the FILTER has brought."""
    exact = isinstance(call, exp.Count) or not inexact(value.expr)
    if not exact and not isinstance(call, REPEATABLE):
        return None
    condition = condition_of(out.expr)
    if not isinstance(call, (exp.Count, exp.Sum, exp.Avg, *REPEATABLE)):
        return None
    again = with_argument(call, r.column(value.name, value.expr.type))
    inner: tuple[r.Out, ...] = ()
    if condition is not None:
        inner = (flags[condition],)
        again = exp.Filter(this=again, expression=exp.Where(this=r.column(inner[0].name)))
    return Split(inner, (r.Out(out.name, again),), r.column(out.name))


def in_parts(out: r.Out, call: exp.Expr) -> Split | None:
    """Counts and exact sums are added up; the least of the least is the least.

    Sums of doubles are not: where parts cancel, the rest depends on the order of addition.
    """
    part = r.Out(f"{out.name} part", out.expr)
    if isinstance(call, exp.Count):
        return counted(out.name, part)
    if isinstance(call, (exp.Sum, exp.Avg)):
        if inexact(call.this) or call.this.type.this in WIDE:
            return None
        return summed(out.name, part) if isinstance(call, exp.Sum) else averaged(out.name, part)
    if not isinstance(call, REPEATABLE) or kind_of_expression(call.this) == "text":
        return None
    again = with_argument(call, r.column(part.name, call.this.type))
    return Split((part,), (r.Out(out.name, again),), r.column(out.name))


def counted(name: str, part: r.Out) -> Split:
    """count = the sum of the parts' counts, 0 of none."""
    total = r.Out(f"{name} all", exp.Sum(this=r.column(part.name, exp.DataType.build("BIGINT"))))
    some = exp.Coalesce(this=r.column(total.name), expressions=[exp.Literal.number(0)])
    return Split((part,), (total,), exp.cast(some, "BIGINT"))


def summed(name: str, part: r.Out) -> Split:
    """sum = the sum of the parts' sums, NULL of none."""
    total = r.Out(name, exp.Sum(this=r.column(part.name, call_of(part.expr).this.type)))
    return Split((part,), (total,), r.column(name))


def averaged(name: str, part: r.Out) -> Split:
    """avg = the sum of the sums by the sum of the counts."""
    argument, condition = call_of(part.expr).this, condition_of(part.expr)
    totals: list[r.Out] = []
    parts: list[r.Out] = []
    for function, what in ((exp.Sum, "sum"), (exp.Count, "count")):
        call: exp.Expr = function(this=argument.copy())
        if condition is not None:
            call = exp.Filter(this=call, expression=exp.Where(this=condition.copy()))
        parts.append(r.Out(f"{part.name} {what}", call))
        kind = argument.type if what == "sum" else exp.DataType.build("BIGINT")
        totals.append(r.Out(f"{name} all {what}", exp.Sum(this=r.column(parts[-1].name, kind))))
    total, count = (r.column(t.name) for t in totals)
    quotient = exp.Div(this=exp.cast(total, "DOUBLE"), expression=count)
    some = exp.GT(this=count.copy(), expression=exp.Literal.number(0))
    return Split(tuple(parts), tuple(totals), exp.Case(ifs=[exp.If(this=some, true=quotient)]))


def call_of(expr: exp.Expr) -> exp.Expr:
    """The aggregate call in a FILTER."""
    return expr.this if isinstance(expr, exp.Filter) else expr


def condition_of(expr: exp.Expr) -> exp.Expr | None:
    """The condition of a FILTER."""
    return expr.expression.this if isinstance(expr, exp.Filter) else None


def distinct_value(call: exp.Expr) -> exp.Expr | None:
    """The one argument of an aggregate over distinct values; a row of several has no name in GROUP BY.

    The least n of different values are not the least n of all.
    """
    inner = call.this
    if not isinstance(inner, exp.Distinct) or len(inner.expressions) != 1 or call.expressions:
        return None
    if call.args.get("count") is not None:
        return None
    value: exp.Expr = inner.expressions[0]
    return None if isinstance(value, exp.Tuple) else value


def with_argument(expr: exp.Expr, argument: exp.Expr) -> exp.Expr:
    """The call over another argument, its FILTER as it is."""
    new = expr.copy()
    call_of(new).set("this", argument.copy())
    return new
