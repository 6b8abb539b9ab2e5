"""Aggregates beyond the usual: statistics of one and two columns, orders by another column, extremes."""

from __future__ import annotations

from fuzz.scope import Col, Gen, Scope

ONE = ("stddev_samp", "var_pop", "var_samp", "stddev_pop", "mad", "favg", "fsum", "geomean", "product")
TWO = (
    "corr",
    "covar_pop",
    "covar_samp",
    "regr_slope",
    "regr_intercept",
    "regr_count",
    "regr_avgx",
    "regr_sxy",
)
ORDERED = ("string_agg", "list", "list", "first", "last", "string_agg_distinct")


def statistic(gen: Gen, scope: Scope) -> Col | None:
    """One call; None where the scope has no columns for it."""
    makers = (_one, _two, _ordered, _ordered, _paired, _several)
    return gen.rng.choice(makers)(gen, scope)


def _one(gen: Gen, scope: Scope) -> Col | None:
    columns = scope.of("int", "dec")
    if not columns:
        return None
    name = gen.rng.choice(ONE)
    column = gen.rng.choice(columns).sql
    gen.tag(f"agg:{name}")
    if name in {"geomean", "product"}:  # small factors only: nothing overflows, nothing is negative
        return Col(f"{name}(1 + abs({column}) % 3)", "dbl", exact=False)
    return Col(f"{name}({column})", "dbl", exact=False)


def _two(gen: Gen, scope: Scope) -> Col | None:
    columns = scope.of("int")
    if len(columns) < 2:
        return None
    name = gen.rng.choice(TWO)
    a, b = gen.rng.sample(columns, 2)
    gen.tag(f"agg:{name}")
    if name == "regr_count":
        return Col(f"{name}({a.sql}, {b.sql})", "int")
    return Col(f"{name}({a.sql} % 10, {b.sql} % 10)", "dbl", exact=False)


def _ordered(gen: Gen, scope: Scope) -> Col | None:
    """An order that says everything: the scope's total order last."""
    if not scope.total:
        return None
    name = gen.rng.choice(ORDERED)
    columns = scope.of("str") if name.startswith("string_agg") else scope.comparable()
    if not columns:
        return None
    column, by = gen.rng.choice(columns), gen.rng.choice(scope.comparable())
    order = ", ".join([f"{by.sql}{gen.rng.choice((' DESC', '', ' NULLS FIRST'))}", *scope.total])
    gen.tag(f"agg:{name}", "agg:order-by-another")
    if name == "string_agg_distinct":
        return Col(f"string_agg(DISTINCT {column.sql}, '-' ORDER BY {column.sql} DESC)", "str")
    if name == "string_agg":
        return Col(f"string_agg({column.sql}, '|' ORDER BY {order})", "str")
    if name == "list":
        return Col(f"list({column.sql} ORDER BY {order})", "list", exact=False)
    return Col(f"{name}({column.sql} ORDER BY {order})", column.kind)


def _paired(gen: Gen, scope: Scope) -> Col | None:
    """arg_min and arg_max of what they are ordered by (ties show the same), and of a key."""
    columns = [c for c in scope.comparable() if c.kind != "dbl"]
    if not columns:
        return None
    by = gen.rng.choice(columns)
    gen.tag("agg:arg-of-itself")
    return Col(f"{gen.rng.choice(('arg_min', 'arg_max', 'max_by', 'min_by'))}({by.sql}, {by.sql})", by.kind)


def _several(gen: Gen, scope: Scope) -> Col | None:
    """Several values at once, in an order of their own."""
    columns = scope.of("int", "date")
    if not columns:
        return None
    column = gen.rng.choice(columns)
    text, name = gen.rng.choice(
        (
            ("max({0}, 2)", "max-n"),
            ("min({0}, 2)", "min-n"),
            ("list_sort(list(DISTINCT {0}))", "list-distinct"),
            ("count(DISTINCT ({0}, {0} IS NULL))", "count-distinct-rows"),
            ("histogram({0})", "histogram"),
            ("quantile_disc({0}, [0.25, 0.75])", "quantiles"),
            ("approx_count_distinct({0}) >= 0", "approx"),
            ("any_value({0}) IS NULL", "any-value"),
        )
    )
    gen.tag(f"agg:{name}")
    kind = {"count-distinct-rows": "int", "approx": "bool", "any-value": "bool"}.get(name, "list")
    return Col(text.format(column.sql), kind, kind != "list")
