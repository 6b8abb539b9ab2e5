"""Rows of a bag are written into its table as they come: nothing of a batch that only adds waits.

That is possible inside of a batch alone, whose rollback takes them back. Once something is to be taken
away in the same batch, what was written waits like everything else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from strandline.compiler.text import BATCH_NUMBER, listed, stored
from strandline.engines.base import Engine
from strandline.errors import EngineError
from strandline.schema import TableRun
from strandline.warehouse import intake
from strandline.warehouse.definitions import TableDefinition
from strandline.warehouse.numbers import first_number
from strandline.warehouse.waiting import Incoming, new_rows

if TYPE_CHECKING:
    import pyarrow as pa


def write(
    engine: Engine,
    table: TableDefinition,
    frame: pa.Table,
    before: int,
    *,
    file_id: int | None,
    lines: pa.Array | None,
) -> int:
    """Write a frame behind the `before` rows that the batch has written already; how many it is.

    Raises SchemaError or InputError: then the batch has to be rolled back.
    """
    frame = intake.checked_frame(table, frame, 1)
    if frame.num_rows == 0:
        return 0
    frame, rows = intake.incoming(table, frame, file_id=file_id, lines=lines)
    rid = f"({first_number(BATCH_NUMBER)} + {before + 1} + l._order)"
    new = new_rows(table, f"FROM ({rows}) AS l", rid)
    cols = f"{listed(table.names)}, {intake.HIDDEN_COLUMNS}"
    try:
        return engine.load(frame, f"INSERT INTO {stored(table.stored)} ({cols}) {new}")
    except EngineError as error:
        raise intake.cast_error(engine, table, frame, error) from error


def take_back(engine: Engine, table: TableDefinition, seq: int) -> None:
    """Let the rows wait that the batch has written, as those of one call."""
    intake.ensure_waiting(engine, table)
    since, cols = f"_rid > {first_number(BATCH_NUMBER)}", listed(table.names)
    order = f"{first_number(f'{seq}::BIGINT')} + _rid - {first_number(BATCH_NUMBER)}"
    engine.execute(
        f"INSERT INTO {Incoming(table).waiting} SELECT {cols}, 1, {order}, _file, _line "
        f"FROM {stored(table.stored)} WHERE {since}"
    )
    engine.execute(f"DELETE FROM {stored(table.stored)} WHERE {since}")


def settled(engine: Engine, table: TableDefinition, rows: int, bulk_rows: int) -> intake.Intake:
    """What the batch's rows, written already, are for the models; see `intake.resolve`."""
    run = TableRun(table.name, rows, 0)
    if rows >= bulk_rows and engine.execute(f"SELECT count(*) FROM {stored(table.stored)}") == rows:
        return intake.Intake(run, bulk=True)
    intake.show_added(engine, table)
    return intake.Intake(run)
