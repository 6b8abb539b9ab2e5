"""What an alias stands for, kept as one operand: `a + b AS d, c + d` is `c + (a + b)`."""

from __future__ import annotations

from sqlglot import exp

from strandline.compiler.trees import find_all


def keep_operands(tree: exp.Expr) -> None:
    """Put brackets round the expressions whose aliases are operands where the resolver leaves them out.

    It takes sums and products for associative, which those of doubles, and the types of DECIMALs, are not.
    """
    for select in find_all(tree, exp.Select):
        titled = {
            item.alias.lower(): item
            for item in select.expressions
            if isinstance(item, exp.Alias) and isinstance(item.this, exp.Binary)
        }
        used = {c.name.lower() for c in find_all(select, exp.Column) if is_operand(c)} if titled else set()
        for name in titled.keys() & used:
            item = titled[name]
            item.set("this", exp.Paren(this=item.this))


def is_operand(column: exp.Column) -> bool:
    """A name without its table that is the second of a sum or product, or at some time zone."""
    holder = column.parent
    second = isinstance(holder, (exp.Add, exp.Mul)) and column.arg_key == "expression"
    return not column.table and (second or isinstance(holder, exp.AtTimeZone))
