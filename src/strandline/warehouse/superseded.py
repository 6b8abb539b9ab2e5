"""Which files have brought a key besides the one whose row stands, so that a row can come back.

A row of a keyed table belongs to the file that wrote it last. What other files say of its key is not
stored: only that they say something, as (file, hash of the key) in `strandline.superseded`, 16 bytes a
row, written where a file meets a key that is there. When a file is replaced by a version without the
key, the newest of those files is read again, and its row stands. Keys that are new cost nothing.
"""

from __future__ import annotations

from strandline.compiler.text import equal, listed, make, minus, same, scratch, stored
from strandline.engines.base import Engine
from strandline.record import query
from strandline.warehouse.definitions import TableDefinition
from strandline.warehouse.numbers import first_number
from strandline.warehouse.waiting import identity

NOTED = "strandline.superseded (file_id, key_hash)"


def note_waiting(engine: Engine, table: TableDefinition, waiting: str, last: str) -> None:
    """Rows of the batch that are followed by another file's row of their key."""
    other = f"{equal(table.key, 'w', 'l')} AND w._file <> l._file"
    engine.execute(
        f"INSERT INTO {NOTED} SELECT DISTINCT w._file, {identity(table, 'w.')} FROM {waiting} AS w "
        f"JOIN {last} AS l ON {other} WHERE w._op > 0"
    )


def note_changed(engine: Engine, table: TableDefinition, waiting: str, *, retracted: bool) -> None:
    """The owners of stored rows that the batch changes, but for files that it replaces."""
    besides = f" AND _file NOT IN ({retracted_files(waiting)})" if retracted else ""
    engine.execute(
        f"INSERT INTO {NOTED} SELECT _file, _k FROM {minus(table.stored)} WHERE _file IS NOT NULL{besides}"
    )


def note_unchanged(
    engine: Engine, table: TableDefinition, pairs: str, owner: str, waiting: str, *, retracted: bool
) -> None:
    """Files that bring a stored row of another `owner` again: the pairs whose `_op` is 0.

    Where the owner is replaced by a version without the row, the file is its owner from now on.
    """
    engine.execute(f"INSERT INTO {NOTED} SELECT _file, _k FROM {pairs} WHERE _op = 0")
    if retracted:
        given_up = f"_op = 0 AND {owner} IN ({retracted_files(waiting)})"
        rows = f"SELECT _row, _file, _line FROM {pairs} WHERE {given_up}"
        theirs = "_file = o._file, _line = o._line"
        there = f"s.{table.place} = o._row"
        engine.execute(f"UPDATE {stored(table.stored)} AS s SET {theirs} FROM ({rows}) AS o WHERE {there}")


def retracted_files(waiting: str) -> str:
    return f"SELECT DISTINCT _file FROM {waiting} WHERE _op < 0 AND _file IS NOT NULL"


def seek(engine: Engine, table: TableDefinition, waiting: str) -> list[int]:
    """The files that have brought keys of which the batch only takes rows back, the newest first."""
    only_back = "count(*) FILTER (WHERE _op > 0 OR _file IS NULL) = 0"
    keys = listed(table.key)
    gone = f"SELECT {keys}, hash({keys}) AS _k FROM {waiting} GROUP BY {keys} HAVING {only_back}"
    engine.execute(make(sought(table), gone))
    of_them = f"key_hash IN (SELECT _k FROM {sought(table)})"
    noted = f"SELECT DISTINCT file_id FROM strandline.superseded WHERE {of_them} ORDER BY file_id DESC"
    return [row[0] for row in engine.rows(noted)]


def keep_sought(engine: Engine, table: TableDefinition, waiting: str, call: int) -> None:
    """Of the rows that the last call let wait, those of the keys that were sought."""
    here = f"SELECT 1 FROM {sought(table)} AS s WHERE {same(table.key, 's', 'w')}"
    since = f"w._seq >= {first_number(f'{call}::BIGINT')}"
    engine.execute(f"DELETE FROM {waiting} AS w WHERE {since} AND NOT EXISTS ({here})")


def forget_file(engine: Engine, file_id: int) -> None:
    """A version of a file that no longer counts has nothing to say."""
    engine.execute(query("forget_superseded"), [file_id])


def sought(table: TableDefinition) -> str:
    return scratch(table.stored, "sought")
