"""JSON Lines: rows as typed pieces, whole blocks at a time and line by line where a block fails."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.json as pj

from strandline.errors import nearest
from strandline.schema import Reject
from strandline.sources.archives import Compression
from strandline.sources.assemble import Rows, absent, clip, whole
from strandline.sources.casting import NONE_BAD, Casted, from_text, refuse_non_finite
from strandline.sources.jsonvalue import Fields, Object, fields_of, text_of
from strandline.sources.lines import Lines, lines
from strandline.sources.plan import Plan
from strandline.sources.text import blocks
from strandline.sources.types import ColumnType

_FEW = 32  # lines that are read one by one rather than halved again
_REFUSED = (pa.ArrowInvalid, pa.ArrowNotImplementedError)
_TYPED = ("boolean", "integer", "decimal", "float")


@dataclass(frozen=True, slots=True)
class JsonPlan:
    """A plan with the field names of this file.

    `names` is the spelling that feeds each column ("" for none), `spelled` maps every lower-case
    name to its column, `ignored` are fields to pass over. Other fields refuse their row.
    """

    plan: Plan
    names: tuple[str, ...]
    spelled: dict[str, int]
    ignored: frozenset[str]
    block: int


@dataclass(frozen=True, slots=True)
class _Part:
    columns: list[Casted]
    found: list[pa.Array | None]
    rows: np.ndarray  # indices into the block's lines
    rejects: list[Reject]


def pieces(path: Path, compression: Compression, encoding: str, to: JsonPlan) -> Iterator[Rows]:
    """The rows of a JSON Lines file, about 115,000 a piece."""
    with blocks(path, compression, encoding, to.block) as text:
        for block in lines(text):
            yield _rows(block, to)


def _rows(block: Lines, to: JsonPlan) -> Rows:
    parts = _parts(block, to, 0, len(block.starts)) if len(block.starts) else []
    rejects = [Reject(to.plan.table, to.plan.path, *reject) for reject in block.rejects]
    rejects += [reject for part in parts for reject in part.rejects]
    whole = _merged(parts, to)

    def raw(row: int) -> str:
        return clip(block.record(int(whole.rows[row])))

    return Rows(whole.columns, whole.found, block.lines[whole.rows], raw, rejects)


def _parts(block: Lines, to: JsonPlan, low: int, high: int) -> list[_Part]:
    """Halve until a part parses as a whole or is small enough to go line by line."""
    part = _at_once(block, to, low, high)
    if part is not None:
        return [part]
    if high - low <= _FEW:
        return [_one_by_one(block, to, low, high)]
    middle = (low + high) // 2
    return _parts(block, to, low, middle) + _parts(block, to, middle, high)


def _at_once(block: Lines, to: JsonPlan, low: int, high: int) -> _Part | None:
    kinds = to.plan.types
    if any(kind.kind == "json" and name for kind, name in zip(kinds, to.names, strict=True)):
        return None
    schema = parsed(to.plan, to.names)
    table = parse(block, low, high, schema)
    if table is None or set(table.column_names) - set(schema.names) - to.ignored:
        return None
    found = [whole(table.column(name)) if name else None for name in to.names]
    columns = [
        absent(high - low, kind.arrow) if values is None else _typed(values, kind)
        for values, kind in zip(found, kinds, strict=True)
    ]
    return _Part(columns, found, np.arange(low, high), [])


def parse(block: Lines, low: int, high: int, schema: pa.Schema) -> pa.Table | None:
    """Lines `low` to `high` as a table, fields beyond the schema inferred; None where any line fails.

    Arrow's parser does not mind where lines end, so every line is made sure to hold one object.
    """
    if not block.whole_objects(low, high):
        return None
    data = block.data[int(block.starts[low]) : int(block.ends[high - 1])]
    read = pj.ReadOptions(use_threads=False, block_size=len(data) + 1)
    try:
        table = pj.read_json(pa.BufferReader(data), read, pj.ParseOptions(explicit_schema=schema))
    except _REFUSED:
        return None
    return table if table.num_rows == high - low else None


def parsed(plan: Plan, names: Sequence[str] = ()) -> pa.Schema:
    """The columns as Arrow's JSON parser is to read them; text in JSON strings is cast afterwards."""
    named = zip(names or [c.name for c in plan.columns], plan.types, strict=True)
    return pa.schema([(name, _parsed_as(kind)) for name, kind in named if name and kind.kind != "json"])


def _parsed_as(kind: ColumnType) -> pa.DataType:
    if kind.kind not in _TYPED:
        return pa.string()
    return pa.float64() if kind.kind == "float" else kind.arrow


def _typed(values: pa.Array, kind: ColumnType) -> Casted:
    if kind.kind not in _TYPED:
        return from_text(values, kind)
    if kind.kind == "float":
        return refuse_non_finite(Casted(values.cast(kind.arrow, safe=False), NONE_BAD))
    return Casted(values, NONE_BAD)


def _one_by_one(block: Lines, to: JsonPlan, low: int, high: int) -> _Part:
    texts: list[list[str | None]] = [[] for _ in to.names]
    rows: list[int] = []
    rejects: list[Reject] = []
    for i in range(low, high):
        line = block.record(i)
        if not line.strip():
            continue
        values = _values(line, to)
        if isinstance(values, str):
            rejects.append(Reject(to.plan.table, to.plan.path, int(block.lines[i]), values, clip(line)))
            continue
        rows.append(i)
        for column, value in zip(texts, values, strict=True):
            column.append(value)
    found = [pa.array(column, pa.string()) for column in texts]
    columns = [from_text(values, kind) for values, kind in zip(found, to.plan.types, strict=True)]
    return _Part(columns, list(found), np.array(rows, dtype=np.int64), rejects)


def _values(line: bytes, to: JsonPlan) -> list[str | None] | str:
    """The text of every column on a line, or the reason that the line is refused."""
    fields = fields_of(line)
    if isinstance(fields, str):
        return fields
    values: list[str | None] = [None] * len(to.names)
    given: set[int] = set()
    for name, value in fields.items:
        place = to.spelled.get(name.lower())
        if place is None:
            if name in to.ignored:
                continue
            return _unknown(name, to.plan)
        if place in given:
            return f"field {name!r} is there twice"
        given.add(place)
        reason = _put(values, place, value, fields, to.plan)
        if reason:
            return reason
    return values


def _put(values: list[str | None], place: int, value: object, fields: Fields, plan: Plan) -> str:
    kind = plan.types[place]
    text = text_of(value, fields, nested=kind.kind == "json")
    if text is None and value is not None:
        what = "an object" if isinstance(value, Object) else "a list"
        return f"column {plan.columns[place].name!r}: {what} is no {kind.name}"
    if text is not None and not encodes(text):
        return f"column {plan.columns[place].name!r}: half a surrogate pair is no text"
    values[place] = text
    return ""


def _unknown(name: str, plan: Plan) -> str:
    if not name:
        return "a field has no name"
    known = [c.name for c in plan.columns]
    return f"field {name!r} is unknown to table {plan.table!r}: {nearest(name, known)}"


def encodes(text: str) -> bool:
    """Whether the text is Unicode: half a surrogate pair is not."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _merged(parts: list[_Part], to: JsonPlan) -> _Part:
    if len(parts) == 1:
        return parts[0]
    columns, found = [], []
    offsets = np.cumsum([0] + [len(part.rows) for part in parts])
    for i, kind in enumerate(to.plan.types):
        bad = [part.columns[i].bad + offset for part, offset in zip(parts, offsets, strict=False)]
        arrays = [part.columns[i].values for part in parts] or [pa.nulls(0, kind.arrow)]
        columns.append(Casted(pa.concat_arrays(arrays), np.concatenate([NONE_BAD, *bad])))
        found.append(_found([(part.found[i], len(part.rows)) for part in parts]))
    rows = np.concatenate([np.empty(0, dtype=np.int64), *(part.rows for part in parts)])
    return _Part(columns, found, rows, [])


def _found(parts: list[tuple[pa.Array | None, int]]) -> pa.Array | None:
    """What stood in the lines, as text: parts that went line by line have nothing else."""
    if all(values is None for values, _ in parts):
        return None
    texts = [pa.nulls(n, pa.string()) if v is None else v.cast(pa.string()) for v, n in parts]
    return pa.concat_arrays(texts)
