"""Subqueries as joins: [NOT] EXISTS and [NOT] IN as semi and anti joins, values as one-row joins.

Decorrelation follows Galindo-Legaria and Joshi, "Orthogonal optimization of
subqueries and aggregation", SIGMOD 2001, for equality correlation; `correlation` has the rest.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace as evolve

from sqlglot import exp

from strandline.compiler import marks
from strandline.compiler import relations as r
from strandline.compiler.aggregates import aggregate_units, is_aggregate
from strandline.compiler.binding import (
    Context,
    Scope,
    bind,
    copied,
    empty_value,
    refuse_subqueries,
    replace,
)
from strandline.compiler.correlation import Side, by_keys, inside, split_keys
from strandline.compiler.free import aliases, free, from_items
from strandline.compiler.reject import UnsupportedError
from strandline.compiler.trees import find_all, has, nodes

SIMPLE = ("group", "having", "qualify", "limit", "offset", "distinct", "with_", "windows")
COMPARISONS = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE)


def lower_predicate(node: r.Relation, predicate: exp.Expr, scope: Scope, ctx: Context) -> r.Relation:
    """One WHERE term: a filter, or a semi or anti join for [NOT] EXISTS and [NOT] IN."""
    if has(predicate, exp.Query):
        semi = semi_join(node, predicate, scope, ctx)
        if semi is not None:
            return semi
        bound = bind(predicate, scope)
        node, mapping = scalars(node, [bound], scope, ctx)
        bound = replace(bound, mapping)
        refuse_subqueries(bound)
        return r.Filter(node, bound)
    return r.Filter(node, bind(predicate, scope))


def semi_join(node: r.Relation, predicate: exp.Expr, scope: Scope, ctx: Context) -> r.Relation | None:
    """The semi or anti join for a [NOT] EXISTS or [NOT] IN term; None for any other predicate."""
    anti = False
    while isinstance(predicate, (exp.Not, exp.Paren)):
        anti ^= isinstance(predicate, exp.Not)
        predicate = predicate.this
    if isinstance(predicate, exp.Exists):
        right, on, _ = partner(node, predicate.this, scope, ctx)
        return r.SemiJoin(node, right, exp.and_(*on) if on else None, anti)
    predicate, anti = as_in(predicate, anti)
    if not isinstance(predicate, exp.In) or predicate.args.get("query") is None:
        return None
    wanted = bind(predicate.this, scope)
    node, mapping = scalars(node, [wanted], scope, ctx)
    wanted = replace(wanted, mapping)
    columns = wanted.expressions if isinstance(wanted, exp.Tuple) else [wanted]
    query = predicate.args["query"]
    if anti and len(columns) == 1 and (not free(query) or by_keys(query.unnest()) is not None):
        return not_in(node, inside(node, query, scope, ctx), wanted, ctx)
    right, on, outputs = partner(node, query, scope, ctx)
    if len(columns) != len(outputs):
        raise UnsupportedError("IN compares a value with rows of another width")
    pairs = zip(columns, outputs, strict=True)
    equal: exp.Expr = exp.and_(*(exp.EQ(this=w, expression=o) for w, o in pairs))
    if anti:
        # x NOT IN (…) is true only if no comparison is true or unknown
        equal = exp.Coalesce(this=equal, expressions=[exp.true()])
    return r.SemiJoin(node, right, exp.and_(equal, *on), anti)


def as_in(predicate: exp.Expr, anti: bool) -> tuple[exp.Expr, bool]:
    """`x = ANY (…)` is IN, `x <> ALL (…)` is NOT IN."""
    some = isinstance(predicate, exp.EQ) and isinstance(predicate.expression, exp.Any)
    none = isinstance(predicate, exp.NEQ) and isinstance(predicate.expression, exp.All)
    if not (some or none) or not isinstance(predicate.expression.this, exp.Query):
        return predicate, anti
    return exp.In(this=predicate.this, query=predicate.expression.this), anti ^ none


def not_in(node: r.Relation, side: Side, wanted: exp.Expr, ctx: Context) -> r.Relation:
    """Rows whose value is not among the subquery's, neither of them being NULL where there are any.

    Two anti joins over equalities in place of one over a disjunction; that there is a NULL changes rarely.
    """
    value = r.column(side.outputs[0])
    node = r.SemiJoin(node, side.node, exp.and_(exp.EQ(this=wanted, expression=value), *side.on), anti=True)
    keys = tuple(r.Out(ctx.names.fresh(k), r.column(k)) for k in side.keys)
    null = r.Out(ctx.names.fresh("no_value"), marks.is_null(value))
    seen = r.Aggregate(side.node, (*keys, null), ())
    pairs = zip(side.on, keys, strict=True)
    tied = [type(t)(this=t.this.copy(), expression=r.column(k.name)) for t, k in pairs]
    unknown = exp.or_(r.column(null.name), marks.is_null(wanted))
    return r.SemiJoin(node, seen, exp.and_(unknown, *tied), anti=True)


def partner(
    node: r.Relation, query: exp.Expr, scope: Scope, ctx: Context
) -> tuple[r.Relation, list[exp.Expr], list[exp.Expr]]:
    """The subquery's relation, the terms of its correlation, and its output expressions."""
    select = query.unnest() if isinstance(query, exp.Subquery) else query
    if isinstance(select, exp.Select) and conditional(select):
        return by_condition(select, scope, ctx)
    side = inside(node, select, scope, ctx)
    return side.node, list(side.on), [r.column(o) for o in side.outputs]


def conditional(select: exp.Select) -> bool:
    """A plain SELECT, correlated by terms of its WHERE alone: they can be a join's condition."""
    if not free(select) or any(select.args.get(a) for a in SIMPLE) or from_items(select):
        return False
    if any(is_aggregate(n) or isinstance(n, exp.Query) for e in select.expressions for n in nodes(e)):
        return False
    own = aliases(select)
    return not any(
        has(term, exp.Query) and any(alias not in own for alias, _ in free(term)) for term in terms_of(select)
    )


def terms_of(select: exp.Select) -> list[exp.Expr]:
    where = select.args.get("where")
    return r.conjuncts(where.this) if where is not None else []


def by_condition(
    select: exp.Select, scope: Scope, ctx: Context
) -> tuple[r.Relation, list[exp.Expr], list[exp.Expr]]:
    """Local WHERE terms filter the inner side; terms that name the outer query become the condition."""
    own = aliases(select)
    local = [t for t in terms_of(select) if all(a in own for a, _ in free(t))]
    outer = [t for t in terms_of(select) if any(a not in own for a, _ in free(t))]
    outputs = [e.unalias() for e in select.expressions if not isinstance(e.unalias(), exp.Star)]
    columns = [c for e in (*outer, *outputs) for c in find_all(e, exp.Column) if c.table in own]
    wanted = {(c.table, c.name): c for c in columns}
    rows = select.copy()
    listed = [exp.alias_(c.copy(), f"c{i}") for i, c in enumerate(wanted.values())]
    rows.set("expressions", listed or [exp.alias_(exp.Literal.number(1), "c0")])
    rows.set("where", exp.Where(this=exp.and_(*(t.copy() for t in local))) if local else None)
    rows.set("order", None)
    inner = copied(ctx.lower(rows, evolve(ctx, correlation=None)), ctx)
    both = {**scope, **{key: c for key, (_, c) in zip(wanted, inner.outputs, strict=False)}}
    return inner.node, [bind(t, both) for t in outer], [bind(o, both) for o in outputs]


def scalars(
    node: r.Relation, holders: Iterable[exp.Expr], scope: Scope, ctx: Context
) -> tuple[r.Relation, dict[exp.Expr, exp.Expr]]:
    """Join every subquery found in the bound expressions; the mapping replaces them by their values."""
    mapping: dict[exp.Expr, exp.Expr] = {}
    for holder in holders:
        for sub in outermost(holder):
            if sub not in mapping:
                node, mapping[sub] = value_of(node, sub, scope, ctx)
    return node, mapping


def outermost(expr: exp.Expr) -> list[exp.Expr]:
    """The expressions that are the value of a subquery, directly inside an expression."""
    if isinstance(expr, (exp.Subquery, exp.Exists)) or subquery_of(expr) is not None:
        return [expr]
    if isinstance(expr, exp.Query):
        return []
    return [s for child in expr.iter_expressions() for s in outermost(child)]


def subquery_of(expr: exp.Expr) -> exp.Expr | None:
    """The subquery of `x IN (…)`, `x = ANY (…)` and `ARRAY(…)`."""
    found = None
    if isinstance(expr, exp.In):
        found = expr.args.get("query")
    elif isinstance(expr, COMPARISONS) and isinstance(expr.expression, (exp.Any, exp.All)):
        found = expr.expression.this
    elif isinstance(expr, exp.Array) and len(expr.expressions) == 1:
        found = expr.expressions[0] if isinstance(expr.expressions[0], exp.Select) else None
    return found if isinstance(found, exp.Query) else None


def value_of(node: r.Relation, sub: exp.Expr, scope: Scope, ctx: Context) -> marks.Valued:
    """One subquery as a value over the columns of the relation that is given back."""
    if isinstance(sub, exp.Subquery):
        return scalar(node, sub.unnest(), scope, ctx)
    if isinstance(sub, exp.Exists):
        return marks.exists(node, inside(node, sub.this, scope, ctx), ctx)
    query = subquery_of(sub)
    assert query is not None
    if isinstance(sub, exp.Array):
        return scalar(node, listing(query), scope, ctx)
    node, mapping = scalars(node, [sub.this], scope, ctx)
    wanted = replace(sub.this, mapping)
    side = inside(node, query, scope, ctx)
    if isinstance(sub, exp.In):
        return marks.membership(node, side, wanted, ctx)
    return marks.quantified(node, side, type(sub)(this=wanted, expression=sub.expression), ctx)


def listing(query: exp.Expr) -> exp.Select:
    """ARRAY(SELECT x … ORDER BY y) as an aggregate: the list is empty where there is no row."""
    if not isinstance(query, exp.Select) or any(query.args.get(a) for a in SIMPLE):
        raise UnsupportedError("ARRAY() of grouping, DISTINCT or limits has no incremental rule")
    select = query.copy()
    value = select.expressions[0].unalias()
    if any(is_aggregate(n) for n in nodes(value)) or has(value, exp.Query):
        raise UnsupportedError("ARRAY() of an aggregate or of a subquery has no incremental rule")
    order = select.args.get("order")
    if order is not None:
        own: dict[exp.Expr, exp.Expr] = {r.column(select.expressions[0].alias_or_name): value}
        value = exp.Order(this=value.copy(), expressions=[replace(t, own) for t in order.expressions])
    found = exp.Coalesce(this=exp.ArrayAgg(this=value.copy()), expressions=[exp.Array(expressions=[])])
    select.set("expressions", [exp.alias_(found, "items")])
    select.set("order", None)
    return select


def scalar(node: r.Relation, select: exp.Expr, scope: Scope, ctx: Context) -> marks.Valued:
    """The value of a scalar subquery."""
    found = aggregate_by_key(node, select, scope, ctx) if isinstance(select, exp.Select) else None
    return found or marks.single(node, inside(node, select, scope, ctx), ctx)


def aggregate_by_key(node: r.Relation, select: exp.Select, scope: Scope, ctx: Context) -> marks.Valued | None:
    """(SELECT f(agg) FROM … WHERE inner = outer): aggregate per inner key, left join on it."""
    if not free(select) or any(select.args.get(a) for a in SIMPLE) or len(select.expressions) != 1:
        return None
    output = select.expressions[0].unalias()
    units = list(dict.fromkeys(aggregate_units(output)))
    grouped, pairs = split_keys(select)
    keys = [exp.alias_(own, f"k{i}") for i, (own, _) in enumerate(pairs)]
    calls = [exp.alias_(u.copy(), f"u{i}") for i, u in enumerate(units)]
    grouped.set("expressions", [*keys, *calls])
    grouped.set("order", None)
    grouped.set("group", exp.Group(expressions=[own.copy() for own, _ in pairs]) if pairs else None)
    if not units or free(grouped) or has(output, exp.Query, exp.Window):
        return None
    inner = copied(ctx.lower(grouped, evolve(ctx, correlation=None)), ctx)
    names = [c for _, c in inner.outputs]
    outer = (bind(o, scope) for _, o in pairs)
    on = [exp.EQ(this=o, expression=r.column(k)) for o, k in zip(outer, names, strict=False)]
    results = dict(zip(units, names[len(pairs) :], strict=True))
    value = replace(output, {u: empty_value(r.Out(c, u)) for u, c in results.items()})
    both = {**scope, **{("", c): c for c in names}}
    joined = r.Join("left", node, inner.node, marks.condition(on))
    return joined, exp.Paren(this=bind(value, both))
