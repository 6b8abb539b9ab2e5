"""The order of a window stage: whether it is total, its OVER clauses, the distance from the end."""

from __future__ import annotations

from sqlglot import exp

from strandline.compiler import relations as r
from strandline.compiler.plan import Stage
from strandline.compiler.text import listed, ordering, precedes, sql
from strandline.compiler.ties import needs_total
from strandline.compiler.trees import has


def operator(stage: Stage) -> r.Window:
    assert isinstance(stage.operator, r.Window)
    return stage.operator


def is_total(operator: r.Window, below: r.Relation) -> bool:
    """True where the user's own order, with the partition, tells all rows apart."""
    named = frozenset((*operator.partition, *(o.column for o in operator.order)))
    return not operator.ties and bool(operator.order) and r.tells_apart(below, named)


def over(stage: Stage, function: r.Out) -> str:
    """A function's whole OVER clause; peers are kept apart only where the function wants it."""
    call = function.expr.this
    if isinstance(call, (exp.Rank, exp.DenseRank)) and not operator(stage).order and not has(call, exp.Order):
        return "1::BIGINT"  # all rows are peers; DuckDB 2.0.0 may crash on dense_rank() OVER ()
    spec = function.expr.args.get("spec")
    by = partition(stage)
    order = ordering(order_for(stage, function), last_resort(stage) if needs_ids(function) else ())
    by += f"ORDER BY {order} " if order else ""
    return f"{sql(function.expr.this)} OVER ({by}{sql(spec) if spec is not None else ''})"


def last_resort(stage: Stage) -> tuple[str, ...]:
    """Identities end an order that is not total without them; equal orders share one sort."""
    window = operator(stage)
    named = frozenset((*window.partition, *(o.column for o in window.order + window.ties)))
    return () if r.tells_apart(stage.input, named) else stage.ids


def partition(stage: Stage) -> str:
    """The beginning of an OVER clause; empty where all rows are one partition."""
    window = operator(stage)
    return f"PARTITION BY {listed(window.partition)} " if window.partition else ""


def late_order(stage: Stage) -> list[r.Order]:
    """The order by which a row is before another one: peers change together where they matter."""
    return list(operator(stage).order) if stage.strict else full_order(stage)


def behind(stage: Stage, f: str, h: str) -> str:
    """True where row `f` does not come after row `h`, the last one of the head."""
    if loose(stage):
        return precedes(f, h, operator(stage).order)
    return f"NOT ({precedes(h, f, late_order(stage))})"


def loose(stage: Stage) -> bool:
    """A row that ties with the head's last row may come: no function looks at the order among peers."""
    functions = (f for level in operator(stage).stack for f in level.functions)
    return bool(stage.near) and not stage.strict and not any(needs_ids(f) for f in functions)


def full_order(stage: Stage) -> list[r.Order]:
    """The whole order by which no two rows are equal: the user's, its tie-breakers, identities at last."""
    terms = [*operator(stage).order, *operator(stage).ties]
    used = {o.column for o in terms}
    return [*terms, *(r.Order(i) for i in last_resort(stage) if i not in used)]


def needs_ids(function: r.Out) -> bool:
    """Functions that depend on the order among peers end in the row's identity."""
    window = function.expr
    assert isinstance(window, exp.Window)
    return needs_total(window)


def order_for(stage: Stage, function: r.Out) -> tuple[r.Order, ...]:
    window = operator(stage)
    return window.order + window.ties if needs_ids(function) else window.order


def distance(stage: Stage) -> str:
    """`_back`: 1 for the last row of a partition, 2 for the one before …"""
    if not stage.back or stage.near:
        return ""
    window = operator(stage)
    by = partition(stage)
    order = ordering(window.order + window.ties, last_resort(stage))
    spec = f"({by}ORDER BY {order}"
    if stage.back == 1:
        return f", CASE WHEN lead(1) OVER {spec}) IS NULL THEN 1 ELSE 2 END AS _back"
    return f", count(*) OVER ({by.strip()}) - row_number() OVER {spec}) + 1 AS _back"
