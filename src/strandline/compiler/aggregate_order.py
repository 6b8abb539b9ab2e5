"""The order in which aggregates take rows, made total: what they pick or list is a function of the data.

`list(x ORDER BY y)` ends in what identifies the rows, `any_value(x)` takes them in that order, and
`arg_max(x, y)` is `any_value(x ORDER BY y DESC, …)` of the rows that have both. Where some source is a bag,
the value itself ends the order: rows of equal values may take each other's place. Rows of one table without
a key, read alone, have no other order than that of their arrival, and keep it where none is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlglot import exp

from strandline.compiler.aggregates import called, calls_of
from strandline.compiler.catalog import Catalog
from strandline.compiler.ctes import common_table
from strandline.compiler.free import aliases
from strandline.compiler.handed_order import IN_ORDER
from strandline.compiler.identities import breakers, is_keyed, row_identity, sources
from strandline.compiler.outer_calls import outer_calls
from strandline.compiler.positions import SETS
from strandline.compiler.trees import copy_of, find_all, has

PLACES: dict[type[exp.Expr], str] = {
    **dict.fromkeys((*IN_ORDER, exp.Mode), "this"),
    exp.ApproxQuantile: "quantile",
}
"""Aggregates that depend on the order of rows, and the argument behind which it is told."""
NULLS_TOO = frozenset({"arg_max_null", "arg_min_null"})
"""Extremes that pick rows whose value is NULL as well."""
MOST = 999_999
"""The engine takes no larger n in arg_max(x, y, n)."""


@dataclass(frozen=True)
class Extreme:
    """`arg_max(value, by, count)`; `needed` are the expressions that are not NULL in the rows it looks at."""

    value: exp.Expr
    by: exp.Expr
    count: exp.Expr | None
    greatest: bool
    needed: tuple[exp.Expr, ...]


def order_calls(select: exp.Select, catalog: Catalog, arrived: bool) -> None:
    """Every aggregate of a SELECT that picks or lists rows takes them in a total order, in place.

    `arrived`: the rows have an order, that of their arrival.
    """
    own = aliases(select)
    units = [u for u in calls_of(select) if belongs(u, own)] + list(outer_calls(select, own))
    units = [u for u in units if picks(called(u))]
    if not units:
        return
    keyed = all(is_keyed(source, catalog) for source in sources(select, catalog))
    identity, alike = row_identity(select, catalog), grouped_by(select)
    for unit in units:
        head = called(unit)
        if own_order(head) is not None or not arrived or has(head, exp.Distinct) or extreme(head):
            order_call(unit, [], alike, identity if keyed else [value_of(head)])


def belongs(unit: exp.Expr, own: frozenset[str]) -> bool:
    """Whether an aggregate is its SELECT's; one over columns of an outer query alone is that query's."""
    columns = list(find_all(unit, exp.Column))
    return not columns or any(not c.table or c.table in own for c in columns)


def picks(head: exp.Expr) -> bool:
    """Whether the order of rows decides what a call picks or lists."""
    return type(head) in PLACES or extreme(head) is not None or isinstance(head, (exp.ArgMax, exp.ArgMin))


def grouped_by(select: exp.Select) -> list[exp.Expr]:
    """What has one value in all rows of a group."""
    group = select.args.get("group")
    return [g for g in group.expressions if not isinstance(g, SETS)] if group is not None else []


def in_arrival(select: exp.Select, catalog: Catalog) -> bool:
    """Whether the rows are those of one table without a key; subqueries are joins, which mix them up."""
    from_ = select.args.get("from_")
    if from_ is None or select.args.get("joins") or not isinstance(from_.this, exp.Table):
        return False
    parts = [*select.expressions, *(select.args.get(p) for p in ("where", "having", "qualify"))]
    if any(part is not None and has(part, exp.Query) for part in parts):
        return False
    return common_table(from_.this) is None and not is_keyed(from_.this, catalog)


def value_of(head: exp.Expr) -> exp.Expr:
    """What a call picks or lists of a row."""
    value: exp.Expr = head.expressions[0] if isinstance(head, exp.Anonymous) else head.this
    return value.this if isinstance(value, exp.Order) else value


def own_order(head: exp.Expr) -> tuple[str, exp.Order] | None:
    """The order in a call's own brackets, and the argument behind which it is told."""
    return next(((name, a) for name, a in head.args.items() if isinstance(a, exp.Order)), None)


def order_call(
    unit: exp.Expr, told: list[exp.Expr], alike: list[exp.Expr], identity: list[exp.Expr]
) -> exp.Order | None:
    """One call takes rows in a total order, in place; the order it was given where it had none.

    `told` is the order that rows come in without, `alike` has one value in all of them.
    """
    head, own, asked = called(unit), own_order(called(unit)), extreme(called(unit))
    if has(head, exp.Distinct):
        return order_different(head) if own is None and type(head) in PLACES else None
    if own is not None:
        place, order = own
        added = breakers([*(t.this for t in order.expressions), *alike], identity)
        head.set(place, exp.Order(this=order.this, expressions=[*order.expressions, *added]))
    elif asked is not None:
        added = breakers([asked.by, *alike], identity)
        if added:
            order_extreme(unit, asked, added)
    elif type(head) in PLACES:
        added = breakers([*(t.this for t in told), *alike], identity)
        return take_in_order(head, PLACES[type(head)], [*map(copy_of, told), *added])
    return None


def take_in_order(head: exp.Expr, place: str, terms: list[exp.Expr]) -> exp.Order | None:
    """A call without an order of its own is given one, behind the argument at a place."""
    if not terms or head.args.get(place) is None:
        return None  # mode() WITHIN GROUP (ORDER BY …): of equal values, either
    given = exp.Order(this=copy_of(head.args[place]), expressions=terms)
    head.set(place, given)
    return given


def order_different(head: exp.Expr) -> exp.Order | None:
    """Different values come in their own order: rows have none among them."""
    if not isinstance(head.this, exp.Distinct):
        return None
    value = head.this.expressions[0]
    return take_in_order(head, PLACES[type(head)], [exp.Ordered(this=copy_of(value), nulls_first=False)])


def extreme(head: exp.Expr) -> Extreme | None:
    """What arg_max, arg_min and their like pick by; None for other calls, and for those told an order."""
    if has(head, exp.Distinct) or own_order(head) is not None:
        return None
    if isinstance(head, (exp.ArgMax, exp.ArgMin)):
        value, by, count = head.this, head.expression, head.args.get("count")
        if count is not None and not (count.is_int and 0 < int(count.name) <= MOST):
            return None
        return Extreme(value, by, count, isinstance(head, exp.ArgMax), (value, by))
    if isinstance(head, exp.Anonymous) and head.name.lower() in NULLS_TOO and len(head.expressions) == 2:
        value, by = head.expressions
        return Extreme(value, by, None, head.name.lower() == "arg_max_null", (by,))
    return None


def order_extreme(unit: exp.Expr, asked: Extreme, added: list[exp.Expr]) -> None:
    """`arg_max(x, y)` as the first x by y and the tie-breakers, of n the first n; in place."""
    by = exp.Ordered(this=copy_of(asked.by), desc=asked.greatest, nulls_first=False)
    rows = exp.Order(this=copy_of(asked.value), expressions=[by, *added])
    there = [exp.Not(this=exp.Is(this=copy_of(e), expression=exp.null())) for e in asked.needed]
    if isinstance(unit, exp.Filter):
        there.insert(0, copy_of(unit.expression.this))
    one = exp.AnyValue if asked.value in asked.needed else exp.First  # windows take no FILTER of first
    taken = one(this=rows) if asked.count is None else exp.ArrayAgg(this=rows)
    found: exp.Expr = exp.Filter(this=taken, expression=exp.Where(this=exp.and_(*there)))
    taken.type = found.type = unit.type
    if asked.count is not None:
        count = copy_of(asked.count)
        found = exp.Anonymous(this="list_slice", expressions=[found, exp.Literal.number(1), count])
        found.type = unit.type
    unit.replace(found)
