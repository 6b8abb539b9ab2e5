"""A qualified SELECT → the algebra. What has no rule raises Unsupported with the reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlglot import exp

from strandline.compiler import relations as r
from strandline.compiler.aggregates import AGGREGATE_NAMES
from strandline.compiler.catalog import Catalog
from strandline.compiler.names import Names
from strandline.compiler.qualify import TIE
from strandline.compiler.reject import Unsupported

Scope = dict[tuple[str, str], str]
"""(table alias, column) → unique column name."""


@dataclass(frozen=True)
class Lowered:
    """A relation and the query's output columns: (name as written, column of the relation)."""

    node: r.Relation
    outputs: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Context:
    """What lowering passes down: what can be read, names in use, CTEs and outer scopes in reach."""

    catalog: Catalog
    names: Names
    ctes: Mapping[str, Lowered] = field(default_factory=dict)
    outer: Mapping[tuple[str, str], str] = field(default_factory=dict)


def lower(query: exp.Expr, ctx: Context) -> Lowered:
    """Any query expression."""
    ctx = with_ctes(query, ctx)
    if isinstance(query, exp.Subquery):
        return lower(query.this, ctx)
    if isinstance(query, exp.Select):
        return lower_select(query, ctx)
    if isinstance(query, exp.SetOperation):
        from strandline.compiler.setops import lower_set_operation

        return lower_set_operation(query, ctx)
    raise Unsupported(f"{query.key} is not a SELECT")


def with_ctes(query: exp.Expr, ctx: Context) -> Context:
    """The context with this query's CTEs lowered, each once."""
    with_ = query.args.get("with_")
    if with_ is None:
        return ctx
    if with_.args.get("recursive"):
        raise Unsupported("a recursive CTE has no incremental rule")
    ctes = dict(ctx.ctes)
    for cte in with_.expressions:
        inner = lower(cte.this, Context(ctx.catalog, ctx.names, ctes, ctx.outer))
        aliases = [c.name for c in cte.args["alias"].columns]
        named = zip(aliases, inner.outputs, strict=False)
        ctes[cte.alias] = Lowered(inner.node, tuple((a, o[1]) for a, o in named)) if aliases else inner
    return Context(ctx.catalog, ctx.names, ctes, ctx.outer)


def lower_select(select: exp.Select, ctx: Context) -> Lowered:
    """FROM, WHERE, GROUP BY, HAVING, windows, QUALIFY, SELECT, DISTINCT, LIMIT, in that order."""
    from strandline.compiler import selecting as s

    refuse_clauses(select)
    node, scope = lower_from(select, ctx)
    where = select.args.get("where")
    for predicate in r.conjuncts(where.this) if where is not None else []:
        node = s.lower_predicate(node, predicate, scope, ctx)
    clauses = s.Clauses.of(select, scope, ctx)
    node, clauses = s.lower_scalar_subqueries(node, clauses, scope, ctx)
    node, clauses = s.lower_grouping(node, clauses, ctx)
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
            raise Unsupported(f"{clause.upper()} has no incremental rule")


def lower_from(select: exp.Select, ctx: Context) -> tuple[r.Relation, Scope]:
    """The joined FROM items and the names they bring into scope."""
    from_ = select.args.get("from_")
    if from_ is None:
        raise Unsupported("a query without FROM reads no table")
    node, scope = lower_source(from_.this, ctx)
    for join in from_.this.args.get("joins") or []:
        node, scope = lower_join(node, scope, join, ctx)
    for join in select.args.get("joins") or []:
        node, scope = lower_join(node, scope, join, ctx)
    return node, scope


def lower_source(source: exp.Expr, ctx: Context) -> tuple[r.Relation, Scope]:
    """A table, a CTE or a subquery in FROM, under fresh column names."""
    alias = source.alias_or_name
    if source.args.get("pivots") or source.args.get("sample"):
        raise Unsupported("PIVOT and SAMPLE have no incremental rule")
    if isinstance(source, exp.Subquery):
        if source.args.get("joins"):
            raise Unsupported("a parenthesised join has no incremental rule yet")
        return renamed(lower(source.this, with_ctes(source, ctx)), alias, source, ctx)
    if not isinstance(source, exp.Table) or not source.name or source.args.get("joins"):
        raise Unsupported(f"{source.key} in FROM has no incremental rule")
    if source.name in ctx.ctes:
        return renamed(ctx.ctes[source.name], alias, source, ctx)
    return scan(source, alias, ctx)


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


def rename(expr: exp.Expr, mapping: Mapping[str, str]) -> exp.Expr:
    """The expression with its bare column names replaced."""
    return replace(expr, {r.column(old): r.column(new) for old, new in mapping.items()})


def renamed(inner: Lowered, alias: str, source: exp.Expr, ctx: Context) -> tuple[r.Relation, Scope]:
    """A use of a subquery or CTE: its columns under names of their own, so that it can be used twice."""
    aliases = alias_columns(source)
    mapping: dict[str, str] = {}
    scope: Scope = {}
    for i, (name, internal) in enumerate(inner.outputs):
        fresh = mapping.setdefault(internal, ctx.names.fresh(name))
        scope[alias, aliases[i] if i < len(aliases) else name.lower()] = fresh
    for internal in r.ids(inner.node):
        mapping.setdefault(internal, ctx.names.fresh(internal))
    outs = tuple(r.Out(fresh, r.column(internal)) for internal, fresh in mapping.items())
    return r.Project(inner.node, outs, tuple(mapping[i] for i in r.ids(inner.node))), scope


def lower_join(left: r.Relation, scope: Scope, join: exp.Join, ctx: Context) -> tuple[r.Relation, Scope]:
    """One JOIN clause on top of what came before it."""
    method, side, kind = (str(join.args.get(a) or "").upper() for a in ("method", "side", "kind"))
    if method in ("ASOF", "POSITIONAL") or isinstance(join.this, (exp.Lateral, exp.Unnest)):
        raise Unsupported(f"{method or join.this.key.upper()} joins have no incremental rule")
    if join.args.get("using") or method == "NATURAL":
        raise Unsupported("this form of USING or NATURAL has no incremental rule")
    right, right_scope = lower_source(join.this, ctx)
    both = {**scope, **right_scope}
    on = bind(join.args["on"], both, ctx) if join.args.get("on") is not None else None
    refuse_subqueries(on)
    if kind in ("SEMI", "ANTI") or side in ("SEMI", "ANTI"):
        return r.SemiJoin(left, right, on, anti="ANTI" in (kind, side)), scope
    if side == "RIGHT":
        return r.Join("left", right, left, on), both
    if side == "FULL":
        return full_join(left, right, on, ctx, both)
    return r.Join("left" if side == "LEFT" else "inner", left, right, on), both


def full_join(
    left: r.Relation, right: r.Relation, on: exp.Expr | None, ctx: Context, scope: Scope
) -> tuple[r.Relation, Scope]:
    """L ⟗ R = (L ⟕ R) ⊎ (NULLs × (R ▷ L))."""
    matched = r.Join("left", left, right, on)
    alone = r.SemiJoin(right, left, on, anti=True)
    names = r.columns(matched)
    own = set(r.columns(right))
    padded = r.Project(
        alone, tuple(r.Out(n, r.column(n) if n in own else exp.Null()) for n in names), r.ids(right)
    )
    return union_all((matched, padded), names, scope, ctx)


def union_all(
    branches: tuple[r.Relation, ...], names: tuple[str, ...], scope: Scope, ctx: Context
) -> tuple[r.Relation, Scope]:
    """A bag union under fresh names, with a tag and the branches' ids as identity."""
    fresh = {n: ctx.names.fresh(n) for n in names}
    tag = ctx.names.fresh("branch")
    id_names = [[ctx.names.fresh("id") for _ in r.ids(b)] for b in branches]
    every = [i for ids in id_names for i in ids]
    projected = []
    for number, (branch, own) in enumerate(zip(branches, id_names, strict=True)):
        outs = [r.Out(fresh[n], r.column(c)) for n, c in zip(names, r.columns(branch), strict=False)]
        outs.append(r.Out(tag, exp.Literal.number(number)))
        source = dict(zip(own, r.ids(branch), strict=True))
        outs += [r.Out(i, r.column(source[i]) if i in source else exp.Null()) for i in every]
        projected.append(r.Project(branch, tuple(outs), (tag, *every)))
    union = r.Union(tuple(projected), (*fresh.values(), tag, *every), (tag, *every))
    return union, {key: fresh[value] for key, value in scope.items() if value in fresh}


def bind(expr: exp.Expr, scope: Scope, ctx: Context) -> exp.Expr:
    """Qualified references → unique names; subqueries are left for their own rules."""

    def one(node: exp.Expr) -> exp.Expr:
        if isinstance(node, exp.Query):
            return node
        if isinstance(node, exp.Column) and isinstance(node.this, exp.Identifier):
            name = scope.get((node.table, node.name)) or ctx.outer.get((node.table, node.name))
            if name is None:
                raise Unsupported(f"the reference {node.sql()} cannot be resolved here")
            bound = r.column(name)
            bound.type = node.type
            return bound
        return node

    return rebuild(expr, one)


def rebuild(expr: exp.Expr, one: object) -> exp.Expr:
    """sqlglot's transform, keeping subqueries closed."""
    holder = exp.Paren(this=expr.copy())

    def visit(node: exp.Expr) -> None:
        for child in list(node.iter_expressions()):
            new = one(child)  # type: ignore[operator]
            if new is not child:
                child.replace(new)
            elif not isinstance(child, exp.Query):
                visit(child)

    visit(holder)
    result = holder.this
    result.pop()
    return result  # type: ignore[no-any-return]


def replace(expr: exp.Expr, mapping: Mapping[exp.Expr, exp.Expr]) -> exp.Expr:
    """The expression with every occurrence of a mapped subexpression replaced, outermost first."""

    def one(node: exp.Expr) -> exp.Expr:
        found = mapping.get(node)
        if found is None:
            return node
        new = found.copy()
        new.type = new.type or node.type
        return new

    return rebuild(expr, one)


def refuse_subqueries(expr: exp.Expr | None) -> None:
    if expr is not None and expr.find(exp.Query):
        raise Unsupported("a subquery in this place has no incremental rule")


def is_aggregate(node: exp.Expr) -> bool:
    """True for aggregate functions, also those the parser knows only by name."""
    if isinstance(node, exp.AggFunc):
        return True
    return isinstance(node, exp.Anonymous) and node.name.lower() in AGGREGATE_NAMES


def order_terms(order: exp.Order | None, ties: bool) -> list[exp.Ordered]:
    """The user's ORDER BY terms, or (`ties`) those added to make the order total."""
    terms = order.expressions if order is not None else []
    return [t for t in terms if bool(t.meta.get(TIE)) is ties]
