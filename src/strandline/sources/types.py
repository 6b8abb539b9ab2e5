"""The types a file's columns can have: the engine's words and the Arrow type handed over."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from strandline.errors import SchemaError, nearest

Kind = Literal[
    "boolean", "integer", "decimal", "float", "text", "date", "timestamp", "timestamptz", "time",
    "uuid", "json", "blob",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class ColumnType:
    """A type as the user wrote it, its kind and the Arrow type of its columns.

    UUID and JSON are handed over as text in a normal form, HUGEINT as DECIMAL(38, 0).
    """

    name: str
    kind: Kind
    arrow: pa.DataType
    precision: int = 0
    scale: int = 0
    low: int = 0
    high: int = 0


_INTEGERS: dict[str, pa.DataType] = {
    "TINYINT": pa.int8(), "INT1": pa.int8(),
    "SMALLINT": pa.int16(), "INT2": pa.int16(), "SHORT": pa.int16(),
    "INTEGER": pa.int32(), "INT": pa.int32(), "INT4": pa.int32(), "SIGNED": pa.int32(),
    "BIGINT": pa.int64(), "INT8": pa.int64(), "LONG": pa.int64(),
    "UTINYINT": pa.uint8(), "USMALLINT": pa.uint16(), "UINTEGER": pa.uint32(), "UBIGINT": pa.uint64(),
}  # fmt: skip
_OTHERS: dict[str, tuple[Kind, pa.DataType]] = {
    **{n: ("boolean", pa.bool_()) for n in ("BOOLEAN", "BOOL", "LOGICAL")},
    **{n: ("float", pa.float32()) for n in ("FLOAT", "REAL", "FLOAT4")},
    **{n: ("float", pa.float64()) for n in ("DOUBLE", "FLOAT8", "DOUBLE PRECISION")},
    **{n: ("text", pa.string()) for n in ("VARCHAR", "TEXT", "STRING", "CHAR", "BPCHAR", "CHARACTER",
                                          "CHARACTER VARYING", "NVARCHAR", "INTERVAL", "ENUM")},
    **{n: ("timestamp", pa.timestamp("us")) for n in ("TIMESTAMP", "DATETIME", "TIMESTAMP_US",
                                                      "TIMESTAMP WITHOUT TIME ZONE")},
    **{n: ("timestamptz", pa.timestamp("us", "UTC")) for n in ("TIMESTAMPTZ", "TIMESTAMP WITH TIME ZONE")},
    **{n: ("blob", pa.binary()) for n in ("BLOB", "BYTEA", "BINARY", "VARBINARY")},
    "TIMESTAMP_S": ("timestamp", pa.timestamp("s")),
    "TIMESTAMP_MS": ("timestamp", pa.timestamp("ms")),
    "TIMESTAMP_NS": ("timestamp", pa.timestamp("ns")),
    "DATE": ("date", pa.date32()),
    "TIME": ("time", pa.time64("us")),
    "UUID": ("uuid", pa.string()),
    "JSON": ("json", pa.string()),
}  # fmt: skip
_SHAPE = re.compile(
    r"\s*([A-Z_][A-Z_0-9 ]*?)\s*(?:\((.*)\))?\s*(WITH(?:OUT)? TIME ZONE)?\s*", re.IGNORECASE | re.DOTALL
)


def parse_type(text: str) -> ColumnType:
    """The type an engine calls `text`. Raises SchemaError for one that no file can hold."""
    match = _SHAPE.fullmatch(text)
    name = "" if match is None else " ".join(match[1].upper().split())
    inside = "" if match is None else match[2] or ""
    if match is not None and match[3]:
        name = f"{name} {match[3].upper()}"
    if name in ("DECIMAL", "NUMERIC", "DEC"):
        return _decimal(text, inside)
    if name in _INTEGERS:
        bits, signed = _INTEGERS[name].bit_width, not name.startswith("U")
        low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
        return ColumnType(text, "integer", _INTEGERS[name], low=low, high=high)
    if name == "HUGEINT":
        top = 10**38 - 1
        return ColumnType(text, "integer", pa.decimal128(38, 0), 38, 0, -top, top)
    if name in _OTHERS:
        kind, arrow = _OTHERS[name]
        return ColumnType(text, kind, arrow)
    known = [*_INTEGERS, *_OTHERS, "DECIMAL", "HUGEINT"]
    raise SchemaError(
        f"files can not be read as type {text!r}", hint=f"{nearest(name, known)} Nested values fit JSON."
    )


def _decimal(text: str, inside: str) -> ColumnType:
    parts = [p.strip() for p in inside.split(",")] if inside.strip() else ["18", "3"]
    if not all(p.isdigit() for p in parts) or len(parts) > 2:
        raise SchemaError(f"{text!r} is no decimal type", hint="Write it like DECIMAL(12,2).")
    precision, scale = int(parts[0]), int(parts[1]) if len(parts) == 2 else 0
    if not 1 <= precision <= 38 or scale > precision:
        raise SchemaError(
            f"{text!r} has no valid precision and scale",
            hint="Precision is 1 to 38, scale 0 to the precision.",
        )
    return ColumnType(text, "decimal", pa.decimal128(precision, scale), precision, scale)
