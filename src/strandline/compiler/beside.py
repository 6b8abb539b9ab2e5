"""What FROM says of the row before it: `unnest(t.list)`, and LATERAL subqueries without a FROM of their own.

Such items need no join: the row is there already, once for each element.
"""

from __future__ import annotations

from sqlglot import exp

from strandline.compiler import relations as r
from strandline.compiler.aggregates import aggregate_units
from strandline.compiler.binding import Context, Scope, bind, refuse_subqueries, replace
from strandline.compiler.reject import UnsupportedError
from strandline.compiler.subqueries import lower_predicate
from strandline.compiler.trees import find_all, has

Source = tuple[r.Relation, Scope]


def unnested(left: r.Relation, scope: Scope, join: exp.Join, ctx: Context) -> Source:
    """`FROM t, unnest(t.list) AS u(x)`: every left row with each of its elements."""
    source, alias = join.this, join.this.alias_or_name
    if len(source.expressions) != 1 or join.side not in ("", "LEFT") or join.kind in ("SEMI", "ANTI"):
        raise UnsupportedError("this form of UNNEST has no incremental rule")
    elements = bind(source.expressions[0], scope)
    refuse_subqueries(elements)
    title = source.args["alias"].columns[0].name
    one = r.Out(ctx.names.fresh(title), elements)
    node: r.Relation = r.Unnest(left, (one,), ctx.names.fresh("place"), padded=join.side == "LEFT")
    both = {**scope, (alias, title): one.name}
    if isinstance(source.args.get("offset"), exp.Identifier):
        both[alias, source.args["offset"].name] = r.columns(node)[-1]
    return filtered(node, join.args.get("on"), both, ctx), both


def filtered(node: r.Relation, on: exp.Expr | None, scope: Scope, ctx: Context) -> r.Relation:
    """The rows for which a condition holds."""
    for term in r.conjuncts(on) if on is not None and on != exp.true() else []:
        node = lower_predicate(node, term, scope, ctx)
    return node


def spread(
    node: r.Relation, outputs: tuple[exp.Expr, ...], ctx: Context
) -> tuple[r.Relation, dict[exp.Expr, exp.Expr]]:
    """The row once for each place in the longest list that outputs unnest; columns for the calls."""
    calls = list(dict.fromkeys(c for e in outputs for c in find_all(e, exp.Explode, exp.Unnest)))
    if not calls:
        return node, {}
    if any(c.expressions or c.this is None for c in calls):
        raise UnsupportedError("unnest() into several columns has no incremental rule")
    lists = tuple(r.Out(ctx.names.fresh("unnest"), c.this) for c in calls)
    columns: dict[exp.Expr, exp.Expr] = {}
    for call, one in zip(calls, lists, strict=True):
        columns[call] = r.column(one.name)
        columns[call].type = call.type
    return r.Unnest(node, lists, ctx.names.fresh("place")), columns


def computed_beside(join: exp.Join) -> exp.Select | None:
    """The SELECT of `LATERAL (SELECT expressions [WHERE …])` that can be computed in the row before it."""
    source = join.this.this if isinstance(join.this, (exp.Lateral, exp.Subquery)) else None
    select = source.unnest() if isinstance(source, exp.Subquery) else source
    if not isinstance(select, exp.Select) or has(select, exp.Window):
        return None
    if any(value for key, value in select.args.items() if key not in ("expressions", "where", "kind")):
        return None
    if any(has(e, exp.Query) or any(True for _ in aggregate_units(e)) for e in select.expressions):
        return None
    plain = join.side == "" and join.kind in ("", "CROSS", "INNER")
    whole = not select.args.get("where") and not has(select, exp.Explode, exp.Unnest)
    always = join.args.get("on") in (None, exp.true())
    return select if plain or (join.side == "LEFT" and whole and always) else None


def lower_beside(left: r.Relation, scope: Scope, select: exp.Select, join: exp.Join, ctx: Context) -> Source:
    """Its columns beside those of the row."""
    where = select.args.get("where")
    node = filtered(left, where.this if where is not None else None, scope, ctx)
    bound = tuple(bind(e.unalias(), scope) for e in select.expressions)
    node, mapping = spread(node, bound, ctx)
    alias = join.this.args.get("alias")
    titles = [c.name for c in alias.columns] if isinstance(alias, exp.TableAlias) else []
    outs, both = [], dict(scope)
    for i, (name, expr) in enumerate(zip(select.named_selects, bound, strict=True)):
        outs.append(r.Out(ctx.names.fresh(name), replace(expr, mapping)))
        both[join.this.alias_or_name, titles[i] if i < len(titles) else name.lower()] = outs[-1].name
    kept = [r.Out(c, r.column(c)) for c in r.columns(node)]
    node = r.Project(node, (*kept, *outs), r.ids(node))
    return filtered(node, join.args.get("on"), both, ctx), both
