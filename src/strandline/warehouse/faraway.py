"""Moments that neither Python nor polars can hold (infinite, before the year 1, after 9999), as text.

DuckDB's dates reach from 5877642 BC to 5881580 and its timestamps from 290309 BC to 294247; both may be
infinite. A column with one out of Python's range becomes text, each moment written as the database does.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

EPOCH_DAYS = 719_468
"""Days from 0000-03-01, where the calendar's 400 years begin, to 1970-01-01."""
FIRST_DAY, LAST_DAY = -719_162, 2_932_896
"""0001-01-01 and 9999-12-31, in days since 1970."""
DAY_SECONDS = 86_400
DIGITS = {"s": 0, "ms": 3, "us": 6, "ns": 9}


def legible(table: pa.Table) -> pa.Table:
    """The table with the columns that hold such a moment, also inside lists and structs, as text."""
    import pyarrow as pa

    for place, field in enumerate(table.schema):
        column = table.column(place)
        if may_hold(field.type) and any(is_far(leaf) for chunk in column.chunks for leaf in leaves(chunk)):
            texts = pa.array([readable(scalar) for scalar in column], texted(field.type))
            table = table.set_column(place, field.name, texts)
    return table


def may_hold(kind: pa.DataType) -> bool:
    """True for dates and timestamps, and for what is made of them."""
    import pyarrow as pa

    if pa.types.is_union(kind):
        return False
    if kind.num_fields:
        return any(may_hold(kind.field(i).type) for i in range(kind.num_fields))
    return bool(pa.types.is_date(kind) or pa.types.is_timestamp(kind))


def leaves(array: pa.Array) -> Iterator[pa.Array]:
    """The arrays of moments that an array is made of."""
    import pyarrow as pa

    kind = array.type
    if not may_hold(kind):
        return
    if pa.types.is_map(kind):
        yield from leaves(array.keys)
        yield from leaves(array.items)
    elif pa.types.is_struct(kind):
        for part in array.flatten():
            yield from leaves(part)
    elif kind.num_fields:
        yield from leaves(array.flatten())
    else:
        yield array


def is_far(moments: pa.Array) -> bool:
    """True where one of them is out of Python's range, or infinite."""
    import pyarrow as pa
    import pyarrow.compute as pc

    least, most = range_of(moments.type)
    numbers = moments.cast(pa.int32() if pa.types.is_date32(moments.type) else pa.int64())
    found = pc.min_max(numbers).as_py()
    return found["min"] is not None and (found["min"] < least or found["max"] > most)


def range_of(kind: pa.DataType) -> tuple[int, int]:
    """The first and the last number of this type that Python can hold and that is not infinite."""
    import pyarrow as pa

    if pa.types.is_date32(kind):
        return FIRST_DAY, LAST_DAY
    ticks = 10 ** DIGITS["ms" if pa.types.is_date64(kind) else kind.unit] * DAY_SECONDS
    return max(FIRST_DAY * ticks, 2 - 2**63), min((LAST_DAY + 1) * ticks - 1, 2**63 - 2)


def texted(kind: pa.DataType) -> pa.DataType:
    """The type with text in place of moments."""
    import pyarrow as pa

    if not may_hold(kind):
        return kind
    if pa.types.is_map(kind):
        return pa.map_(texted(kind.key_type), texted(kind.item_type))
    if pa.types.is_struct(kind):
        parts = (kind.field(i) for i in range(kind.num_fields))
        return pa.struct([(part.name, texted(part.type)) for part in parts])
    return pa.list_(texted(kind.value_type)) if kind.num_fields else pa.string()


def readable(scalar: pa.Scalar) -> Any:
    """A value as Python has it, with its moments as text."""
    import pyarrow as pa

    kind = scalar.type
    if not scalar.is_valid or not may_hold(kind):
        return scalar.as_py()
    if pa.types.is_map(kind):
        return [(readable(pair["key"]), readable(pair["value"])) for pair in scalar.values]
    if pa.types.is_struct(kind):
        return {kind.field(i).name: readable(scalar[i]) for i in range(kind.num_fields)}
    return [readable(one) for one in scalar.values] if kind.num_fields else written(scalar.value, kind)


def written(number: int, kind: pa.DataType) -> str:
    """A moment as the database writes it, from the number it is stored as."""
    import pyarrow as pa

    if pa.types.is_date32(kind):
        return infinite(number, 31) or day(number)
    unit = "ms" if pa.types.is_date64(kind) else kind.unit
    seconds, fraction = divmod(number, 10 ** DIGITS[unit])
    days, clock = divmod(seconds, DAY_SECONDS)
    text = f"{day(days)} {clock // 3600:02}:{clock // 60 % 60:02}:{clock % 60:02}"
    text += f".{fraction:0{DIGITS[unit]}}".rstrip("0") if fraction else ""
    return infinite(number, 63) or text + ("+00" if getattr(kind, "tz", None) else "")


def infinite(number: int, bits: int) -> str:
    return {2**bits - 1: "infinity", 1 - 2**bits: "-infinity"}.get(number, "")


def day(number: int) -> str:
    """A day since 1970 in the Gregorian calendar, also before there was one.

    Years are counted from March, so that the leap day is the last of its year.
    """
    era, rest = divmod(number + EPOCH_DAYS, 146_097)
    year = (rest - rest // 1_460 + rest // 36_524 - rest // 146_096) // 365
    rest -= 365 * year + year // 4 - year // 100
    month = (5 * rest + 2) // 153
    of_month = rest - (153 * month + 2) // 5 + 1
    year += era * 400 + (month >= 10)
    date = f"{year if year > 0 else 1 - year:04}-{(month + 2) % 12 + 1:02}-{of_month:02}"
    return date if year > 0 else f"{date} (BC)"
