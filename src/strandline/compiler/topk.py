"""The k best rows per key.

Candidates are the kept rows and the new ones; a key that loses a row is read again.
"""

from __future__ import annotations

from strandline.compiler import relations as r
from strandline.compiler.delta import Changed, render
from strandline.compiler.finish import finish, replace_rows, stored_rows
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
    order = ordering(top.order, stage.ids)
    number = f"row_number() OVER ({by}{f'ORDER BY {order}' if order else ''})"
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
    sides = [(render(stage.input, part, changed), part) for part in ("plus", "minus")]
    if not any(text for text, _ in sides):
        return []
    added, removed = (scratch(table, f"in {part}") if text else "" for text, part in sides)
    steps = [
        Step(make(scratch(table, f"in {part}"), f"SELECT *, {key} AS _k FROM ({text}) AS i"), "in")
        for text, part in sides
        if text
    ]
    again = reread_keys(stage, added, removed)
    redone = scratch(table, "again")
    unless = f" WHERE _k NOT IN (SELECT _k FROM {redone})" if again else ""
    candidates = [f"SELECT {listed(stage.raw)} FROM {rows}{unless}" for rows in (minus(table), added) if rows]
    touched = [f"SELECT _k FROM {rows}" for rows in (added, redone if again else "") if rows]
    old = f"{stored_rows(stage)} WHERE s._k IN ({' UNION '.join(touched)})"
    fresh = finish(stage, best(stage, " UNION ALL ".join(candidates)))
    source = render(stage.input, "new", frozenset()) or ""
    reread = f"SELECT * FROM ({source}) AS b WHERE {key} IN (SELECT _k FROM {redone})"
    if again:
        steps.append(Step(make(redone, again), "again", ("in",)))
    return [
        *steps,
        Step(make(minus(table), old), "minus", ("in",)),
        Step(make(plus(table), fresh), "plus", ("in",)),
        Step(f"INSERT INTO {plus(table)} BY NAME {finish(stage, best(stage, reread))}", "plus", ("again",)),
        *replace_rows(stage, columns(stage)),
    ]


def reread_keys(stage: Stage, added: str, removed: str) -> str:
    """The keys that lost one of their best; with an offset all touched ones. "" where there are none."""
    if operator(stage).offset:
        return " UNION ".join(f"SELECT _k FROM {rows}" for rows in (added, removed) if rows)
    matched = f"s._k = g._k AND {same(list(stage.ids), 's', 'g')}"
    lost = f"SELECT DISTINCT g._k FROM {removed} AS g JOIN {stored(stage.table)} AS s ON {matched}"
    return lost if removed else ""
