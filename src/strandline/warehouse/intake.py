"""Changes in: staged rows become the exact rows added to and removed from a source table.

Rows wait in a temporary table per source table. When a batch is applied they
are resolved against what is stored: with a key, the batch's last row of a key
wins and replaces the stored one; without, equal rows are told apart by copy
number, so that a delete takes one of them. Unchanged rows are no change.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from dataclasses import dataclass

import pyarrow as pa

from strandline.compiler.relations import quote
from strandline.compiler.text import (
    BATCH_NUMBER,
    listed,
    make,
    minus,
    plus,
    stored,
)
from strandline.engines.base import Engine
from strandline.errors import EngineError, InputError, SchemaError, nearest
from strandline.schema import Column, TableRun
from strandline.warehouse import bags, keyed
from strandline.warehouse.definitions import TableDefinition
from strandline.warehouse.numbers import first_number, fresh_identity
from strandline.warehouse.waiting import Facts, Incoming, facts_of, identity, is_text, new_rows, row_hash

HIDDEN_COLUMNS = "_rid, _k, _h, _batch, _file, _line"


@dataclass(frozen=True)
class Intake:
    """What one table took in.

    `bulk` loads leave no change set: models that read the table are filled anew.
    """

    run: TableRun
    bulk: bool = False


def create_statements(table: TableDefinition) -> list[str]:
    """The stored table and the view the user sees."""
    cols = ", ".join(f"{quote(n)} {t}" for n, t in table.columns)
    hidden = "_rid BIGINT, _k UBIGINT, _h UBIGINT, _batch BIGINT, _file BIGINT, _line BIGINT"
    return [f"CREATE TABLE {stored(table.stored)} ({cols}, {hidden})", view_statement(table)]


def view_statement(table: TableDefinition) -> str:
    rows = f"SELECT {listed(table.names)} FROM {stored(table.stored)}"
    return f"CREATE OR REPLACE VIEW main.{quote(table.name)} AS {rows}"


def type_of(engine: Engine, column: Column) -> str:
    """A column's type in the engine's words; nothing but a type will do. Raises SchemaError."""
    try:
        return engine.describe(f"SELECT CAST(NULL AS {column.type}) AS c")[0].type
    except EngineError as error:
        hint = "give a type without constraints or defaults."
        raise SchemaError(f"{column.type!r} is no type", where=f"column {column.name}", hint=hint) from error


def rehash_statement(table: TableDefinition) -> str:
    """The row hashes of a table whose columns have changed."""
    return f"UPDATE {stored(table.stored)} SET _k = {identity(table)}, _h = {row_hash(table)}"


def stage(
    engine: Engine,
    table: TableDefinition,
    frame: pa.Table,
    op: int,
    seq: int,
    *,
    file_id: int | None,
    lines: pa.Array | None,
) -> int:
    """Cast a frame to the table's types and let it wait.

    Raises SchemaError or InputError, with nothing changed.
    """
    frame = checked_frame(table, frame, op)
    if frame.num_rows == 0:
        return 0
    ensure_waiting(engine, table)
    frame, rows = incoming(table, frame, file_id=file_id, lines=lines)
    sql = (
        f"INSERT INTO {Incoming(table).waiting} SELECT {listed(table.names)}, {op}, "
        f"{first_number(f'{seq}::BIGINT')} + _order, _file, _line FROM ({rows}) AS l"
    )
    try:
        return engine.load(frame, sql)
    except EngineError as error:
        raise cast_error(engine, table, frame, error) from error


def incoming(
    table: TableDefinition, frame: pa.Table, *, file_id: int | None, lines: pa.Array | None
) -> tuple[pa.Table, str]:
    """A frame with its rows numbered, and a SELECT of it as the engine's `incoming`: the table's columns,

    `_file`, `_line`, and `_order` from 0.
    """
    # the order of rows decides which of a key's rows is the last, so it travels as a column
    frame = frame.append_column("_order", counted(frame.num_rows))
    if lines is not None:
        frame = frame.append_column("_line", lines)
    given = {c.lower(): c for c in frame.column_names}
    values = [
        taken(frame, given[n.lower()], t) if n.lower() in given else f"CAST(NULL AS {t})"
        for n, t in table.columns
    ]
    cols = ", ".join(f"{v} AS {quote(n)}" for v, n in zip(values, table.names, strict=True))
    line = '"_line"' if lines is not None else "NULL::BIGINT"
    file = f"{file_id}::BIGINT" if file_id is not None else "NULL::BIGINT"
    return frame, f"SELECT {cols}, {file} AS _file, {line} AS _line, _order FROM incoming"


def counted(rows: int) -> pa.Array:
    """0, 1, 2 …; without pa.array(), which is slow here and imports pandas wherever it is installed."""
    import numpy as np

    places = np.arange(rows, dtype=np.int64)
    return pa.Array.from_buffers(pa.int64(), rows, [None, pa.py_buffer(places)])


def ensure_waiting(engine: Engine, table: TableDefinition) -> None:
    cols = ", ".join(f"{quote(n)} {t}" for n, t in table.columns)
    name = Incoming(table).waiting.removeprefix("temp.")
    hidden = "_op INTEGER, _seq BIGINT, _file BIGINT, _line BIGINT"
    engine.execute(f"CREATE TEMP TABLE IF NOT EXISTS {name} ({cols}, {hidden})")


def taken(frame: pa.Table, name: str, kind: str) -> str:
    """A frame's column as the table's type; maps come as JSON text."""
    text = quote(name)
    if kind.upper().startswith("MAP") and is_text(frame[name].type):
        text = f"CAST({text} AS JSON)"
    return f"CAST({text} AS {kind})"


def drop_waiting(engine: Engine, table: TableDefinition) -> None:
    """Forget everything that waits for a table, and what its last batch changed."""
    engine.execute(f"DROP TABLE IF EXISTS {Incoming(table).waiting}")
    engine.execute(f"DROP {'TABLE' if table.key else 'VIEW'} IF EXISTS {plus(table.stored)}")


def forget_since(engine: Engine, table: TableDefinition, seq: int) -> None:
    """Forget what waits since a call; in an aborted transaction it is gone already."""
    there = "SELECT count(*) FROM duckdb_tables() WHERE temporary AND table_name = ?"
    with contextlib.suppress(EngineError):
        if engine.execute(there, [f"{table.stored} waiting"]):
            since = first_number(f"{seq}::BIGINT")
            engine.execute(f"DELETE FROM {Incoming(table).waiting} WHERE _seq >= {since}")


def checked_frame(table: TableDefinition, frame: pa.Table, op: int) -> pa.Table:
    """Column names known, key columns there and not NULL."""
    known = {n.lower() for n in table.names}
    for name in frame.column_names:
        if name.lower() not in known:
            raise SchemaError(
                f"column {name!r} is not in the table",
                where=f"table {table.name}",
                hint=nearest(name, table.names),
            )
    given = {c.lower(): c for c in frame.column_names}
    if len(given) != len(frame.column_names):
        raise SchemaError(
            "a column is there twice", where=f"table {table.name}", hint="rename or drop one of them."
        )
    for k in table.key:
        if frame.num_rows and (k.lower() not in given or frame[given[k.lower()]].null_count):
            raise InputError(
                f"key column {k!r} is missing or NULL in some rows",
                where=f"table {table.name}",
                hint="give every row its key, or create the table without one.",
            )
    if op < 0 and not table.key and frame.num_rows and len(given) < len(table.names):
        absent = sorted(n for n in table.names if n.lower() not in given)
        raise InputError(
            f"deletes need every column of a table without a key; missing: {', '.join(absent)}",
            where=f"table {table.name}",
            hint="give whole rows, or create the table with a key.",
        )
    return frame


def cast_error(engine: Engine, table: TableDefinition, frame: pa.Table, error: EngineError) -> InputError:
    """Names the column and a value that does not fit its type."""
    given = {c.lower(): c for c in frame.column_names}
    for name, kind in table.columns:
        column = given.get(name.lower())
        if column is None:
            continue
        q = quote(column)
        misfit = f"{q} IS NOT NULL AND TRY_CAST({q} AS {kind}) IS NULL"
        rows = f"SELECT {q}::VARCHAR AS v FROM incoming WHERE {misfit} LIMIT 1"
        try:
            engine.load(frame.select([column]), f"CREATE OR REPLACE TEMP TABLE strandline_misfit AS {rows}")
            bad = engine.rows("SELECT v FROM strandline_misfit")
        except EngineError:
            bad = [(f"values of type {frame[column].type}",)]
        if bad:
            return InputError(
                f"column {name!r}: {bad[0][0]!r} is not a {kind}",
                where=f"table {table.name}",
                hint="correct the value; nothing was applied.",
            )
    return InputError(error.message, where=f"table {table.name}", hint="check the frame's columns.")


def retract_file(engine: Engine, table: TableDefinition, file_id: int) -> int:
    """Let deletions wait for the rows that a file brought and that are still its own.

    They come before everything else that waits: what another file of the batch brings is not taken back.
    """
    ensure_waiting(engine, table)
    cols = listed(table.names)
    return engine.execute(
        f"INSERT INTO {Incoming(table).waiting} SELECT {cols}, -1, row_number() OVER (), "
        f"_file, NULL FROM {stored(table.stored)} WHERE _file = {int(file_id)}"
    )


def rename_file(engine: Engine, table: TableDefinition, old: int, new: int) -> None:
    """A file's rows, stored and waiting to go, now belong to its new version."""
    engine.execute(f"UPDATE {stored(table.stored)} SET _file = {new} WHERE _file = {old}")
    engine.execute(f"UPDATE {Incoming(table).waiting} SET _file = {new} WHERE _file = {old} AND _op < 0")


def resolve(
    engine: Engine,
    table: TableDefinition,
    wanted: Collection[str],
    bulk_rows: int,
    known: Facts | None = None,
    *,
    small: bool = False,
) -> Intake:
    """Apply the waiting rows to the stored table; the change set is left in its plus and minus.

    `wanted` names the columns that models want of removed rows. At least
    `bulk_rows` rows into an empty table are written straight, and say so. `small` says that the table is.
    """
    waiting, target = Incoming(table).waiting, stored(table.stored)
    facts = known or facts_of(engine, table)
    bulky = facts.rows >= bulk_rows and facts.distinct and not facts.deletions
    if bulky and not engine.execute(f"SELECT count(*) FROM {target}"):
        fill(engine, table)
        return Intake(TableRun(table.name, facts.rows, 0), bulk=True)
    if table.key:
        removed, added = keyed.resolve(engine, table, facts, wanted, small=small)
    else:
        removed, added = bag(engine, table, facts)
    if removed:
        engine.execute(
            f"DELETE FROM {target} WHERE {table.place} IN (SELECT _row FROM {minus(table.stored)})"
        )
    if added and table.key:
        cols = f"{listed(table.names)}, {HIDDEN_COLUMNS}"
        engine.execute(f"INSERT INTO {target} ({cols}) SELECT {cols} FROM {plus(table.stored)}")
    engine.execute(f"DROP TABLE {waiting}")
    return Intake(TableRun(table.name, added, removed, max(0, facts.rows - max(added, removed))))


def fill(engine: Engine, table: TableDefinition) -> None:
    """The first load, written once."""
    waiting = Incoming(table).waiting
    cols = f"{listed(table.names)}, {HIDDEN_COLUMNS}"
    rows = new_rows(table, f"FROM {waiting} AS l", fresh_identity("ORDER BY l._seq"))
    engine.execute(f"INSERT INTO {stored(table.stored)} ({cols}) {rows}")
    engine.execute(f"DROP TABLE {waiting}")


def bag(engine: Engine, table: TableDefinition, facts: Facts) -> tuple[int, int]:
    """Insertions and deletions of equal rows cancel; the deletions left take that many stored copies each.

    What one file takes back and brings cancels within that file only, and takes
    that file's copies first, so that every file keeps owning just its rows.
    """
    at, target = Incoming(table), stored(table.stored)
    if not facts.deletions:
        return 0, append(engine, table, f"FROM {at.waiting} AS l")
    net, names = at.part("net"), table.names
    if engine.execute(make(net, bags.uncancelled(names, at.waiting))) < facts.rows:
        # where equal rows come and go, a deletion before its row has taken nothing
        sound = f"({bags.effective(names, at.waiting, target)})"
        engine.execute(make(net, bags.uncancelled(names, sound)))
    gone = bags.taken(names, table.place, net, target)
    removed = engine.execute(make(minus(table.stored), gone))  # before equal rows are added
    return removed, append(engine, table, f"FROM {net} AS l WHERE l._op > 0")


def append(engine: Engine, table: TableDefinition, source: str) -> int:
    """Write a bag's new rows, once."""
    cols, target = f"{listed(table.names)}, {HIDDEN_COLUMNS}", stored(table.stored)
    # identities of a bag need be new, not in order
    count = engine.execute(f"INSERT INTO {target} ({cols}) {new_rows(table, source, fresh_identity())}")
    show_added(engine, table)
    return count


def show_added(engine: Engine, table: TableDefinition) -> None:
    """A bag's plus is a view of the rows that the batch has written, told by their identities."""
    name, cols = plus(table.stored).removeprefix("temp."), f"{listed(table.names)}, {HIDDEN_COLUMNS}"
    rows = f"SELECT {cols} FROM {stored(table.stored)} WHERE _rid > {first_number(BATCH_NUMBER)}"
    engine.execute(f"CREATE OR REPLACE TEMP VIEW {name} AS {rows}")
