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
    batch,
    exact_hash,
    listed,
    make,
    minus,
    plus,
    same,
    scratch,
    stored,
)
from strandline.engines.base import Engine
from strandline.errors import EngineError, InputError, SchemaError, nearest
from strandline.schema import Column, TableRun
from strandline.warehouse import bags, superseded
from strandline.warehouse.definitions import TableDefinition
from strandline.warehouse.numbers import first_number, fresh_identity

RANGED = frozenset({"VARCHAR", "INTEGER", "BIGINT", "SMALLINT", "DATE", "TIMESTAMP"})
"""Key types whose ranges are compared by zone maps."""
WHOLE = frozenset({"SMALLINT", "INTEGER", "BIGINT"})
FEW = 2_048
"""Rows for which one thread is enough, and one look from here: a vector of DuckDB's."""
HIDDEN_COLUMNS = "_rid, _k, _h, _batch, _file, _line"


@dataclass(frozen=True)
class Intake:
    """What one table took in.

    `bulk` loads leave no change set: models that read the table are filled anew.
    """

    run: TableRun
    bulk: bool = False


@dataclass(frozen=True)
class Incoming:
    """Names of the temporary tables of one source table."""

    table: TableDefinition

    @property
    def waiting(self) -> str:
        return scratch(self.table.stored, "waiting")

    def part(self, what: str) -> str:
        return scratch(self.table.stored, what)


def create_statements(table: TableDefinition) -> list[str]:
    """The stored table and the view the user sees."""
    cols = ", ".join(f"{quote(n)} {t}" for n, t in table.columns)
    hidden = "_rid BIGINT, _k UBIGINT, _h UBIGINT, _batch BIGINT, _file BIGINT, _line BIGINT"
    return [f"CREATE TABLE {stored(table.stored)} ({cols}, {hidden})", view_statement(table)]


def view_statement(table: TableDefinition) -> str:
    rows = f"SELECT {listed(table.names)} FROM {stored(table.stored)}"
    return f"CREATE OR REPLACE VIEW main.{quote(table.name)} AS {rows}"


def identity(table: TableDefinition) -> str:
    """The hash by which stored rows are found: of the key, or of the whole row of a bag."""
    return f"hash({listed(table.key or table.names)})"


def type_of(engine: Engine, column: Column) -> str:
    """A column's type in the engine's words; nothing but a type will do. Raises SchemaError."""
    try:
        return engine.describe(f"SELECT CAST(NULL AS {column.type}) AS c")[0].type
    except EngineError as error:
        hint = "give a type without constraints or defaults."
        raise SchemaError(f"{column.type!r} is no type", where=f"column {column.name}", hint=hint) from error


def row_hash(table: TableDefinition, prefix: str = "") -> str:
    """The hash by which a delivered row is told to be unchanged."""
    return exact_hash(table.columns, prefix)


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


def is_text(kind: pa.DataType) -> bool:
    """Whether the engine reads an Arrow type as VARCHAR."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


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


@dataclass(frozen=True)
class Facts:
    """What one pass over the waiting rows tells; `least` and `greatest` are of the first key column."""

    rows: int
    keys: int
    deletions: int
    least: object
    greatest: object
    retractions: int
    first_file: int | None
    last_file: int | None

    @property
    def distinct(self) -> bool:
        return self.keys == self.rows


def facts_of(engine: Engine, table: TableDefinition) -> Facts:
    """Look at the waiting rows; more than once only where that can tell more."""
    waiting, first = Incoming(table).waiting, quote(table.key[0]) if table.key else "NULL"
    looks = (
        f"count(*), sum(_op)::BIGINT, min({first})::VARCHAR, max({first})::VARCHAR, min(_file), max(_file)"
    )
    rows, ops, least, greatest, old, new = engine.rows(f"SELECT {looks} FROM {waiting}")[0]
    deletions = (rows - ops) // 2 if rows else 0
    keys = distinct_keys(engine, table, rows) if table.key else rows
    taken_back = f"SELECT count(*) FROM {waiting} WHERE _op < 0 AND _file IS NOT NULL"
    retractions = engine.execute(taken_back) if deletions and old is not None else 0
    return Facts(rows, keys, deletions, least, greatest, retractions, old, new)


def distinct_keys(engine: Engine, table: TableDefinition, rows: int) -> int:
    """How many of the waiting rows' keys differ; few are told apart here, which is quicker."""
    if rows < 2:
        return rows
    source = f"FROM {Incoming(table).waiting}"
    if rows <= FEW:
        return len(set(engine.rows(f"SELECT {identity(table)} {source}")))
    return engine.execute(f"SELECT count(DISTINCT {identity(table)}) {source}")


def facts_of_frame(table: TableDefinition, frame: pa.Table, op: int, file_id: int | None) -> Facts | None:
    """The same, where a frame is all that waits, without asking the engine.

    None where its keys may be others once they are cast to the table's types, and of many rows.
    """
    given, types = {c.lower(): c for c in frame.column_names}, dict(table.columns)
    keys = [frame[given[k.lower()]] for k in table.key]
    if frame.num_rows > FEW or not all(as_given(k, types[n]) for k, n in zip(keys, table.key, strict=True)):
        return None
    rows = list(zip(*(k.to_pylist() for k in keys), strict=True)) or [(None,)] * frame.num_rows
    first = [row[0] for row in rows] if table.key else []
    least, greatest = (str(min(first)), str(max(first))) if first else (None, None)
    count, gone = len(rows), len(rows) if op < 0 else 0
    distinct = len(set(rows)) if table.key else count
    taken_back = gone if file_id is not None else 0
    return Facts(count, distinct, gone, least, greatest, taken_back, file_id, file_id)


def as_given(values: pa.ChunkedArray, kind: str) -> bool:
    """True where values are the same, and in the same order, in the table's type."""
    if kind == "VARCHAR":
        return is_text(values.type)
    return kind in WHOLE and bool(pa.types.is_integer(values.type))


def resolve(
    engine: Engine,
    table: TableDefinition,
    wanted: Collection[str],
    bulk_rows: int,
    known: Facts | None = None,
) -> Intake:
    """Apply the waiting rows to the stored table; the change set is left in its plus and minus.

    `wanted` names the columns that models want of removed rows. At least
    `bulk_rows` rows into an empty table are written straight, and say so.
    """
    waiting, target = Incoming(table).waiting, stored(table.stored)
    facts = known or facts_of(engine, table)
    bulky = facts.rows >= bulk_rows and facts.distinct and not facts.deletions
    if bulky and not engine.execute(f"SELECT count(*) FROM {target}"):
        fill(engine, table)
        return Intake(TableRun(table.name, facts.rows, 0), bulk=True)
    if table.key:
        removed, added = keyed(engine, table, facts, wanted)
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


def new_rows(table: TableDefinition, source: str, rid: str) -> str:
    """Waiting rows `l` as stored rows."""
    names = listed(table.names, "l.")
    key = f"hash({listed(table.key or table.names, 'l.')})"
    hidden = f"{rid} AS _rid, {key} AS _k, {row_hash(table, 'l.')} AS _h, {batch()}, l._file, l._line"
    return f"SELECT {names}, {hidden} {source}"


def keyed(engine: Engine, table: TableDefinition, facts: Facts, wanted: Collection[str]) -> tuple[int, int]:
    """The batch's last row per key against the stored row of that key; (removed, added).

    Whether a row really changed is told by `_h`, the hash of the whole row, so
    that no other column of an old row is read unless a model wants it.
    """
    at = Incoming(table)
    last, known = at.waiting, at.part("known")
    if not facts.distinct:
        last = at.part("last")
        by = f"PARTITION BY {listed(table.key)} ORDER BY _seq DESC"
        engine.execute(make(last, f"SELECT * FROM {at.waiting} QUALIFY row_number() OVER ({by}) = 1"))
        if facts.first_file != facts.last_file:
            superseded.note_waiting(engine, table, at.waiting, last)
    found = 0
    if not table.append_only and not all_new(engine, table, facts):
        found = engine.execute(make(known, lookup(table, last, wanted)))
    if not found:
        fresh = new_rows(table, f"FROM {last} AS l WHERE l._op > 0", fresh_identity("ORDER BY l._seq"))
        return 0, engine.execute(make(plus(table.stored), fresh))
    hashed = f"(SELECT *, {identity(table)} AS _k, {row_hash(table)} AS _h FROM {last})"
    match = f"t._k = l._k AND {same(table.key, 't', 'l').replace('IS NOT DISTINCT FROM', '=')}"
    changed = "l._op > 0 AND (t._rid IS NULL OR t._h <> l._h)"
    joined = f"FROM {hashed} AS l LEFT JOIN {known} AS t ON {match} WHERE {changed}"
    rid = f"coalesce(t._rid, {fresh_identity('ORDER BY l._seq')})"
    added = engine.execute(make(plus(table.stored), new_rows(table, joined, rid)))
    old = f"SELECT t.* FROM {known} AS t JOIN {hashed} AS l ON {match} WHERE l._op < 0 OR t._h <> l._h"
    removed = engine.execute(make(minus(table.stored), old))
    retracted = facts.retractions > 0
    if removed:
        superseded.note_changed(engine, table, at.waiting, retracted=retracted)
    if found > removed:
        pairs = f"{hashed} AS l JOIN {known} AS t ON {match}"
        superseded.note_unchanged(engine, table, pairs, at.waiting, retracted=retracted)
    return removed, added


def all_new(engine: Engine, table: TableDefinition, facts: Facts) -> bool:
    """True where no stored key lies in the batch's range.

    Keys that grow with time are told apart by zone maps alone.
    """
    kind = dict(table.columns)[table.key[0]]
    if kind not in RANGED or facts.least is None:
        return False
    key = quote(table.key[0])
    bounds = f"CAST(? AS {kind}) AND CAST(? AS {kind})"
    inside = f"SELECT 1 FROM {stored(table.stored)} WHERE {key} BETWEEN {bounds} LIMIT 1"
    return not engine.rows(inside, [facts.least, facts.greatest])


def removed_list(table: TableDefinition, wanted: Collection[str]) -> str:
    """The columns kept of removed rows: key and identity, and what models want."""
    lowered = {w.lower() for w in wanted} | {k.lower() for k in table.key}
    kept = [n for n in table.names if n.lower() in lowered]
    return f"{listed([*kept, '_rid', '_k', '_h', '_file'])}, {table.place} AS _row"


def lookup(table: TableDefinition, last: str, wanted: Collection[str]) -> str:
    """The stored rows of the batch's keys, by hash.

    Scanning 8 bytes a row against a Bloom filter of the batch costs a fifth of
    comparing text keys; rows of another key with the same hash fall out later.
    """
    keys = f"SELECT {identity(table)} FROM {last}"
    return f"SELECT {removed_list(table, wanted)} FROM {stored(table.stored)} WHERE _k IN ({keys})"


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
