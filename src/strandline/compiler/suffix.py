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
from strandline.compiler.history import columns, heads_again, history, rewrite_history
from strandline.compiler.orders import is_total, last_resort, operator
from strandline.compiler.plan import Stage
from strandline.compiler.text import Step, listed, make, ordering, same, scratch

LONG = 1000
"""Stored rows from which on a partition is long."""


def long_buckets(stage: Stage, late: str) -> list[Step]:
    """Long ones among the late buckets, taken out of them; the stored rows' places in all of them."""
    places, long = scratch(stage.table, "places"), scratch(stage.table, "long")
    stored = f"SELECT rowid AS _row, _k FROM {history(stage)} WHERE _k IN (SELECT _k FROM {late})"
    counted = f"SELECT _k FROM {places} GROUP BY _k HAVING count(*) > {LONG}"
    return [
        Step(make(places, stored), when=("late",)),
        Step(make(long, counted), "long", ("late",)),
        Step(f"DELETE FROM {late} WHERE _k IN (SELECT _k FROM {long})", "-late", ("long",)),
    ]


def redo_suffix(stage: Stage, come: str, gone: str) -> list[Step]:
    """The long buckets' rows from the first changed one on, evaluated over the rows just before it."""
    line, rows = scratch(stage.table, "line"), scratch(stage.table, "long rows")
    before, after = scratch(stage.table, "long before"), scratch(stage.table, "long after")
    wanted = f"rowid IN (SELECT _row FROM {line} WHERE _row IS NOT NULL)"
    found = f"SELECT {listed(columns(stage))}, rowid AS _row FROM {history(stage)} WHERE {wanted}"
    changing = f"{rows} AS s JOIN {line} AS l ON s._row = l._row WHERE l._at >= l._cut - {stage.open}"
    moved = f"(SELECT * FROM {after} WHERE coalesce(_was <= {stage.open}, TRUE))"
    when = ("long",)
    return [
        Step(make(line, in_line(stage, come, gone)), when=when),
        Step(make(rows, found), when=when),
        Step(make(before, f"SELECT s.* FROM {changing}"), when=when),
        Step(make(after, finish(stage, evaluated_suffix(stage, come, line, rows))), when=when),
        *rewrite_history(stage, before, moved, when),
        *heads_again(stage, after, when),
    ]


def in_line(stage: Stage, come: str, gone: str) -> str:
    """Rows of the long buckets from a little before the first change on: place `_at`, first change `_cut`.

    Rows that are not in history (the heads' open ones, new ones) bring their columns along.
    """
    window = operator(stage)
    by = f"PARTITION BY {listed(window.partition)} " if window.partition else ""
    full = ordering(window.order + window.ties, last_resort(stage))
    peers = f"ORDER BY {ordering(window.order)}" if window.order else ""
    at = f"row_number() OVER ({by}ORDER BY {full})"
    first = f"rank() OVER ({by}{peers})" if stage.strict else "_at"
    numbered = f"SELECT *, {at} AS _at FROM ({everything(stage, come, gone)}) AS e"
    firsts = f"SELECT *, {first} AS _first FROM ({numbered}) AS n"
    whole = f"OVER ({by.strip()})"
    # a partition that shares the bucket by its hash alone has no change: its head is written again
    cut = f"coalesce(min(_first) FILTER (_hit) {whole}, count(*) {whole} + 1) AS _cut"
    return f"SELECT * FROM (SELECT *, {cut} FROM ({firsts}) AS f) AS c WHERE _at >= _cut - {context(stage)}"


def everything(stage: Stage, come: str, gone: str) -> str:
    """All rows of the long buckets: of history just what tells their place."""
    window, table = operator(stage), stage.table
    below = r.columns(stage.input)
    order = [o.column for o in window.order + window.ties]
    told = list(dict.fromkeys([*window.partition, *order, *stage.ids]))
    long = f"_k IN (SELECT _k FROM {scratch(table, 'long')})"
    places = f"rowid IN (SELECT _row FROM {scratch(table, 'places')} WHERE {long})"
    kept = listed([*below, *seeds(stage)])
    parts = [f"SELECT {listed(told)}, _k, rowid AS _row FROM {history(stage)} WHERE {places}"]
    if stage.open:
        heads = f"{scratch(table, 'heads')} WHERE {long} AND _back <= {stage.open}"
        parts.append(f"SELECT {kept}, _k, NULL::BIGINT AS _row FROM {heads}")
    rows = " UNION ALL BY NAME ".join(parts)
    matched = f"s._k = g._k AND {same(list(stage.ids), 's', 'g')}"
    hit = f"EXISTS (SELECT 1 FROM {gone} AS g WHERE {matched})" if gone else "FALSE"
    stored = f"SELECT s.*, {hit} AS _gone, {hit} AS _hit FROM ({rows}) AS s"
    if not come:
        return stored
    new = f"SELECT {listed(below)}, _k, FALSE AS _gone, TRUE AS _hit FROM {come} AS c WHERE {long}"
    return f"{stored} UNION ALL BY NAME {new}"


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
    return sorted(seeded(operator(stage), is_total(operator(stage), stage.input)))


def evaluated_suffix(stage: Stage, come: str, line: str, rows: str) -> str:
    """Every function from the first change on, continued from the rows before it."""
    below, carried = listed(r.columns(stage.input)), seeds(stage)
    kept = listed([*r.columns(stage.input), *carried])
    joined = f"{rows} AS s JOIN (SELECT _row, _at, _cut, _gone FROM {line}) AS l ON s._row = l._row"
    there = f"SELECT {kept}, _at, _cut, _gone FROM {joined}"
    aside = ", ".join(r.quote(c) for c in [*r.columns(stage.input), *(carried if stage.open else [])])
    besides = f" UNION ALL BY NAME SELECT {aside}, _at, _cut, _gone FROM {line} WHERE _row IS NULL"
    source = f"({there}{besides if come or stage.open else ''})"
    fresh = f"SELECT {below} FROM {source} AS a WHERE _at >= _cut AND NOT _gone"
    old = f"SELECT {kept}, _cut - _at AS _back FROM {source} AS b WHERE _at < _cut"
    return carried_rows(stage, fresh, old, again=True)
