"""What is an aggregate call, and where the calls of an expression are."""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp

AGGREGATE_NAMES = frozenset(
    [
        "product",
        "bitstring_agg",
        "kurtosis",
        "kurtosis_pop",
        "mad",
        "entropy",
        "histogram",
        "histogram_exact",
        "fsum",
        "sumkahan",
        "kahan_sum",
        "favg",
        "first",
        "last",
        "any_value",
        "arbitrary",
        "arg_min",
        "arg_max",
        "arg_min_null",
        "arg_max_null",
        "arg_min_nulls_last",
        "arg_max_nulls_last",
        "combine_aggr",
        "decimal_average",
        "lttb",
        "variant_group_object",
        "argmin",
        "argmax",
        "max_by",
        "min_by",
        "list",
        "array_agg",
        "string_agg",
        "group_concat",
        "listagg",
        "quantile",
        "quantile_cont",
        "quantile_disc",
        "approx_quantile",
        "reservoir_quantile",
        "approx_count_distinct",
        "approx_top_k",
        "mode",
        "median",
        "sem",
        "skewness",
        "stddev_pop",
        "stddev_samp",
        "var_pop",
        "var_samp",
        "covar_pop",
        "covar_samp",
        "corr",
        "regr_avgx",
        "regr_avgy",
        "regr_count",
        "regr_intercept",
        "regr_r2",
        "regr_slope",
        "regr_sxx",
        "regr_sxy",
        "regr_syy",
        "bit_and",
        "bit_or",
        "bit_xor",
        "bool_and",
        "bool_or",
        "count",
        "count_if",
        "countif",
        "count_star",
        "sum",
        "sum_no_overflow",
        "avg",
        "mean",
        "min",
        "max",
        "variance",
        "stddev",
        "geomean",
        "geometric_mean",
        "weighted_avg",
        "wavg",
        "json_group_array",
        "json_group_object",
        "json_group_structure",
    ]
)
"""Those the parser has no class for."""


def is_aggregate(node: exp.Expr) -> bool:
    """True for aggregate functions, also those the parser knows only by name."""
    if isinstance(node, exp.AggFunc):
        return True
    return isinstance(node, exp.Anonymous) and node.name.lower() in AGGREGATE_NAMES


def aggregate_units(expr: exp.Expr) -> Iterator[exp.Expr]:
    """The outermost aggregate calls (with FILTER, WITHIN GROUP …), not those that are window functions."""
    if isinstance(expr, exp.Query):
        return
    if isinstance(expr, exp.Window):
        yield from window_parts(expr)
        return
    wrapped = expr
    while isinstance(wrapped, (exp.Filter, exp.WithinGroup, exp.IgnoreNulls, exp.RespectNulls)):
        wrapped = wrapped.this
    if is_aggregate(wrapped):
        yield expr
        return
    for child in expr.iter_expressions():
        yield from aggregate_units(child)


def called(unit: exp.Expr) -> exp.Expr:
    """The aggregate itself, without FILTER and what becomes of NULLs."""
    while isinstance(unit, (exp.Filter, exp.IgnoreNulls, exp.RespectNulls)):
        unit = unit.this
    return unit


def calls_of(select: exp.Select) -> list[exp.Expr]:
    """The aggregate calls of a SELECT, with what wraps them; not those of its subqueries."""
    parts = [*select.expressions, *(select.args.get(p) for p in ("having", "qualify", "order"))]
    return [u for p in parts if p is not None for u in aggregate_units(p)]


def is_one_row(select: exp.Select) -> bool:
    """Aggregates without GROUP BY."""
    return not select.args.get("group") and bool(calls_of(select))


def window_parts(window: exp.Window) -> Iterator[exp.Expr]:
    """Aggregates inside a window call's arguments and specification."""
    head = window.this
    while isinstance(head, (exp.Filter, exp.IgnoreNulls, exp.RespectNulls, exp.WithinGroup)):
        if isinstance(head, exp.Filter):
            yield from aggregate_units(head.expression)
        head = head.this
    for child in head.iter_expressions():
        yield from aggregate_units(child)
    for part in [*(window.args.get("partition_by") or []), window.args.get("order")]:
        if part is not None:
            yield from aggregate_units(part)


def bare_columns(expr: exp.Expr) -> Iterator[exp.Column]:
    """The columns that stand in no aggregate call and no subquery."""
    calls = {id(call) for call in aggregate_units(expr)}
    waiting = [expr]
    while waiting:
        node = waiting.pop()
        if isinstance(node, exp.Column):
            yield node
        elif id(node) not in calls and not isinstance(node, exp.Query):
            waiting += node.iter_expressions()
