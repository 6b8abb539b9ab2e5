"""The recompute's text, in which the windows of one SELECT tell the copies of equal rows apart alike.

Rows of a source without a key may be equal in every column. To one window it does not matter which of
them comes first; what two windows of different orders say of a row together does depend on it. Stages
end such orders in the rows' identities, so that of equal rows the first in one order is the first in
every order, which is a function of the data. Here the copies are numbered where they are read, and
the orders end in these numbers: any will do, as long as they are the same for all windows.
"""

from __future__ import annotations

from itertools import count

from sqlglot import exp

from strandline.compiler.catalog import Catalog
from strandline.compiler.free import free
from strandline.compiler.identities import is_keyed, sources
from strandline.compiler.ties import append_order, needs_total
from strandline.compiler.trees import copy_of, find_all

COPY = "_copy"


def numbered(tree: exp.Expr, catalog: Catalog) -> exp.Expr:
    """The tree itself, its sources' copies numbered wherever several orders look at them."""
    for select in find_all(tree, exp.Select):
        orders = picking(select)
        if len({order_of(node) for node in orders}) > 1:
            copies = [number(leaf, catalog) for leaf in sources(select, catalog)]
            for node in orders:
                append_order(node, [c for c in copies if c is not None])
    return tree


def picking(select: exp.Select) -> list[exp.Expr]:
    """The nodes of a SELECT over single rows whose order has to be total: windows, its own with LIMIT."""
    windows = [w for w in find_all(select, exp.Window) if w.find_ancestor(exp.Select) is select]
    if not windows or select.args.get("group"):
        return []
    distinct = select.args.get("distinct")
    on = isinstance(distinct, exp.Distinct) and distinct.args.get("on")
    own = [select] if on or (select.args.get("limit") and distinct is None) else []
    return [*(w for w in windows if needs_total(w)), *own]


def order_of(node: exp.Expr) -> tuple[object, ...]:
    """What one sort of the engine serves."""
    return tuple(node.args.get("partition_by") or ()), node.args.get("order")


def number(leaf: exp.Expr, catalog: Catalog) -> exp.Column | None:
    """A column made in a FROM item that tells its rows apart; None where its key does, or nothing can."""
    if not isinstance(leaf, (exp.Table, exp.Subquery)) or is_keyed(leaf, catalog):
        return None
    inner = copy_of(leaf)
    inner.set("joins", None)
    if free(inner):
        return None
    name = fresh(leaf.root(), catalog)
    counted = exp.alias_(exp.Window(this=exp.RowNumber()), name, quoted=True)
    rows = exp.select(exp.Star(), counted, copy=False).from_(inner, copy=False)
    alias = exp.to_identifier(leaf.alias_or_name, quoted=True)
    leaf.replace(exp.Subquery(this=rows, alias=exp.TableAlias(this=alias), joins=leaf.args.get("joins")))
    return exp.column(name, table=leaf.alias_or_name, quoted=True)


def fresh(tree: exp.Expr, catalog: Catalog) -> str:
    """A name that no column has."""
    taken = {i.name.lower() for i in find_all(tree, exp.Identifier)}
    taken |= {c.name.lower() for readable in catalog.values() for c in readable.columns}
    return next(n for i in count(1) if (n := f"{COPY}{i}") not in taken)
