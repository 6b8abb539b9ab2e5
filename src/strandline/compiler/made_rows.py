"""Table functions over columns of the row before them, as lists unnested.

`FROM t, json_each(t.j) AS e` is `FROM t, LATERAL (SELECT unnest(rows).key AS key, …) AS e`, where `rows`
are the function's own rows as one list of structs: the engine makes it for each row of `t`.
"""

from __future__ import annotations

from sqlglot import exp

from strandline.compiler.trees import has

FIELDS = ("key", "value", "type", "atom", "id", "parent", "fullkey", "path")
"""The columns of json_each and json_tree."""
FUNCTIONS = frozenset({"json_each", "json_tree"})
ROW = "strandline_row"


def rows_unnested(item: exp.Expr) -> exp.Expr | None:
    """The FROM item as a subquery, LATERAL where it names columns; None where it is something else."""
    call = item.this
    if not isinstance(item, (exp.Table, exp.Lateral)) or not isinstance(call, exp.Anonymous):
        return None
    if call.name.lower() not in FUNCTIONS or any(item.args.get(a) for a in ("joins", "pivots", "sample")):
        return None
    alias = item.args.get("alias")
    given = [c.copy() for c in alias.columns] if isinstance(alias, exp.TableAlias) else []
    titles = [*given, *(exp.to_identifier(f) for f in FIELDS[len(given) :])]
    outs = [exp.alias_(member(call, field), title) for field, title in zip(FIELDS, titles, strict=False)]
    named = (
        alias.this.copy() if alias is not None and alias.this is not None else exp.to_identifier(call.name)
    )
    query = exp.Subquery(this=exp.Select(expressions=outs))
    if not has(call, exp.Column):
        query.set("alias", exp.TableAlias(this=named))
        return query
    return exp.Lateral(this=query, alias=exp.TableAlias(this=named))


def member(call: exp.Anonymous, field: str) -> exp.Expr:
    """`struct_extract(unnest((SELECT list(row) FROM json_each(t.j) AS row)), 'key')`"""
    rows = exp.Tag(this=call.copy(), prefix=f"(SELECT list({ROW}) FROM ", postfix=f" AS {ROW})")
    return exp.Anonymous(
        this="struct_extract", expressions=[exp.Explode(this=rows), exp.Literal.string(field)]
    )
