"""Where COLLATE changes no more than a condition.

Under a collation equal values are not the same value, so they are no keys of groups, partitions or
joins. In a comparison with constants it says which rows pass, as any condition does. Where the value
itself is not shown, NOCASE and NOACCENT are the functions by which the engine compares: `ORDER BY
name COLLATE NOCASE` is `ORDER BY lower(name)`.
"""

from __future__ import annotations

from sqlglot import exp

from strandline.compiler.free import aliases
from strandline.compiler.trees import find_all, has

ORDERINGS = (exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE)
COMPARISONS = (*ORDERINGS, exp.Like, exp.ILike, exp.In, exp.Between)
FUNCTIONS = {"nocase": "lower", "noaccent": "strip_accents", "nfc": "nfc_normalize"}


def by_functions(tree: exp.Expr) -> None:
    """Write in place what they compare: in orders, partitions, joins and counts of distinct values."""
    for collate in find_all(tree, exp.Collate):
        names = collate.expression.sql().lower().replace('"', "").split(".")
        functions = [FUNCTIONS.get(name, "") for name in names]
        holder = collate.parent
        replaced = holder is None or not any(e is collate for e in holder.iter_expressions())
        if not all(functions) or holder is None or replaced:
            continue
        if (
            isinstance(holder, ORDERINGS)
            and has(holder.this, exp.Column)
            and has(holder.expression, exp.Column)
        ):
            for side in ("this", "expression"):
                text = holder.args[side]
                holder.set(side, applied(text.this if isinstance(text, exp.Collate) else text, functions))
        elif decides_only(collate, holder):
            collate.replace(applied(collate.this, functions))


def decides_only(collate: exp.Expr, holder: exp.Expr) -> bool:
    """The value says where a row stands or whether it counts, and is not shown."""
    if isinstance(holder, exp.Window):
        return collate.arg_key == "partition_by"
    counted = isinstance(holder, exp.Distinct) and isinstance(holder.parent, exp.Count)
    return counted or isinstance(holder, exp.Ordered)


def applied(text: exp.Expr, functions: list[str]) -> exp.Expr:
    """`strip_accents(lower(text))`"""
    found = text.copy()
    for function in functions:
        found = exp.func(function, found, dialect="duckdb")
    return found


def only_compared(collate: exp.Collate) -> bool:
    """True where the collated text is compared, with constants, over rows of the own FROM."""
    node: exp.Expr | None = collate.parent
    while isinstance(node, exp.Paren):
        node = node.parent
    select = collate.find_ancestor(exp.Select)
    if not isinstance(node, COMPARISONS) or select is None or has(node, exp.Query):
        return False
    collated = {id(c) for c in find_all(collate, exp.Column)}
    columns = find_all(node, exp.Column)
    own = aliases(select)
    return all(id(c) in collated and c.table in own for c in columns)
