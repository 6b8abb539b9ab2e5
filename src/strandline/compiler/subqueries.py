"""Subqueries as joins: [NOT] EXISTS and [NOT] IN as semi and anti joins, scalar ones as one-row joins.

Decorrelation follows Galindo-Legaria and Joshi, "Orthogonal optimization of
subqueries and aggregation", SIGMOD 2001, for equality correlation.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlglot import exp

from strandline.compiler import joining
from strandline.compiler import relations as r
from strandline.compiler.binding import (
    Context,
    Lowered,
    Scope,
    aggregate_units,
    bind,
    is_aggregate,
    refuse_subqueries,
    replace,
)
from strandline.compiler.reject import UnsupportedError

SIMPLE = ("group", "having", "qualify", "limit", "offset", "distinct", "with_", "windows")


def lower_predicate(node: r.Relation, predicate: exp.Expr, scope: Scope, ctx: Context) -> r.Relation:
    """One WHERE term: a filter, or a semi or anti join for [NOT] EXISTS and [NOT] IN."""
    if predicate.find(exp.Query):
        semi = semi_join(node, predicate, scope, ctx)
        if semi is not None:
            return semi
        bound = bind(predicate, scope, ctx)
        node, mapping = scalars(node, [bound], scope, ctx)
        bound = replace(bound, mapping)
        refuse_subqueries(bound)
        return r.Filter(node, bound)
    return r.Filter(node, bind(predicate, scope, ctx))


def semi_join(node: r.Relation, predicate: exp.Expr, scope: Scope, ctx: Context) -> r.Relation | None:
    """The semi or anti join for a [NOT] EXISTS or [NOT] IN term; None for any other predicate."""
    anti = False
    while isinstance(predicate, (exp.Not, exp.Paren)):
        anti ^= isinstance(predicate, exp.Not)
        predicate = predicate.this
    if isinstance(predicate, exp.Exists):
        right, on, _ = inner_side(predicate.this, scope, ctx)
        return r.SemiJoin(node, right, on, anti)
    predicate, anti = as_in(predicate, anti)
    if not isinstance(predicate, exp.In) or predicate.args.get("query") is None:
        return None
    if predicate.this.find(exp.Query) or (isinstance(predicate.this, exp.Tuple) and anti):
        raise UnsupportedError(
            "NOT IN over a tuple and IN over a subquery's value have no incremental rule yet"
        )
    right, on, outputs = inner_side(predicate.args["query"], scope, ctx)
    wanted = predicate.this.expressions if isinstance(predicate.this, exp.Tuple) else [predicate.this]
    pairs = zip(wanted, outputs, strict=True)
    equal: exp.Expr = exp.and_(*(exp.EQ(this=bind(w, scope, ctx), expression=o) for w, o in pairs))
    if anti:
        # x NOT IN (…) is true only if no comparison is true or unknown
        equal = exp.Coalesce(this=equal, expressions=[exp.true()])
    return r.SemiJoin(node, right, exp.and_(equal, on) if on is not None else equal, anti)


def as_in(predicate: exp.Expr, anti: bool) -> tuple[exp.Expr, bool]:
    """`x = ANY (…)` is IN, `x <> ALL (…)` is NOT IN."""
    some = isinstance(predicate, exp.EQ) and isinstance(predicate.expression, exp.Any)
    none = isinstance(predicate, exp.NEQ) and isinstance(predicate.expression, exp.All)
    if not some and not none:
        return predicate, anti
    return exp.In(this=predicate.this, query=predicate.expression.this), anti ^ none


def inner_side(
    query: exp.Expr, scope: Scope, ctx: Context
) -> tuple[r.Relation, exp.Expr | None, list[exp.Expr]]:
    """The subquery's relation, its correlation condition, and its output expressions."""
    select = query.unnest() if isinstance(query, exp.Subquery) else query
    if not correlated(select):
        inner = ctx.lower(select, ctx)
        return renamed(inner, ctx)
    if not isinstance(select, exp.Select) or any(select.args.get(a) for a in SIMPLE):
        raise UnsupportedError("a correlated subquery with grouping or limits has no incremental rule")
    node, inner_scope = joining.lower_from(select, ctx)
    node, on = split_where(node, select, inner_scope, scope, ctx)
    outputs = [bind(e.unalias(), inner_scope, ctx) for e in select.expressions if not is_star(e)]
    if any(is_aggregate(a) for o in outputs for a in o.walk()):
        raise UnsupportedError("a correlated aggregate in this place has no incremental rule")
    return node, on, outputs


def is_star(expr: exp.Expr) -> bool:
    return isinstance(expr.unalias(), exp.Star)


def renamed(inner: Lowered, ctx: Context) -> tuple[r.Relation, exp.Expr | None, list[exp.Expr]]:
    """An uncorrelated subquery under names of its own."""
    holder = exp.Subquery(alias=exp.TableAlias(this=exp.to_identifier("q")))
    node, scope = joining.renamed(inner, "q", holder, ctx)
    return node, None, [r.column(scope["q", name.lower()]) for name, _ in inner.outputs]


def split_where(
    node: r.Relation,
    select: exp.Select,
    inner: Scope,
    outer: Scope,
    ctx: Context,
) -> tuple[r.Relation, exp.Expr | None]:
    """Local WHERE terms filter the inner side; terms that name the outer query become the condition."""
    where = select.args.get("where")
    conditions = []
    for term in r.conjuncts(where.this) if where is not None else []:
        local = all((c.table, c.name) in inner for c in term.find_all(exp.Column))
        if local or term.find(exp.Query):
            node = lower_predicate(node, term, inner, ctx)
        else:
            conditions.append(bind(term, {**outer, **inner}, ctx))
    return node, exp.and_(*conditions) if conditions else None


def correlated(query: exp.Expr) -> bool:
    """True where the subquery names a table that it does not bring in itself."""
    own = {t.alias_or_name for t in query.find_all(exp.Table, exp.Subquery, exp.CTE)}
    return any(c.table and c.table not in own for c in query.find_all(exp.Column))


def scalars(
    node: r.Relation, holders: Iterable[exp.Expr], scope: Scope, ctx: Context
) -> tuple[r.Relation, dict[exp.Expr, exp.Expr]]:
    """Join every scalar subquery found in the expressions; the mapping replaces them by columns."""
    mapping: dict[exp.Expr, exp.Expr] = {}
    for holder in holders:
        for sub in outermost(holder):
            if sub not in mapping:
                node, mapping[sub] = scalar(node, sub, scope, ctx)
    return node, mapping


def outermost(expr: exp.Expr) -> list[exp.Expr]:
    """Scalar subqueries and EXISTS directly inside an expression."""
    if isinstance(expr, (exp.Subquery, exp.Exists)):
        return [expr]
    if isinstance(expr, exp.Query):
        return []
    return [s for child in expr.iter_expressions() for s in outermost(child)]


def scalar(node: r.Relation, sub: exp.Expr, scope: Scope, ctx: Context) -> tuple[r.Relation, exp.Expr]:
    """A left join with the one row of an aggregate, per correlation key if there is one."""
    select = existence(sub) if isinstance(sub, exp.Exists) else sub.unnest()
    if not correlated(select):
        inner = ctx.lower(select, ctx)
        if not one_row(inner.node):
            raise UnsupportedError("a scalar subquery is kept only where it is one aggregate")
        right, _, outputs = renamed(inner, ctx)
        return r.Join("left", node, right, exp.true()), outputs[0]
    return correlated_aggregate(node, select, scope, ctx)


def existence(sub: exp.Exists) -> exp.Expr:
    """EXISTS (…) among other terms, as count(*) > 0 over the same rows."""
    select = sub.this.copy()
    if not isinstance(select, exp.Select) or any(select.args.get(a) for a in SIMPLE):
        raise UnsupportedError("EXISTS over grouping or limits in this place has no incremental rule")
    count = exp.Count(this=exp.Star(), big_int=True)
    count.type = exp.DataType.build("BIGINT")
    some = exp.GT(this=count, expression=exp.Literal.number(0))
    select.set("expressions", [exp.alias_(some, "found")])
    select.set("order", None)
    return select


def one_row(node: r.Relation) -> bool:
    """True for an ungrouped aggregate under projections."""
    while isinstance(node, r.Project):
        node = node.input
    return isinstance(node, r.Aggregate) and not node.grouped


def correlated_aggregate(
    node: r.Relation, select: exp.Expr, scope: Scope, ctx: Context
) -> tuple[r.Relation, exp.Expr]:
    """(SELECT f(agg) FROM … WHERE inner = outer): aggregate per inner key, left join on it."""
    grouped = any(select.args.get(a) for a in SIMPLE)
    if not isinstance(select, exp.Select) or grouped or len(select.expressions) != 1:
        raise UnsupportedError("this correlated scalar subquery has no incremental rule")
    inner, inner_scope = joining.lower_from(select, ctx)
    inner, on = split_where(inner, select, inner_scope, scope, ctx)
    output = bind(select.expressions[0].unalias(), inner_scope, ctx)
    units = list(dict.fromkeys(aggregate_units(output)))
    own = set(r.columns(inner))
    groups, terms = [], []
    for term in r.conjuncts(on):
        sides = (term.this, term.expression) if isinstance(term, exp.EQ) else ()
        pair = [s for s in sides if r.references(s) <= own], [s for s in sides if not r.references(s) & own]
        if len(pair[0]) != 1 or len(pair[1]) != 1 or not units:
            raise UnsupportedError("a correlated scalar subquery is kept only for aggregates over equal keys")
        groups.append(r.Out(ctx.names.fresh("key"), pair[0][0]))
        terms.append(exp.EQ(this=r.column(groups[-1].name), expression=pair[1][0]))
    aggregates = tuple(r.Out(ctx.names.fresh(u.key), u) for u in units)
    value = replace(output, {o.expr: empty_value(o) for o in aggregates})
    joined = r.Join("left", node, r.Aggregate(inner, tuple(groups), aggregates), exp.and_(*terms))
    return joined, exp.Paren(this=value)


def empty_value(out: r.Out) -> exp.Expr:
    """The aggregate's column, or what the aggregate is over no rows: counts are 0, the rest NULL."""
    col = r.column(out.name)
    head = out.expr.this if isinstance(out.expr, exp.Filter) else out.expr
    if isinstance(head, (exp.Count, exp.CountIf)):
        return exp.Coalesce(this=col, expressions=[exp.Literal.number(0)])
    return col
