"""Columns and values: small domains (so that joins meet and ties happen), NULLs, and extremes."""

from __future__ import annotations

import datetime as dt
import math
import random
from decimal import Decimal
from typing import Any

TYPES = {
    "int": "INTEGER",
    "big": "BIGINT",
    "dbl": "DOUBLE",
    "dec": "DECIMAL(12,2)",
    "str": "VARCHAR",
    "bool": "BOOLEAN",
    "ts": "TIMESTAMP",
    "date": "DATE",
}
DAY = dt.date(2024, 2, 27)  # the days around a leap day
MIDNIGHT = dt.datetime(2024, 2, 27)  # noqa: DTZ001 (the engine's TIMESTAMP has no zone)
WORDS = ("", "a", "b", "A", "ab", "é", "x'y", "a b", "null", "ζ%_")
EXTREMES: dict[str, tuple[Any, ...]] = {
    "int": (2147483647, -2147483648),
    "big": (9223372036854775807, -9223372036854775808, 0),
    "dbl": (-0.0, 0.0, math.nan, math.inf, -math.inf),
    "dec": (Decimal("9999999999.99"), Decimal("-9999999999.99"), Decimal("0.00")),
    "str": ("", "a" * 300, "\t", "\\", "🌊"),
    "ts": (dt.datetime(1970, 1, 1), dt.datetime(2999, 12, 31, 23, 59, 59, 999999)),  # noqa: DTZ001
    "date": (dt.date(1, 1, 1), dt.date(2999, 12, 31)),
    "bool": (True, False),
}


def value(rng: random.Random, kind: str, *, nulls: float = 0.12, wild: float = 0.0) -> Any:
    """One value of a kind; `wild` is the chance of an extreme one."""
    if rng.random() < nulls:
        return None
    if rng.random() < wild:
        return rng.choice(EXTREMES[kind])
    return ordinary(rng, kind)


def ordinary(rng: random.Random, kind: str) -> Any:
    """One everyday value from a small domain, so that equal values are common."""
    if kind == "int":
        return rng.randint(-3, 9)
    if kind == "big":
        return rng.choice((rng.randint(-5, 5), rng.randint(-(10**12), 10**12)))
    if kind == "dbl":
        return rng.choice((rng.randint(-20, 40) * 0.25, -0.0, round(rng.uniform(-5, 5), 2)))
    if kind == "dec":
        return Decimal(rng.randint(-300, 900)) / 100
    if kind == "str":
        return rng.choice(WORDS)
    if kind == "bool":
        return rng.random() < 0.5
    if kind == "ts":
        return MIDNIGHT + dt.timedelta(hours=rng.randint(0, 72), minutes=rng.choice((0, 0, 30)))
    return DAY + dt.timedelta(days=rng.randint(0, 6))


def literal(item: Any) -> str:
    """A Python value as SQL text."""
    if item is None:
        return "NULL"
    if isinstance(item, bool):
        return "TRUE" if item else "FALSE"
    if isinstance(item, float):
        return f"CAST({item!r} AS DOUBLE)" if math.isfinite(item) else f"CAST('{item}' AS DOUBLE)"
    if isinstance(item, dt.datetime):
        return f"TIMESTAMP '{item.isoformat(' ')}'"
    if isinstance(item, dt.date):
        return f"DATE '{item.isoformat()}'"
    if isinstance(item, str):
        return "'" + item.replace("'", "''") + "'"
    return f"({item})" if item < 0 else str(item)
