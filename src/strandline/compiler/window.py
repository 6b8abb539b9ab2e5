"""Window functions: `carry` from the partition's head, else `partition` recompute of what was touched.

State is split in two. *History* holds rows that no later in-order row can
change; the *head* holds the last rows of each partition, which later rows can
still change or need to look back at, with every function's value so far. A
batch whose rows come after the heads reads the heads alone. Late rows, removed
rows and ties on the order key (where peers matter) recompute their bucket from
the stage's own rows (of a long one what follows the change, see `suffix`); the
stage's input is never read again.
"""

from __future__ import annotations

from dataclasses import replace as evolve

from sqlglot import exp

from strandline.compiler import relations as r
from strandline.compiler.carry import carried_rows
from strandline.compiler.delta import Changed, render, touches
from strandline.compiler.finish import consolidate, finish, write
from strandline.compiler.frames import LONGEST_HEAD, Reach, head_function, reach, reaches, seeded
from strandline.compiler.history import (
    columns,
    head,
    head_columns,
    history,
    rewrite,
)
from strandline.compiler.lookups import lookup_steps
from strandline.compiler.orders import behind, distance, is_total, operator, over
from strandline.compiler.passes.prune import prune
from strandline.compiler.placing import measured, placed
from strandline.compiler.plan import Stage
from strandline.compiler.suffix import continues_anywhere, long_buckets, places, redo_suffix
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
)

__all__ = ["columns", "evaluated_input", "fill", "program", "removal", "window_strategy"]


def window_strategy(table: str, operator: r.Window, below: r.Relation) -> Stage:
    """`carry` if every function of the stage can be continued, else `partition` with the reason."""
    shown = frozenset(o.name for o in operator.computed)
    total = is_total(operator, below)
    operator = with_hidden(operator, total)
    known = reaches(operator, total)
    unread = frozenset(o.name for o in operator.computed) - shown - seeded(known)
    stuck = {n: why for n, why in known.items() if isinstance(why, str)}
    found = [v for v in known.values() if isinstance(v, Reach)]
    back = max([1, *(v.back + v.ahead for v in found)])
    if not stuck and back <= LONGEST_HEAD:
        strict = any(v.peers for v in found)
        reason = "every function continues from the partition's head"
        ahead = max([0, *(v.ahead for v in found)])
        near = tuple(dict.fromkeys(v.near for v in found if v.near is not None))
        carried = Stage(table, operator, below, "carry", reason, back=back, open=ahead, strict=strict)
        return evolve(carried, near=near, unread=unread)
    calls = {f.name: sql(f.expr.this) for level in operator.stack for f in level.functions}
    why = "; ".join(sorted({f"{calls[n]}: {w}" for n, w in stuck.items()})) or "its head would be too long"
    hint = "put functions that look at the whole partition into a model of their own"
    reason = f"touched partitions are recomputed ({why})"
    return Stage(table, operator, below, "partition", reason, hint, unread=unread)


def with_hidden(operator: r.Window, total: bool) -> r.Window:
    """Adds the counts and sums that ranks and averages need to be continued."""
    levels = tuple(
        evolve(level, functions=(*level.functions, *hidden(operator, level, total)))
        for level in operator.stack
    )
    return evolve(operator, levels=levels[:-1], functions=levels[-1].functions)


def hidden(operator: r.Window, level: r.Level, total: bool) -> list[r.Out]:
    """What the ranks and averages of one level need beside them."""
    extra = []
    for f in level.functions:
        call, _, _ = head_function(f)
        if isinstance(call, exp.Rank) and operator.order:
            extra.append(r.Out(f"{f.name}.rows", rows_window(exp.Count(this=exp.Star(), big_int=True))))
        elif isinstance(call, exp.Avg) and continues(reach(f, operator, total)):
            for kind, name in ((exp.Sum, "sum"), (exp.Count, "count")):
                inner = f.expr.copy()
                found = inner.find(exp.Avg)
                assert found is not None
                new = kind(this=found.this.copy())
                new.type = found.this.type
                found.replace(new)
                extra.append(r.Out(f"{f.name}.{name}", inner))
    return extra


def continues(how: Reach | str) -> bool:
    """A function that goes on from its value so far."""
    return isinstance(how, Reach) and bool(how.running)


def rows_window(call: exp.Expr) -> exp.Window:
    """A call over ROWS from the partition's start to the current row."""
    spec = exp.WindowSpec(
        kind="ROWS", start="UNBOUNDED", start_side="PRECEDING", end="CURRENT ROW", end_side=None
    )
    return exp.Window(this=call, spec=spec)


def evaluated(stage: Stage, source: str) -> str:
    """All functions over whole partitions, with the distance from the end where a head is kept."""
    window = operator(stage)
    *below, last = window.stack
    for level in below:
        source = evaluated_level(stage, level, source)
    names = listed([*r.columns(stage.input), *(o.name for level in below for o in level.computed)])
    functions = "".join(f", {over(stage, f)} AS {r.quote(f.name)}" for f in last.functions)
    functions += "".join(f", {text} AS {name}" for name, text in measured(stage).items())
    outs = f"{names}{functions}, {bucket(window.partition)} AS _k{distance(stage)}"
    return placed(stage, f"SELECT {outs} FROM ({source}) AS p")


def evaluated_level(stage: Stage, level: r.Level, source: str) -> str:
    """One level's functions, then the expressions over them."""
    functions = [f"{over(stage, f)} AS {r.quote(f.name)}" for f in level.functions]
    outs = [f"{sql(o.expr)} AS {r.quote(o.name)}" for o in level.outs]
    for added in (functions, outs):
        if added:
            source = f"SELECT *, {', '.join(added)} FROM ({source}) AS p"
    return source


def fill(stage: Stage) -> str:
    """The stage's rows from its whole input; the caller splits them by `_back`."""
    return finish(stage, evaluated_input(stage))


def evaluated_input(stage: Stage) -> str:
    """The functions over the whole input, without what is stored beside them."""
    return evaluated(stage, render(stage.input, "new", frozenset()) or "")


def program(stage: Stage, changed: Changed) -> list[Step]:
    """Refresh from the change of the input, or of the lookups, or of both."""
    shown = touches(changed, {look.scan.table for look in stage.lookups})
    simple = bool(stage.back) and not shown and render(removal(stage), "minus", changed) is None
    steps: list[Step] = []
    if not simple:
        steps += [Step(make(side(stage.table), empty(stage)), when=("shared",)) for side in (minus, plus)]
    if touches(changed, r.tables(stage.input)):
        steps += input_program(stage, changed, simple)
    # lookups go second: rows that the input's change wrote already show the new ones and cancel here
    if shown:
        steps += lookup_steps(
            stage, changed, columns(stage), history(stage), head(stage) if stage.back else ""
        )
    return steps


def empty(stage: Stage) -> str:
    return f"SELECT {listed(columns(stage))} FROM {history(stage)} LIMIT 0"


def input_program(stage: Stage, changed: Changed, simple: bool) -> list[Step]:
    """The input's change by bucket; what is late is redone, the rest continues from the heads.

    `simple` where rows only came: what is handed on is then made by who first has some.
    """
    table = stage.table
    late = scratch(table, "late")
    steps: list[Step] = []
    come, gone = (side(stage, changed, part, steps) for part in ("plus", "minus"))
    touched = " UNION ".join(f"SELECT _k FROM {rows} AS t" for rows in (come, gone) if rows)
    when = ("in+|in-",)
    if not stage.back:
        found = [Step(make(late, touched), "late", when)] if touched else []
        return [*steps, *found, *redo(stage, come, gone, late)]
    heads = scratch(table, "heads")
    gives = "heads" if stage.open_to else "late"
    return [
        *steps,
        *heads_of(stage, touched, heads, when),
        *late_found(late, late_buckets(stage, come, gone, heads), when, simple),
        *([Step(make(minus(table), empty(stage)), when=(gives, "shared"))] if simple else []),
        *retire(stage, heads),
        *(carry(stage, come, heads, late, simple) if come else []),
        *late_steps(stage, come, gone, late),
        *redo(stage, come, gone, late),
    ]


def late_found(late: str, buckets: str, when: tuple[str, ...], simple: bool) -> list[Step]:
    """The late buckets, as a table; where rows only came there is mostly none, and a look tells."""
    if not simple:
        return [Step(make(late, buckets), "late", when)]
    look = f"SELECT count(*) FROM ({buckets}) AS b"
    return [Step(look, "lateness", ("heads",)), Step(make(late, buckets), "late", ("lateness",))]


def late_steps(stage: Stage, come: str, gone: str, late: str) -> list[Step]:
    """Where late partitions lie; of long ones just what follows the change is evaluated."""
    if not continues_anywhere(stage):
        return [places(stage, late)]
    return [*long_buckets(stage, late), *redo_suffix(stage, come, gone)]


def heads_of(stage: Stage, touched: str, heads: str, when: tuple[str, ...]) -> list[Step]:
    """The touched partitions' heads, which go: new ones are written from what is evaluated next.

    What is shown beside them is kept only where it is handed on as removed.
    """
    gone = f"DELETE FROM {head(stage)} WHERE _k IN ({touched})"
    steps = []
    for names, who in ((head_columns(stage), "shared"), ([*stage.raw, "_k"], "alone")):
        rows = f"WITH h AS ({gone} RETURNING {listed([*names, '_back'])}) SELECT * FROM h"
        steps.append(Step(make(heads, rows), "heads", (*when, who)))
    return steps


def side(stage: Stage, changed: Changed, part: str, steps: list[Step]) -> str:
    """The input's added or removed rows with their bucket: read in place where that is a mere scan.

    Empty text where there are none for certain. Of removed rows only the
    partition and the identity matter, so that the sources need not fetch the
    rest of an old row.
    """
    name = {"plus": "in+", "minus": "in-"}[part]
    node = stage.input if part == "plus" else removal(stage)
    text = render(node, part, changed)
    if text is None:
        return ""
    rows = f"SELECT *, {bucket(operator(stage).partition)} AS _k FROM ({text}) AS i"
    if r.mere_scan(node):
        whole = not any(isinstance(n, r.Filter) for n in r.walk(node))
        steps.append(Step("" if whole else f"SELECT count(*) FROM ({rows}) AS c", name))
        return f"({rows})"
    place = scratch(stage.table, name)
    steps.append(Step(make(place, rows), name))
    return place


def removal(stage: Stage) -> r.Relation:
    """The input with just the columns that tell which stored rows go (a pruned join could miss a change)."""
    if not r.mere_scan(stage.input):
        return stage.input
    return prune(stage.input, frozenset({*operator(stage).partition, *stage.ids}))


def late_buckets(stage: Stage, come: str, gone: str, heads: str) -> str:
    """Buckets that lost a row, or gained one that does not come after their head's last row."""
    window = operator(stage)
    matched = f"h._k = f._k AND {same(window.partition, 'h', 'f')}"
    last = f"{heads} AS h ON {matched} WHERE h._back = 1"
    early = f"SELECT f._k FROM {come} AS f JOIN {last} AND {behind(stage, 'f', 'h')}"
    lost = f"SELECT _k FROM {gone} AS g"
    return " UNION ".join(text for text, rows in ((lost, gone), (early, come)) if rows)


def retire(stage: Stage, heads: str) -> list[Step]:
    """The open rows of the heads that went are handed on as removed."""
    if not stage.open_to:
        return []
    cols = listed(columns(stage))
    gone = f"SELECT {cols} FROM {heads} WHERE _back <= {stage.open_to}"
    return [Step(f"INSERT INTO {minus(stage.table)} ({cols}) {gone}", "minus", ("heads", "shared"))]


def carry(stage: Stage, come: str, heads: str, late: str, simple: bool) -> list[Step]:
    """In-order buckets: evaluate over heads and new rows, append what closed, replace the heads."""
    cols, table, rows = listed(columns(stage)), stage.table, scratch(stage.table, "carried")
    kept = listed([*head_columns(stage), "_back"])
    but_late = f" ANTI JOIN {late} AS l ON i._k = l._k"
    # where some are late mostly all are: a look costs a quarter of evaluating nothing
    steps = [Step(f"SELECT count(*) FROM {come} AS i{but_late}", "ahead", ("in+", "late"))]
    for unless, when in (("", ("in+", "!late")), (but_late, ("ahead",))):
        fresh, old = (f"SELECT i.* FROM {t} AS i{unless}" for t in (come, heads))
        found = make(rows, finish(stage, carried_rows(stage, fresh, old)))
        steps.append(Step(found, "carried", when))
    was_open = f"coalesce(_was <= {stage.open_to}, TRUE)"
    closed = write(history(stage), cols, rows, f"_back > {stage.open_to} AND {was_open}")
    last = write(head(stage), kept, rows, f"_back <= {stage.held_to}")
    new = f"SELECT {cols} FROM {rows} WHERE {was_open}"
    handed = Step(
        beside(f"INSERT INTO {plus(table)} ({cols}) {new}", closed, last), "plus", ("carried", "shared")
    )
    if simple:
        handed = Step(make(plus(table), beside(new, closed, last)), "plus", ("carried", "shared"))
        # what is late follows
        steps.append(Step(make(plus(table), empty(stage)), when=("late", "!carried", "shared")))
    return [
        *steps,
        Step(beside(last, closed), when=("carried", "alone")),
        handed,
        *(consolidate(stage, columns(stage), ("minus", "plus", "shared")) if stage.open_to else []),
    ]


def redo(stage: Stage, come: str, gone: str, late: str) -> list[Step]:
    """Late buckets: the stage's own rows minus the removed plus the new ones, evaluated again."""
    cols, table = listed(columns(stage)), stage.table
    before, after = scratch(table, "before"), scratch(table, "after")
    below = listed(r.columns(stage.input))
    in_late = f"_k IN (SELECT _k FROM {late})"
    where = f"SELECT _row FROM {scratch(table, 'places')} WHERE {in_late}"
    if not stage.back:
        # their places first: the bucket column alone is scanned
        where = f"SELECT rowid FROM {history(stage)} WHERE {in_late}"
    old = f"SELECT {cols}, rowid AS _row FROM {history(stage)} WHERE rowid IN ({where})"
    old_heads = (
        f"SELECT {below}, _k FROM {scratch(table, 'heads')} WHERE {in_late} AND _back <= {stage.open_to}"
    )
    removed = f"s._k = g._k AND {same(list(stage.ids), 's', 'g')}"
    own = listed(r.columns(stage.input), "s.")
    left = [before, f"({old_heads})"] if stage.open_to else [before]
    unless = f" ANTI JOIN {gone} AS g ON {removed}" if gone else ""
    stay = [f"SELECT {own} FROM {rows} AS s{unless}" for rows in left]
    fresh = [f"SELECT {below} FROM {come} AS c WHERE {in_late}"] if come else []
    source = " UNION ALL ".join([*stay, *fresh])
    when = ("late",)
    return [
        Step(make(before, old), "before", when),
        Step(make(after, finish(stage, evaluated(stage, source))), "after", when),
        *rewrite(stage, before, after, "late"),
        *(consolidate(stage, columns(stage), ("late|long", "shared")) if stage.open_to else []),
    ]
