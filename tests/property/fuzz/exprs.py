"""Scalar expressions of a wanted kind, over the columns of a scope."""

from __future__ import annotations

import random
from collections.abc import Callable

from fuzz.functions import function_call
from fuzz.scope import Col, Gen, Scope
from fuzz.values import literal, ordinary

KINDS = ("int", "dbl", "dec", "str", "bool", "ts", "date")


def expression(gen: Gen, scope: Scope, kind: str | None = None, depth: int = 2) -> Col:
    """An expression of a kind (any kind that the scope has, if None)."""
    rng = gen.rng
    if kind is None:
        if depth <= 0 or gen.chance(0.4):
            return rng.choice(scope.columns)
        kinds = sorted({c.kind for c in scope.columns} & set(KINDS)) or ["int"]
        kind = rng.choice(kinds)
    called = function_call(gen, scope, kind) if depth > 0 and gen.chance(0.12) else None
    if called is not None:
        return called
    leaves = scope.of(kind)
    if depth <= 0 or kind not in MAKERS or gen.chance(0.3):
        return rng.choice(leaves) if leaves and gen.chance(0.93) else constant(rng, kind)
    return MAKERS[kind](gen, scope, depth - 1)


def constant(rng: random.Random, kind: str) -> Col:
    return Col(literal(ordinary(rng, kind if kind in KINDS or kind == "big" else "int")), kind)


def both(parts: tuple[Col, ...], sql: str, kind: str) -> Col:
    return Col(sql, kind, all(p.exact for p in parts))


def _branching(gen: Gen, scope: Scope, kind: str, depth: int) -> Col:
    """CASE, COALESCE, NULLIF, IF, GREATEST: they keep the kind of their parts."""
    a = expression(gen, scope, kind, depth)
    b = expression(gen, scope, kind, depth)
    which = gen.rng.choice(("case", "coalesce", "nullif", "greatest", "if", "simple_case"))
    if which in {"nullif", "greatest"} and not (a.exact and b.exact):
        which = "coalesce"
    gen.tag(f"expr:{which}")
    if which in {"case", "if"}:
        when = condition(gen, scope, depth)
        text = f"CASE WHEN {when} THEN {a.sql} ELSE {b.sql} END"
        return both((a, b), text if which == "case" else f"IF({when}, {a.sql}, {b.sql})", kind)
    if which == "simple_case":
        on = expression(gen, scope, "int", 0)
        return both((a, on), f"CASE {on.sql} WHEN 1 THEN {a.sql} WHEN 2 THEN {b.sql} END", kind)
    return both((a, b), f"{which}({a.sql}, {b.sql})", kind)


def _int(gen: Gen, scope: Scope, depth: int) -> Col:
    rng = gen.rng
    a = expression(gen, scope, "int", depth)
    b = expression(gen, scope, "int", depth)
    options: list[Callable[[], Col]] = [
        lambda: both((a, b), f"({a.sql} {rng.choice('+-')} {b.sql})", "int"),
        lambda: both((a,), f"({a.sql} * {rng.choice((2, 3, -1))})", "int"),
        lambda: both((a,), f"({a.sql} {rng.choice(('%', '//'))} {rng.randint(2, 4)})", "int"),
        lambda: both((a,), rng.choice(("abs({})", "(-{})", "sign({})")).format(a.sql), "int"),
        lambda: _branching(gen, scope, "int", depth),
    ]
    strings, times, flags = scope.of("str"), scope.of("ts", "date"), scope.of("bool")
    if strings:
        options.append(lambda: Col(f"length({rng.choice(strings).sql})", "int"))
    if times:
        part = rng.choice(("day", "dow", "month"))
        options.append(lambda: Col(f"EXTRACT({part} FROM {rng.choice(times).sql})", "int"))
    if flags:
        options.append(lambda: Col(f"CAST({rng.choice(flags).sql} AS INTEGER)", "int"))
    return rng.choice(options)()


def _dbl(gen: Gen, scope: Scope, depth: int) -> Col:
    rng = gen.rng
    a = expression(gen, scope, "dbl", depth)
    b = expression(gen, scope, rng.choice(("dbl", "int")), depth)
    options: list[Callable[[], Col]] = [
        lambda: both((a, b), f"({a.sql} {rng.choice('+-')} {b.sql})", "dbl"),
        lambda: both((a,), f"({a.sql} * 0.5)", "dbl"),
        lambda: both((a,), f"abs({a.sql})", "dbl"),
        lambda: both((a, b), f"({a.sql} / NULLIF({b.sql}, 0))", "dbl") if b.exact else a,
        lambda: _branching(gen, scope, "dbl", depth),
    ]
    return rng.choice(options)()


def _dec(gen: Gen, scope: Scope, depth: int) -> Col:
    rng = gen.rng
    a = expression(gen, scope, "dec", depth)
    b = expression(gen, scope, "dec", 0)
    options: list[Callable[[], Col]] = [
        lambda: both((a, b), f"({a.sql} {rng.choice('+-')} {b.sql})", "dec"),
        lambda: both((a,), f"round({a.sql}, 1)", "dec"),
        lambda: both((a,), f"abs({a.sql})", "dec"),
        lambda: _branching(gen, scope, "dec", depth),
    ]
    return rng.choice(options)()


def _str(gen: Gen, scope: Scope, depth: int) -> Col:
    rng = gen.rng
    a = expression(gen, scope, "str", depth)
    b = expression(gen, scope, "str", 0)
    options: list[Callable[[], Col]] = [
        lambda: both((a, b), f"({a.sql} || {b.sql})", "str"),
        lambda: both((a,), f"{rng.choice(('upper', 'lower', 'trim', 'reverse'))}({a.sql})", "str"),
        lambda: both((a,), f"substr({a.sql}, 1, {rng.randint(1, 2)})", "str"),
        lambda: both((a, b), f"concat_ws('-', {a.sql}, {b.sql})", "str"),
        lambda: both((a,), f"replace({a.sql}, 'a', 'o')", "str"),
        lambda: _branching(gen, scope, "str", depth),
    ]
    others = scope.of("int", "date", "bool", exact=True)
    if others:
        options.append(lambda: Col(f"CAST({rng.choice(others).sql} AS VARCHAR)", "str"))
    return rng.choice(options)()


def _ts(gen: Gen, scope: Scope, depth: int) -> Col:
    rng = gen.rng
    a = expression(gen, scope, "ts", depth)
    options: list[Callable[[], Col]] = [
        lambda: both((a,), f"({a.sql} + INTERVAL {rng.randint(1, 3)} HOUR)", "ts"),
        lambda: both((a,), f"date_trunc('{rng.choice(('hour', 'day', 'month'))}', {a.sql})", "ts"),
        lambda: _branching(gen, scope, "ts", depth),
    ]
    dates = scope.of("date")
    if dates:
        options.append(lambda: Col(f"CAST({rng.choice(dates).sql} AS TIMESTAMP)", "ts"))
    return rng.choice(options)()


def _date(gen: Gen, scope: Scope, depth: int) -> Col:
    rng = gen.rng
    a = expression(gen, scope, "date", depth)
    options: list[Callable[[], Col]] = [
        lambda: both((a,), f"({a.sql} + {rng.randint(1, 3)})", "date"),
        lambda: _branching(gen, scope, "date", depth),
    ]
    times = scope.of("ts")
    if times:
        options.append(lambda: Col(f"CAST({rng.choice(times).sql} AS DATE)", "date"))
    return rng.choice(options)()


def _bool(gen: Gen, scope: Scope, depth: int) -> Col:
    if gen.chance(0.15):
        return _branching(gen, scope, "bool", depth)
    return Col(f"({condition(gen, scope, depth)})", "bool")


MAKERS: dict[str, Callable[[Gen, Scope, int], Col]] = {
    "int": _int,
    "dbl": _dbl,
    "dec": _dec,
    "str": _str,
    "ts": _ts,
    "date": _date,
    "bool": _bool,
}


def condition(gen: Gen, scope: Scope, depth: int = 1) -> str:
    """A boolean expression over columns that can be compared."""
    rng = gen.rng
    if depth > 0 and gen.chance(0.3):
        a, b = condition(gen, scope, depth - 1), condition(gen, scope, depth - 1)
        gen.tag("expr:logic")
        return rng.choice((f"({a} AND {b})", f"({a} OR {b})", f"NOT ({a})", f"({a}) IS NOT TRUE"))
    columns = scope.comparable()
    if not columns:
        return rng.choice(("TRUE", "1 = 1"))
    column = rng.choice(columns)
    if column.kind == "bool" and gen.chance(0.5):
        return column.sql
    return _comparison(gen, scope, column, depth)


def _comparison(gen: Gen, scope: Scope, column: Col, depth: int) -> str:
    rng = gen.rng
    other = constant(rng, column.kind).sql
    peers = [c for c in scope.of(column.kind, exact=True) if c != column]
    if peers and gen.chance(0.3):
        other = rng.choice(peers).sql
    elif depth > 0 and gen.chance(0.25) and column.kind in MAKERS:
        made = expression(gen, Scope(tuple(scope.comparable())), column.kind, depth)
        other = made.sql if made.exact else other
    how = rng.choices(("compare", "null", "distinct", "in", "between", "like"), (50, 14, 8, 12, 10, 6))[0]
    gen.tag(f"pred:{how}")
    if how == "null":
        return f"{column.sql} IS {rng.choice(('', 'NOT '))}NULL"
    if how == "distinct":
        return f"{column.sql} IS {rng.choice(('', 'NOT '))}DISTINCT FROM {other}"
    if how == "in":
        items = ", ".join(constant(rng, column.kind).sql for _ in range(rng.randint(1, 3)))
        return f"{column.sql} {rng.choice(('', 'NOT '))}IN ({items}{', NULL' if gen.chance(0.1) else ''})"
    if how == "between":
        return f"{column.sql} BETWEEN {constant(rng, column.kind).sql} AND {other}"
    if how == "like" and column.kind == "str" and gen.chance(0.3):
        gen.tag("pred:collate")
        return f"{column.sql} COLLATE NOCASE {rng.choice(('=', '<', '>='))} {other}"
    if how == "like" and column.kind == "str":
        return f"{column.sql} {rng.choice(('LIKE', 'NOT LIKE', 'ILIKE'))} '{rng.choice(('a%', '%b%', '_'))}'"
    return f"{column.sql} {rng.choice(('=', '<>', '<', '<=', '>', '>='))} {other}"
