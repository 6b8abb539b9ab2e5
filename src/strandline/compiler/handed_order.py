"""The order in which a subquery hands on its rows, said where it matters.

The engine keeps it: `SELECT list(x) FROM (SELECT … ORDER BY y)` is `SELECT list(x ORDER BY y) …`, and the
same goes for LIMIT, DISTINCT ON and windows without an order of their own. Tables have none.
"""

from __future__ import annotations

from sqlglot import exp

from strandline.compiler.aggregates import called, calls_of, is_one_row
from strandline.compiler.ctes import common_table
from strandline.compiler.trees import copy_of, has
from strandline.compiler.unknown import UNTOLD
from strandline.errors import UnknownNameError

IN_ORDER = (exp.ArrayAgg, exp.GroupConcat, exp.First, exp.Last, exp.AnyValue)


def handed_order(select: exp.Select) -> list[exp.Expr]:
    """The order of the one subquery or CTE in FROM, over its columns; nothing where there is none."""
    from_ = select.args.get("from_")
    return order_of(from_.this) if from_ is not None and not select.args.get("joins") else []


def order_of(source: exp.Expr) -> list[exp.Expr]:
    """The order of a FROM item's rows. What it is told by is made an output where it is none yet.

    Raises UnknownNameError where that cannot be: then the engine alone knows the order.
    """
    cte = common_table(source) if isinstance(source, exp.Table) else None
    holder = cte if cte is not None else source
    query = holder.this.unnest() if isinstance(holder.this, exp.Subquery) else holder.this
    if not isinstance(query, (exp.Select, exp.SetOperation)):
        return []
    titles = holder.args.get("alias")
    renamed = [c.name for c in titles.columns] if isinstance(titles, exp.TableAlias) else []
    terms: list[exp.Expr] = []
    for term in own_order(query):
        place = output_for(query, term.this)
        if place is None:
            told = f"the order by {term.this.sql('duckdb')} shows in no output"
            raise UnknownNameError(f"{told}, so that only the engine knows it", hint=UNTOLD)
        name = renamed[place] if place < len(renamed) else query.named_selects[place]
        column = exp.column(name, table=source.alias_or_name, quoted=True)
        terms.append(exp.Ordered(**{**term.args, "this": column}))
    return terms


def own_order(query: exp.Query) -> list[exp.Expr]:
    """What a subquery orders by, or the one below it where it hands on that one's rows as they come."""
    order = query.args.get("order")
    if order is not None:
        terms: list[exp.Expr] = order.expressions
        return terms
    mixes = any(query.args.get(part) for part in ("group", "distinct", "having"))
    return handed_order(query) if isinstance(query, exp.Select) and not mixes else []


def output_for(query: exp.Query, expr: exp.Expr) -> int | None:
    """The place of the output that is an expression; one is added where there is none and one may be."""
    if not isinstance(query, exp.Select):
        names = query.named_selects
        return names.index(expr.name) if isinstance(expr, exp.Column) and expr.name in names else None
    for place, output in enumerate(query.expressions):
        named = isinstance(expr, exp.Column) and not expr.table and expr.name == output.alias_or_name
        if named or output.unalias() == expr:
            return place
    group = query.args.get("group")
    whole = group is not None and group.args.get("all")
    if query.args.get("distinct") or whole or is_one_row(query) or isinstance(expr, exp.Literal):
        return None
    place = len(query.expressions)
    query.append("expressions", exp.alias_(copy_of(expr), f"strandline_order_{place}", quoted=True))
    return place


def unordered_calls(select: exp.Select) -> list[exp.Expr]:
    """The aggregates whose values depend on the order of rows, and have none in their brackets."""
    heads = [called(u) for u in calls_of(select)]
    return [h for h in heads if isinstance(h, IN_ORDER) and not has(h, exp.Order, exp.Distinct)]


def picks_unordered(select: exp.Select) -> bool:
    """Whether LIMIT, DISTINCT ON or ARRAY(…) take rows of FROM in no order of their own."""
    if select.args.get("order") or select.args.get("group"):
        return False
    distinct = select.args.get("distinct")
    if distinct is not None:
        return bool(distinct.args.get("on"))
    limited = select.args.get("limit") or select.args.get("offset")
    return bool(limited) or isinstance(select.parent, exp.Array)


def ordered(terms: list[exp.Expr]) -> exp.Order:
    """ORDER BY the terms."""
    return exp.Order(expressions=[copy_of(t) for t in terms])
