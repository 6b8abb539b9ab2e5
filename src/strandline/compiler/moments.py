"""Variance and standard deviation as mergeable state: count, mean and sum of squared differences.

A sum of squares alone cancels: of values near 1e9 nothing is left of a variance of 1. Two parts are
put together by their means and their sums of squared differences (Chan, Golub and LeVeque, "Updating
formulae and a pairwise algorithm for computing sample variances", 1979), which does not cancel. Whole
numbers, and DECIMALs of up to four places, are summed up exactly, they and their squares, so that rows
can be taken out again; doubles are read again where a row goes, as their sums are.

What the engine itself makes of values that lie close together and far from zero is rounded as well
(Welford: by about mean/deviation times a double's precision). Where that counts the group is read
again, so that its value is the one that the query gives.
"""

from __future__ import annotations

from sqlglot import exp

from strandline.compiler import relations as r
from strandline.compiler.accumulators import Accumulator, counter, is_number, over_rows
from strandline.compiler.text import sql

LIMIT = 2**46
"""Larger numbers are not squared exactly: 2^34 squares of this one fit into a HUGEINT."""
PLACES = 10_000
"""DECIMALs are counted in ten-thousandths."""
MOST = "1e38"
"""Products of whole numbers below this fit into a HUGEINT."""
NARROW = "1e12"
"""Where the sum's square is so many times the squared differences, what rounding took counts."""
TINY = "1e-280"
"""Squares below this have lost digits to underflow."""
ROOTS = (exp.Stddev, exp.StddevPop, exp.StddevSamp)
FAMILY = (*ROOTS, exp.Variance, exp.VariancePop)
OF_SAMPLES = (exp.Stddev, exp.StddevSamp, exp.Variance)


def spread(name: str, call: exp.Expr, condition: str) -> tuple[Accumulator, ...] | None:
    """The state of the variance family, exact where the argument's type is."""
    if not is_number(call.this):
        return None
    exact = call.this.type.this not in exp.DataType.FLOAT_TYPES
    return whole(name, call, condition) if exact else floating_point(name, call, condition)


def value(name: str, call: exp.Expr) -> str:
    """The function's value from its state; NULL of no values, and of one as a sample."""
    count, squares = r.quote(f"{name}.count"), r.quote(f"{name}.squares")
    if call.this.type.this not in exp.DataType.FLOAT_TYPES:
        left = difference(count, r.quote(f"{name}.sum"), r.quote(f"{name}.squared"))
        squares = f"coalesce({squares}, {left} / {count} / {unit(call) ** 2})"
    least, divisor = (1, f"({count} - 1)") if isinstance(call, OF_SAMPLES) else (0, count)
    variance = f"{squares} / {divisor}"
    return (
        f"CASE WHEN {count} > {least} THEN {f'sqrt({variance})' if isinstance(call, ROOTS) else variance} END"
    )


def as_read(value: str, condition: str) -> str:
    """The squared differences as the engine sums them up over all rows."""
    some = f"FILTER (WHERE {condition})"
    return f"coalesce(var_pop({value}) {some} * count({value}) {some}, 0)"


def brace(name: str) -> str:
    """A quoted name in a text that is formatted."""
    return r.quote(name).replace("{", "{{").replace("}", "}}")


def floating_point(name: str, call: exp.Expr, condition: str) -> tuple[Accumulator, ...]:
    """Means and squared differences of two parts put together."""
    text = sql(call.this)
    some, come = (f"FILTER (WHERE {c})" for c in (condition, f"_w > 0 AND {condition}"))
    had, has = (
        f"coalesce({side}, 0)" for side in (f"o.{brace(name + '.count')}", f"d.{brace(name + '.count+')}")
    )
    old = {what: f"coalesce(o.{brace(f'{name}.{what}')}, 0)" for what in ("mean", "squares")}
    new = {what: f"d.{brace(f'{name}.{what}+')}" for what in ("mean", "squares")}
    apart = f"CASE WHEN {had} > 0 AND {has} > 0 THEN {new['mean']} - {old['mean']} ELSE 0 END"
    share = f"({has}::DOUBLE / ({had} + {has}))"
    mean = f"CASE WHEN {had} = 0 THEN {new['mean']} WHEN {has} = 0 THEN {old['mean']} "
    mean += f"ELSE {old['mean']} + ({apart}) * {share} END"
    squares = f"{old['squares']} + {new['squares']} + coalesce(({apart}) * ({apart}) * {had} * {share}, 0)"
    sound = (
        f"isfinite({squares}) AND ({squares} = 0 AND ({apart}) = 0 OR {squares} > {TINY} AND "
        f"pow(({mean}) * ({had} + {has}), 2) <= {NARROW} * ({squares}))"
    )
    left = f"count({text}) FILTER (WHERE _w < 0 AND {condition}) > 0"
    average = f"coalesce(avg({text}) {{}}, 0)"
    return (
        counter(f"{name}.count", text, condition),
        Accumulator(
            f"{name}.mean", average.format(some), average.format(some), average.format(come), None, mean, left
        ),
        Accumulator(
            f"{name}.squares",
            as_read(text, condition),
            as_read(text, condition),
            as_read(text, f"_w > 0 AND {condition}"),
            "0",
            squares,
            doubt=f"NOT ({sound})",
        ),
    )


def unit(call: exp.Expr) -> int:
    """What an argument is multiplied by to be whole."""
    return 1 if call.this.type.this in exp.DataType.INTEGER_TYPES else PLACES


def whole(name: str, call: exp.Expr, condition: str) -> tuple[Accumulator, ...]:
    """Exact sums of the values and of their squares, and the engine's own value while the group is as read.

    What is too large, or has too many places, is counted (`odd`): with such values the group is read again.
    """
    text, times = f"({sql(call.this)})", unit(call)
    scaled = f"({text} * {times})" if times != 1 else text
    inside = f"{text} BETWEEN {-(LIMIT // times)} AND {LIMIT // times}"
    fits = f"coalesce(TRY({inside} AND {scaled} = {scaled}::HUGEINT), FALSE)"
    number = f"CASE WHEN {fits} THEN {scaled}::HUGEINT END"
    parts = {
        "count": f"CASE WHEN {text} IS NOT NULL THEN 1 END",
        "odd": f"CASE WHEN {text} IS NOT NULL AND NOT {fits} THEN 1 END",
        "sum": number,
        "squared": f"({number}) * ({number})",
    }
    new = {
        part: f"(coalesce(o.{brace(f'{name}.{part}')}, 0) + d.{brace(f'{name}.{part}+')})" for part in parts
    }
    sums = tuple(
        net(f"{name}.{part}", what, condition, counted=part in ("count", "odd"))
        for part, what in parts.items()
    )
    left = difference(new["count"], new["sum"], new["squared"])
    narrow = f"pow({new['sum']}::DOUBLE, 2) * {new['count']} > {NARROW} * ({left}) AND ({left}) <> 0"
    doubt = f"{new['odd']} > 0 OR coalesce({narrow}, {new['count']} > 0)"
    squares = f"{name}.squares"
    return (*sums, Accumulator(squares, as_read(text, condition), "0", "0", "0", "NULL::DOUBLE", doubt=doubt))


def net(name: str, number: str, condition: str, *, counted: bool) -> Accumulator:
    """An exact sum of what came less what went.

    Ones are `counted` where nothing goes: beside an empty side of a LEFT JOIN, DuckDB 2.0.0 takes
    `coalesce(sum(1) FILTER (…), 0) > 0` for false.
    """
    initial, change = (
        f"coalesce(sum({n}) FILTER (WHERE {condition}), 0)" for n in (number, f"({number}) * _w")
    )
    if counted:
        initial = over_rows(f"count({number})", condition)
    return Accumulator(name, initial, initial, change, "0", "coalesce(o.{n}, 0) + d.{i}")


def difference(count: str, total: str, squared: str) -> str:
    """Count times the squared differences; NULL where that may be too large for whole numbers."""
    product = f"{count} * {squared} - {total} * {total}"
    return f"CASE WHEN {count}::DOUBLE * {squared} < {MOST} THEN ({product})::DOUBLE END"
