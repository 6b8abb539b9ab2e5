"""Any frame a user may hold → an Arrow table: polars, pyarrow, pandas, or a list of dicts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from strandline.errors import InputError, StrandlineError
from strandline.warehouse.foreign import known


def to_arrow(frame: Any, where: str, types: Mapping[str, str] | None = None) -> pa.Table:
    """Columns as they are; values are cast to the table's types by the engine. Raises InputError.

    `types` are the table's types by lower-case column name: they tell a JSON
    object or a map from a struct, which Python's dict does not.
    """
    try:
        return known(converted(frame, where, types or {}), where)
    except StrandlineError:
        raise
    except Exception as error:
        raise InputError(
            f"this {type(frame).__name__} cannot be read as rows: {str(error).splitlines()[0]}",
            where=where,
            hint="give columns of one type each under distinct names.",
            cause=error,
        ) from error


def converted(frame: Any, where: str, types: Mapping[str, str]) -> pa.Table:
    """The frame by its kind."""
    if isinstance(frame, pa.Table):
        return frame
    if isinstance(frame, pa.RecordBatch):
        return pa.Table.from_batches([frame])
    kind, name = type(frame).__module__.split(".")[0], type(frame).__name__
    if kind == "polars" and name in ("DataFrame", "LazyFrame"):
        return from_polars(frame.collect() if name == "LazyFrame" else frame)
    if kind == "pandas" and name == "DataFrame":
        return from_pandas(frame)
    if isinstance(frame, dict):
        frame = [frame]
    if isinstance(frame, Sequence) and all(isinstance(r, dict) for r in frame):
        return from_dicts(frame, types)
    raise InputError(
        f"cannot take a {name} as rows",
        where=where,
        hint="pass a polars, pyarrow or pandas frame, or a list of dicts.",
    )


def from_polars(frame: Any) -> pa.Table:
    """Without a copy; 128-bit integers travel as DECIMAL(38,0), which Arrow has."""
    import polars as pl

    if pl.Object in frame.schema.values():
        return from_dicts(frame.to_dicts(), {})
    wide = [n for n, t in frame.schema.items() if t in (pl.Int128, pl.UInt128)]
    return (frame.with_columns(pl.col(wide).cast(pl.Decimal(38, 0))) if wide else frame).to_arrow()


def from_pandas(frame: Any) -> pa.Table:
    """Arrow's own conversion; columns of mixed Python values go as text."""
    try:
        return pa.Table.from_pandas(frame, preserve_index=False)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        plain = frame.astype(object).where(frame.notna(), None)
        return pa.table({str(c): to_array(plain[c].tolist()) for c in plain.columns})


def from_dicts(rows: Sequence[dict[str, Any]], types: Mapping[str, str]) -> pa.Table:
    """A column for every name that occurs; absent values are NULL."""
    names = list(dict.fromkeys(str(name) for row in rows for name in row))
    return pa.table(
        {name: to_array([row.get(name) for row in rows], types.get(name.lower(), "")) for name in names}
    )


def to_array(values: list[Any], kind: str = "") -> pa.Array:
    """Arrow's own inference, or text where Python values are mixed or too large (the engine casts it).

    Objects for JSON and MAP columns travel as JSON text: Arrow would make one struct of all their keys.
    """
    if kind.upper().startswith(("JSON", "MAP")):
        return pa.array(
            [
                v if v is None or isinstance(v, str) else json.dumps(v, default=str, separators=(",", ":"))
                for v in values
            ],
            pa.string(),
        )
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError):
        return pa.array([None if v is None else str(v) for v in values], pa.string())
