"""Typed columns (Parquet) to the table's types: which types fit each other, and which values do not."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable

import pyarrow as pa

from strandline.sources.casting import NONE_BAD, Casted, by_halves, from_text, refuse_non_finite
from strandline.sources.types import ColumnType

t = pa.types


def fits(found: pa.DataType, to: ColumnType) -> bool:
    """Whether values of the found type can be the table's at all (single values may still not fit).

    Numbers fit numbers, dates fit timestamps, text fits text, UUID and JSON, nested values fit JSON.
    """
    found = _plain(found)
    if t.is_null(found):
        return True
    return any(test(found) for test in _FITTING[to.kind])


def from_arrow(values: pa.Array, to: ColumnType) -> Casted:
    """A column of a type that `fits`, as the table's type; lossy values are refused."""
    if t.is_null(values.type):
        return Casted(pa.nulls(len(values), to.arrow), NONE_BAD)
    plain = _plain(values.type)
    if isinstance(values, pa.ExtensionArray):
        values = values.storage
    elif plain != values.type:
        values = values.cast(plain)
    return _CASTS.get(to.kind, _safely)(values, to)


def as_json(value: object) -> str:
    """A nested value as compact JSON; what JSON has no word for becomes text."""
    return json.dumps(value, default=str, separators=(",", ":"), ensure_ascii=False)


def sql_type(found: pa.DataType) -> str:
    """The engine's word for a column of this Arrow type; nested types become JSON."""
    plain = _plain(found)
    if t.is_decimal(plain):
        return f"DECIMAL({min(plain.precision, 38)},{min(plain.scale, 38)})"
    if t.is_timestamp(plain):
        plainly = "TIMESTAMP_NS" if plain.unit == "ns" else "TIMESTAMP"
        return "TIMESTAMP WITH TIME ZONE" if plain.tz else plainly
    if isinstance(found, pa.UuidType):
        return "UUID"
    return next((name for test, name in _SQL if test(plain)), "JSON" if t.is_nested(plain) else "VARCHAR")


def _plain(found: pa.DataType) -> pa.DataType:
    if t.is_dictionary(found):
        return _plain(found.value_type)
    if isinstance(found, pa.BaseExtensionType):
        return found.storage_type
    if t.is_large_string(found) or t.is_string_view(found):
        return pa.string()
    if t.is_large_binary(found) or t.is_binary_view(found):
        return pa.binary()
    return found


def _number(found: pa.DataType) -> bool:
    return bool(t.is_integer(found) or t.is_floating(found) or t.is_decimal(found))


def _bytes(found: pa.DataType) -> bool:
    return bool(t.is_binary(found) or t.is_fixed_size_binary(found))


_FITTING: dict[str, tuple[Callable[[pa.DataType], bool], ...]] = {
    "boolean": (t.is_boolean,),
    "integer": (_number,),
    "decimal": (_number,),
    "float": (_number,),
    "text": (t.is_string, t.is_binary),
    "date": (t.is_date,),
    "timestamp": (t.is_timestamp, t.is_date),
    "timestamptz": (t.is_timestamp, t.is_date),
    "time": (t.is_time,),
    "uuid": (t.is_string, t.is_fixed_size_binary),
    "json": (t.is_string, t.is_nested),
    "blob": (_bytes,),
}
_SQL: tuple[tuple[Callable[[pa.DataType], bool], str], ...] = (
    (t.is_boolean, "BOOLEAN"),
    (t.is_int8, "TINYINT"), (t.is_int16, "SMALLINT"), (t.is_int32, "INTEGER"), (t.is_int64, "BIGINT"),
    (t.is_uint8, "UTINYINT"), (t.is_uint16, "USMALLINT"), (t.is_uint32, "UINTEGER"), (t.is_uint64, "UBIGINT"),
    (t.is_float32, "REAL"), (t.is_floating, "DOUBLE"),
    (t.is_date, "DATE"), (t.is_time, "TIME"), (_bytes, "BLOB"),
)  # fmt: skip


def _safely(values: pa.Array, to: ColumnType) -> Casted:
    return by_halves(values, lambda part: part.cast(to.arrow))


def _to_number(values: pa.Array, to: ColumnType) -> Casted:
    if t.is_decimal(to.arrow) and not t.is_decimal(values.type):
        # By way of the shortest text: the double written as 12.34 is the decimal 12.34.
        return from_text(values.cast(pa.string()), to)
    if to.kind == "float":
        if t.is_floating(values.type):
            return refuse_non_finite(Casted(values.cast(to.arrow, safe=False), NONE_BAD))
        return refuse_non_finite(_safely(values, to))
    return _safely(values, to)


def _to_timestamp(values: pa.Array, to: ColumnType) -> Casted:
    unit = to.arrow.unit

    def cast(part: pa.Array) -> pa.Array:
        if t.is_timestamp(part.type) and part.type.tz:
            part = part.view(pa.timestamp(part.type.unit))  # the instant, in UTC
        return part.cast(pa.timestamp(unit)).view(to.arrow)

    return by_halves(values, cast)


def _to_uuid(values: pa.Array, to: ColumnType) -> Casted:
    if t.is_string(values.type):
        return from_text(values, to)
    texts = [None if v is None else str(uuid.UUID(bytes=v)) for v in values.to_pylist()]
    return Casted(pa.array(texts, to.arrow), NONE_BAD)


def _to_json(values: pa.Array, to: ColumnType) -> Casted:
    if t.is_string(values.type):
        return from_text(values, to)
    texts = [None if v is None else as_json(v) for v in values.to_pylist()]
    return Casted(pa.array(texts, to.arrow), NONE_BAD)


_CASTS: dict[str, Callable[[pa.Array, ColumnType], Casted]] = {
    "integer": _to_number,
    "decimal": _to_number,
    "float": _to_number,
    "timestamp": _to_timestamp,
    "timestamptz": _to_timestamp,
    "uuid": _to_uuid,
    "json": _to_json,
}
