"""ASOF joins: of the right rows that match, the one nearest in time (or whatever is compared).

Right rows that are equal in what is compared would leave the choice to the engine. So one row is
kept for each such place first, the least by key or by all columns, unless a key tells that there is
but one; the full recompute says the same. RIGHT and FULL show the others too, so that there the
choice is left to the engine (`SEVERAL`), and the model is recomputed.
"""

from __future__ import annotations

from sqlglot import exp

from strandline.compiler.catalog import Catalog
from strandline.compiler.ctes import common_table
from strandline.compiler.positions import SETS
from strandline.compiler.relations import conjuncts
from strandline.compiler.trees import find_all, has

SEVERAL = "strandline_several"
COMPARED = (exp.EQ, exp.NullSafeEQ, exp.GTE, exp.GT, exp.LTE, exp.LT)


def one_partner(tree: exp.Expr, catalog: Catalog) -> None:
    """Give every ASOF join a right side that has one row for each place, in place."""
    for join in find_all(tree, exp.Join):
        if join.method != "ASOF" or join.is_semi_or_anti_join or join.args.get("on") is None:
            continue
        source = join.this
        keys = right_keys(join.args["on"], source.alias_or_name)
        names = names_of(source, catalog)
        if names and not unique_by(source, keys, catalog):
            if join.side in ("RIGHT", "FULL"):
                join.meta[SEVERAL] = True
                continue
            source.replace(first_of_each(source, keys, names))


def right_keys(on: exp.Expr, alias: str) -> list[exp.Expr]:
    """What the condition compares of the right side."""
    sides = [s for t in conjuncts(on) if isinstance(t, COMPARED) for s in (t.this, t.expression)]
    tables = [(s, {c.table for c in find_all(s, exp.Column)}) for s in sides]
    return [side for side, found in tables if found == {alias}]


def names_of(source: exp.Expr, catalog: Catalog) -> list[str]:
    """The columns of a FROM item; none where they are not known."""
    if isinstance(source, exp.Subquery) and isinstance(source.this, exp.Query):
        alias = source.args.get("alias")
        renamed = [c.name for c in alias.columns] if alias is not None else []
        return renamed or [n.lower() for n in source.this.named_selects]
    if not isinstance(source, exp.Table):
        return []
    cte = common_table(source)
    if cte is not None:
        return [c.name for c in cte.args["alias"].columns] or [n.lower() for n in cte.this.named_selects]
    readable = catalog.get(source.name.lower())
    return [c.name.lower() for c in readable.columns] if readable is not None else []


def unique_by(source: exp.Expr, keys: list[exp.Expr], catalog: Catalog) -> bool:
    """True where a key, or all that a subquery groups by, is among what is compared."""
    plain = {k.name.lower() for k in keys if isinstance(k, exp.Column)}
    cte = common_table(source) if isinstance(source, exp.Table) else None
    holder = cte or source
    if isinstance(holder.this, exp.Query):
        unique = groups_of(holder.this, names_of(source, catalog))
    else:
        readable = catalog.get(source.name.lower())
        unique = {u.lower() for u in readable.unique} if readable is not None else set()
    return bool(unique) and unique <= plain


def groups_of(query: exp.Expr, names: list[str]) -> set[str]:
    """The output columns that hold a subquery's group keys; none unless all of them are shown."""
    group = query.args.get("group")
    if group is None:
        distinct = query.args.get("distinct")
        return set(names) if isinstance(distinct, exp.Distinct) and not distinct.args.get("on") else set()
    shown = {e.unalias(): n for e, n in zip(query.expressions, names, strict=False)}
    if group.args.get("all"):
        if query.args.get("having"):
            return set()  # whose columns are keys too
        return {n for e, n in shown.items() if not has(e, exp.AggFunc)}
    if any(isinstance(e, SETS) for e in group.expressions):
        return set()
    found = {shown.get(e, "") for e in group.expressions}
    return set() if "" in found else found


def first_of_each(source: exp.Expr, keys: list[exp.Expr], names: list[str]) -> exp.Expr:
    """`(SELECT DISTINCT ON (keys) * FROM source) AS alias`; the ties of DISTINCT ON are broken elsewhere."""
    alias = source.alias_or_name
    columns = [exp.alias_(exp.column(n, table=alias, quoted=True), n, quoted=True) for n in names]
    select = exp.Select(expressions=columns)
    select.set("distinct", exp.Distinct(on=exp.Tuple(expressions=[k.copy() for k in keys])))
    select.set("from_", exp.From(this=source.copy()))
    return exp.Subquery(this=select, alias=exp.TableAlias(this=exp.to_identifier(alias, quoted=True)))
