"""A qualified SELECT → the algebra. What has no rule raises UnsupportedError with the reason."""

from __future__ import annotations

from dataclasses import replace as evolve

from sqlglot import exp

from strandline.compiler import relations as r
from strandline.compiler import selecting as s
from strandline.compiler.binding import Context, Lowered
from strandline.compiler.catalog import Catalog
from strandline.compiler.collation import only_compared
from strandline.compiler.free import free
from strandline.compiler.joining import correlated_from
from strandline.compiler.names import Names
from strandline.compiler.outer_calls import with_outer_calls
from strandline.compiler.recursion import constant_recursion, repeats
from strandline.compiler.reject import UnsupportedError
from strandline.compiler.setops import lower_set_operation
from strandline.compiler.subqueries import lower_predicate
from strandline.compiler.trees import find_all, has


def lower_query(query: exp.Expr, catalog: Catalog) -> Lowered:
    """A whole query over what the catalog has."""
    if not all(only_compared(c) for c in find_all(query, exp.Collate)):
        raise UnsupportedError(
            "under COLLATE equal values are not the same value, so they cannot be bucketed"
        )
    return lower(query, Context(catalog, Names(), lower))


def lower(query: exp.Expr, ctx: Context) -> Lowered:
    """Any query expression."""
    ctx = with_ctes(query, ctx)
    if isinstance(query, exp.Subquery):
        return lower(query.this, ctx)
    if isinstance(query, exp.Select):
        return lower_select(query, ctx)
    if isinstance(query, exp.SetOperation):
        return lower_set_operation(query, ctx)
    raise UnsupportedError(f"{query.key} is not a SELECT")


def with_ctes(query: exp.Expr, ctx: Context) -> Context:
    """The context with this query's CTEs lowered, each once."""
    with_ = query.args.get("with_")
    if with_ is None:
        return ctx
    ctes: dict[str, Lowered | exp.CTE] = dict(ctx.ctes)
    for cte in with_.expressions:
        if with_.args.get("recursive") and repeats(cte):
            ctes[cte.alias] = constant_recursion(cte, ctx)
            continue
        if free(cte.this):
            ctes[cte.alias] = cte
            continue
        inner = lower(cte.this, evolve(ctx, ctes=ctes, correlation=None))
        aliases = [c.name for c in cte.args["alias"].columns]
        named = zip(aliases, inner.outputs, strict=False)
        ctes[cte.alias] = Lowered(inner.node, tuple((a, o[1]) for a, o in named)) if aliases else inner
    return evolve(ctx, ctes=ctes)


def lower_select(select: exp.Select, ctx: Context) -> Lowered:
    """FROM, WHERE, GROUP BY, HAVING, windows, QUALIFY, SELECT, DISTINCT, LIMIT, in that order."""
    refuse_clauses(select)
    node, scope, keys = correlated_from(select, ctx)
    where = select.args.get("where")
    terms = r.conjuncts(where.this) if where is not None else []
    for predicate in sorted(terms, key=lambda t: has(t, exp.Query)):
        node = lower_predicate(node, predicate, scope, ctx)
    node, scope = s.told_apart(node, select.args.get("group"), scope, ctx)
    select, given = with_outer_calls(select)
    clauses = s.Clauses.of(select, scope, keys, given)
    node, clauses = s.lower_scalar_subqueries(node, clauses, scope, ctx)
    node, clauses, scope = s.lower_grouping(node, clauses, scope, ctx)
    node, clauses = s.lower_late_subqueries(node, clauses, scope, ctx)
    for having in r.conjuncts(clauses.having):
        node = r.Filter(node, having)
    node, clauses = s.lower_windows(node, clauses, ctx)
    for qualify in r.conjuncts(clauses.qualify):
        node = r.Filter(node, qualify)
    return s.lower_outputs(node, clauses, ctx)


def refuse_clauses(select: exp.Select) -> None:
    """Clauses without a rule."""
    for clause in ("laterals", "pivots", "match", "connect", "sample", "cluster", "into", "kind"):
        if select.args.get(clause):
            raise UnsupportedError(f"{clause.upper()} has no incremental rule")
