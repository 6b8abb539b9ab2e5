"""Where COLLATE changes no more than a condition.

Under a collation equal values are not the same value, so they are no keys of groups, partitions or
joins. In a comparison with constants it says which rows pass, as any condition does.
"""

from __future__ import annotations

from sqlglot import exp

from strandline.compiler.free import aliases
from strandline.compiler.trees import find_all, has

COMPARISONS = (exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE, exp.Like, exp.ILike, exp.In, exp.Between)


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
