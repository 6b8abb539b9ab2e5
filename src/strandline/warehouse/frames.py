"""Any frame a user may hold → an Arrow table: polars, pyarrow, pandas, or a list of dicts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from strandline.errors import InputError


def to_arrow(frame: Any, where: str) -> pa.Table:
    """Columns as they are; values are cast to the table's types by the engine. Raises InputError."""
    if isinstance(frame, pa.Table):
        return frame
    if isinstance(frame, pa.RecordBatch):
        return pa.Table.from_batches([frame])
    kind = type(frame).__module__.split(".")[0]
    if kind == "polars":
        frame = frame.collect() if type(frame).__name__ == "LazyFrame" else frame
        return frame.to_arrow()
    if kind == "pandas":
        return pa.Table.from_pandas(frame, preserve_index=False)
    if isinstance(frame, dict):
        frame = [frame]
    if isinstance(frame, Sequence) and all(isinstance(r, dict) for r in frame):
        return from_dicts(frame)
    raise InputError(
        f"cannot take a {type(frame).__name__} as rows",
        where=where,
        hint="pass a polars, pyarrow or pandas frame, or a list of dicts.",
    )


def from_dicts(rows: Sequence[dict[str, Any]]) -> pa.Table:
    """A column for every name that occurs; absent values are NULL."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    return pa.table({name: to_array([row.get(name) for row in rows]) for name in names})


def to_array(values: list[Any]) -> pa.Array:
    """Arrow's own inference, or text where Python values are mixed or too large (the engine casts it)."""
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, pa.ArrowNotImplementedError):
        return pa.array([None if v is None else str(v) for v in values], pa.string())
