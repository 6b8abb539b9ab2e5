"""FROM: tables, subqueries and joins under fresh column names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace as evolve
from itertools import takewhile

from sqlglot import exp

from strandline.compiler import relations as r
from strandline.compiler.asof import SEVERAL
from strandline.compiler.beside import computed_beside, lower_beside, unnested
from strandline.compiler.binding import (
    Context,
    Domain,
    Keyed,
    Lowered,
    Scope,
    bind,
    copied,
    rename,
)
from strandline.compiler.correlation import domain_rows, from_outside, inside
from strandline.compiler.free import free
from strandline.compiler.matching import Condition, matched
from strandline.compiler.reject import UnsupportedError
from strandline.compiler.text import DIALECT
from strandline.compiler.using import is_comma

Source = tuple[r.Relation, Scope]
"""A relation, and the names under which its columns are known."""


def lower_from(select: exp.Select, ctx: Context, start: Source | None = None) -> Source:
    """The joined FROM items and the names they bring into scope, beside those of `start`."""
    from_ = select.args.get("from_")
    if from_ is None:
        return start or one_row(ctx)
    joins = [*(from_.this.args.get("joins") or []), *(select.args.get("joins") or [])]
    if start is None:
        return lower_joins(lower_source(from_.this, ctx), joins, ctx)
    return lower_joins(start, [exp.Join(this=from_.this), *joins], ctx)


def lower_joins(start: Source, joins: Sequence[exp.Join], ctx: Context) -> Source:
    """JOIN clauses one after the other; a comma binds weaker, which an outer join behind it can tell."""
    node, scope = start
    for i, join in enumerate(joins):
        rest = joins[i + 1 :]
        together = takewhile(lambda j: not is_comma(j), rest)
        if is_comma(join) and any(j.side in ("RIGHT", "FULL") for j in together):
            right, names = lower_joins(lower_source(join.this, ctx), rest, ctx)
            return r.Join("inner", node, right, exp.true()), {**scope, **names}
        node, scope = lower_join(node, scope, join, ctx)
    return node, scope


def correlated_from(select: exp.Select, ctx: Context) -> tuple[r.Relation, Scope, tuple[str, ...]]:
    """FROM of a subquery with the columns that tie its rows to outer ones."""
    alone = evolve(ctx, correlation=None)
    match ctx.correlation:
        case Keyed(exprs):
            node, scope = lower_from(select, alone)
            kept = [r.Out(c, r.column(c)) for c in r.columns(node)]
            keys = [r.Out(ctx.names.fresh("key"), bind(e, scope)) for e in exprs]
            return r.Project(node, (*kept, *keys), r.ids(node)), scope, tuple(k.name for k in keys)
        case Domain() as domain:
            base, outer, names = domain_rows(domain, ctx)
            if select.args.get("from_") is None:
                return base, outer, names
            if from_outside(select, ctx):
                outward = any(j.side in ("RIGHT", "FULL") for j in select.args.get("joins") or [])
                if outward:
                    raise UnsupportedError("RIGHT and FULL JOIN over outer columns have no incremental rule")
                return *lower_from(select, alone, (base, outer)), names
            node, scope = lower_from(select, alone)
            return r.Join("inner", base, node, exp.true()), {**outer, **scope}, names
    return *lower_from(select, alone), ()


def one_row(ctx: Context) -> Source:
    """What a SELECT without FROM is evaluated over."""
    place = ctx.names.fresh("place")
    return r.Constant(f"SELECT 1 AS {r.quote(place)}", (place,), (place,)), {}


def lower_source(source: exp.Expr, ctx: Context) -> tuple[r.Relation, Scope]:
    """A table, a CTE or a subquery in FROM, under fresh column names."""
    alias = source.alias_or_name
    if source.args.get("pivots") or source.args.get("sample"):
        raise UnsupportedError("PIVOT and SAMPLE have no incremental rule")
    if isinstance(source, exp.Subquery):
        return lower_parentheses(source, ctx)
    if isinstance(source, exp.Values):
        return constant_rows(source, ctx)
    if not isinstance(source, exp.Table) or not source.name:
        raise UnsupportedError(f"{source.key} in FROM has no incremental rule")
    if source.name in ctx.ctes:
        cte = ctx.ctes[source.name]
        if isinstance(cte, exp.CTE):
            raise UnsupportedError("a CTE over outer columns has no incremental rule in this place")
        return renamed(cte, alias, source, ctx)
    return scan(source, alias, ctx)


def lower_parentheses(source: exp.Subquery, ctx: Context) -> Source:
    """A subquery, or joins in parentheses, whose names are seen from outside."""
    inner = source.this
    while isinstance(inner, exp.Subquery) and not inner.args.get("joins"):
        inner = inner.this
    if isinstance(inner, exp.Query) and not isinstance(inner, exp.Subquery):
        return renamed(ctx.lower(source, ctx), source.alias_or_name, source, ctx)
    if source.alias:
        raise UnsupportedError("an alias for joins in parentheses has no incremental rule")
    first = source.this
    return lower_joins(lower_source(first, ctx), first.args.get("joins") or [], ctx)


def constant_rows(source: exp.Values, ctx: Context) -> tuple[r.Relation, Scope]:
    """VALUES in FROM; rows are told apart by their place."""
    aliases = alias_columns(source)
    width = len(source.expressions[0].expressions)
    titles = [aliases[i] if i < len(aliases) else f"col{i}" for i in range(width)]
    names = tuple(ctx.names.fresh(t) for t in titles)
    place = ctx.names.fresh("place")
    rows = ", ".join(
        f"({', '.join([*(e.sql(dialect=DIALECT) for e in row.expressions), str(n)])})"
        for n, row in enumerate(source.expressions)
    )
    columns = ", ".join(r.quote(n) for n in (*names, place))
    text = f"SELECT * FROM (VALUES {rows}) AS v({columns})"
    scope = {(source.alias_or_name, t): n for t, n in zip(titles, names, strict=True)}
    return r.Constant(text, (*names, place), (place,)), scope


def scan(source: exp.Table, alias: str, ctx: Context) -> tuple[r.Relation, Scope]:
    """A stored table, or the stored rows of a model that its query lets through."""
    readable = ctx.catalog[source.name.lower()]
    by_stored: dict[str, str] = {}
    scope: Scope = {}
    aliases = alias_columns(source)
    for i, col in enumerate(readable.columns):
        fresh = by_stored.setdefault(col.stored, ctx.names.fresh(col.name))
        scope[alias, aliases[i] if i < len(aliases) else col.name.lower()] = fresh
    extra = set(readable.ids) | (r.references(readable.where) if readable.where is not None else set())
    for stored in sorted(extra - set(by_stored)):
        by_stored[stored] = ctx.names.fresh(stored)
    unique = tuple(scope[alias, u.lower()] for u in readable.unique) if not aliases else ()
    node: r.Relation = r.Scan(
        readable.table,
        tuple((name, stored) for stored, name in by_stored.items()),
        tuple(by_stored[i] for i in readable.ids),
        unique,
    )
    if readable.where is not None:
        node = r.Filter(node, rename(readable.where, by_stored))
    return node, scope


def alias_columns(source: exp.Expr) -> list[str]:
    alias = source.args.get("alias")
    return [c.name for c in alias.columns] if isinstance(alias, exp.TableAlias) else []


def renamed(inner: Lowered, alias: str, source: exp.Expr, ctx: Context) -> tuple[r.Relation, Scope]:
    """A use of a subquery or CTE and the names that it brings."""
    used = copied(inner, ctx)
    return used.node, names_of(alias, source, used.outputs)


def names_of(alias: str, source: exp.Expr, outputs: Sequence[tuple[str, str]]) -> Scope:
    """(alias, column) → column; of two columns with one name, the first is meant."""
    aliases = alias_columns(source)
    scope: Scope = {}
    for i, (name, internal) in enumerate(outputs):
        scope.setdefault((alias, aliases[i] if i < len(aliases) else name.lower()), internal)
    return scope


def lower_join(left: r.Relation, scope: Scope, join: exp.Join, ctx: Context) -> tuple[r.Relation, Scope]:
    """One JOIN clause on top of what came before it."""
    method, side, kind = (str(join.args.get(a) or "").upper() for a in ("method", "side", "kind"))
    if isinstance(join.this, exp.Unnest):
        return unnested(left, scope, join, ctx)
    if join.meta.get(SEVERAL):
        raise UnsupportedError(
            f"ASOF {side} JOIN is kept where what is compared tells the right rows apart, by a key"
        )
    if join.args.get("using") or method == "NATURAL":
        raise UnsupportedError("this form of USING or NATURAL has no incremental rule")
    select = computed_beside(join) if not method else None
    if select is not None and free(select):
        return lower_beside(left, scope, select, join, ctx)
    right, right_scope, tied = lower_partner(left, scope, join.this, ctx)
    if tied and side in ("RIGHT", "FULL"):
        raise UnsupportedError(f"{side} JOIN with a correlated subquery has no incremental rule")
    on = Condition(scope, right_scope, tuple(r.conjuncts(join.args.get("on"))), tied)
    nearest = ("ASOF " if method == "ASOF" else "") + side
    return matched(kind if kind in ("SEMI", "ANTI") else nearest.strip(), left, right, on, ctx)


def lower_partner(
    left: r.Relation, scope: Scope, source: exp.Expr, ctx: Context
) -> tuple[r.Relation, Scope, tuple[exp.Expr, ...]]:
    """The right side of a join; a subquery that names columns of the left one is tied to its rows."""
    cte = ctx.ctes.get(source.name) if isinstance(source, exp.Table) else None
    holder = cte if isinstance(cte, exp.CTE) else source
    query = holder.this if isinstance(holder, (exp.Subquery, exp.Lateral, exp.CTE)) else None
    if not isinstance(query, exp.Query) or not free(query):
        return *lower_source(source, ctx), ()
    side = inside(left, query, scope, ctx)
    titled = source if alias_columns(source) else holder
    outputs = list(zip(query.named_selects, side.outputs, strict=True))
    return side.node, names_of(source.alias_or_name, titled, outputs), side.on
