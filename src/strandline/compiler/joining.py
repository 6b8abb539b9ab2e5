"""FROM: tables, subqueries and joins under fresh column names; bag unions."""

from __future__ import annotations

from sqlglot import exp

from strandline.compiler import relations as r
from strandline.compiler.binding import Context, Lowered, Scope, bind, refuse_subqueries, rename
from strandline.compiler.reject import UnsupportedError
from strandline.compiler.text import DIALECT


def lower_from(select: exp.Select, ctx: Context) -> tuple[r.Relation, Scope]:
    """The joined FROM items and the names they bring into scope."""
    from_ = select.args.get("from_")
    if from_ is None:
        raise UnsupportedError("a query without FROM reads no table")
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
        raise UnsupportedError("PIVOT and SAMPLE have no incremental rule")
    if isinstance(source, exp.Subquery):
        if source.args.get("joins"):
            raise UnsupportedError("a parenthesised join has no incremental rule yet")
        return renamed(ctx.lower(source, ctx), alias, source, ctx)
    if isinstance(source, exp.Values):
        return constant_rows(source, ctx)
    if not isinstance(source, exp.Table) or not source.name or source.args.get("joins"):
        raise UnsupportedError(f"{source.key} in FROM has no incremental rule")
    if source.name in ctx.ctes:
        return renamed(ctx.ctes[source.name], alias, source, ctx)
    return scan(source, alias, ctx)


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


def unnested(left: r.Relation, scope: Scope, join: exp.Join, ctx: Context) -> tuple[r.Relation, Scope]:
    """`FROM t, unnest(t.list) AS u(x)`: every left row with each of its elements."""
    source = join.this
    plain = len(source.expressions) == 1 and not source.args.get("offset") and not join.args.get("side")
    if not plain:
        raise UnsupportedError("this form of UNNEST has no incremental rule")
    elements = bind(source.expressions[0], scope, ctx)
    refuse_subqueries(elements)
    title = (alias_columns(source) or ["unnest"])[0]
    node = r.Unnest(left, elements, ctx.names.fresh(title), ctx.names.fresh("place"))
    return node, {**scope, (source.alias_or_name, title): node.name}


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
    """A use of a subquery or CTE: its columns under names of their own, so that it can be used twice."""
    aliases = alias_columns(source)
    mapping: dict[str, str] = {}
    scope: Scope = {}
    for i, (name, internal) in enumerate(inner.outputs):
        fresh = mapping.setdefault(internal, ctx.names.fresh(name))
        # of two columns with one name, the first is meant
        scope.setdefault((alias, aliases[i] if i < len(aliases) else name.lower()), fresh)
    for internal in r.ids(inner.node):
        mapping.setdefault(internal, ctx.names.fresh(internal))
    outs = tuple(r.Out(fresh, r.column(internal)) for internal, fresh in mapping.items())
    return r.Project(inner.node, outs, tuple(mapping[i] for i in r.ids(inner.node))), scope


def lower_join(left: r.Relation, scope: Scope, join: exp.Join, ctx: Context) -> tuple[r.Relation, Scope]:
    """One JOIN clause on top of what came before it."""
    method, side, kind = (str(join.args.get(a) or "").upper() for a in ("method", "side", "kind"))
    if isinstance(join.this, exp.Unnest):
        return unnested(left, scope, join, ctx)
    if method in ("ASOF", "POSITIONAL") or isinstance(join.this, (exp.Lateral, exp.Unnest)):
        raise UnsupportedError(f"{method or join.this.key.upper()} joins have no incremental rule")
    if join.args.get("using") or method == "NATURAL":
        raise UnsupportedError("this form of USING or NATURAL has no incremental rule")
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
