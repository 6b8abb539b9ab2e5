"""The k best rows per key.

Candidates are the kept rows and the new ones; a key that loses a row is read again.
"""

from __future__ import annotations

from strandline.compiler import relations as r
from strandline.compiler.delta import Changed, render
from strandline.compiler.finish import finish, replace_rows
from strandline.compiler.plan import Stage
from strandline.compiler.text import Step, bucket, listed, make, minus, ordering, plus, same, scratch, stored


def operator(stage: Stage) -> r.TopK:
    assert isinstance(stage.operator, r.TopK)
    return stage.operator


def columns(stage: Stage) -> list[str]:
    return [*stage.raw, *(o.name for o in stage.stored_post), "_k"]


def best(stage: Stage, source: str, offset: bool = True) -> str:
    """The rows of `source` that are among the best of their partition."""
    top = operator(stage)
    by = f"PARTITION BY {listed(top.partition)} " if top.partition else ""
    number = f"row_number() OVER ({by}ORDER BY {ordering(top.order, stage.ids)})"
    bounds = []
    if top.limit is not None:
        bounds.append(f"_rank <= {top.limit + top.offset}")
    if top.offset and offset:
        bounds.append(f"_rank > {top.offset}")
    cols = listed(stage.raw)
    inner = f"SELECT {cols}, {number} AS _rank FROM ({source}) AS c"
    where = f" WHERE {' AND '.join(bounds)}" if bounds else ""
    return f"SELECT {cols}, {bucket(top.partition)} AS _k FROM ({inner}) AS n{where}"


def fill(stage: Stage) -> str:
    """The stage's rows from its whole input."""
    return finish(stage, best(stage, render(stage.input, "new", frozenset()) or ""))


def program(stage: Stage, changed: Changed) -> list[Step]:
    """Refresh from the input's change. With an offset every touched key is read again."""
    top, table = operator(stage), stage.table
    key = bucket(top.partition)
    added, removed = (render(stage.input, p, changed) for p in ("plus", "minus"))
    empty = f"SELECT * FROM ({render(stage.input, 'new', frozenset())}) AS e WHERE FALSE"
    come, gone = scratch(table, "in+"), scratch(table, "in-")
    again = scratch(table, "again")
    lost = f"SELECT DISTINCT g._k FROM {gone} AS g"
    if not top.offset:
        lost += f" JOIN {stored(table)} AS s ON s._k = g._k AND {same(list(stage.ids), 's', 'g')}"
    else:
        lost += f" UNION SELECT _k FROM {come}"
    source = render(stage.input, "new", frozenset()) or ""
    reread = f"SELECT * FROM ({source}) AS b WHERE {key} IN (SELECT _k FROM {again})"
    kept = f"SELECT {listed(stage.raw)} FROM {minus(table)} WHERE _k NOT IN (SELECT _k FROM {again})"
    fresh = f"SELECT {listed(stage.raw)} FROM {come} WHERE _k NOT IN (SELECT _k FROM {again})"
    touched = f"SELECT _k FROM {come} UNION SELECT _k FROM {again}"
    return [
        Step(make(come, f"SELECT *, {key} AS _k FROM ({added or empty}) AS i"), "in+"),
        Step(make(gone, f"SELECT *, {key} AS _k FROM ({removed or empty}) AS i"), "in-"),
        Step(make(again, lost), "again"),
        Step(make(minus(table), f"SELECT * FROM {stored(table)} WHERE _k IN ({touched})"), "minus"),
        Step(make(plus(table), finish(stage, best(stage, f"{kept} UNION ALL {fresh}"))), "plus"),
        Step(f"INSERT INTO {plus(table)} BY NAME {finish(stage, best(stage, reread))}", "plus", ("again",)),
        *[unconditional(s) for s in replace_rows(stage, columns(stage))],
    ]


def unconditional(step: Step) -> Step:
    """Without the guard on a counted input, which this operator does not count."""
    return Step(step.sql, step.into, tuple(w for w in step.when if w != "in"))
