"""The order in which aggregates take rows, made total: what they pick or list is a function of the data.

`list(x ORDER BY y)` ends in what identifies the rows, `any_value(x)` takes them in that order, and
`arg_max(x, y)` is `first(x ORDER BY y DESC, …)` of the rows that have both. Rows of one table without a
key have no other order than that of their arrival, and keep it where none is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlglot import exp

from strandline.compiler.aggregates import called, calls_of
from strandline.compiler.catalog import Catalog
from strandline.compiler.ctes import common_table
from strandline.compiler.identities import breakers, is_keyed, row_identity
from strandline.compiler.trees import copy_of, has

ORDERED: dict[type[exp.Expr], str] = {
    **dict.fromkeys((exp.ArrayAgg, exp.GroupConcat, exp.First, exp.Last, exp.AnyValue, exp.Mode), "this"),
    exp.ApproxQuantile: "quantile",
}
"""Aggregates that depend on the order of rows, and the argument behind which it is told."""
NULLS_TOO = frozenset({"arg_max_null", "arg_min_null"})
"""Extremes that pick rows whose value is NULL as well."""


@dataclass(frozen=True)
class Extreme:
    """`arg_max(value, by, count)`; `needed` are the expressions that are not NULL in the rows it looks at."""

    value: exp.Expr
    by: exp.Expr
    count: exp.Expr | None
    greatest: bool
    needed: tuple[exp.Expr, ...]


def order_calls(select: exp.Select, catalog: Catalog) -> None:
    """Every aggregate of a SELECT that picks or lists rows takes them in a total order, in place."""
    units = [u for u in calls_of(select) if extreme(called(u)) or isinstance(called(u), tuple(ORDERED))]
    if not units:
        return
    identity, alike = row_identity(select, catalog), constants(select)
    arrived = in_arrival(select, catalog)
    for unit in units:
        head = called(unit)
        found = extreme(head)
        if found is not None:
            order_extreme(unit, found, breakers([found.by, *alike], identity))
        elif not arrived or has(head, exp.Order, exp.Distinct):
            order_call(head, alike, identity)


def order_call(head: exp.Expr, alike: list[exp.Expr], identity: list[exp.Expr]) -> None:
    """One aggregate takes rows in a total order, in place; `alike` has one value in all of them."""
    if has(head, exp.Distinct):
        order_different(head)
    else:
        order_rows(head, alike, identity)


def constants(select: exp.Select) -> list[exp.Expr]:
    """What has one value in all rows of a group."""
    group = select.args.get("group")
    sets = (exp.Rollup, exp.Cube, exp.GroupingSets)
    return [g for g in group.expressions if not isinstance(g, sets)] if group is not None else []


def in_arrival(select: exp.Select, catalog: Catalog) -> bool:
    """Whether the rows are those of one table without a key."""
    from_ = select.args.get("from_")
    if from_ is None or select.args.get("joins") or not isinstance(from_.this, exp.Table):
        return False
    return common_table(from_.this) is None and not is_keyed(from_.this, catalog)


def order_rows(head: exp.Expr, alike: list[exp.Expr], identity: list[exp.Expr]) -> None:
    """The order in an aggregate's brackets, or none, is ended by tie-breakers."""
    place = ORDERED[type(head)]
    told = head.args.get(place)
    if told is None:
        return  # mode() WITHIN GROUP (ORDER BY …): of equal values, either
    terms = told.expressions if isinstance(told, exp.Order) else []
    added = breakers([*(t.this for t in terms), *alike], identity)
    if added:
        taken = told.this if isinstance(told, exp.Order) else told
        head.set(place, exp.Order(this=copy_of(taken), expressions=[*map(copy_of, terms), *added]))


def order_different(head: exp.Expr) -> None:
    """Different values come in their own order where none is told: rows have none among them."""
    if not has(head, exp.Order) and isinstance(head.this, exp.Distinct):
        value = head.this.expressions[0]
        term = exp.Ordered(this=copy_of(value), nulls_first=False)
        head.set("this", exp.Order(this=copy_of(head.this), expressions=[term]))


def extreme(head: exp.Expr) -> Extreme | None:
    """What arg_max, arg_min and their like pick by; None for other calls."""
    if has(head, exp.Distinct, exp.Order):
        return None
    if isinstance(head, (exp.ArgMax, exp.ArgMin)):
        value, by = head.this, head.expression
        return Extreme(value, by, head.args.get("count"), isinstance(head, exp.ArgMax), (value, by))
    if isinstance(head, exp.Anonymous) and head.name.lower() in NULLS_TOO and len(head.expressions) == 2:
        value, by = head.expressions
        return Extreme(value, by, None, head.name.lower() == "arg_max_null", (by,))
    return None


def order_extreme(unit: exp.Expr, asked: Extreme, added: list[exp.Expr]) -> None:
    """`arg_max(x, y)` as the first x by y and the tie-breakers, of n the first n; in place."""
    if not added:
        return
    by = exp.Ordered(this=copy_of(asked.by), desc=asked.greatest, nulls_first=False)
    rows = exp.Order(this=copy_of(asked.value), expressions=[by, *added])
    there = [exp.Not(this=exp.Is(this=copy_of(e), expression=exp.null())) for e in asked.needed]
    if isinstance(unit, exp.Filter):
        there.insert(0, copy_of(unit.expression.this))
    taken = exp.First(this=rows) if asked.count is None else exp.ArrayAgg(this=rows)
    found: exp.Expr = exp.Filter(this=taken, expression=exp.Where(this=exp.and_(*there)))
    taken.type = found.type = unit.type
    if asked.count is not None:
        count = copy_of(asked.count)
        found = exp.Anonymous(this="list_slice", expressions=[found, exp.Literal.number(1), count])
        found.type = unit.type
    unit.replace(found)
