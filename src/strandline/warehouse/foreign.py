"""Arrow types that the engine does not read, or reads and then fails over, as the nearest that it does."""

from __future__ import annotations

import pyarrow as pa

from strandline.errors import InputError

COARSE = ("s", "ms")


def known(table: pa.Table, where: str) -> pa.Table:
    """The table with such columns cast, their values the same. Raises InputError naming a column.

    Seconds and milliseconds that reach beyond what microseconds can count would end the engine's
    work for good (it takes a failing TRY_CAST of them for a fault of its own), and are refused.
    """
    for place, column in enumerate(table.schema):
        kind = nearest(column.type)
        if kind != column.type:
            table = table.set_column(place, column.name, cast(table.column(place), kind, column.name, where))
    return table


def cast(values: pa.ChunkedArray, kind: pa.DataType, name: str, where: str) -> pa.ChunkedArray:
    try:
        if pa.types.is_run_end_encoded(values.type):
            import pyarrow.compute as pc

            values = pc.run_end_decode(values)
        # beyond microseconds the engine's own types round as well
        return values.cast(kind, safe=not is_fine(values.type))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise InputError(
            f"column {name!r} cannot be read as {kind}: {str(error).splitlines()[0]}",
            where=where,
            hint="cast the column to another type first, or give its values as text.",
            cause=error,
        ) from error


def is_fine(kind: pa.DataType) -> bool:
    """Whether there are nanoseconds anywhere in a type."""
    if pa.types.is_timestamp(kind):
        return bool(kind.unit == "ns")
    if pa.types.is_dictionary(kind):
        return is_fine(kind.value_type)
    return any(is_fine(kind.field(i).type) for i in range(kind.num_fields))


def nearest(kind: pa.DataType) -> pa.DataType:
    """The type itself where the engine reads it."""
    if pa.types.is_float16(kind):
        return pa.float32()
    if pa.types.is_decimal256(kind):
        return pa.string()  # the engine casts it to what the column is
    if pa.types.is_timestamp(kind) and (kind.unit in COARSE or (kind.tz and is_fine(kind))):
        return pa.timestamp("us", kind.tz)
    if pa.types.is_run_end_encoded(kind):
        return nearest(kind.value_type)
    if pa.types.is_dictionary(kind) and nearest(kind.value_type) != kind.value_type:
        return nearest(kind.value_type)
    return nested(kind)


def nested(kind: pa.DataType) -> pa.DataType:
    """The same of what a type is made of."""
    if pa.types.is_struct(kind):
        return pa.struct([inside(kind.field(i)) for i in range(kind.num_fields)])
    if pa.types.is_map(kind):
        return pa.map_(nearest(kind.key_type), inside(kind.item_field))
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(inside(kind.value_field), kind.list_size)
    if pa.types.is_list(kind):
        return pa.list_(inside(kind.value_field))
    if pa.types.is_large_list(kind):
        return pa.large_list(inside(kind.value_field))
    if pa.types.is_list_view(kind) or pa.types.is_large_list_view(kind):
        # Arrow has no cast to it, so it is refused: its cast to plain lists loses rows
        element = inside(kind.value_field)
        return kind if element == kind.value_field else pa.large_list_view(element)
    return kind


def inside(field: pa.Field) -> pa.Field:
    return field.with_type(nearest(field.type))
