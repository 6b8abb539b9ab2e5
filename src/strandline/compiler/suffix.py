"""Late rows in long partitions: only what follows the first change is evaluated again.

What stands before it keeps its values, so the rows just before it serve as a head (see `carry`) for
the rest of the partition: what was there, without the removed rows, with the new ones. Where a
partition has few rows, `window.redo` evaluates all of it: finding the place would cost more.
"""

from __future__ import annotations

from strandline.compiler import relations as r
from strandline.compiler.carry import carried_rows
from strandline.compiler.finish import finish
from strandline.compiler.frames import Reach, reaches, seeded
from strandline.compiler.history import columns, history, rewrite
from strandline.compiler.orders import full_order, is_total, late_order, operator, partition
from strandline.compiler.placing import measured, peers_alone, placed, seen
from strandline.compiler.plan import Stage
from strandline.compiler.text import Step, listed, make, ordering, precedes, same, scratch

LONG = 20_000
"""Stored rows above which a partition is long: below it, finding the place costs what it saves."""


def continues_anywhere(stage: Stage) -> bool:
    """Whether the functions can go on from rows in the middle of a partition.

    What runs and looks ahead cannot: its values there hold rows after the change. Under levels over near
    frames, rows would have to be evaluated further back than is known here.
    """
    found = reaches(operator(stage), is_total(operator(stage), stage.input)).values()
    ahead = any(how.running and (how.ahead or how.near) for how in found if isinstance(how, Reach))
    return not ahead and not (stage.near and operator(stage).levels)


def long_buckets(stage: Stage, late: str) -> list[Step]:
    """Long ones among the late buckets, taken out of them; the stored rows' places in all of them."""
    long = scratch(stage.table, "long")
    counted = f"SELECT _k FROM {scratch(stage.table, 'places')} GROUP BY _k HAVING count(*) > {LONG}"
    return [
        places(stage, late),
        Step(make(long, counted), "long", ("late", f"places>{LONG}")),
        Step(f"DELETE FROM {late} WHERE _k IN (SELECT _k FROM {long})", "-late", ("long",)),
    ]


def places(stage: Stage, late: str) -> Step:
    """Where the late buckets' closed rows lie."""
    stored = f"SELECT rowid AS _row, _k FROM {history(stage)} WHERE _k IN (SELECT _k FROM {late})"
    return Step(make(scratch(stage.table, "places"), stored), "places", ("late",))


def redo_suffix(stage: Stage, come: str, gone: str) -> list[Step]:
    """The long buckets' rows from the first changed one on, evaluated over the rows just before it."""
    line, rows, firsts = (scratch(stage.table, what) for what in ("line", "long rows", "firsts"))
    before, after = scratch(stage.table, "long before"), scratch(stage.table, "long after")
    wanted = f"rowid IN (SELECT _row FROM {line} WHERE _row IS NOT NULL)"
    found = f"SELECT {listed(columns(stage))}, rowid AS _row FROM {history(stage)} WHERE {wanted}"
    changing = f"{rows} AS s JOIN {line} AS l ON s._row = l._row WHERE l._back <= {stage.open_to}"
    moved = f"(SELECT * FROM {after} WHERE coalesce(_was <= {stage.open_to}, TRUE))"
    when = ("long",)
    near = Step(make(scratch(stage.table, "near"), nearest(stage, gone, firsts)), when=when)
    return [
        Step(make(firsts, first_changes(stage, come, gone)), when=when),
        *([near] if confined(stage) else []),
        Step(make(line, in_line(stage, come, gone, firsts)), when=when),
        Step(make(rows, found), when=when),
        Step(make(before, f"SELECT s.* FROM {changing}"), when=when),
        Step(make(after, finish(stage, evaluated_suffix(stage, come, line, rows))), when=when),
        *rewrite(stage, before, after, "long", moved),
    ]


def first_changes(stage: Stage, come: str, gone: str) -> str:
    """The first changed row of every partition.

    A partition that shares the bucket by its hash alone has none (`_none`): just its head is written again.
    """
    window = operator(stage)
    told = listed(place(stage))
    parts = [f"SELECT {listed(window.partition) or 'NULL AS one'}, TRUE AS _none FROM {long_heads(stage)}"]
    if come:
        parts.append(f"SELECT {told}, FALSE AS _none FROM {come} AS c WHERE {in_long(stage)}")
    if gone:
        parts.append(f"SELECT {told}, FALSE AS _none FROM ({stored(stage, gone)}) AS s WHERE _gone")
    over = f"{partition(stage)}ORDER BY _none, {ordering(full_order(stage))}"
    either = " UNION ALL BY NAME ".join(parts)
    return f"SELECT * FROM ({either}) AS e QUALIFY row_number() OVER ({over}) = 1"


def nearest(stage: Stage, gone: str, firsts: str) -> str:
    """Of every partition the last values of the first order term before the change.

    They confine the search for the rows just before it: sorting all that stand before would cost most.
    """
    first, by = full_order(stage)[0], listed(operator(stage).partition, "e.")
    many = 1 if stage.near else context(stage)
    last = f"{'min' if first.descending else 'max'}(e.{r.quote(first.column)}, {many}) AS _near"
    rows = f"({stored(stage, gone)}) AS e JOIN {firsts} AS f ON {same(operator(stage).partition, 'e', 'f')}"
    found = f"FROM {rows} WHERE {earlier(stage)}"
    return f"SELECT {by}, {last} {found} GROUP BY {by}" if by else f"SELECT {last} {found}"


def earlier(stage: Stage) -> str:
    """True for rows `e` before the partition's first change `f`."""
    return f"(f._none OR {precedes('e', 'f', late_order(stage))})"


def in_line(stage: Stage, come: str, gone: str, firsts: str) -> str:
    """Rows from the first change on (`_back` 0), and as many before it as are needed (1, 2, … backwards).

    Rows that are not in history (the heads' open ones, new ones) bring their columns along.
    """
    keys = operator(stage).partition
    new = f"SELECT {listed(r.columns(stage.input))}, FALSE AS _gone FROM {come} AS c WHERE {in_long(stage)}"
    rows = stored(stage, gone) + (f" UNION ALL BY NAME {new}" if come else "")
    joined = f"({rows}) AS e JOIN {firsts} AS f ON {same(keys, 'e', 'f')}"
    if confined(stage):
        joined += f" LEFT JOIN {scratch(stage.table, 'near')} AS n ON {same(keys, 'e', 'n')}"
    return (
        f"WITH line AS (SELECT e.*, {earlier(stage)} AS _earlier, {close(stage)} AS _close FROM {joined}) "
        f"SELECT * EXCLUDE (_earlier, _close), 0 AS _back FROM line WHERE NOT _earlier UNION ALL "
        f"{before_the_change(stage, 'line WHERE _earlier AND _close')}"
    )


def before_the_change(stage: Stage, rows: str) -> str:
    """Of the rows before the change those that are needed, as if they were all there are of the partition."""
    if stage.near:
        measures = ", ".join(f"{text} AS {name}" for name, text in measured(stage).items())
        found = placed(stage, f"SELECT * EXCLUDE (_earlier, _close), {measures} FROM {rows}")
        return f"SELECT * FROM ({found}) AS p WHERE _back <= {stage.held_to}"
    back = [r.Order(o.column, not o.descending, not o.nulls_first) for o in full_order(stage)]
    number = f"row_number() OVER ({partition(stage)}ORDER BY {ordering(back)}) AS _back"
    return f"SELECT * EXCLUDE (_earlier, _close), {number} FROM {rows} QUALIFY _back <= {context(stage)}"


def confined(stage: Stage) -> bool:
    """Whether the order values of the rows before the change tell which of them are needed."""
    return not stage.near or (peers_alone(stage) and stage.back == 1)


def close(stage: Stage) -> str:
    """True for rows that may be needed, by the value of their first order term."""
    if not confined(stage):
        return "TRUE"
    first = full_order(stage)[0]
    column, limit = f"e.{r.quote(first.column)}", "list_max(_near)" if first.descending else "list_min(_near)"
    if stage.near:
        return " OR ".join(f"coalesce({seen(stage, near, column, limit)}, TRUE)" for near in stage.near)
    near = f"{column} {'<=' if first.descending else '>='} {limit} OR {column} IS NULL"
    return f"coalesce(len(_near) < {context(stage)} OR {near}, TRUE)"


def stored(stage: Stage, gone: str) -> str:
    """All stored rows of the long buckets: of history just what tells their place; `_gone` if removed."""
    parts = [f"SELECT {listed(place(stage))}, _k, rowid AS _row FROM {history(stage)} WHERE {in_long(stage)}"]
    if stage.open_to:
        kept = listed([*r.columns(stage.input), *seeds(stage)])
        heads = f"{long_heads(stage)} AND _back <= {stage.open_to}"
        parts.append(f"SELECT {kept}, _k, NULL::BIGINT AS _row FROM {heads}")
    matched = f"s._k = g._k AND {same(list(stage.ids), 's', 'g')}"
    lost = f"EXISTS (SELECT 1 FROM {gone} AS g WHERE {matched})" if gone else "FALSE"
    return f"SELECT s.*, {lost} AS _gone FROM ({' UNION ALL BY NAME '.join(parts)}) AS s"


def place(stage: Stage) -> list[str]:
    """The columns that tell where a row stands, and which it is."""
    window = operator(stage)
    order = [o.column for o in window.order + window.ties]
    return list(dict.fromkeys([*window.partition, *order, *stage.ids]))


def in_long(stage: Stage) -> str:
    return f"_k IN (SELECT _k FROM {scratch(stage.table, 'long')})"


def long_heads(stage: Stage) -> str:
    return f"{scratch(stage.table, 'heads')} WHERE {in_long(stage)}"


def context(stage: Stage) -> int:
    """Rows before the first change that are needed: a head's, and what their functions look back at."""
    known = reaches(operator(stage), is_total(operator(stage), stage.input))
    looks = [
        max([0, *(how.back + how.ahead for f in level.functions if isinstance(how := known[f.name], Reach))])
        for level in operator(stage).stack
    ]
    return stage.back + sum(looks)


def seeds(stage: Stage) -> list[str]:
    """Functions that go on from their value so far."""
    return sorted(seeded(reaches(operator(stage), is_total(operator(stage), stage.input))))


def evaluated_suffix(stage: Stage, come: str, line: str, rows: str) -> str:
    """Every function from the first change on, continued from the rows before it."""
    below, carried = listed(r.columns(stage.input)), seeds(stage)
    kept = listed([*r.columns(stage.input), *carried])
    joined = f"{rows} AS s JOIN (SELECT _row, _back, _gone FROM {line}) AS l ON s._row = l._row"
    source = f"SELECT {kept}, _back, _gone FROM {joined}"
    if come or stage.open_to:
        aside = listed([*r.columns(stage.input), *(carried if stage.open_to else [])])
        source += f" UNION ALL BY NAME SELECT {aside}, _back, _gone FROM {line} WHERE _row IS NULL"
    fresh = f"SELECT {below} FROM ({source}) AS a WHERE _back = 0 AND NOT _gone"
    old = f"SELECT {kept}, _back FROM ({source}) AS b WHERE _back > 0"
    return carried_rows(stage, fresh, old, again=True)
