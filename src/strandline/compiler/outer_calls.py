"""Aggregates in a subquery that belong to the query around it.

`SELECT o.cust, (SELECT count(*) FROM items i WHERE i.n > max(o.qty)) FROM orders o GROUP BY o.cust`:
an aggregate over columns of an outer query alone is that query's. It is aggregated there, and the
subquery names its value as it would any column of the groups.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp

from strandline.compiler.aggregates import is_aggregate
from strandline.compiler.free import Reference, aliases
from strandline.compiler.trees import copy_of, find_all, has

TABLE = "strandline aggregate"
"""What stands for a table in references to such values; no user's name has it for an alias."""
CLAUSES = ("having", "qualify", "order")
WRAPPERS = (exp.Filter, exp.WithinGroup, exp.IgnoreNulls, exp.RespectNulls)


def with_outer_calls(select: exp.Select) -> tuple[exp.Select, tuple[tuple[Reference, exp.Expr], ...]]:
    """The SELECT with references in place of such calls, and what each stands for."""
    own = aliases(select)
    if not any(True for _ in outer_calls(select, own)):
        return select, ()
    select = copy_of(select)
    given: dict[exp.Expr, Reference] = {}
    for call in list(outer_calls(select, own)):
        reference = given.setdefault(copy_of(call), (TABLE, f"{len(given)}"))
        column = exp.column(exp.to_identifier(reference[1], quoted=True), table=TABLE)
        column.type = call.type
        call.replace(column)
    return select, tuple((reference, call) for call, reference in given.items())


def outer_calls(select: exp.Select, own: frozenset[str]) -> Iterator[exp.Expr]:
    """The calls in subqueries of the clauses that see groups."""
    parts = [*select.expressions, *(select.args.get(c) for c in CLAUSES)]
    for part in parts:
        if part is not None and has(part, exp.Query):
            yield from calls_in(part, own, within=False)


def calls_in(node: exp.Expr, own: frozenset[str], *, within: bool) -> Iterator[exp.Expr]:
    """The aggregates below whose columns are all of these tables, where they are `within` a subquery."""
    if isinstance(node, exp.Select):
        own, within = own - aliases(node), True
    head = node
    while isinstance(head, WRAPPERS):
        head = head.this
    if within and is_aggregate(head) and not isinstance(node.parent, exp.Window):
        columns = find_all(node, exp.Column)
        if columns and all(c.table in own for c in columns) and not has(node, exp.Query):
            yield node
            return
    for child in node.iter_expressions():
        yield from calls_in(child, own, within=within)
