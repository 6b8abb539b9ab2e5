"""A FROM item named as a value is its row: `to_json(t)` is `to_json({'a': t.a, 'b': t.b})`."""

from __future__ import annotations

from sqlglot import exp

from strandline.compiler.free import leaves
from strandline.compiler.outputs import Columns
from strandline.compiler.spelling import from_items
from strandline.compiler.trees import find_all


def without_whole_rows(tree: exp.Expr, columns: Columns) -> None:
    """Write the structs out, in place, where the columns of FROM are known and none has the name."""
    for name in find_all(tree, exp.Column):
        if name.table or not isinstance(name.this, exp.Identifier):
            continue
        select = name.find_ancestor(exp.Select)
        item = meant(name, select, columns) if isinstance(select, exp.Select) else None
        known = columns(item) if item is not None else None
        if item is None or not known:
            continue
        pairs = [
            exp.PropertyEQ(
                this=exp.to_identifier(column, quoted=True),
                expression=exp.column(column, table=item.alias_or_name, quoted=True),
            )
            for column in known
        ]
        row: exp.Expr = exp.Struct(expressions=pairs)
        if isinstance(name.parent, exp.Select) and name.arg_key == "expressions":
            row = exp.alias_(row, name.this.copy())
        name.replace(row)


def meant(name: exp.Column, select: exp.Select, columns: Columns) -> exp.Expr | None:
    """The FROM item of the name; None where a column, an output or a lambda's parameter may be meant."""
    wanted = name.name.lower()
    items = [leaf for item in from_items(select) for leaf in leaves(item)]
    found = [i for i in items if i.alias_or_name.lower() == wanted]
    if len(found) != 1 or any(e.alias.lower() == wanted for e in select.expressions):
        return None
    if name.find_ancestor(exp.Lambda, exp.Comprehension, exp.Pivot) is not None:
        return None
    for item in items:
        known = columns(item)
        if known is None or wanted in {k.lower() for k in known}:
            return None
    return found[0]
