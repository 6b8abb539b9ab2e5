"""A subquery's rows beside the outer rows that they belong to.

Every subquery becomes a relation of its own, joined with the outer one. Where its correlation is
`own expression = outer expression` it is evaluated once per key of its own. Otherwise it is evaluated
over the *domain*, the distinct values of the outer columns that it names, which become columns of
every row, group, partition and limit in it: Neumann and Kemper, "Unnesting arbitrary queries",
BTW 2015.
"""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import replace as evolve

from sqlglot import exp

from strandline.compiler import relations as r
from strandline.compiler.aggregates import aggregate_units
from strandline.compiler.binding import (
    Context,
    Domain,
    Keyed,
    Scope,
    bind,
    copied,
)
from strandline.compiler.free import Reference, aliases, free, from_items
from strandline.compiler.positions import SETS
from strandline.compiler.reject import UnsupportedError
from strandline.compiler.trees import find_all, has


@dataclass(frozen=True)
class Side:
    """A subquery under names of its own; `on` equates outer expressions with its `keys`, one by one."""

    node: r.Relation
    outputs: tuple[str, ...]
    keys: tuple[str, ...] = ()
    on: tuple[exp.Expr, ...] = ()


def inside(node: r.Relation, query: exp.Expr, scope: Scope, ctx: Context) -> Side:
    """The subquery as a relation to join with `node`, whose columns `scope` names."""
    query = query.unnest() if isinstance(query, exp.Subquery) else query
    wanted = free(query)
    if not wanted:
        return side_of(query, evolve(ctx, correlation=None), ())
    keyed = by_keys(query)
    if keyed is not None:
        stripped, pairs = keyed
        outer = tuple(bind(o, scope) for _, o in pairs)
        return side_of(stripped, evolve(ctx, correlation=Keyed(tuple(i for i, _ in pairs))), outer)
    domain = domain_of(node, wanted, scope, ctx)
    values = tuple(r.column(scope[w]) for w in wanted)
    return side_of(query, evolve(ctx, correlation=domain), values)


def side_of(query: exp.Expr, ctx: Context, outer: tuple[exp.Expr, ...]) -> Side:
    """The lowered subquery; in a domain NULL is a value like any other, between keys it equals nothing."""
    inner = copied(ctx.lower(query, ctx), ctx)
    equal = exp.NullSafeEQ if isinstance(ctx.correlation, Domain) else exp.EQ
    pairs = zip(outer, inner.keys, strict=True)
    on = tuple(equal(this=o, expression=r.column(k)) for o, k in pairs)
    return Side(inner.node, tuple(c for _, c in inner.outputs), inner.keys, on)


def domain_of(node: r.Relation, wanted: tuple[Reference, ...], scope: Scope, ctx: Context) -> Domain:
    """The distinct values of outer columns."""
    for alias, name in wanted:
        if (alias, name) not in scope:
            raise UnsupportedError(f"the reference {alias}.{name} cannot be resolved here")
    groups = tuple(r.Out(ctx.names.fresh(w[1]), r.column(scope[w])) for w in wanted)
    return Domain(
        r.Aggregate(node, groups, ()), tuple((w, g.name) for w, g in zip(wanted, groups, strict=True))
    )


def by_keys(query: exp.Expr) -> tuple[exp.Select, list[tuple[exp.Expr, exp.Expr]]] | None:
    """A subquery without its correlation, and the (own, outer) expressions that it equates.

    None where that is not all of its correlation, or where it gives a row even for keys that it has not.
    """
    if not isinstance(query, exp.Select) or gives_a_row_for_nothing(query):
        return None
    stripped, pairs = split_keys(query)
    return None if not pairs or free(stripped) else (stripped, pairs)


def gives_a_row_for_nothing(select: exp.Select) -> bool:
    """An aggregate without groups, or with the grouping set ()."""
    group = select.args.get("group")
    if group is not None:
        keys = [e for e in group.expressions if not isinstance(e, exp.Tuple) or e.expressions]
        return any(isinstance(e, SETS) for e in keys) or not keys
    parts = [*select.expressions, *(select.args.get(a) for a in ("having", "qualify", "order"))]
    return any(True for p in parts if p is not None for _ in aggregate_units(p))


def split_keys(select: exp.Select) -> tuple[exp.Select, list[tuple[exp.Expr, exp.Expr]]]:
    """The SELECT without the terms of its WHERE that equate an own with an outer expression, and those."""
    stripped = select.copy()
    own = aliases(select)
    where = stripped.args.get("where")
    kept, pairs = [], []
    for term in r.conjuncts(where.this) if where is not None else []:
        pair = key_pair(term, own)
        if pair is None:
            kept.append(term.copy())
        else:
            pairs.append(pair)
    stripped.set("where", exp.Where(this=exp.and_(*kept)) if kept else None)
    return stripped, pairs


def key_pair(term: exp.Expr, own: frozenset[str]) -> tuple[exp.Expr, exp.Expr] | None:
    """(own, outer) where the term is `own = outer`, either way round."""
    if not isinstance(term, exp.EQ) or has(term, exp.Query):
        return None
    for here, there in ((term.this, term.expression), (term.expression, term.this)):
        mine, theirs = ({c.table for c in find_all(side, exp.Column)} for side in (here, there))
        if mine and theirs and mine <= own and not theirs & own:
            return here.copy(), there.copy()
    return None


def from_outside(select: exp.Select, ctx: Context) -> bool:
    """True where FROM itself names outer columns, or a CTE that does."""
    tables = find_all(select, exp.Table)
    return bool(from_items(select)) or any(isinstance(ctx.ctes.get(t.name), exp.CTE) for t in tables)


def domain_rows(domain: Domain, ctx: Context) -> tuple[r.Relation, Scope, tuple[str, ...]]:
    """One use of a domain: its rows, the outer references by which its columns are named, the columns."""
    names = [name for _, name in domain.columns]
    outs = tuple(r.Out(ctx.names.fresh(n), r.column(n)) for n in names)
    fresh = tuple(o.name for o in outs)
    scope = {key: name for (key, _), name in zip(domain.columns, fresh, strict=True)}
    return r.Project(domain.node, outs, fresh), scope, fresh


def same_keys(left: tuple[str, ...], right: tuple[str, ...]) -> exp.Expr:
    """NULL-safe equality, column by column."""
    pairs = zip(left, right, strict=True)
    return exp.and_(*(exp.NullSafeEQ(this=r.column(a), expression=r.column(b)) for a, b in pairs))
