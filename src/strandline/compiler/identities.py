"""What tells the rows of a FROM item apart: a key, what a subquery passes on of one, else all columns."""

from __future__ import annotations

from collections.abc import Iterable

from sqlglot import exp

from strandline.compiler.aggregates import is_one_row
from strandline.compiler.catalog import Catalog, Readable
from strandline.compiler.ctes import common_table
from strandline.compiler.free import leaves
from strandline.compiler.positions import SETS, within
from strandline.compiler.trees import copy_of, find_all, has

TIE = "strandline_tie"
"""Marks an ordering term that the query does not have."""


def tie_breakers(select: exp.Select, catalog: Catalog) -> list[exp.Expr]:
    """Columns that together tell apart all rows that matter in this SELECT."""
    group = select.args.get("group")
    if group is None:
        return row_identity(select, catalog)
    keys = [e for item in group.expressions for e in (within(item) if isinstance(item, SETS) else [item])]
    return [*dict.fromkeys(keys), *set_of(group)]


def set_of(group: exp.Group) -> list[exp.Expr]:
    """Which grouping set a row is of: a NULL among the values looks like the total over them."""
    elements = [e for item in group.expressions if isinstance(item, SETS) for e in within(item)]
    return [exp.Grouping(expressions=[copy_of(e) for e in dict.fromkeys(elements)])] if elements else []


def row_identity(select: exp.Select, catalog: Catalog) -> list[exp.Expr]:
    """Columns that together tell apart all rows of FROM."""
    return [t for source in sources(select, catalog) for t in source_ties(source, catalog)]


def sources(select: exp.Select, catalog: Catalog) -> list[exp.Expr]:
    """The FROM items that a row's identity is made of: of the others, it meets one row at most."""
    from_ = select.args.get("from_")
    found = [*leaves(from_.this)] if from_ is not None else []
    for join in select.args.get("joins") or []:
        if several_matches(join, catalog):
            found += leaves(join.this)
    return found


def several_matches(join: exp.Join, catalog: Catalog) -> bool:
    """Whether a row may meet more than one row of the join's right side, and show it."""
    shown = str(join.args.get("kind") or join.args.get("side") or "").upper() not in ("SEMI", "ANTI")
    return shown and not single_match(join, catalog)


def source_ties(source: exp.Expr, catalog: Catalog) -> list[exp.Expr]:
    """The identifying columns of one FROM item."""
    names = identifying(source, catalog)
    return [exp.column(name, table=source.alias_or_name, quoted=True) for name in names]


def identifying(source: exp.Expr, catalog: Catalog) -> list[str]:
    """Unique columns of a FROM item where they are known, else all of its columns."""
    if isinstance(source, exp.Table):
        cte = common_table(source)
        if cte is not None:
            return query_identity(cte.this, catalog, list(cte.args["alias"].columns))
        readable = catalog.get(source.name.lower())
        if readable is not None:
            return [u.lower() for u in readable.unique] or [c.name.lower() for c in readable.columns]
    alias = source.args.get("alias")
    titled = list(alias.columns) if isinstance(alias, exp.TableAlias) else []
    if isinstance(source, exp.Subquery):
        return query_identity(source.unnest(), catalog, titled)
    if isinstance(source, exp.Unnest) and isinstance(source.args.get("offset"), exp.Identifier):
        titled.append(source.args["offset"])
    return [i.name for i in titled]


def query_identity(query: exp.Expr, catalog: Catalog, renamed: list[exp.Identifier]) -> list[str]:
    """The output columns of a subquery that identify its rows: a passed-on key, else all.

    Windows tell apart what is equal where it comes from, so that a bag's columns do not suffice beside them.
    """
    if not isinstance(query, exp.Query):
        return []
    names = [i.name for i in renamed] or [n.lower() for n in query.named_selects]
    if not isinstance(query, exp.Select):
        return names
    distinct = query.args.get("distinct")
    if distinct is not None:
        return shown(query, names, distinct_on(distinct)) or names
    found = shown(query, names, tie_breakers(query, catalog))
    told_apart = not has(query, exp.Window) or is_keyed_query(query, catalog)
    return found if found and told_apart else names


def distinct_on(distinct: exp.Expr) -> list[exp.Expr]:
    """What DISTINCT ON leaves one row of each; nothing for DISTINCT, which leaves one of all columns."""
    on = distinct.args.get("on")
    return list(on.expressions) if isinstance(on, exp.Tuple) else []


def shown(query: exp.Select, names: list[str], wanted: list[exp.Expr]) -> list[str]:
    """The outputs that are the wanted expressions, by their names; nothing where one shows in none."""
    outputs: dict[exp.Expr, str] = {}
    for output, name in zip(query.expressions, names, strict=False):
        outputs[output.unalias()] = name
        outputs.setdefault(exp.column(output.alias_or_name, quoted=True), name)
    return [outputs[w] for w in wanted] if all(w in outputs for w in wanted) else []


def is_keyed(leaf: exp.Expr, catalog: Catalog) -> bool:
    """Whether no two rows of a FROM item are equal, as far as its text tells."""
    if isinstance(leaf, exp.Subquery):
        return is_keyed_query(leaf.unnest(), catalog)
    cte = common_table(leaf) if isinstance(leaf, exp.Table) else None
    if cte is not None:
        return is_keyed_query(cte.this, catalog)
    readable = catalog.get(leaf.name.lower())
    return readable is not None and bool(readable.unique)


def is_keyed_query(query: exp.Expr, catalog: Catalog) -> bool:
    """Whether a subquery is a SELECT of different rows, or shows what tells its sources' rows apart."""
    if not isinstance(query, exp.Select):
        return False
    if query.args.get("distinct") or is_one_row(query):
        return True
    if not query.args.get("group") and not all(is_keyed(s, catalog) for s in sources(query, catalog)):
        return False
    outputs = {e.unalias() for e in query.expressions}
    return all(e in outputs for e in tie_breakers(query, catalog))


def single_match(join: exp.Join, catalog: Catalog) -> bool:
    """A join that finds at most one partner: its table's unique key is equated."""
    if join.method == "ASOF" and join.side in ("", "LEFT"):
        return True
    readable: Readable | None = (
        catalog.get(join.this.name.lower()) if isinstance(join.this, exp.Table) else None
    )
    on = join.args.get("on")
    if readable is None or not readable.unique or on is None or join.side in ("RIGHT", "FULL"):
        return False
    alias = join.this.alias_or_name
    terms = list(on.flatten()) if isinstance(on, exp.And) else [on]
    equated = {
        side.name.lower()
        for term in terms
        if isinstance(term, exp.EQ)
        for side, other in ((term.this, term.expression), (term.expression, term.this))
        if isinstance(side, exp.Column) and side.table == alias and alias not in tables_of(other)
    }
    return {u.lower() for u in readable.unique} <= equated


def tables_of(expr: exp.Expr) -> set[str]:
    return {c.table for c in find_all(expr, exp.Column)}


def breakers(present: Iterable[exp.Expr], ties: Iterable[exp.Expr]) -> list[exp.Expr]:
    """The tie-breakers, as ordering terms, for an order by what is present."""
    there = set(present)
    added: list[exp.Expr] = []
    for tie in ties:
        if tie not in there and not isinstance(tie, exp.Literal):
            term = exp.Ordered(this=copy_of(tie), nulls_first=False)
            term.meta[TIE] = True
            added.append(term)
    return added
