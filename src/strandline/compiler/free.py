"""Which names of a subquery belong to the query around it."""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp

Reference = tuple[str, str]
"""(table alias, column)"""


def free(node: exp.Expr | None) -> tuple[Reference, ...]:
    """The qualified references that a part of a query does not resolve itself, in order, each once."""
    return tuple(dict.fromkeys(_free(node))) if node is not None else ()


def _free(node: exp.Expr) -> Iterator[Reference]:
    if isinstance(node, exp.Column):
        if node.table:
            yield node.table, node.name
        return
    own = aliases(node) if isinstance(node, exp.Select) else frozenset()
    for child in node.iter_expressions():
        yield from (found for found in _free(child) if found[0] not in own)


def bound_columns(expr: exp.Expr) -> frozenset[str]:
    """The columns that a bound expression names outside of its subqueries."""
    if isinstance(expr, exp.Column):
        return frozenset([expr.name])
    if isinstance(expr, exp.Query):
        return frozenset()
    return frozenset().union(*(bound_columns(c) for c in expr.iter_expressions()))


def aliases(select: exp.Select) -> frozenset[str]:
    """The names of a SELECT's FROM items."""
    from_ = select.args.get("from_")
    items = [*leaves(from_.this)] if from_ is not None else []
    items += [leaf for j in select.args.get("joins") or [] for leaf in leaves(j.this)]
    items += select.args.get("laterals") or []
    return frozenset(i.alias_or_name for i in items)


def leaves(item: exp.Expr) -> Iterator[exp.Expr]:
    """The tables and subqueries of a FROM item, those of joins in parentheses one by one."""
    inner = item.this if isinstance(item, exp.Subquery) else None
    if isinstance(inner, exp.Table) or (isinstance(inner, exp.Subquery) and inner.args.get("joins")):
        yield from leaves(inner)
    else:
        yield item
    for join in item.args.get("joins") or []:
        yield from leaves(join.this)


def from_items(select: exp.Select) -> tuple[Reference, ...]:
    """What the FROM clause alone takes from outside."""
    own = aliases(select)
    parts = [
        select.args.get("from_"),
        *(select.args.get("joins") or []),
        *(select.args.get("laterals") or []),
    ]
    return tuple(dict.fromkeys(f for p in parts if p is not None for f in free(p) if f[0] not in own))
