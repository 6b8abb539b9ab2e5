"""From cast columns to chunks: good rows stay, bad ones become rejects that say why."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from strandline.schema import Reject
from strandline.sources.base import Chunk
from strandline.sources.casting import NONE_BAD, Casted, why
from strandline.sources.plan import Plan

RAW_LIMIT = 100_000
_ENOUGH = 3  # values: fewer that all fail may be chance, and their lines say more than the file would


@dataclass(frozen=True, slots=True)
class Rows:
    """A parsed piece of a file, columns as in the plan.

    `found` holds the values as they were in the file (None for an absent column), for the reasons;
    `raw` gives the text of a row by its index. `rejects` are those that never became rows.
    """

    columns: Sequence[Casted]
    found: Sequence[pa.Array | None]
    lines: np.ndarray
    raw: Callable[[int], str]
    rejects: list[Reject]


def chunks(pieces: Iterable[Rows], plan: Plan) -> Iterator[Chunk]:
    """One chunk a piece; a column whose type changed refuses the file before its first row."""
    first = True
    for rows in pieces:
        problem = _type_change(rows, plan) if first else None
        if problem is not None:
            yield refused(plan.table, plan.path, problem)
            return
        first = False
        yield _chunk(rows, plan)


def refused(table: str, path: str, reason: str) -> Chunk:
    """The only chunk of a file that is refused as a whole."""
    reject = Reject(table, path, 0, f"{path}: {reason}")
    return Chunk(pa.table({}), pa.array([], pa.int64()), [reject], file_rejected=True)


def absent(rows: int, arrow: pa.DataType) -> Casted:
    """A column that the file does not have."""
    return Casted(pa.nulls(rows, arrow), NONE_BAD)


def whole(column: pa.ChunkedArray) -> pa.Array:
    """A column in one piece; `combine_chunks` copies even a single one."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def clip(raw: bytes | str) -> str:
    """The text of a refused line, readable whatever its bytes, cut where it is huge."""
    text = raw.decode("utf-8", "backslashreplace") if isinstance(raw, bytes) else raw
    return text if len(text) <= RAW_LIMIT else text[:RAW_LIMIT] + "..."


def _type_change(rows: Rows, plan: Plan) -> str | None:
    for i, (cast, found) in enumerate(zip(rows.columns, rows.found, strict=True)):
        if found is None or len(cast.bad) < _ENOUGH:
            continue
        if len(cast.bad) == len(found) - found.null_count:
            example = why(plan.columns[i].name, found[int(cast.bad[0])].as_py(), plan.types[i])
            return (
                f"none of the first {len(cast.bad)} values of column {plan.columns[i].name!r} is of its "
                f"type {plan.types[i].name}, so its type has changed: {example}"
            )
    return None


def _chunk(rows: Rows, plan: Plan) -> Chunk:
    reasons: dict[int, list[str]] = {}
    for i in plan.keys:
        for row in _missing(rows.columns[i]):
            reasons.setdefault(int(row), []).append(f"the key column {plan.columns[i].name!r} is empty")
    for i, cast in enumerate(rows.columns):
        found = rows.found[i]
        for row in cast.bad:
            value = None if found is None else found[int(row)].as_py()
            reasons.setdefault(int(row), []).append(why(plan.columns[i].name, value, plan.types[i]))
    table = pa.table([c.values for c in rows.columns], names=[c.name for c in plan.columns])
    lines = rows.lines
    rejects = list(rows.rejects)
    if reasons:
        keep = np.ones(len(lines), dtype=bool)
        keep[list(reasons)] = False
        for row, why_not in reasons.items():
            text = clip(rows.raw(row))
            rejects.append(Reject(plan.table, plan.path, int(lines[row]), "; ".join(why_not), text))
        table, lines = table.filter(pa.array(keep)), lines[keep]
    rejects.sort(key=lambda reject: reject.line)
    return Chunk(table, _int64(lines), rejects, plan.new)


def _missing(key: Casted) -> np.ndarray:
    """The rows whose key is NULL or empty text; a bad value is NULL too, but has its own reason."""
    values = key.values
    if pa.types.is_string(values.type):
        ends = np.frombuffer(values.buffers()[1], dtype=np.int32)[values.offset :][: len(values) + 1]
        empty = np.diff(ends) == 0
        if values.null_count:
            empty |= values.is_null().to_numpy(zero_copy_only=False)
        return np.setdiff1d(np.flatnonzero(empty), key.bad) if empty.any() else NONE_BAD
    if not values.null_count:
        return NONE_BAD
    return np.setdiff1d(np.flatnonzero(values.is_null().to_numpy(zero_copy_only=False)), key.bad)


def _int64(lines: np.ndarray) -> pa.Int64Array:
    # pa.array() would do too, but imports pandas wherever it is installed.
    return pa.Array.from_buffers(pa.int64(), len(lines), [None, pa.py_buffer(lines.astype(np.int64))])
