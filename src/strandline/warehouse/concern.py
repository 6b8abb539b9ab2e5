"""What of a change concerns a model: rows changed only in columns that it does not read do not.

An updated row keeps its identity, so its old and new state are told to be the same to a model by
identity and the hash of what the model reads. Where nothing else is left of a change, the model, and
so everything above it, is not refreshed at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from strandline.compiler.text import exact_hash, listed, make, minus, plus, same, scratch
from strandline.engines.base import Engine

if TYPE_CHECKING:
    from strandline.warehouse.definitions import ModelDefinition
    from strandline.warehouse.holdings import Holdings
    from strandline.warehouse.maintain import Change

WORTH_LOOKING = 1_000
"""Changed rows of a model from which on those above it look; of a source table all are looked at."""
LOOK = 0.003
"""Seconds that a look takes. The making of plain tables that takes no longer is not spared by one."""


@dataclass(frozen=True)
class Reading:
    """What a model reads of a stored table: (column, type), beside what identifies a row."""

    table: str
    ids: tuple[str, ...]
    columns: tuple[tuple[str, str], ...]


@contextmanager
def concerning(engine: Engine, held: Holdings, model: ModelDefinition, change: Change) -> Iterator[None]:
    """Inside, the change sets of what the model reads are without the rows that do not concern it."""
    readings = [held.partly_read(model, table) for table in model.inputs if worth_looking(table, change)]
    narrowed = [r for r in readings if r is not None and narrow(engine, r, change, bool(model.plain))]
    try:
        yield
    finally:
        for reading in narrowed:
            restore(engine, reading.table, change)


def worth_looking(table: str, change: Change) -> bool:
    """Rows both came and went, and they are a source table's or many."""
    both = bool(change.came.get(table) and change.went.get(table)) and table not in change.rebuilt
    return both and (table.startswith("data/") or change.size(table) >= WORTH_LOOKING)


def narrow(engine: Engine, reading: Reading, change: Change, plain: bool) -> bool:
    """Leave out what does not concern the model; False where all is left.

    What a plain model reads is all of the table, if anything: only all of a change can be left out.
    """
    table = reading.table
    if reading in change.concerned:
        return False
    equal = engine.execute(make(unchanged(table), " INTERSECT ".join(hashed(reading))))
    if not equal:
        change.concerned.add(reading)
        return False
    came, went = change.came[table], change.went[table]
    if plain and equal < max(came, went):
        return False
    change.whole[table] = came, went
    change.add(table, came - equal, went - equal)
    if change.size(table):
        leave_out(engine, reading)
    return True


def hashed(reading: Reading) -> Iterator[str]:
    """Both sides of the change: identities, and the hash of what is read."""
    seen = exact_hash(reading.columns) if reading.columns else "0"
    for side in (plus(reading.table), minus(reading.table)):
        yield f"SELECT {listed(reading.ids)}, {seen} AS _x FROM {side}"


def leave_out(engine: Engine, reading: Reading) -> None:
    """Put narrower tables in the place of the change set."""
    match = same(reading.ids, "s", "e")
    for side, aside in sides(reading.table):
        engine.execute(f"ALTER TABLE {side} RENAME TO {aside.removeprefix('temp.')}")
        rows = f"SELECT s.* FROM {aside} AS s ANTI JOIN {unchanged(reading.table)} AS e ON {match}"
        engine.execute(make(side, rows))


def restore(engine: Engine, table: str, change: Change) -> None:
    """The change set as it was, for the next model."""
    if change.size(table):
        for side, aside in sides(table):
            engine.execute(f"DROP TABLE {side}")
            engine.execute(f"ALTER TABLE {aside} RENAME TO {side.removeprefix('temp.')}")
    change.add(table, *change.whole.pop(table))


def unchanged(table: str) -> str:
    """The temporary table of the rows that do not concern a model."""
    return scratch(table, "unchanged")


def sides(table: str) -> tuple[tuple[str, str], tuple[str, str]]:
    """Both tables of a change set, and where they are while narrower ones stand in their place."""
    return (plus(table), scratch(table, "whole+")), (minus(table), scratch(table, "whole-"))
