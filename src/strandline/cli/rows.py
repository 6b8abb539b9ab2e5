"""Rows of a query as a table, JSON, CSV or Parquet."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from strandline.cli import output
from strandline.errors import UsageError
from strandline.units import counted

if TYPE_CHECKING:
    import pyarrow as pa

SHOWN = 40
BETWEEN = 3


def write_rows(rows: pa.Table, form: str, file: Path | None) -> None:
    """Print the rows in a form, or write them to a Parquet file (UsageError for `parquet` without one)."""
    if file is not None:
        _write_parquet(rows.rename_columns(distinct(rows.column_names)), file)
        output.say_plain(f"wrote {counted(rows.num_rows, 'row')} to {file}")
        return
    from strandline.warehouse.faraway import legible

    rows = legible(rows)
    if form == "json":
        rows = rows.rename_columns(distinct(rows.column_names))
    if form == "parquet":
        raise UsageError("Parquet is not for reading on a screen", hint="name a file: --parquet FILE.")
    if form == "json":
        output.print_json(rows.to_pylist())
    elif form == "csv":
        output.write_csv(rows.column_names, _tuples(rows))
    else:
        _table(rows)


def distinct(names: Sequence[str]) -> list[str]:
    """The names with those that come again numbered: an object of JSON has each name once."""
    made: list[str] = []
    for name in names:
        again = (f"{name}_{n}" for n in itertools.count(1))
        made.append(name if name not in made else next(new for new in again if new not in (*made, *names)))
    return made


def _table(rows: pa.Table) -> None:
    """On a terminal the first rows and as many columns as fit, elsewhere everything."""
    shown = rows.slice(0, SHOWN) if sys.stdout.isatty() else rows
    cells = [[output.cell(value) for value in column.to_pylist()] for column in shown.columns]
    fits = _columns_that_fit(shown.column_names, cells, output.screen_width())
    right = [place for place in range(fits) if _is_number(rows.schema.field(place).type)]
    lines = zip(*cells[:fits], strict=True)
    output.show(output.table(shown.column_names[:fits], lines, right=right))
    left_out = [
        counted(count, word)
        for count, word in (
            (rows.num_rows - shown.num_rows, "more row"),
            (rows.num_columns - fits, "more column"),
        )
        if count
    ]
    if left_out:
        output.say(f"… and {' and '.join(left_out)}; --csv, --json and --parquet FILE give all")


def _columns_that_fit(names: Sequence[str], cells: Sequence[Sequence[str]], width: int | None) -> int:
    """How many of the columns, from the left, a line of this width holds; at least one."""
    if width is None:
        return len(names)
    used = 0
    for place, (name, column) in enumerate(zip(names, cells, strict=True)):
        used += max(len(name), *map(len, column), 0) + BETWEEN
        if used - BETWEEN > width:
            return max(1, place)
    return len(names)


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
