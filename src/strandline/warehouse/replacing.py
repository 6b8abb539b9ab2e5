"""Rows computed anew take the place of stored ones; only what differs is written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from strandline.compiler.relations import quote
from strandline.compiler.text import BATCH_NUMBER, listed, make, minus, plus, same, scratch, stored
from strandline.engines.base import Engine
from strandline.warehouse.numbers import fresh_identity


def same_keys(keys: Iterable[str], left: str, right: str) -> str:
    """NULL-safe equality of a table's key columns with those of a table of keys."""
    return " AND ".join(f"{left}.{quote(k)} IS NOT DISTINCT FROM {right}._key{i}" for i, k in enumerate(keys))


def replace_rows(
    engine: Engine, table: str, names: Sequence[str], new: str, among: str = "", exactly: str = ""
) -> tuple[int, int]:
    """Put the rows of `new` in place of the stored ones `s` that `among` leaves; those that came and went.

    `exactly` is what rows `a` and `b` need, besides equal values, to be the same. Copies are numbered.
    """
    cols, old, fresh = listed(names), scratch(table, "old"), scratch(table, "fresh")
    copy = f"row_number() OVER (PARTITION BY {cols}"
    rid = fresh_identity()
    there = f"SELECT {cols}, _rid, _k, {copy} ORDER BY _rid) AS _copy FROM {stored(table)} AS s{among}"
    if not engine.execute(make(old, there)):  # keys seen for the first time: nothing to compare with
        engine.execute(make(plus(table), f"SELECT *, {rid} AS _rid FROM {new}"))
        return inserted(engine, table, cols), 0
    engine.execute(make(fresh, f"SELECT *, {copy}) AS _copy FROM {new}"))
    equal = f"a._k = b._k AND a._copy = b._copy AND {same(names, 'a', 'b')}{exactly}"
    engine.execute(
        make(minus(table), f"SELECT a.* EXCLUDE (_copy) FROM {old} AS a ANTI JOIN {fresh} AS b ON {equal}")
    )
    engine.execute(
        make(
            plus(table),
            f"SELECT a.* EXCLUDE (_copy), {rid} AS _rid FROM {fresh} AS a ANTI JOIN {old} AS b ON {equal}",
        )
    )
    return written(engine, table, cols)


def written(engine: Engine, table: str, cols: str) -> tuple[int, int]:
    """Carry the change set over into the stored table: how many rows came and went."""
    gone = engine.execute(f"DELETE FROM {stored(table)} WHERE _rid IN (SELECT _rid FROM {minus(table)})")
    return inserted(engine, table, cols), gone


def inserted(engine: Engine, table: str, cols: str) -> int:
    """Write the rows that came; how many."""
    rows = f"SELECT {cols}, _rid, _k, {BATCH_NUMBER} FROM {plus(table)}"
    return engine.execute(f"INSERT INTO {stored(table)} ({cols}, _rid, _k, _batch) {rows}")
