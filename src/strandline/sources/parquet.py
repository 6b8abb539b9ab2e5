"""Parquet files: schema against table, and rows as typed pieces."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from strandline.schema import Column
from strandline.sources.archives import Compression, seekable
from strandline.sources.assemble import Rows, absent
from strandline.sources.plan import ABSENT, FileRefusedError, Plan, Target, match, plan_for
from strandline.sources.typed import as_json, fits, from_arrow, sql_type

ROWS = 100_000


def plan(path: Path, compression: Compression, to: Target) -> Plan:
    """Match the file's schema with the table, and decode the file once to its end.

    Raises FileRefusedError for a damaged file and for a column whose type can not become the table's.
    """
    with _opened(path, compression) as file:
        found = file.schema_arrow
        matched = match(found.names, to)
        new = [(Column(found.names[i], sql_type(found.field(i).type)), i) for i in matched.extra]
        plan = plan_for(to, matched.places, new)
        for column, kind, place in zip(plan.columns, plan.types, plan.places, strict=True):
            if place != ABSENT and not fits(found.field(place).type, kind):
                raise FileRefusedError(
                    f"column {column.name!r} is {found.field(place).type}, expected {kind.name}: "
                    "has its type changed?"
                )
        # Parquet has no checksum to go by: a damaged page must show before a row is handed on.
        for _ in file.iter_batches(ROWS, columns=_wanted(found, plan)):
            pass
    return plan


def pieces(path: Path, compression: Compression, to: Plan) -> Iterator[Rows]:
    """The rows of a Parquet file, 100,000 a piece; a row's line is its number from 1."""
    with _opened(path, compression) as file:
        names = file.schema_arrow.names
        line = 1
        for batch in file.iter_batches(ROWS, columns=_wanted(file.schema_arrow, to)):
            yield _rows(batch, names, to, line)
            line += batch.num_rows


def _rows(batch: pa.RecordBatch, names: list[str], to: Plan, line: int) -> Rows:
    found = [None if place == ABSENT else batch.column(names[place]) for place in to.places]
    columns = [
        absent(batch.num_rows, kind.arrow) if values is None else from_arrow(values, kind)
        for values, kind in zip(found, to.types, strict=True)
    ]

    def raw(row: int) -> str:
        return as_json({name: batch.column(name)[row].as_py() for name in batch.schema.names})

    return Rows(columns, found, np.arange(line, line + batch.num_rows), raw, [])


def _wanted(found: pa.Schema, to: Plan) -> list[str]:
    return [found.names[place] for place in to.places if place != ABSENT]


@contextmanager
def _opened(path: Path, compression: Compression) -> Iterator[pq.ParquetFile]:
    with seekable(path, compression) as raw:
        try:
            with pq.ParquetFile(raw, page_checksum_verification=True) as file:
                yield file
        except pa.ArrowInvalid as error:
            raise FileRefusedError(f"the Parquet file is damaged or cut short: {error}") from error
        except OSError as error:
            if error.errno is not None:
                raise
            raise FileRefusedError(f"the Parquet file is damaged: {error}") from error
