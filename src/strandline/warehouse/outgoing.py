"""Results out: an Arrow table as a polars frame, with the types that polars has no word for."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from strandline.engines.base import Engine
from strandline.errors import UsageError
from strandline.warehouse.faraway import legible

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

DAY_MICROSECONDS = 86_400_000_000
MOST_DAYS = 100_000_000
"""Of a Duration: 64 bits of microseconds hold 106 million days."""


def has_view(engine: Engine, name: str) -> bool:
    """Whether users see something of this name, which need not be a table or model (`NAME_base`)."""
    found = "SELECT 1 FROM duckdb_views() WHERE schema_name = 'main' AND lower(view_name) = lower(?)"
    return bool(engine.rows(found, [name]))


READS = ("SELECT", "WITH", "FROM", "DESCRIBE", "SHOW", "SUMMARIZE")


def refuse_writing(text: str) -> None:
    """Raises UsageError for anything but one statement that only reads."""
    from sqlglot import exp
    from sqlglot.errors import SqlglotError

    from strandline.compiler.parsing import statements

    begins = text.split(maxsplit=1)[0].upper() if text.split() else "nothing"
    try:
        parsed = statements(text)
        kinds = (exp.Query, exp.Describe, exp.Show, exp.Summarize)
        reads, count = len(parsed) == 1 and isinstance(parsed[0], kinds), len(parsed)
    except SqlglotError:  # the engine knows more: it says what is wrong
        reads, count = begins in READS[:4], 1
    if reads:
        return
    close = difflib.get_close_matches(begins, READS, n=1)
    what = f"these are {count} statements" if count > 1 else f"this begins with {begins}"
    hint = "give a SELECT; rows come in by files or apply(), models are files or create_model()."
    raise UsageError(
        f"only one SELECT can be run here, and {what}",
        hint=f"did you mean {close[0]}?" if close and count == 1 and close[0] != begins else hint,
    )


def to_polars(table: pa.Table) -> pl.DataFrame:
    """The same rows as a polars DataFrame.

    An INTERVAL becomes a Duration with days of 24 hours; a column in which one counts months, which
    are no fixed time, becomes text such as `1 months 2 days 3000000 microseconds`. So does a column with
    a moment out of Python's range (`legible`), and a UNION. Whole numbers wider than 64 bits (a sum of
    BIGINT) become Int128.
    """
    import polars as pl
    import pyarrow as pa
    from pyarrow import types

    table = legible(table)
    for index, field in enumerate(table.schema):
        if types.is_interval(field.type):
            table = table.set_column(index, field.name, _spans(table.column(index)))
        elif types.is_union(field.type):
            texts = [None if v is None else str(v) for v in table.column(index).to_pylist()]
            table = table.set_column(index, field.name, pa.array(texts, pa.string()))
    frame = pl.DataFrame(pl.from_arrow(table))
    wide = [
        f.name
        for f in table.schema
        if types.is_decimal(f.type) and f.type.precision == 38 and f.type.scale == 0
    ]
    return frame.with_columns(pl.col(wide).cast(pl.Int128)) if wide else frame


def _spans(column: pa.ChunkedArray) -> pa.Array:
    import numpy as np
    import pyarrow as pa

    parts = np.dtype([("months", "<i4"), ("days", "<i4"), ("nanoseconds", "<i8")])
    array = column.combine_chunks()
    array = array.chunk(0) if isinstance(array, pa.ChunkedArray) else array
    if len(array) == 0:
        return pa.array([], pa.duration("us"))
    data = np.frombuffer(array.buffers()[1], parts)[array.offset : array.offset + len(array)]
    missing = array.is_null().to_numpy(zero_copy_only=False)
    microseconds = data["nanoseconds"] // 1000
    longest = np.abs(data["days"][~missing].astype(np.int64)).max(initial=0)
    if not data["months"][~missing].any() and longest < MOST_DAYS:
        days = data["days"].astype(np.int64)
        return pa.array(days * DAY_MICROSECONDS + microseconds, pa.duration("us"), mask=missing)
    texts = [
        f"{months} months {days} days {rest} microseconds"
        for months, days, rest in zip(data["months"], data["days"], microseconds, strict=True)
    ]
    return pa.array(texts, pa.string(), mask=missing)
