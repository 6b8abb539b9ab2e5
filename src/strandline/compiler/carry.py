"""The carry rule: heads and new rows of in-order partitions.

The head's last row stands for everything before it: each running function reads
a *seed* column that holds the function's value so far in that row and the
function's argument in the new ones. One window over heads and new rows then
gives every value, with nothing to join and nothing to add up afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from dataclasses import replace as evolve

from sqlglot import exp

from strandline.compiler import relations as r
from strandline.compiler.frames import Reach, head_function, reaches, seeded
from strandline.compiler.orders import distance, is_total, last_resort, operator, over, partition
from strandline.compiler.placing import measured, placed, row_distance
from strandline.compiler.plan import FAR, Stage
from strandline.compiler.text import bucket, listed, ordering, sql


@dataclass(frozen=True)
class Seeded:
    """How a kind of running function goes on.

    `fresh` is the seed of a new row, made of {x} (the argument) and {if} (its
    FILTER); `every` says that all rows of the head keep their value as seed,
    not only the last; `value` is made of {s} (the seed column), {w} (the
    window) and {by} (what stands between texts).
    """

    fresh: str
    value: str
    every: bool = False


RUNNING = {
    "row_number": Seeded("1", "sum({s}) OVER ({w})::BIGINT"),
    "count": Seeded(
        "CASE WHEN {x} IS NOT NULL AND {if} THEN 1 ELSE 0 END", "coalesce(sum({s}) OVER ({w}), 0)::BIGINT"
    ),
    "count_if": Seeded("CASE WHEN {if} THEN {x}::BOOLEAN::INTEGER END", "sum({s}) OVER ({w})::HUGEINT"),
    "sum": Seeded("CASE WHEN {if} THEN {x} END", "sum({s}) OVER ({w})"),
    "min": Seeded("CASE WHEN {if} THEN {x} END", "min({s}) OVER ({w})"),
    "max": Seeded("CASE WHEN {if} THEN {x} END", "max({s}) OVER ({w})"),
    "and": Seeded("CASE WHEN {if} THEN {x} END", "bool_and({s}) OVER ({w})"),
    "or": Seeded("CASE WHEN {if} THEN {x} END", "bool_or({s}) OVER ({w})"),
    "bit_and": Seeded("CASE WHEN {if} THEN {x} END", "bit_and({s}) OVER ({w})"),
    "bit_or": Seeded("CASE WHEN {if} THEN {x} END", "bit_or({s}) OVER ({w})"),
    "bit_xor": Seeded("CASE WHEN {if} THEN {x} END", "bit_xor({s}) OVER ({w})"),
    "text": Seeded("CASE WHEN {if} THEN ({x})::VARCHAR END", "string_agg({s}, {by}) OVER ({w})"),
    "first": Seeded("{x}", "first_value({s}) OVER ({w})", every=True),
    "first_ignoring": Seeded("{x}", "first_value({s} IGNORE NULLS) OVER ({w})", every=True),
    "last_ignoring": Seeded("{x}", "last_value({s} IGNORE NULLS) OVER ({w})", every=True),
}
"""By `Reach.running`. Averages and ranks are made of these, see `VALUES`."""


def carried_rows(stage: Stage, fresh: str, old: str, *, again: bool = False) -> str:
    """The head's rows and the new rows with all function values and their distance from the end.

    Rows of the head keep their values, except where a function looks ahead and
    rows have come into its reach. `again` says that `old` are not rows of the head: they have the
    running functions' values alone, and the others are evaluated over them again.
    """
    window = operator(stage)
    how = reaches(window, is_total(window, stage.input))
    known = seeded(how) if again else None
    below, computed = r.columns(stage.input), [o.name for o in window.computed]
    functions = [f for level in window.stack for f in level.functions if known is None or f.name in known]
    kept = "".join(f", {r.quote(f.name)} AS {was(f)}" for f in functions)
    rows = (
        f"SELECT {listed(below)}, TRUE AS _fresh FROM ({fresh}) AS n UNION ALL BY NAME "
        f"SELECT {listed(below)}, FALSE AS _fresh, _back AS _was{kept} FROM ({old}) AS h"
    )
    measures = measured(stage)
    for place, level in enumerate(window.stack):
        rows = continued_level(stage, level, how, rows, again, {} if place else measures)
    key, computed = bucket(window.partition), [*computed, *measures]
    found = f"SELECT {listed([*below, *computed])}, {key} AS _k, _was{distance(stage)} FROM ({rows}) AS u"
    return placed(stage, found)


def continued_level(
    stage: Stage,
    level: r.Level,
    reaches: Mapping[str, Reach | str],
    rows: str,
    again: bool,
    beside: Mapping[str, str],
) -> str:
    """One level's functions beside heads ∪ new rows, then the expressions over them."""
    seeds, values = [], []
    for f in level.functions:
        how = reaches[f.name]
        assert isinstance(how, Reach)
        if how.running in RUNNING:
            either = f"CASE WHEN _fresh THEN {fresh_seed(f, how)} ELSE {old_seed(stage, f, how)} END"
            seeds.append(f"{either} AS {seed(f)}")
        values.append(f"{continued(stage, f, how, again)} AS {r.quote(f.name)}")
    outs = [f"{sql(o.expr)} AS {r.quote(o.name)}" for o in level.outs]
    values += [f"{text} AS {name}" for name, text in beside.items()]
    for added in (seeds, values, outs):
        if added:
            rows = f"SELECT *, {', '.join(added)} FROM ({rows}) AS r"
    return rows


def continued(stage: Stage, f: r.Out, how: Reach, again: bool) -> str:
    """One function's value for every row of heads ∪ new rows."""
    if not how.running and again:
        return over(stage, f)
    value = VALUES.get(how.running, over_seeds)(stage, f, how) if how.running else over(stage, f)
    return f"CASE WHEN NOT _fresh{closed(stage, how)} THEN {was(f)} ELSE {value} END"


def closed(stage: Stage, how: Reach) -> str:
    """Which rows of the head keep the function's value: all but those that a new row can change.

    Where it runs, the rows whose frames do not reach the seed: others may be open for another function.
    """
    if how.near is not None and how.running:
        return f" AND NOT coalesce(bool_or(_was = 1) OVER ({frame(stage, how)}), FALSE)"
    if how.near is not None:
        return f" AND _was >= {FAR}"
    return f" AND _was > {how.ahead}" if how.ahead else ""


def seed(f: r.Out) -> str:
    return r.quote("seed." + f.name)


def was(f: r.Out) -> str:
    """The function's value in a row of the head, as it was."""
    return r.quote("was." + f.name)


def fresh_seed(f: r.Out, how: Reach) -> str:
    """What a new row adds to the function."""
    call, _, _ = head_function(f)
    arg = "1" if call.this is None or isinstance(call.this, exp.Star) else sql(call.this)
    return RUNNING[how.running].fresh.format_map({"x": f"({arg})", "if": f"({condition(f)})"})


def old_seed(stage: Stage, f: r.Out, how: Reach) -> str:
    """The value so far, in the head's last row (in all of its rows where the first one counts).

    Where the frame ends before the row, the last row's value is that of the row where its frame ended;
    the rows after that have not been in it yet.
    """
    if how.end.endswith("PRECEDING"):
        at, last_one = row_distance(stage), f"CASE WHEN _was = 1 THEN {was(f)} END"
        so_far = f"any_value({last_one}) OVER ({partition(stage).strip()})"
        return (
            f"CASE WHEN {at} < {how.back} THEN {fresh_seed(f, how)} WHEN {at} = {how.back} THEN {so_far} END"
        )
    if RUNNING[how.running].every:
        return was(f)
    return f"CASE WHEN _was = 1 THEN {was(f)} END"


def condition(f: r.Out) -> str:
    """The function's own FILTER."""
    node = f.expr.this
    while isinstance(node, (exp.IgnoreNulls, exp.RespectNulls)):
        node = node.this
    return sql(node.expression.this) if isinstance(node, exp.Filter) else "TRUE"


def over_seeds(stage: Stage, f: r.Out, how: Reach) -> str:
    """A running function over its seeds."""
    call, _, _ = head_function(f)
    between = call.args.get("separator")
    by = sql(between) if between is not None else "','"
    value = RUNNING[how.running].value.format(s=seed(f), w=frame(stage, how), by=by)
    default = call.args.get("default")
    if default is None:
        return value
    # lag() itself brings it into the type of the values
    nothing = f"lag({sql(call.this)}, {FAR}, {sql(default)}) OVER ({partition(stage).strip()})"
    return f"coalesce({value}, {nothing})"


def average(stage: Stage, f: r.Out, how: Reach) -> str:
    """From the hidden sum and count."""
    parts = {o.name: o for o in operator(stage).computed}
    total, count = (
        over_seeds(stage, parts[f"{f.name}.{n}"], evolve(how, running=n)) for n in ("sum", "count")
    )
    return f"CASE WHEN {count} > 0 THEN ({total})::DOUBLE / ({count}) END"


def rank(stage: Stage, f: r.Out, _how: Reach) -> str:
    """1 + the rows before the peers: all rows up to them, without them."""
    hidden = next(o for o in operator(stage).computed if o.name == f"{f.name}.rows")
    rows = over_seeds(stage, hidden, Reach("count", peers=True))
    by = partition(stage) + f"ORDER BY {ordering(operator(stage).order)}"
    return f"{rows} - count(*) OVER ({by} RANGE BETWEEN CURRENT ROW AND CURRENT ROW) + 1"


def dense_rank(stage: Stage, f: r.Out, _how: Reach) -> str:
    """The head's first row has the least rank of heads and new rows, and rank 1 among them."""
    before = f"min({was(f)}) OVER ({partition(stage).strip()})"
    return f"coalesce({before} - 1, 0) + {over(stage, f)}"


def last(stage: Stage, f: r.Out, _how: Reach) -> str:
    return over(stage, f)


def nth(stage: Stage, f: r.Out, how: Reach) -> str:
    """What it was, if the head has n rows; else heads and new rows are the whole partition."""
    by = partition(stage).strip()
    kept = f"any_value(CASE WHEN _was = 1 THEN {was(f)} END) OVER ({by})"
    return f"CASE WHEN count(_was) OVER ({by}) >= {how.back} THEN {kept} ELSE {over(stage, f)} END"


VALUES: dict[str, Callable[[Stage, r.Out, Reach], str]] = {
    "avg": average,
    "rank": rank,
    "dense_rank": dense_rank,
    "last": last,
    "nth": nth,
}


def frame(stage: Stage, how: Reach) -> str:
    """From the partition's start to where the function's frame ends; RANGE where peers belong together."""
    window = operator(stage)
    if how.peers or how.near is not None:
        rows, order = how.near.kind if how.near is not None else "RANGE", ordering(window.order)
    else:
        rows, order = "ROWS", ordering(window.order + window.ties, last_resort(stage))
    return f"{partition(stage)}ORDER BY {order} {rows} BETWEEN UNBOUNDED PRECEDING AND {how.end}"
