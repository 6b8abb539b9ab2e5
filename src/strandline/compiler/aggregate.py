"""Grouped and ungrouped aggregation: `merge` where accumulators can be combined, else `keyed`.

A group's accumulators form a commutative monoid; deletions are subtracted where
it is a group (counts, exact sums). Where it is not (an extremum that goes, a
floating-point sum), just the touched groups are read again. Gupta and Mumick,
"Maintenance of materialized views", 1995; count(*) is always kept, so a group
vanishes when, and only when, its last row does.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlglot import exp

from strandline.compiler import moments
from strandline.compiler import relations as r
from strandline.compiler.accumulators import (
    TAKEN,
    Accumulator,
    counter,
    floating,
    inexact,
    is_number,
    over_rows,
    readings,
    several,
)
from strandline.compiler.delicate import kind_of_expression
from strandline.compiler.delta import Changed, render
from strandline.compiler.finish import (
    ROW,
    consolidate,
    drop_rows,
    finish,
    insert_rows,
    replace_rows,
    stored_rows,
)
from strandline.compiler.plan import Stage
from strandline.compiler.text import (
    Step,
    beside,
    bucket,
    listed,
    make,
    minus,
    plus,
    same,
    scratch,
    sql,
    stored,
)
from strandline.compiler.trees import find_all, has

ROWS = "_n"
CANCELLED = 1e-3
"""A floating-point sum below this share of what was added into it is read again: 13 digits are left to it."""


def aggregate_strategy(table: str, operator: r.Aggregate, below: r.Relation) -> Stage:
    """`merge` if every aggregate has accumulators, else `keyed`, naming the ones that have none."""
    if not operator.aggregates:
        return Stage(table, operator, below, "merge", "a row stays while its count is above zero")
    stuck = [o for o in operator.aggregates if accumulators(o) is None]
    if not stuck:
        return Stage(table, operator, below, "merge", "every aggregate is kept as accumulators per group")
    names = ", ".join(sorted({sql(o.expr) for o in stuck}))
    reason = f"{names} cannot be combined from parts: the touched groups are read again"
    return Stage(
        table, operator, below, "keyed", reason, cheaper="split such aggregates into a model of their own"
    )


def head_of(expr: exp.Expr) -> tuple[exp.Expr, str]:
    """The aggregate call and its FILTER condition as text."""
    if isinstance(expr, exp.Filter):
        return expr.this, f"({sql(expr.expression.this)})"
    return expr, "TRUE"


def accumulators(out: r.Out) -> tuple[Accumulator, ...] | None:
    """The state columns of one aggregate; None where it has no mergeable form."""
    call, condition = head_of(out.expr)
    if has(call, exp.Distinct, exp.Order) or isinstance(out.expr, (exp.WithinGroup, exp.IgnoreNulls)):
        return None
    rule = ACCUMULATORS.get(type(call))
    return rule(out.name, call, condition) if rule is not None else None


def counted(name: str, call: exp.Expr, condition: str) -> tuple[Accumulator, ...] | None:
    """count(*) and count(x); counting rows of several columns has no rule."""
    if several(call):
        return None
    arg = None if call.this is None or isinstance(call.this, exp.Star) else sql(call.this)
    return (counter(name, arg, condition),)


def counted_if(name: str, call: exp.Expr, condition: str) -> tuple[Accumulator, ...]:
    """count_if(x) is a sum in DuckDB: NULL where there is no value, 0 where none is true."""
    value = sql(call.this)
    true = f"CASE WHEN {value} THEN 1 END"
    return counter(f"{name}.true", true, condition), counter(f"{name}.count", value, condition)


def sum_and_count(name: str, call: exp.Expr, condition: str) -> tuple[Accumulator, ...]:
    """The count tells a sum of no values (NULL) from zero, and divides an average."""
    total = summed(f"{name}.sum", call, condition)
    count = counter(f"{name}.count", sql(call.this), condition)
    return (total, count, peak(name, total, call, condition)) if floating(call.this) else (total, count)


def averaged(name: str, call: exp.Expr, condition: str) -> tuple[Accumulator, ...] | None:
    """avg over numbers; averages of times have no rule."""
    return sum_and_count(name, call, condition) if is_number(call.this) else None


def extreme(name: str, call: exp.Expr, condition: str) -> tuple[Accumulator, ...] | None:
    """min(x) and max(x), not the n best, nor of fixed arrays: DuckDB 2.0.0 fails on their NULLs."""
    fixed = call.this.type is not None and any(t.args.get("values") for t in parts(call.this.type))
    return None if several(call) or fixed else (extremum(name, call, condition),)


def parts(kind: exp.DataType) -> list[exp.DataType]:
    """A type and the types inside it."""
    return find_all(kind, exp.DataType)


def truths(name: str, call: exp.Expr, condition: str) -> tuple[Accumulator, ...]:
    """bool_and and bool_or from the numbers of true and false values."""
    value = sql(call.this)
    return (
        counter(f"{name}.true", f"CASE WHEN {value} THEN 1 END", condition),
        counter(f"{name}.false", f"CASE WHEN NOT {value} THEN 1 END", condition),
    )


ACCUMULATORS: dict[type[exp.Expr], Callable[[str, exp.Expr, str], tuple[Accumulator, ...] | None]] = {
    exp.Count: counted,
    exp.Sum: sum_and_count,
    exp.Avg: averaged,
    exp.Min: extreme,
    exp.Max: extreme,
    exp.LogicalAnd: truths,
    exp.LogicalOr: truths,
    exp.CountIf: counted_if,
    **dict.fromkeys(moments.FAMILY, moments.spread),
}
"""State columns by function: (name, call, condition) → accumulators, None where it has no mergeable form."""


def summed(name: str, call: exp.Expr, condition: str) -> Accumulator:
    """sum(arg): subtracted where exact; floating point is reread when a row leaves (no drift, no poison)."""
    value = sql(call.this)
    base, come, gone = (f"coalesce({text}, 0)" for text in readings(f"sum({value})", condition))
    if inexact(call.this):
        merge = "coalesce(o.{n}, 0) + d.{i}"
        redo = f"{over_rows(f'count({value})', '_w < 0', condition)} > 0"
        return Accumulator(name, base, base, come, None, merge, redo)
    return Accumulator(name, base, base, come, gone, f"coalesce(o.{{n}}, 0) + d.{{i}}{TAKEN}")


def peak(name: str, total: Accumulator, call: exp.Expr, condition: str) -> Accumulator:
    """The largest number that was ever rounded into a floating-point sum since the group was read.

    Additions of it lost digits below 1e-16 of it. A sum that has since fallen far below it, or that
    has overflowed, is not the sum that the query gives over all rows; the group is read again.
    """
    value, own = sql(call.this), r.quote(total.name).replace("{", "{{").replace("}", "}}")
    more = r.quote(f"{total.name}+").replace("{", "{{").replace("}", "}}")
    sizes, weighed, _ = (
        f"coalesce({text}, 0)" for text in readings(f"sum(abs(({value})::DOUBLE))", condition)
    )
    old, new = f"coalesce(o.{own}, 0)", f"(coalesce(o.{own}, 0) + d.{more})"
    highest = "greatest(coalesce(o.{n}, 0), d.{i})"
    lost = f"NOT isfinite({new}) OR abs({new}) < {CANCELLED} * {highest}"
    doubt = f"CASE WHEN isfinite({old}) THEN {lost} ELSE FALSE END"
    kept = f"greatest({highest}, abs({new}))"
    return Accumulator(
        f"{name}.peak", f"abs(({total.initial})::DOUBLE)", sizes, weighed, "0", kept, doubt=doubt
    )


def extremum(name: str, call: exp.Expr, condition: str) -> Accumulator:
    """min/max(arg): merged on insertion; reread when a value as extreme as the kept one leaves.

    Not where one as extreme comes with the same change. Of values that are equal and not the same the
    one that is left has to be found, so they are read.
    """
    value, function = sql(call.this), "min" if isinstance(call, exp.Min) else "max"
    sign = "<=" if function == "min" else ">="
    base, come, gone = readings(f"{function}({value})", condition)
    better = f"d.{{i}} {'<' if function == 'min' else '>'} o.{{n}}"
    merge = f"CASE WHEN o.{{n}} IS NULL OR {better} THEN coalesce(d.{{i}}, o.{{n}}) ELSE o.{{n}} END"
    redo = f"{{r}} {sign} o.{{n}}"
    if not kind_of_expression(call.this):
        redo = f"{redo} AND NOT coalesce(d.{{i}} {sign} {{r}}, FALSE)"
    return Accumulator(name, base, base, come, gone, merge, redo)


def value(out: r.Out) -> str:
    """The aggregate's value from its accumulators."""
    call, _ = head_of(out.expr)
    name = r.quote(out.name)
    total, count = r.quote(f"{out.name}.sum"), r.quote(f"{out.name}.count")
    if isinstance(call, exp.Sum):
        return f"CASE WHEN {count} > 0 THEN {total} END"
    if isinstance(call, exp.Avg):
        return f"CASE WHEN {count} > 0 THEN {total}::DOUBLE / {count} END"
    if isinstance(call, moments.FAMILY):
        return moments.value(out.name, call)
    if isinstance(call, exp.CountIf):
        return f"CASE WHEN {count} > 0 THEN {r.quote(out.name + '.true')}::HUGEINT END"
    true, false = r.quote(f"{out.name}.true"), r.quote(f"{out.name}.false")
    if isinstance(call, exp.LogicalAnd):
        return f"CASE WHEN {true} + {false} > 0 THEN {false} = 0 END"
    if isinstance(call, exp.LogicalOr):
        return f"CASE WHEN {true} + {false} > 0 THEN {true} > 0 END"
    return name


def state(stage: Stage) -> tuple[Accumulator, ...]:
    """All accumulators of a merged stage, count(*) first."""
    assert isinstance(stage.operator, r.Aggregate)
    own = [a for o in stage.operator.aggregates for a in accumulators(o) or ()]
    return (counter(ROWS, None, "TRUE"), *own)


def groups_of(stage: Stage) -> tuple[r.Out, ...]:
    assert isinstance(stage.operator, r.Aggregate)
    return stage.operator.groups


def raw_select(stage: Stage, source: str) -> str:
    """Groups with accumulators (merge) or plain aggregates (keyed) over rendered input rows."""
    assert isinstance(stage.operator, r.Aggregate)
    groups = [f"{sql(o.expr)} AS {r.quote(o.name)}" for o in stage.operator.groups]
    if stage.strategy == "merge":
        outs = [f"{a.initial} AS {r.quote(a.name)}" for a in state(stage)]
    else:
        outs = [f"count(*) AS {r.quote(ROWS)}"]
        outs += [f"{sql(o.expr)} AS {r.quote(o.name)}" for o in stage.operator.aggregates]
    by = f" GROUP BY {grouping(stage)}" if groups else ""
    return f"SELECT {', '.join(groups + outs)} FROM ({source}) AS b{by}"


def grouping(stage: Stage) -> str:
    """The groups after GROUP BY, where a number alone would be a place in the list of outputs."""
    texts = (sql(o.expr) if has(o.expr, exp.Column) else f"coalesce({sql(o.expr)})" for o in groups_of(stage))
    return ", ".join(texts)


def with_values(stage: Stage, source: str, more: str = "") -> str:
    """Accumulators plus the aggregates' values and the bucket, and `more` that is listed after them."""
    assert isinstance(stage.operator, r.Aggregate)
    names = [o.name for o in stage.operator.groups]
    cols = [r.quote(n) for n in names] + [r.quote(n) for n in state_names(stage)]
    if stage.strategy == "merge":
        own = set(state_names(stage))
        cols += [f"{value(o)} AS {r.quote(o.name)}" for o in stage.operator.aggregates if o.name not in own]
    else:
        cols += [r.quote(o.name) for o in stage.operator.aggregates]
    more = f", {more}" if more else ""
    return f"SELECT {', '.join(cols)}, {bucket(names)} AS _k{more} FROM ({source}) AS a"


def state_names(stage: Stage) -> list[str]:
    return [a.name for a in state(stage)] if stage.strategy == "merge" else [ROWS]


def fill(stage: Stage) -> str:
    """The stage's rows from its whole input."""
    source = render(stage.input, "new", frozenset()) or ""
    return finish(stage, with_values(stage, raw_select(stage, source)))


def program(stage: Stage, changed: Changed) -> list[Step]:
    """Refresh from the input's change."""
    keys = [o.name for o in groups_of(stage)]
    added = render(stage.input, "plus", changed)
    removed = render(stage.input, "minus", changed)
    if not added and not removed:
        return []
    touched = scratch(stage.table, "touched")
    inner = f"SELECT *, {bucket(keys)} AS _k FROM ({delta(stage, added, removed)}) AS t"
    if stage.strategy == "merge" and not removed:
        return grown(stage, keys, inner)
    steps = [
        Step(make(touched, inner), "in"),
        Step(make(minus(stage.table), old_rows(stage, keys, touched)), "minus", ("in",)),
    ]
    steps += merged(stage, keys, touched) if stage.strategy == "merge" else []
    if stage.strategy == "keyed":
        redone = with_values(stage, raw_select(stage, restricted(stage, touched)))
        steps.append(Step(make(plus(stage.table), finish(stage, redone)), "plus", ("in",)))
    return steps + replace_rows(stage, columns(stage), shown(stage))


def columns(stage: Stage) -> list[str]:
    """The stored columns, without the batch."""
    assert isinstance(stage.operator, r.Aggregate)
    names = [o.name for o in stage.operator.groups] + state_names(stage)
    names += [o.name for o in stage.operator.aggregates if o.name not in names]
    return [*names, *(o.name for o in stage.stored_post), "_k"]


def shown(stage: Stage) -> list[str]:
    """What others read of the stage: they need not know that an accumulator alone has changed."""
    assert isinstance(stage.operator, r.Aggregate)
    outs = (*stage.operator.groups, *stage.operator.aggregates, *stage.stored_post)
    return [*(o.name for o in outs), "_k"]


def delta(stage: Stage, added: str | None, removed: str | None) -> str:
    """The touched groups, with what the change adds to and takes from each accumulator."""
    source = added or ""
    if removed:  # rows that only came need no weight
        sides = [f"SELECT *, {w} AS _w FROM ({text}) AS s" for w, text in ((1, added), (-1, removed)) if text]
        source = " UNION ALL ".join(f"SELECT * FROM ({side}) AS x" for side in sides)
    groups = [f"{sql(o.expr)} AS {r.quote(o.name)}" for o in groups_of(stage)]
    parts = delta_columns(stage, removing=removed is not None)
    # without groups there is a row even of no input
    end = f" GROUP BY {grouping(stage)}" if groups else " HAVING count(*) > 0"
    return f"SELECT {', '.join(groups + parts) or '1 AS one'} FROM ({source}) AS b{end}"


def delta_columns(stage: Stage, *, removing: bool) -> list[str]:
    """What one batch adds to and takes from each accumulator of a group."""
    parts: list[str] = []
    if stage.strategy != "merge":
        return parts
    for a in state(stage):
        parts.append(f"{a.inserted if removing else a.came} AS {r.quote(a.name + '+')}")
        if not removing:
            continue
        if a.removed is not None:
            parts.append(f"{a.removed} AS {r.quote(a.name + '-')}")
        else:
            parts.append(f"{a.redo} AS {r.quote(a.name + '!')}")
    return parts


def old_rows(stage: Stage, keys: list[str], touched: str) -> str:
    """The stored rows of touched groups."""
    matched = f"s._k = t._k AND {same(keys, 's', 't')}"
    return f"{stored_rows(stage)} SEMI JOIN {touched} AS t ON {matched}"


def restricted(stage: Stage, touched: str) -> str:
    """The input's rows that belong to touched groups."""
    source = render(stage.input, "new", frozenset()) or ""
    groups = groups_of(stage)
    if not groups:
        return source
    terms = [f"{sql(o.expr)} IS NOT DISTINCT FROM t.{r.quote('g.' + o.name)}" for o in groups]
    renamed = ", ".join(f"{r.quote(o.name)} AS {r.quote('g.' + o.name)}" for o in groups)
    keys = f"SELECT {renamed} FROM {touched}"
    return f"SELECT b.* FROM ({source}) AS b SEMI JOIN ({keys}) AS t ON {' AND '.join(terms)}"


def merged(stage: Stage, keys: list[str], touched: str) -> list[Step]:
    """Old accumulators combined with the change; groups that must be reread are."""
    again, table = scratch(stage.table, "again"), stage.table
    joined = f"FROM {touched} AS d LEFT JOIN {minus(table)} AS o ON {matching(keys)}"
    redo = redo_condition(stage, removing=True)
    steps = []
    flag = "FALSE"
    if redo:
        flag = f"coalesce({redo}, FALSE)"
        found = f"SELECT {listed(keys, 'd.') or '1 AS one'}, d._k {joined} WHERE {flag}"
        steps.append(Step(make(again, found), "again", ("in",)))
    combined = f"SELECT {', '.join(combinations(stage, keys, removing=True))} {joined} WHERE NOT {flag}"
    combined = f"SELECT * FROM ({combined}) AS m" + (f" WHERE {r.quote(ROWS)} > 0" if keys else "")
    steps.append(Step(make(plus(table), finish(stage, with_values(stage, combined))), "plus", ("in",)))
    if redo:
        steps.append(Step(reread(stage, again), "plus", ("in", "again")))
    return steps


def grown(stage: Stage, keys: list[str], inner: str) -> list[Step]:
    """Rows only came: the touched groups are found, combined with what is stored and kept in one statement.

    Their new rows bring along where the old ones lie and, where somebody reads the stage, what these
    show. How a change that is more than a scan is joined with the stored rows depends on how many
    groups it touches, so it is counted first; so is one whose groups may have to be read again.
    """
    table = stage.table
    redo = redo_condition(stage, removing=False)
    steps: list[Step] = []
    when: tuple[str, ...] = ()
    source = f"({inner})"
    if redo or not r.mere_scan(stage.input):
        source, when = scratch(table, "touched"), ("in",)
        steps.append(Step(make(source, inner), "in"))
    for who, seen in (("shared", shown(stage)), ("alone", [])):
        rows = finish(stage, beside_old(stage, keys, source, redo, seen))
        steps.append(Step(make(plus(table), rows), "plus", (*when, who)))
    steps += replaced(stage, keys, doubtful=bool(redo))
    return [*steps, *consolidate(stage, shown(stage), ("plus", "minus", "shared"))]


def replaced(stage: Stage, keys: list[str], *, doubtful: bool) -> list[Step]:
    """The new rows in, and the old ones out whose places they brought along."""
    old = ", ".join(f"{r.quote(was(n))} AS {r.quote(n)}" for n in shown(stage))
    gone = f"SELECT {old}, {ROW} FROM {plus(stage.table)} WHERE {ROW} IS NOT NULL"
    drop, add = drop_rows(stored(stage.table), plus(stage.table)), insert_rows(stage, columns(stage))
    out = [Step(drop, when=("minus", "shared")), Step(drop, "minus", ("plus", "alone"))]
    handed = ("plus", "shared")
    if doubtful:  # groups that are read again bring no places along
        last = [*doubted(stage, keys), Step(add, when=("plus",))]
        return [Step(make(minus(stage.table), gone), "minus", handed), *out, *last]
    found = make(minus(stage.table), beside(gone, add))
    return [Step(found, "minus", handed), *out, Step(add, when=("plus", "alone"))]


def doubted(stage: Stage, keys: list[str]) -> list[Step]:
    """Groups that cannot take what came are read again. Hardly ever: looking costs less than a table."""
    rows, again = plus(stage.table), scratch(stage.table, "again")
    return [
        Step(f"SELECT count(*) FROM {rows} WHERE _again", "again", ("plus",)),
        Step(make(again, f"SELECT {listed([*keys, '_k'])} FROM {rows} WHERE _again"), when=("again",)),
        Step(f"DELETE FROM {rows} WHERE _again", "-plus", ("again",)),
        Step(reread(stage, again), "plus", ("again",)),
    ]


def beside_old(stage: Stage, keys: list[str], source: str, redo: str, seen: list[str]) -> str:
    """The touched groups' new rows, with the place of the old ones and what they show of `seen`."""
    extra = {ROW: "o.rowid"} | {was(n): f"o.{r.quote(n)}" for n in seen}
    if redo:
        extra["_again"] = f"coalesce({redo}, FALSE)"
    parts = combinations(stage, keys, removing=False)
    parts += [f"{text} AS {r.quote(name)}" for name, text in extra.items()]
    joined = f"{source} AS d LEFT JOIN {stored(stage.table)} AS o ON {matching(keys)}"
    return with_values(stage, f"SELECT {', '.join(parts)} FROM {joined}", listed(extra))


def was(name: str) -> str:
    """What the stored row of a group showed in a column."""
    return f"was.{name}"


def matching(keys: list[str]) -> str:
    """The change `d` of a group and its stored row `o`."""
    return f"d._k = o._k AND {same(keys, 'd', 'o')}"


def combinations(stage: Stage, keys: list[str], *, removing: bool) -> list[str]:
    """A group's columns with its accumulators, from the change `d` and what is stored, `o`."""
    cols = [f"d.{r.quote(k)}" for k in keys]
    for a in state(stage):
        q = {"n": r.quote(a.name), "i": r.quote(a.name + "+"), "r": r.quote(a.name + "-")}
        merge = a.merge if removing else a.merge.removesuffix(TAKEN)
        cols.append(f"{merge.format(**q)} AS {r.quote(a.name)}")
    return cols


def reread(stage: Stage, again: str) -> str:
    """A statement that adds groups which are read again to the stage's new rows."""
    rows = finish(stage, with_values(stage, raw_select(stage, restricted(stage, again))))
    return f"INSERT INTO {plus(stage.table)} BY NAME {rows}"


def redo_condition(stage: Stage, *, removing: bool) -> str:
    """True for groups whose accumulators cannot absorb this change."""
    terms = []
    for a in state(stage):
        if a.doubt:
            terms.append(a.doubt.format(n=r.quote(a.name), i=r.quote(a.name + "+")))
        if not removing:
            continue
        if a.removed is None:
            terms.append(f"d.{r.quote(a.name + '!')}")
        elif a.redo:
            names = {"n": r.quote(a.name), "i": r.quote(a.name + "+")}
            terms.append(a.redo.format(r=f"d.{r.quote(a.name + '-')}", **names))
    return " OR ".join(f"coalesce({t}, FALSE)" for t in terms)
