"""Rows of a query as a table, JSON, CSV or Parquet."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from strandline.cli import output
from strandline.errors import UsageError
from strandline.units import counted

if TYPE_CHECKING:
    import pyarrow as pa

SHOWN = 40


def write_rows(rows: pa.Table, form: str, file: Path | None) -> None:
    """Print the rows in a form, or write them to a Parquet file (UsageError for `parquet` without one)."""
    if file is not None:
        _write_parquet(rows, file)
        output.say(f"wrote {counted(rows.num_rows, 'row')} to {file}")
    elif form == "parquet":
        raise UsageError("Parquet is not for reading on a screen", hint="name a file: --parquet FILE.")
    elif form == "json":
        output.print_json(rows.to_pylist())
    elif form == "csv":
        output.write_csv(rows.column_names, _tuples(rows))
    else:
        _table(rows)


def _table(rows: pa.Table) -> None:
    """On a terminal the first rows, elsewhere all of them."""
    shown = rows.slice(0, SHOWN) if sys.stdout.isatty() else rows
    right = [place for place, field in enumerate(rows.schema) if _is_number(field.type)]
    output.show(output.table(rows.column_names, _tuples(shown), right=right))
    if shown.num_rows < rows.num_rows:
        rest = rows.num_rows - shown.num_rows
        output.say(f"… and {counted(rest, 'more row')}; --csv, --json and --parquet FILE give all")


def _tuples(rows: pa.Table) -> Iterator[tuple[Any, ...]]:
    for batch in rows.to_batches():
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def _is_number(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _write_parquet(rows: pa.Table, file: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    for place, field in enumerate(rows.schema):
        if pa.types.is_interval(field.type):  # Parquet has no type for it
            texts = [output.plain(value) for value in rows.column(place).to_pylist()]
            rows = rows.set_column(place, field.name, pa.array(texts, pa.string()))
    try:
        pq.write_table(rows, file)
    except OSError as problem:
        raise UsageError(f"it cannot be written: {problem.strerror or problem}", where=str(file)) from problem
