"""Rows made up by a function in FROM, `range(…)`, `generate_series(…)` or `unnest([…])`, as queries.

`FROM range(3) AS r(n)` is `FROM (SELECT unnest(range(3)) AS n) AS r`; over columns of other FROM items
it is their `unnest`.
"""

from __future__ import annotations

from sqlglot import exp


def as_queries(query: exp.Query) -> exp.Query:
    """The query with such items of FROM replaced, in place."""
    for item in [*query.find_all(exp.Table), *query.find_all(exp.Unnest)]:
        rows = listed(item)
        if rows is None or not isinstance(item.parent, (exp.From, exp.Join)):
            continue
        alias, column = names(item, rows)
        if not rows.find(exp.Column, exp.Query):
            made = exp.Select(expressions=[exp.alias_(exp.Explode(this=rows.copy()), column)])
            item.replace(exp.Subquery(this=made, alias=exp.TableAlias(this=alias)))
        elif isinstance(item, exp.Table):
            titled = exp.TableAlias(this=alias, columns=[column])
            item.replace(exp.Unnest(expressions=[rows.copy()], alias=titled))
    return query


def listed(item: exp.Expr) -> exp.Expr | None:
    """The list whose elements are the rows of a FROM item; None for anything else."""
    if any(item.args.get(a) for a in ("offset", "ordinality", "joins", "pivots", "sample")):
        return None
    if isinstance(item, exp.Unnest):
        return item.expressions[0] if len(item.expressions) == 1 else None
    return item.this if isinstance(item.this, exp.GenerateSeries) else None


def names(item: exp.Expr, rows: exp.Expr) -> tuple[exp.Identifier, exp.Identifier]:
    """The item's alias and its column's name: as written, else the function's."""
    own = "unnest"
    if isinstance(item, exp.Table):
        own = "range" if rows.args.get("is_end_exclusive") else "generate_series"
    alias = item.args.get("alias")
    title = alias.this if alias is not None and alias.this is not None else exp.to_identifier(own)
    columns = alias.columns if alias is not None else []
    return title.copy(), columns[0].copy() if columns else exp.to_identifier(own)
