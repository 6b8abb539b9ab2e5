"""How many values an expression can have at most, where its kind tells."""

from __future__ import annotations

from sqlglot import exp

Kind = exp.DataType.Type

PARTS: dict[type[exp.Expr], int] = {
    exp.Quarter: 4,
    exp.Month: 12,
    exp.Monthname: 12,
    exp.Week: 53,
    exp.Day: 31,
    exp.DayOfWeek: 7,
    exp.DayOfWeekIso: 7,
    exp.Dayname: 7,
    exp.DayOfYear: 366,
    exp.Hour: 24,
    exp.Minute: 60,
    exp.Second: 61,
}
"""Fields of dates and times that come round again."""
UNITS = {"quarter": 4, "month": 12, "week": 53, "day": 31, "dow": 7, "isodow": 7, "doy": 366, "hour": 24}
"""The same by their names in EXTRACT."""


def values_of(expr: exp.Expr) -> int | None:
    """The largest number of different values, NULL being one; None where there is no telling."""
    expr = expr.unnest()
    if isinstance(expr, (exp.Literal, exp.Null)):
        return 1
    if isinstance(expr, exp.Case):
        results = [*(i.args["true"] for i in expr.args["ifs"]), expr.args.get("default") or exp.Null()]
        counts = [values_of(e) for e in results]
        return sum(c or 0 for c in counts) if all(counts) else None
    if isinstance(expr, exp.Extract):
        count = UNITS.get(expr.this.name.lower())
    else:
        count = PARTS.get(type(expr)) or of_type(expr)
    return count and count + 1


def of_type(expr: exp.Expr) -> int | None:
    """The number of values of a small type."""
    if isinstance(expr, (exp.Predicate, exp.Connector, exp.Not, exp.Boolean)):
        return 2
    if expr.type is None:
        return None
    if expr.type.this in (Kind.ENUM, Kind.ENUM8, Kind.ENUM16):
        return len(expr.type.expressions) or None
    return {Kind.BOOLEAN: 2, Kind.TINYINT: 256, Kind.UTINYINT: 256}.get(expr.type.this)
