"""UNION, INTERSECT and EXCEPT as tagged bag unions under aggregates."""

from __future__ import annotations

from sqlglot import exp

from strandline.compiler import relations as r
from strandline.compiler.binding import Context, Keyed, Lowered
from strandline.compiler.reject import UnsupportedError
from strandline.compiler.selecting import constant
from strandline.compiler.unions import union_all


def lower_set_operation(query: exp.SetOperation, ctx: Context) -> Lowered:
    """Both sides, combined.

    In a correlated subquery the columns that tie a row to its outer one are part of it.
    """
    if isinstance(ctx.correlation, Keyed):
        raise UnsupportedError("a set operation is not correlated by keys of its own")
    left, right = (with_keys(ctx.lower(side, ctx)) for side in (query.left, query.right))
    keys = len(ctx.correlation.columns) if ctx.correlation is not None else 0
    whole = combined(query, left, right, keys, ctx)
    return Lowered(whole.node, whole.outputs[keys:], tuple(c for _, c in whole.outputs[:keys]))


def with_keys(side: Lowered) -> Lowered:
    """The columns that tie rows to outer ones, as first outputs."""
    keys = tuple((f" key{i}", c) for i, c in enumerate(side.keys))
    return Lowered(side.node, (*keys, *side.outputs))


def combined(query: exp.SetOperation, left: Lowered, right: Lowered, keys: int, ctx: Context) -> Lowered:
    """ALL variants number the copies of equal rows first."""
    if query.args.get("side") or query.args.get("kind"):
        raise UnsupportedError("this form of set operation has no incremental rule yet")
    if query.args.get("by_name"):
        left, right = aligned(left, right, ctx), aligned(right, left, ctx, first=False)
    if len(left.outputs) != len(right.outputs):
        raise UnsupportedError("the two sides have different numbers of columns")
    distinct = bool(query.args.get("distinct"))
    if isinstance(query, exp.Union):
        merged, _ = combine(left, right, ctx, number=False)
        return limited(distinct_rows(merged, ctx) if distinct else merged, query, keys)
    merged, tag = combine(left, right, ctx, number=not distinct)
    groups = tuple(r.Out(ctx.names.fresh(n), r.column(c)) for n, c in merged.outputs)
    counts = [r.Out(ctx.names.fresh("side"), count_of(tag, side)) for side in (0, 1)]
    node: r.Relation = r.Aggregate(merged.node, groups, tuple(counts))
    present = [exp.GT(this=r.column(c.name), expression=exp.Literal.number(0)) for c in counts]
    other = present[1] if isinstance(query, exp.Intersect) else exp.Not(this=present[1])
    node = r.Filter(node, exp.and_(present[0], other))
    wanted = groups[: len(left.outputs)]
    outputs = tuple((n, g.name) for (n, _), g in zip(left.outputs, wanted, strict=True))
    return limited(Lowered(node, outputs), query, keys)


def aligned(side: Lowered, other: Lowered, ctx: Context, *, first: bool = True) -> Lowered:
    """One side of a set operation BY NAME: the columns of both, NULL where it has none of the name."""
    own, more = dict(side.outputs), dict(other.outputs)
    names = (
        [*own, *(n for n in more if n not in own)] if first else [*more, *(n for n in own if n not in more)]
    )
    outs = {n: r.Out(ctx.names.fresh(n), r.column(own[n]) if n in own else exp.Null()) for n in names}
    kept = [r.Out(i, r.column(i)) for i in r.ids(side.node)]
    node = r.Project(side.node, (*outs.values(), *kept), r.ids(side.node))
    return Lowered(node, tuple((n, o.name) for n, o in outs.items()))


def count_of(tag: str, side: int) -> exp.Expr:
    """count(rows of one branch)"""
    is_side = exp.EQ(this=r.column(tag), expression=exp.Literal.number(side))
    case = exp.Case(ifs=[exp.If(this=is_side, true=exp.Literal.number(1))])
    return exp.Count(this=case, big_int=True)


def combine(left: Lowered, right: Lowered, ctx: Context, *, number: bool) -> tuple[Lowered, str]:
    """The tagged union of both sides and its tag column."""
    branches, width = [], 0
    for side in (left, right):
        node, outs = side.node, [c for _, c in side.outputs]
        if number:
            node, copy = numbered(node, tuple(dict.fromkeys(outs)), ctx)
            outs = [*outs, copy]
        width = len(outs)
        fresh = [ctx.names.fresh(c) for c in outs]
        kept = [r.Out(f, r.column(c)) for f, c in zip(fresh, outs, strict=True)]
        kept += [r.Out(i, r.column(i)) for i in r.ids(node) if i not in fresh]
        branches.append(r.Project(node, tuple(kept), r.ids(node)))
    names = r.columns(branches[0])[:width]
    union, _ = union_all(tuple(branches), names, {}, ctx)
    assert isinstance(union, r.Union)
    titles = [n for n, _ in left.outputs] + ["copy"] * number
    return Lowered(union, tuple(zip(titles, union.names[:width], strict=True))), union.ids[0]


def numbered(node: r.Relation, by: tuple[str, ...], ctx: Context) -> tuple[r.Relation, str]:
    """row_number() over equal rows: the copies of a row told apart."""
    call = exp.Window(this=exp.RowNumber())
    out = r.Out(ctx.names.fresh("copy"), call)
    return r.Window(node, by, (), (), (out,)), out.name


def distinct_rows(merged: Lowered, ctx: Context) -> Lowered:
    """SELECT DISTINCT as grouping by everything."""
    groups = tuple(r.Out(ctx.names.fresh(n), r.column(c)) for n, c in merged.outputs)
    node = r.Aggregate(merged.node, groups, ())
    return Lowered(node, tuple((n, g.name) for (n, _), g in zip(merged.outputs, groups, strict=True)))


def limited(lowered: Lowered, query: exp.SetOperation, keys: int) -> Lowered:
    """ORDER BY … LIMIT over the whole set operation, for each value of the first `keys` columns."""
    limit, offset = constant(query.args.get("limit")), constant(query.args.get("offset")) or 0
    if limit is None and not offset:
        return lowered
    by_name = dict(lowered.outputs)
    order = query.args.get("order")
    terms = []
    for term in order.expressions if order is not None else []:
        if not isinstance(term.this, exp.Column) or term.this.name not in by_name:
            raise UnsupportedError("ORDER BY of a set operation is kept only by output columns")
        terms.append(
            r.Order(by_name[term.this.name], bool(term.args.get("desc")), bool(term.args.get("nulls_first")))
        )
    rest = [r.Order(c) for _, c in lowered.outputs if c not in {t.column for t in terms}]
    partition = tuple(c for _, c in lowered.outputs[:keys])
    return Lowered(r.TopK(lowered.node, partition, (*terms, *rest), limit, offset), lowered.outputs)
