"""Subqueries as values: one row's worth of each is joined to every outer row.

EXISTS, IN and comparisons with ANY and ALL are three-valued: what decides is kept per key (whether
there are rows, and NULLs among them, and the extremes), and a CASE over that gives TRUE, FALSE or NULL.
Whether there are rows changes more rarely than how many, and what did not change goes no further.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import exp

from strandline.compiler import relations as r
from strandline.compiler.binding import Context, empty_value
from strandline.compiler.correlation import Side
from strandline.compiler.reject import UnsupportedError

MANY = "More than one row returned by a subquery used as an expression"

Valued = tuple[r.Relation, exp.Expr]
"""The outer relation with what the value needs joined to it, and the value over its columns."""


def summary(
    node: r.Relation,
    side: Side,
    calls: Sequence[exp.Expr],
    ctx: Context,
    also: Sequence[tuple[exp.Expr, str]] = (),
) -> tuple[r.Relation, list[exp.Expr]]:
    """Aggregates of the subquery's rows per key, joined to each outer row.

    `also` are more keys: (outer expression, column of the subquery).
    """
    keys = [r.Out(ctx.names.fresh(k), r.column(k)) for k in side.keys]
    on = [
        type(t)(this=t.this.copy(), expression=r.column(k.name)) for t, k in zip(side.on, keys, strict=True)
    ]
    more = [r.Out(ctx.names.fresh(c), r.column(c)) for _, c in also]
    on += [exp.EQ(this=o.copy(), expression=r.column(k.name)) for (o, _), k in zip(also, more, strict=True)]
    outs = tuple(r.Out(ctx.names.fresh(c.key), c) for c in calls)
    groups = (*keys, *more)
    aggregate = r.Aggregate(side.node, groups, outs, bool(groups))
    values = [empty_value(o) for o in outs] or [r.column(more[0].name)]
    return r.Join("left", node, aggregate, condition(on)), values


def condition(terms: Sequence[exp.Expr]) -> exp.Expr:
    """A join condition; without terms every row meets every other."""
    return exp.and_(*terms) if terms else exp.true()


def counted() -> exp.Expr:
    return exp.Count(this=exp.Star(), big_int=True)


def rows() -> exp.Expr:
    """True where there are rows at all; NULL otherwise."""
    return exp.LogicalOr(this=exp.true())


def nulls(name: str) -> exp.Expr:
    """True where a value is NULL."""
    return exp.LogicalOr(this=is_null(r.column(name)))


def surely(value: exp.Expr) -> exp.Expr:
    return exp.Coalesce(this=value.copy(), expressions=[exp.false()])


def number(value: int) -> exp.Expr:
    return exp.Literal.number(value)


def case(*branches: tuple[exp.Expr, exp.Expr], default: exp.Expr) -> exp.Expr:
    ifs = [exp.If(this=test, true=value) for test, value in branches]
    found = exp.Paren(this=exp.Case(ifs=ifs, default=default))
    found.type = exp.DataType.build("BOOLEAN")
    return found


def exists(node: r.Relation, side: Side, ctx: Context) -> Valued:
    """EXISTS: whether the key has rows."""
    node, (some,) = summary(node, side, [rows()], ctx)
    test = surely(some)
    test.type = exp.DataType.build("BOOLEAN")
    return node, test


def membership(node: r.Relation, side: Side, wanted: exp.Expr, ctx: Context) -> Valued:
    """`wanted IN (…)`: found among the values; unknown where it, or one of them, is NULL."""
    own = len(wanted.expressions) if isinstance(wanted, exp.Tuple) else 1
    if own != len(side.outputs):
        raise UnsupportedError("IN compares a value with rows of another width")
    if isinstance(wanted, exp.Tuple):
        return tuple_membership(node, side, wanted.expressions, ctx)
    value = side.outputs[0]
    node, (found,) = summary(node, side, (), ctx, [(wanted, value)])
    node, (some, gaps) = summary(node, side, [rows(), nulls(value)], ctx)
    return node, case(
        (not_null(found), exp.true()),
        (is_null(some), exp.false()),
        (unknown(wanted, gaps), exp.null()),
        default=exp.false(),
    )


def not_null(value: exp.Expr) -> exp.Expr:
    return exp.Not(this=is_null(value))


def is_null(value: exp.Expr) -> exp.Expr:
    return exp.Is(this=exp.Paren(this=value.copy()), expression=exp.null())


def unknown(wanted: exp.Expr, gaps: exp.Expr) -> exp.Expr:
    """Compared with a NULL."""
    return exp.or_(is_null(wanted), gaps.copy())


def tuple_membership(node: r.Relation, side: Side, wanted: Sequence[exp.Expr], ctx: Context) -> Valued:
    """`(a, b) IN (…)`, evaluated once per distinct tuple: rows that equal it, and that may."""
    outer = [*wanted, *(t.this for t in side.on)]
    keys = tuple(r.Out(ctx.names.fresh("key"), e) for e in outer)
    pairs = zip(keys, side.outputs, strict=False)
    equal = exp.and_(*(exp.EQ(this=r.column(k.name), expression=r.column(o)) for k, o in pairs))
    rest = zip(side.on, keys[len(wanted) :], strict=True)
    tied = [type(t)(this=r.column(k.name), expression=t.expression.copy()) for t, k in rest]
    may = exp.Coalesce(this=equal, expressions=[exp.true()])
    met = r.Join("inner", r.Aggregate(node, keys, ()), side.node, exp.and_(may, *tied))
    hits = exp.LogicalOr(this=equal.copy())
    again = Side(
        met,
        (),
        tuple(k.name for k in keys),
        tuple(exp.NullSafeEQ(this=e, expression=r.column(k.name)) for e, k in zip(outer, keys, strict=True)),
    )
    node, (hit, some) = summary(node, again, [hits, rows()], ctx)
    return node, case(
        (surely(hit), exp.true()),
        (surely(some), exp.null()),
        default=exp.false(),
    )


def quantified(node: r.Relation, side: Side, comparison: exp.Expr, ctx: Context) -> Valued:
    """`x > ALL (…)` and the like, by the extreme value that decides."""
    every = isinstance(comparison.expression, exp.All)
    if isinstance(comparison.this, exp.Tuple) or len(side.outputs) != 1:
        raise UnsupportedError("a tuple compared with ANY or ALL has no incremental rule")
    if isinstance(comparison, exp.NEQ if every else exp.EQ):
        node, found = membership(node, side, comparison.this, ctx)
        return node, exp.Paren(this=exp.Not(this=found)) if every else found
    value = r.column(side.outputs[0])
    calls = [rows(), nulls(value.name), exp.Min(this=value), exp.Max(this=value.copy())]
    node, (some, gaps, low, high) = summary(node, side, calls, ctx)
    holds = decided(comparison, every, low, high)
    decisive = (exp.Not(this=exp.Paren(this=holds)), exp.false()) if every else (holds, exp.true())
    empty = exp.true() if every else exp.false()
    return node, case(
        (is_null(some), empty),
        decisive,
        (unknown(comparison.this, gaps), exp.null()),
        default=empty.copy(),
    )


def decided(comparison: exp.Expr, every: bool, low: exp.Expr, high: exp.Expr) -> exp.Expr:
    """The comparison with all values (`every`) or any, told from the lowest and the highest."""
    operator, wanted = type(comparison), comparison.this
    against = [operator(this=wanted.copy(), expression=e) for e in (low, high)]
    if isinstance(comparison, (exp.EQ, exp.NEQ)):
        return exp.and_(*against) if every else exp.or_(*against)
    return against[isinstance(comparison, (exp.GT, exp.GTE)) is every]


def single(node: r.Relation, side: Side, ctx: Context) -> Valued:
    """A scalar subquery: its one value, NULL without a row, the engine's error where there are more."""
    if len(side.outputs) != 1:
        raise UnsupportedError("a scalar subquery has one column")
    output = r.column(side.outputs[0])
    if r.tells_apart(side.node, frozenset(side.keys)):
        return r.Join("left", node, side.node, condition(side.on)), output
    node, (n, value) = summary(node, side, [counted(), exp.First(this=output)], ctx)
    error = exp.Anonymous(this="error", expressions=[exp.Literal.string(MANY)])
    many = exp.If(this=exp.GT(this=n, expression=number(1)), true=error)
    return node, exp.Paren(this=exp.Case(ifs=[many], default=value))
