"""Bags of rows: equal as bags, floats within 1e-9 relative, NaN equal to NaN."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

RELATIVE = 1e-9
ABSOLUTE = 1e-9  # for sums that cancel out around zero


@dataclass(frozen=True)
class Bag:
    """The rows of a result and its Arrow column types."""

    rows: tuple[tuple[Any, ...], ...]
    types: tuple[str, ...]

    @staticmethod
    def of(table: pa.Table) -> Bag:
        columns = [c.to_pylist() for c in table.columns]
        rows = tuple(zip(*columns, strict=True)) if columns else ((),) * table.num_rows
        return Bag(rows, tuple(str(t) for t in table.schema.types))


def close(a: float, b: float) -> bool:
    if math.isnan(a) or math.isnan(b):
        return math.isnan(a) and math.isnan(b)
    return math.isclose(a, b, rel_tol=RELATIVE, abs_tol=ABSOLUTE)


def difference(want: Bag, got: Bag) -> str | None:
    """None where both are the same bag; else what is missing and what is too much."""
    if want.rows and got.rows and len(want.rows[0]) != len(got.rows[0]):
        return f"{len(got.rows[0])} columns instead of {len(want.rows[0])}"
    missing, extra = leftovers(want, got)
    if missing or extra:
        return f"missing {brief(missing)}, extra {brief(extra)}"
    return None


def brief(rows: list[tuple[Any, ...]]) -> str:
    return f"{rows[:3]}{'…' if len(rows) > 3 else ''} ({len(rows)})"


def leftovers(want: Bag, got: Bag) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """Rows of `want` without a partner in `got`, and the other way round."""
    floating = _floating(want, got)
    ours, theirs = _grouped(want, floating), _grouped(got, floating)
    missing: list[tuple[Any, ...]] = []
    extra: list[tuple[Any, ...]] = []
    for key in ours.keys() | theirs.keys():
        _match(ours.get(key, []), theirs.get(key, []), floating, missing, extra)
    return missing, extra


def _floating(want: Bag, got: Bag) -> tuple[int, ...]:
    rows = (*want.rows, *got.rows)
    width = len(rows[0]) if rows else 0
    return tuple(i for i in range(width) if any(isinstance(r[i], float) for r in rows))


def _grouped(bag: Bag, floating: tuple[int, ...]) -> dict[Any, list[tuple[Any, ...]]]:
    groups: dict[Any, list[tuple[Any, ...]]] = defaultdict(list)
    for row in bag.rows:
        key = tuple(v is None if i in floating else _key(v) for i, v in enumerate(row))
        groups[key].append(row)
    return groups


def _key(item: Any) -> Any:
    """Hashable, and alike for equal values: True is not 1, and 1 is Decimal('1.00')."""
    if isinstance(item, bool):
        return ("bool", item)
    if isinstance(item, list):
        return ("list", tuple(_key(x) for x in item))
    if isinstance(item, dict):
        return ("dict", tuple((k, _key(v)) for k, v in item.items()))
    if isinstance(item, float):
        return "NaN" if math.isnan(item) else item + 0.0
    return item


def _match(
    want: list[tuple[Any, ...]],
    got: list[tuple[Any, ...]],
    floating: tuple[int, ...],
    missing: list[tuple[Any, ...]],
    extra: list[tuple[Any, ...]],
) -> None:
    if not floating:
        missing += want[len(got) :]
        extra += got[len(want) :]
        return
    left = sorted(got, key=lambda r: _order(r, floating))
    for row in sorted(want, key=lambda r: _order(r, floating)):
        place = next((i for i, other in enumerate(left) if _alike(row, other, floating)), None)
        if place is None:
            missing.append(row)
        else:
            del left[place]
    extra += left


def _order(row: tuple[Any, ...], floating: tuple[int, ...]) -> tuple[tuple[bool, float], ...]:
    values = [row[i] for i in floating]
    return tuple((_odd(v), 0.0 if _odd(v) else float(v)) for v in values)


def _odd(item: Any) -> bool:
    return item is None or math.isnan(item)


def _alike(a: tuple[Any, ...], b: tuple[Any, ...], floating: tuple[int, ...]) -> bool:
    return all(a[i] is None or _number_alike(a[i], b[i]) for i in floating)


def _number_alike(a: float | Decimal, b: float | Decimal) -> bool:
    return close(float(a), float(b))
