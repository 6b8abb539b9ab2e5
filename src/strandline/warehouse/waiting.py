"""What waits for a source table, and what one look at it tells: rows, keys, deletions, files."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from strandline.compiler.relations import quote
from strandline.compiler.text import batch, exact_hash, listed, scratch
from strandline.engines.base import Engine
from strandline.warehouse.definitions import TableDefinition

WHOLE = frozenset({"SMALLINT", "INTEGER", "BIGINT"})
FEW = 2_048
"""Rows for which one thread is enough, and one look from here: a vector of DuckDB's."""


@dataclass(frozen=True)
class Incoming:
    """Names of the temporary tables of one source table."""

    table: TableDefinition

    @property
    def waiting(self) -> str:
        return scratch(self.table.stored, "waiting")

    def part(self, what: str) -> str:
        return scratch(self.table.stored, what)


def identity(table: TableDefinition, prefix: str = "") -> str:
    """The hash by which stored rows are found: of the key, or of the whole row of a bag."""
    return f"hash({listed(table.key or table.names, prefix)})"


def row_hash(table: TableDefinition, prefix: str = "") -> str:
    """The hash by which a delivered row is told to be unchanged."""
    return exact_hash(table.columns, prefix)


def new_rows(table: TableDefinition, source: str, rid: str) -> str:
    """Waiting rows `l` as stored rows."""
    names = listed(table.names, "l.")
    hashes = f"{identity(table, 'l.')} AS _k, {row_hash(table, 'l.')} AS _h"
    hidden = f"{rid} AS _rid, {hashes}, {batch()}, l._file, l._line"
    return f"SELECT {names}, {hidden} {source}"


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


def is_text(kind: pa.DataType) -> bool:
    """Whether the engine reads an Arrow type as VARCHAR."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))
