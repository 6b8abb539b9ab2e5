"""The carry rule: heads and new rows of in-order partitions, each function continued from its value so far."""

from __future__ import annotations

from sqlglot import exp

from strandline.compiler import relations as r
from strandline.compiler.frames import Reach, head_function, reach
from strandline.compiler.plan import Stage
from strandline.compiler.text import bucket, listed, ordering, same, sql

LAST = "last."


def carried_rows(stage: Stage, fresh: str, old: str) -> str:
    """The head's rows and the new rows with all function values and their distance from the end.

    `u` is the union of both; `l` the last row of each head, whose values are the
    accumulators. Rows of the head keep their values, except where a function
    looks ahead and rows have come into its reach.
    """
    from strandline.compiler.window import distance, is_total

    window = stage.operator
    assert isinstance(window, r.Window)
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
    return (
        f"SELECT {listed(r.columns(stage.input), 'u.')}, {', '.join(values)}, {bucket(window.partition, 'u.')} AS _k, _was"
        f"{distance(stage)} FROM ({union}) AS u LEFT JOIN ({last}) AS l ON {matched}"
    )


def continued(stage: Stage, f: r.Out, how: Reach) -> str:
    """One function's value for every row of heads ∪ new rows."""
    was = r.quote("was." + f.name)
    if not how.running:
        from strandline.compiler.window import over

        value = over(stage, f)
        open_rows = f"_was > {how.ahead}" if how.ahead else "TRUE"
        return f"CASE WHEN NOT _fresh AND {open_rows} THEN {was} ELSE {value} END"
    return f"CASE WHEN NOT _fresh THEN {was} ELSE {combine(stage, f, how)} END"


def combine(stage: Stage, f: r.Out, how: Reach) -> str:
    """The value so far (`so_far`, from the head's last row) with the new rows up to this one."""
    so_far = r.quote(LAST + f.name)
    call, _, _ = head_function(f)
    condition = fresh_filter(f)
    arg = sql(call.this) if call.this is not None and not isinstance(call.this, exp.Star) else "*"

    def local(function: str, of: str, by: str = "ROWS") -> str:
        return f"{function}({of}) FILTER (WHERE {condition}) OVER ({spec(stage, by)})"

    by = "RANGE" if how.peers else "ROWS"
    match how.running:
        case "row_number":
            return f"coalesce({so_far}, 0) + {local('count', '*')}"
        case "rank":
            heads = f"count(*) FILTER (WHERE NOT _fresh) OVER ({spec(stage, 'ALL')})"
            return f"coalesce({r.quote(LAST + f.name + '.rows')}, 0) + {plain(stage, f)} - {heads}"
        case "dense_rank":
            return f"coalesce({so_far}, 0) + {plain(stage, f)} - CASE WHEN _has THEN 1 ELSE 0 END"
        case "avg":
            parts = {o.name: o for o in stage.operator.functions}  # type: ignore[union-attr]
            total, count = (
                combine(stage, parts[f"{f.name}.{n}"], Reach(n, peers=how.peers)) for n in ("sum", "count")
            )
            return f"CASE WHEN {count} > 0 THEN ({total})::DOUBLE / ({count}) END"
        case "count":
            return f"coalesce({so_far}, 0) + {local('count', arg, by)}"
        case "sum":
            new = local("sum", arg, by)
            return f"CASE WHEN {so_far} IS NULL THEN {new} ELSE {so_far} + coalesce({new}, 0) END"
        case "min" | "max":
            function = "least" if how.running == "min" else "greatest"
            new = local(how.running, arg, by)
            return f"CASE WHEN {so_far} IS NULL THEN {new} WHEN {new} IS NULL THEN {so_far} ELSE {function}({so_far}, {new}) END"
        case "and" | "or":
            new = local(f"bool_{how.running}", arg, by)
            return f"CASE WHEN {so_far} IS NULL THEN {new} WHEN {new} IS NULL THEN {so_far} ELSE {so_far} {how.running.upper()} {new} END"
        case "first":
            return f"CASE WHEN _has THEN {so_far} ELSE {plain(stage, f)} END"
        case "first_ignoring":
            return f"coalesce({so_far}, {plain(stage, f)})"
        case "last":
            return plain(stage, f)
        case "last_ignoring":
            return f"coalesce({plain(stage, f)}, {so_far})"
    raise AssertionError(how.running)


def fresh_filter(f: r.Out) -> str:
    """Only new rows count towards what is added; the function's own FILTER stays."""
    node = f.expr.this
    while isinstance(node, (exp.IgnoreNulls, exp.RespectNulls)):
        node = node.this
    return f"_fresh AND ({sql(node.expression.this)})" if isinstance(node, exp.Filter) else "_fresh"


def plain(stage: Stage, f: r.Out) -> str:
    """The function as it is, over heads and new rows."""
    from strandline.compiler.window import over

    return over(stage, f)


def spec(stage: Stage, by: str) -> str:
    """From the partition's start to the current row (with its peers for RANGE)."""
    window = stage.operator
    assert isinstance(window, r.Window)
    partition = f"PARTITION BY {listed(window.partition)} " if window.partition else ""
    if by == "ALL":
        return partition.strip()
    if by == "RANGE":
        return (
            f"{partition}ORDER BY {ordering(window.order)} RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW"
        )
    from strandline.compiler.window import last_resort

    order = ordering(window.order + window.ties, last_resort(stage))
    return f"{partition}ORDER BY {order} ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW"
