"""`ARRAY(SELECT …)` over more than plain rows: the list of what a subquery gives, in its order."""

from __future__ import annotations

from sqlglot import exp

from strandline.compiler.aggregates import is_one_row
from strandline.compiler.trees import find_all, has

BEYOND = ("group", "having", "distinct", "qualify", "limit", "offset")
"""Clauses that make other rows of those in FROM, or fewer."""
TITLE = "strandline_item"
"""What an output without a name is called: ORDER BY would take a name that a column has for the output."""


def listed_above(tree: exp.Expr) -> None:
    """Such an `ARRAY(query)` becomes `coalesce((SELECT list(q.x) FROM (query) AS q), [])`, in place."""
    for array in find_all(tree, exp.Array):
        query = array.expressions[0] if len(array.expressions) == 1 else None
        if isinstance(query, exp.Query) and not is_plain(query) and (title := title_of(query)):
            rows = exp.Subquery(this=query.copy(), alias=exp.TableAlias(this=exp.to_identifier("listed")))
            value = exp.ArrayAgg(this=exp.column(exp.to_identifier(title, quoted=True), table="listed"))
            above = exp.Subquery(this=exp.Select(expressions=[value]).from_(rows))
            array.replace(exp.Coalesce(this=above, expressions=[exp.Array(expressions=[])]))


def title_of(query: exp.Query) -> str:
    """The name of the one output, given to it where it has none; empty where that cannot be."""
    if query.args.get("with_") or len(query.selects) != 1:
        return ""
    if isinstance(query, exp.Select) and is_one_row(query):
        return ""  # where it is correlated, the engine finds no row below another query
    output = query.selects[0]
    if output.is_star:
        return ""
    if not isinstance(output, (exp.Alias, exp.Column)) and isinstance(query, exp.Select):
        query.set("expressions", [exp.alias_(output, TITLE)])
    return query.selects[0].alias_or_name


def is_plain(query: exp.Query) -> bool:
    """Rows as they come: these are listed by an aggregate in the SELECT's own place."""
    if not isinstance(query, exp.Select) or any(query.args.get(clause) for clause in BEYOND):
        return False
    return not has(query.expressions[0], exp.Query, exp.Window)
