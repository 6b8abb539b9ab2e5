"""Text to typed columns: whole columns at a time, and the rows of those that do not fit.

A column is first tried at full speed; only where that fails are the values looked at by pattern,
and only those that still fail one by one. Both ways accept the same values:

BOOLEAN true/false, t/f, yes/no, y/n, 1/0 in any case. Integers with an optional sign and a zero
fraction (`12.0`). DECIMAL exactly: more digits than the type has are refused, never rounded.
FLOAT and DOUBLE finite numbers: NaN, infinities and `1e999` are refused, for they would poison
every sum kept from changes. DATE `2024-01-31`. TIMESTAMP as ISO 8601 with `T` or a space, an optional
fraction and an optional zone (turned to UTC); digits finer than the type are refused. TIME, UUID,
JSON as text that parses. INTERVAL and ENUM travel as text. Blank text is NULL but for text columns.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from strandline.sources.types import ColumnType

NONE_BAD = np.empty(0, dtype=np.int64)
_REFUSED = (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError)
_TRUE, _FALSE = ("true", "t", "yes", "y", "1"), ("false", "f", "no", "n", "0")
_PATTERNS = {
    "integer": r"^[+-]?[0-9]+(\.0*)?$",
    "decimal": r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,9})?$",
    "float": r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,9})?$",
    "date": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$",
    "timestamp": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}(:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?)?"
    r"( ?(Z|[+-][0-9]{2}(:?[0-9]{2})?))?)?$",
    "time": r"^[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?$",
    "uuid": r"^[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}$",
    "blob": r"^(\\x)?([0-9a-fA-F]{2})*$",
}
_ZONE = r"(Z|[+-][0-9]{2}:?[0-9]{2}|[ :.0-9][+-][0-9]{2})$"
_EXPECTED = {
    "boolean": "true or false",
    "date": "YYYY-MM-DD, a day that exists",
    "timestamp": "ISO 8601 such as 2024-01-31T10:20:30.5Z",
    "timestamptz": "ISO 8601 such as 2024-01-31T10:20:30.5Z",
    "time": "HH:MM:SS",
    "uuid": "32 hexadecimal digits",
    "json": "JSON text",
    "blob": "hexadecimal digits, two a byte",
}


@dataclass(frozen=True, slots=True)
class Casted:
    """A typed column and the sorted indices of the rows that did not fit (NULL there)."""

    values: pa.Array
    bad: np.ndarray


def from_text(values: pa.Array, to: ColumnType) -> Casted:
    """The strings of a column as its type; see the module's text for what each type accepts."""
    if to.kind == "text" or values.null_count == len(values):
        return Casted(values.cast(to.arrow), NONE_BAD)
    fast = _at_once(values, to)
    if fast is not None:
        return Casted(fast, NONE_BAD)
    trimmed = pc.utf8_trim_whitespace(values)
    trimmed = pc.if_else(pc.equal(trimmed, ""), None, trimmed)
    if to.kind in ("boolean", "json"):
        return _CAREFUL[to.kind](trimmed, to)
    pattern = _PATTERNS["timestamp" if to.kind == "timestamptz" else to.kind]
    odd = pc.invert(pc.match_substring_regex(trimmed, pattern))
    good = pc.if_else(odd, None, trimmed)
    cast = _CAREFUL[to.kind](good, to)
    return Casted(cast.values, np.union1d(_true(odd), cast.bad))


def by_halves(values: pa.Array, cast: Callable[[pa.Array], pa.Array]) -> Casted:
    """`cast` of all values, with NULL for those it refuses, found by halving."""
    bad: list[int] = []

    def some(part: pa.Array, offset: int) -> list[pa.Array]:
        try:
            return [cast(part)]
        except _REFUSED:
            if len(part) == 1:
                bad.append(offset)
                return [cast(pa.nulls(1, part.type))]
            middle = len(part) // 2
            return some(part[:middle], offset) + some(part[middle:], offset + middle)

    pieces = some(values, 0)
    return Casted(pa.concat_arrays(pieces), np.array(bad, dtype=np.int64))


def refuse_non_finite(cast: Casted) -> Casted:
    """The same column with NaN and infinities refused."""
    odd = pc.invert(pc.is_finite(cast.values))
    if not pc.any(odd).as_py():
        return cast
    return Casted(pc.if_else(odd, None, cast.values), np.union1d(cast.bad, _true(odd)))


def why(column: str, value: object, to: ColumnType) -> str:
    """The reason for a reject: the column, the value and what was expected."""
    text = value if isinstance(value, str) else repr(value)
    shown = text if len(text) <= 80 else text[:77] + "..."
    return f"column {column!r}: {shown!r} is no {to.name}{_detail(text.strip(), to)}"


def _detail(text: str, to: ColumnType) -> str:
    if to.kind == "integer" and re.match(_PATTERNS["integer"], text):
        return f" (its range is {to.low} to {to.high})"
    if to.kind == "decimal" and re.match(_PATTERNS["decimal"], text):
        before = to.precision - to.scale
        return f" (at most {before} digits before and {to.scale} after the point; nothing is rounded)"
    if to.kind == "float":
        return " (a finite number is expected)"
    if to.kind.startswith("timestamp") and "." in text:
        return f" (expected {_EXPECTED[to.kind]}, no finer than {to.arrow.unit})"
    return f" (expected {_EXPECTED[to.kind]})" if to.kind in _EXPECTED else ""


def _true(mask: pa.Array) -> np.ndarray:
    return np.flatnonzero(pc.fill_null(mask, False).to_numpy(zero_copy_only=False))


# The fast way: only plain characters, and Arrow's own parser takes every value.


_PLAIN = {
    "boolean": b"truefalsTRUEFALS01",
    "integer": b"0123456789-",
    "decimal": b"0123456789-.",
    "float": b"0123456789-.+eE",
    "date": b"0123456789-",
    "timestamp": b"0123456789-+:. TZ",
    "timestamptz": b"0123456789-+:. TZ",
}


def _at_once(values: pa.Array, to: ColumnType) -> pa.Array | None:
    plain = _PLAIN.get(to.kind)
    if plain is None or _bytes_of(values).translate(None, plain):
        return None
    # Arrow 26 wraps decimals silently beyond 38 digits.
    if pa.types.is_decimal(to.arrow) and pc.max(pc.binary_length(values)).as_py() > 36 - to.scale:
        return None
    target = _target(values, to)
    try:
        typed = values.cast(target)
    except _REFUSED:
        return None
    finite = to.kind != "float" or pc.all(pc.is_finite(typed), min_count=0).as_py()
    # A view: casting an instant to one without a zone would look up the zone for every value.
    return None if not finite else typed if target == to.arrow else typed.view(to.arrow)


def _target(values: pa.Array, to: ColumnType) -> pa.DataType:
    """What Arrow is to parse: with times, the first value tells whether they have a zone."""
    if to.kind not in ("timestamp", "timestamptz"):
        return to.arrow
    first = (values.drop_null() if values.null_count else values)[0].as_py()
    zoned = len(first) > 10 and (first.endswith("Z") or "+" in first or "-" in first[10:])
    return pa.timestamp(to.arrow.unit, "UTC" if zoned else None)


def _bytes_of(values: pa.Array) -> bytes:
    offsets = np.frombuffer(values.buffers()[1], dtype=np.int32)
    data = values.buffers()[2]
    if data is None:
        return b""
    first, last = offsets[values.offset], offsets[values.offset + len(values)]
    return memoryview(data)[int(first) : int(last)].tobytes()


# The careful way, one function a kind; it is given only text of the right pattern.


def _integer(values: pa.Array, to: ColumnType) -> Casted:
    bare = pc.replace_substring_regex(values, r"^\+|\.0*$", "")
    bare = pc.replace_substring_regex(bare, r"^(-?)0+([0-9])", r"\1\2")
    bare = pc.replace_substring_regex(bare, r"^-0$", "0")
    if pa.types.is_decimal(to.arrow):
        return _decimal(bare, to)
    return by_halves(bare, lambda part: part.cast(to.arrow))


def _decimal(values: pa.Array, to: ColumnType) -> Casted:
    odd = pc.or_(
        pc.greater(pc.binary_length(values), 36 - to.scale),
        pc.match_substring_regex(values, "[eE]"),
    )
    plain = by_halves(pc.if_else(odd, None, values), lambda part: part.cast(to.arrow))
    rows = _true(odd)
    if not len(rows):
        return plain
    exact = [_exact(values[int(i)].as_py(), to) for i in rows]
    bad = [int(i) for i, value in zip(rows, exact, strict=True) if value is None]
    typed = pc.replace_with_mask(plain.values, pc.fill_null(odd, False), pa.array(exact, to.arrow))
    return Casted(typed, np.union1d(plain.bad, np.array(bad, dtype=np.int64)))


def _exact(text: str, to: ColumnType) -> Decimal | None:
    """The decimal without any rounding, or None where the type can not hold it."""
    number = Decimal(text)
    if number == 0:
        return Decimal(0)
    if number.adjusted() >= to.precision - to.scale:
        return None
    sign, digits, exponent = number.as_tuple()
    bare = "".join(map(str, digits)).rstrip("0")
    exponent = int(exponent) + len(digits) - len(bare)
    return Decimal((sign, tuple(map(int, bare)), exponent)) if exponent >= -to.scale else None


def _float(values: pa.Array, to: ColumnType) -> Casted:
    return refuse_non_finite(by_halves(values, lambda part: part.cast(to.arrow)))


def _date(values: pa.Array, to: ColumnType) -> Casted:
    return by_halves(values, lambda part: part.cast(to.arrow))


def _timestamp(values: pa.Array, to: ColumnType) -> Casted:
    digits = {"s": 0, "ms": 3, "us": 6, "ns": 9}[to.arrow.unit]
    # Zeros finer than the type say nothing; without a fraction left the point goes too.
    bare = pc.replace_substring_regex(values, rf"(\.[0-9]{{{digits}}})0+([^0-9]|$)", r"\1\2")
    bare = pc.replace_substring_regex(bare, r"\.([^0-9]|$)", r"\1")
    bare = pc.replace_substring_regex(bare, r" ([Z+-])", r"\1")
    zoned = pc.match_substring_regex(pc.utf8_slice_codeunits(bare, 10, 64), _ZONE)
    unit = to.arrow.unit
    local = by_halves(pc.if_else(zoned, None, bare), lambda part: part.cast(pa.timestamp(unit)))
    utc = by_halves(
        pc.if_else(zoned, bare, None),
        lambda part: part.cast(pa.timestamp(unit, "UTC")).view(pa.timestamp(unit)),
    )
    both = pc.coalesce(local.values, utc.values).view(to.arrow)
    return Casted(both, np.union1d(local.bad, utc.bad))


def _time(values: pa.Array, to: ColumnType) -> Casted:
    bare = pc.replace_substring_regex(values, r"(\.[0-9]{6})0+$", r"\1")
    dated = pc.binary_join_element_wise("1970-01-01 ", bare, "")
    return by_halves(dated, lambda part: part.cast(pa.timestamp("us")).cast(to.arrow))


def _uuid(values: pa.Array, to: ColumnType) -> Casted:
    bare = pc.utf8_lower(pc.replace_substring(values, "-", ""))
    parts = r"^(.{8})(.{4})(.{4})(.{4})(.{12})$"
    return Casted(pc.replace_substring_regex(bare, parts, r"\1-\2-\3-\4-\5").cast(to.arrow), NONE_BAD)


def _blob(values: pa.Array, to: ColumnType) -> Casted:
    taken = [None if v is None else bytes.fromhex(v.removeprefix("\\x")) for v in values.to_pylist()]
    return Casted(pa.array(taken, to.arrow), NONE_BAD)


def _boolean(values: pa.Array, to: ColumnType) -> Casted:
    place = pc.index_in(pc.utf8_lower(values), pa.array(_TRUE + _FALSE))
    odd = pc.and_(pc.is_null(place), pc.is_valid(values))
    return Casted(pc.less(place, len(_TRUE)).cast(to.arrow), _true(odd))


def _json(values: pa.Array, to: ColumnType) -> Casted:
    texts = values.to_pylist()
    bad = [i for i, text in enumerate(texts) if text is not None and not is_json(text)]
    for i in bad:
        texts[i] = None
    return Casted(pa.array(texts, to.arrow), np.array(bad, dtype=np.int64))


def is_json(text: str) -> bool:
    """Whether the text is one JSON value (NaN and Infinity are none)."""
    try:
        json.loads(text, parse_constant=_no_constant, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        return False
    return True


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


_CAREFUL: dict[str, Callable[[pa.Array, ColumnType], Casted]] = {
    "boolean": _boolean,
    "integer": _integer,
    "decimal": _decimal,
    "float": _float,
    "date": _date,
    "timestamp": _timestamp,
    "timestamptz": _timestamp,
    "time": _time,
    "uuid": _uuid,
    "json": _json,
    "blob": _blob,
}
