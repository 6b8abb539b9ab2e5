"""The carry rule: heads and new rows of in-order partitions.

Each function is continued from its value so far.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlglot import exp

from strandline.compiler import relations as r
from strandline.compiler.frames import Reach, head_function, reach
from strandline.compiler.orders import distance, is_total, last_resort, operator, over
from strandline.compiler.plan import Stage
from strandline.compiler.text import bucket, listed, ordering, same, sql

LAST = "last."


def carried_rows(stage: Stage, fresh: str, old: str) -> str:
    """The head's rows and the new rows with all function values and their distance from the end.

    `u` is the union of both; `l` the last row of each head, whose values are the
    accumulators. Rows of the head keep their values, except where a function
    looks ahead and rows have come into its reach.
    """
    window = operator(stage)
    below, names = listed(r.columns(stage.input)), [f.name for f in window.functions]
    stored = "".join(f", {r.quote(n)} AS {r.quote('was.' + n)}" for n in names)
    union = (
        f"SELECT {below}, TRUE AS _fresh FROM ({fresh}) AS n UNION ALL BY NAME "
        f"SELECT {below}, FALSE AS _fresh, _back AS _was{stored} FROM ({old}) AS h"
    )
    total = is_total(window, stage.input)
    values = []
    for f in window.functions:
        how = reach(f, window, total)
        assert isinstance(how, Reach)
        values.append(f"{continued(stage, f, how)} AS {r.quote(f.name)}")
    last = ", ".join([f"{r.quote(p)} AS {r.quote(LAST + p)}" for p in window.partition])
    last += "".join(f", {r.quote(n)} AS {r.quote(LAST + n)}" for n in names)
    last = f"SELECT TRUE AS _has, {last.removeprefix(', ')} FROM ({old}) AS o WHERE _back = 1"
    matched = same(window.partition, "u", "l", LAST)
    cols, key = listed(r.columns(stage.input), "u."), bucket(window.partition, "u.")
    return (
        f"SELECT {cols}, {', '.join(values)}, {key} AS _k, _was"
        f"{distance(stage)} FROM ({union}) AS u LEFT JOIN ({last}) AS l ON {matched}"
    )


def continued(stage: Stage, f: r.Out, how: Reach) -> str:
    """One function's value for every row of heads ∪ new rows."""
    was = r.quote("was." + f.name)
    if not how.running:
        value = over(stage, f)
        open_rows = f"_was > {how.ahead}" if how.ahead else "TRUE"
        return f"CASE WHEN NOT _fresh AND {open_rows} THEN {was} ELSE {value} END"
    return f"CASE WHEN NOT _fresh THEN {was} ELSE {combine(stage, f, how)} END"


def combine(stage: Stage, f: r.Out, how: Reach) -> str:
    """The value so far (from the head's last row) with the new rows up to this one."""
    return RUNNING[how.running](stage, f, how)


def so_far(f: r.Out, part: str = "") -> str:
    """The value in the head's last row; of a hidden part of the function where `part` names one."""
    return r.quote(LAST + f.name + part)


def added(stage: Stage, f: r.Out, how: Reach, function: str, of: str = "") -> str:
    """An aggregate of the new rows alone, up to this one: over the function's argument, or over `of`."""
    call, _, _ = head_function(f)
    arg = sql(call.this) if call.this is not None and not isinstance(call.this, exp.Star) else "*"
    rows = spec(stage, "RANGE" if how.peers else "ROWS")
    return f"{function}({of or arg}) FILTER (WHERE {fresh_filter(f)}) OVER ({rows})"


def row_number(stage: Stage, f: r.Out, how: Reach) -> str:
    return f"coalesce({so_far(f)}, 0) + {added(stage, f, how, 'count', '*')}"


def rank(stage: Stage, f: r.Out, _how: Reach) -> str:
    """The rows before the head count in; those of the head are ranked again with the new ones."""
    heads = f"count(*) FILTER (WHERE NOT _fresh) OVER ({spec(stage, 'ALL')})"
    return f"coalesce({so_far(f, '.rows')}, 0) + {over(stage, f)} - {heads}"


def dense_rank(stage: Stage, f: r.Out, _how: Reach) -> str:
    return f"coalesce({so_far(f)}, 0) + {over(stage, f)} - CASE WHEN _has THEN 1 ELSE 0 END"


def average(stage: Stage, f: r.Out, how: Reach) -> str:
    """From the hidden sum and count."""
    parts = {o.name: o for o in operator(stage).functions}
    total, count = (
        combine(stage, parts[f"{f.name}.{n}"], Reach(n, peers=how.peers)) for n in ("sum", "count")
    )
    return f"CASE WHEN {count} > 0 THEN ({total})::DOUBLE / ({count}) END"


def count(stage: Stage, f: r.Out, how: Reach) -> str:
    return f"coalesce({so_far(f)}, 0) + {added(stage, f, how, 'count')}"


def total(stage: Stage, f: r.Out, how: Reach) -> str:
    new = added(stage, f, how, "sum")
    return f"CASE WHEN {so_far(f)} IS NULL THEN {new} ELSE {so_far(f)} + coalesce({new}, 0) END"


def extreme(stage: Stage, f: r.Out, how: Reach) -> str:
    new = added(stage, f, how, how.running)
    function = "least" if how.running == "min" else "greatest"
    return either(so_far(f), new, f"{function}({so_far(f)}, {new})")


def truth(stage: Stage, f: r.Out, how: Reach) -> str:
    new = added(stage, f, how, f"bool_{how.running}")
    return either(so_far(f), new, f"{so_far(f)} {how.running.upper()} {new}")


def either(old: str, new: str, both: str) -> str:
    """The value that is not NULL, or both combined."""
    return f"CASE WHEN {old} IS NULL THEN {new} WHEN {new} IS NULL THEN {old} ELSE {both} END"


def first(stage: Stage, f: r.Out, _how: Reach) -> str:
    return f"CASE WHEN _has THEN {so_far(f)} ELSE {over(stage, f)} END"


def first_ignoring(stage: Stage, f: r.Out, _how: Reach) -> str:
    return f"coalesce({so_far(f)}, {over(stage, f)})"


def last(stage: Stage, f: r.Out, _how: Reach) -> str:
    return over(stage, f)


def last_ignoring(stage: Stage, f: r.Out, _how: Reach) -> str:
    return f"coalesce({over(stage, f)}, {so_far(f)})"


RUNNING: dict[str, Callable[[Stage, r.Out, Reach], str]] = {
    "row_number": row_number,
    "rank": rank,
    "dense_rank": dense_rank,
    "avg": average,
    "count": count,
    "sum": total,
    "min": extreme,
    "max": extreme,
    "and": truth,
    "or": truth,
    "first": first,
    "first_ignoring": first_ignoring,
    "last": last,
    "last_ignoring": last_ignoring,
}
"""How each kind of `Reach.running` goes on."""


def fresh_filter(f: r.Out) -> str:
    """Only new rows count towards what is added; the function's own FILTER stays."""
    node = f.expr.this
    while isinstance(node, (exp.IgnoreNulls, exp.RespectNulls)):
        node = node.this
    return f"_fresh AND ({sql(node.expression.this)})" if isinstance(node, exp.Filter) else "_fresh"


def spec(stage: Stage, by: str) -> str:
    """From the partition's start to the current row (with its peers for RANGE)."""
    window = operator(stage)
    partition = f"PARTITION BY {listed(window.partition)} " if window.partition else ""
    if by == "ALL":
        return partition.strip()
    if by == "RANGE":
        return (
            f"{partition}ORDER BY {ordering(window.order)} RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW"
        )
    order = ordering(window.order + window.ties, last_resort(stage))
    return f"{partition}ORDER BY {order} ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW"
