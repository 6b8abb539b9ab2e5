"""What a merged aggregate keeps of a group: columns of state, and how they change."""

from __future__ import annotations

from dataclasses import dataclass

from sqlglot import exp

TAKEN = " - d.{r}"
"""The end of a merge that takes what was removed; left out where nothing was."""
INEXACT = exp.DataType.FLOAT_TYPES | {exp.DataType.Type.UNKNOWN, exp.DataType.Type.INTERVAL}


@dataclass(frozen=True)
class Accumulator:
    """A column of state: its text over all rows (`initial`) and over a change's rows.

    `came` is the text over a change whose rows only came; `inserted` and `removed` tell them by their
    weight from rows that went. `merge` is the new value from old and change; `redo` says when a group
    has to be read again because rows left it, `doubt` when even though rows only came.
    """

    name: str
    initial: str
    came: str
    inserted: str
    removed: str | None
    merge: str
    redo: str = ""
    doubt: str = ""


def inexact(expr: exp.Expr) -> bool:
    """True unless the type is known to add and subtract without rounding."""
    return expr.type is None or expr.type.this in INEXACT or not is_number(expr)


def floating(expr: exp.Expr) -> bool:
    """True where a sum of it may be floating point: for certain, or because its type is not known."""
    return expr.type is None or expr.type.this in {*exp.DataType.FLOAT_TYPES, exp.DataType.Type.UNKNOWN}


def is_number(expr: exp.Expr) -> bool:
    """A number for certain."""
    return expr.type is not None and expr.type.this in exp.DataType.NUMERIC_TYPES


def several(call: exp.Expr) -> bool:
    """True for calls over more than one argument: max(x, n), count(x, y)."""
    return bool(call.expressions) or call.args.get("count") is not None


def over_rows(call: str, *conditions: str) -> str:
    """An aggregate over the rows for which all conditions hold."""
    told = [c for c in conditions if c != "TRUE"]
    return f"{call} FILTER (WHERE {' AND '.join(told)})" if told else call


def readings(call: str, condition: str) -> tuple[str, str, str]:
    """An aggregate over all rows, over those that came and over those that went."""
    return (
        over_rows(call, condition),
        over_rows(call, "_w > 0", condition),
        over_rows(call, "_w < 0", condition),
    )


def counter(name: str, arg: str | None, condition: str) -> Accumulator:
    """count(arg) under a condition: exact under insertion and deletion."""
    text, come, gone = readings("count(*)" if arg is None else f"count({arg})", condition)
    return Accumulator(name, text, text, come, gone, f"coalesce(o.{{n}}, 0) + d.{{i}}{TAKEN}")
