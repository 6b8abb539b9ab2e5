"""The last step of every stage: outputs computed, lookups joined, rows replaced, the change handed on."""

from __future__ import annotations

from collections.abc import Sequence

from strandline.compiler import relations as r
from strandline.compiler.delicate import exactly
from strandline.compiler.delta import render
from strandline.compiler.plan import Stage
from strandline.compiler.text import (
    Step,
    batch,
    beside,
    listed,
    make,
    minus,
    plus,
    same,
    scratch,
    sql,
    stored,
)

NOTHING: frozenset[str] = frozenset()
ROW = "_row"
"""Where a stored row lies, until its table is next written to."""


def finish(stage: Stage, source: str) -> str:
    """Operator rows plus the outputs stored beside them, lookups read as they are now."""
    post = stage.stored_post
    if not post:
        return source
    outs = "".join(f", {sql(o.expr)} AS {r.quote(o.name)}" for o in post)
    joins = "".join(
        f" LEFT JOIN ({render(look.scan, 'new', NOTHING)}) AS l{i} ON {sql(look.on)}"
        for i, look in enumerate(stage.lookups)
    )
    return f"SELECT w.*{outs} FROM ({source}) AS w{joins}"


def stored_rows(stage: Stage) -> str:
    """The stage's rows `s`, with their places in its table."""
    return f"SELECT s.*, s.rowid AS {ROW} FROM {stored(stage.table)} AS s"


def replace_rows(stage: Stage, columns: Sequence[str], shown: Sequence[str] = ()) -> list[Step]:
    """Old rows out, new rows in; what is equal before and after is not handed on (`shared` stages only).

    The old rows were read by `stored_rows`: looking for them a second time would cost as much again.
    `shown` are the columns that others read, where that is not all of them.
    """
    add = insert_rows(stage, columns)
    return [
        Step(drop_rows(stored(stage.table), minus(stage.table)), when=("in", "minus")),
        Step(add, when=("in", "plus", "!minus|alone")),
        *consolidate(stage, shown or columns, ("in", "plus", "minus", "shared"), add),
    ]


def drop_rows(table: str, rows: str) -> str:
    """A statement that deletes a table's rows whose places are told by others."""
    return f"DELETE FROM {table} WHERE rowid IN (SELECT {ROW} FROM {rows})"


def insert_rows(stage: Stage, columns: Sequence[str]) -> str:
    """A statement that stores the stage's new rows."""
    return write(stored(stage.table), listed(columns), plus(stage.table))


def write(table: str, cols: str, rows: str, where: str = "") -> str:
    """A statement that stores rows, or those of a condition, with the batch that wrote them."""
    some = f" WHERE {where}" if where else ""
    return f"INSERT INTO {table} ({cols}, _batch) SELECT {cols}, {batch()} FROM {rows}{some}"


def consolidate(stage: Stage, columns: Sequence[str], when: tuple[str, ...], *writes: str) -> list[Step]:
    """Equal rows with opposite signs cancel, so that work stops where values stop changing.

    `writes` are made by the statement that looks for them.
    """
    table, ids = stage.table, list(stage.ids)
    equal = scratch(table, "equal")
    cols = exactly(stage, columns)
    both = f"SELECT {cols} FROM {plus(table)} INTERSECT SELECT {cols} FROM {minus(table)}"
    rows = f"SELECT {listed([*ids, '_k'])} FROM ({both}) AS b"
    found = make(equal, beside(rows, *writes))
    matched = f"USING {equal} AS e WHERE s._k = e._k AND {same(ids, 's', 'e')}"
    drops = [
        Step(f"DELETE FROM {side} AS s {matched}", f"-{name}", ("equal",))
        for side, name in ((plus(table), "plus"), (minus(table), "minus"))
    ]
    return [Step(found, "equal", when), *drops]
