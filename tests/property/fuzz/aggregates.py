"""Aggregate calls and GROUP BY clauses."""

from __future__ import annotations

from fuzz.exprs import condition, expression
from fuzz.scope import Col, Gen, Scope
from fuzz.statistics import statistic

NUMERIC = ("sum", "avg", "sum", "avg", "stddev", "var_pop", "median", "sum_distinct", "quantile")
ANY = ("count_star", "count", "min", "max", "count_distinct", "count_star", "min", "max")
OTHER = ("bool_and", "bool_or", "string_agg", "list", "arg_max", "first", "count_if", "bit_or")
FLOATS = {"avg", "stddev", "stddev_pop", "var_pop", "var_samp", "quantile"}


def make_aggregate(gen: Gen, scope: Scope) -> Col:
    """One aggregate call, DISTINCT, ORDER BY and FILTER included where they make sense."""
    rng = gen.rng
    pool = rng.choices((NUMERIC, ANY, OTHER), (45, 40, 15))[0]
    special = statistic(gen, scope) if gen.chance(0.18) else None
    made = special or _call(gen, scope, rng.choice(pool))
    plain = made.sql.endswith(")") and not made.sql.startswith(
        ("geomean", "list_sort")
    )  # no macro, no operator
    if plain and gen.chance(0.15):
        gen.tag("agg:filter")
        return Col(f"{made.sql} FILTER (WHERE {condition(gen, scope, 1)})", made.kind, made.exact)
    return made


def _numeric(gen: Gen, scope: Scope, name: str) -> Col | None:
    kinds = (
        ("int", "dec", "dbl") if name in {"stddev", "var_pop", "quantile"} else ("int", "dec", "dbl", "big")
    )
    columns = scope.of(*kinds)
    if not columns:
        return None
    column = gen.rng.choice(columns)
    if column.kind != "big" and gen.chance(0.2):
        column = expression(gen, scope, column.kind, 1)
    return column


def _call(gen: Gen, scope: Scope, name: str) -> Col:
    rng = gen.rng
    if name in NUMERIC:
        column = _numeric(gen, scope, name)
        if column is None:
            return _call(gen, scope, "count_star")
        return _numeric_call(gen, name, column)
    gen.tag(f"agg:{name}")
    if name == "count_star":
        return Col(rng.choice(("count(*)", "COUNT(*)", "count()")), "int")
    if name in {"min", "max", "count", "count_distinct"}:
        columns = scope.comparable()
        if not columns:
            return Col("count(*)", "int")
        column = rng.choice(columns)
        if name == "count_distinct":
            return Col(f"count(DISTINCT {column.sql})", "int")
        return Col(f"{name}({column.sql})", "int" if name == "count" else column.kind)
    return _other_call(gen, scope, name)


def _numeric_call(gen: Gen, name: str, column: Col) -> Col:
    rng = gen.rng
    if name in {"sum_distinct", "median", "quantile"} and not column.exact:
        name = "sum"
    if name == "stddev":
        name = rng.choice(("stddev", "stddev_pop", "var_samp"))
    gen.tag(f"agg:{name}")
    if name == "sum_distinct":
        return Col(f"sum(DISTINCT {column.sql})", column.kind, column.kind != "dbl")
    if name == "quantile":
        text = f"{rng.choice(('quantile_cont', 'quantile_disc'))}({column.sql}, 0.{rng.choice('1579')})"
        return Col(text, "dbl", exact=False)
    kind = column.kind if name == "sum" else "dbl"
    exact = column.exact and name == "sum" and kind != "dbl"
    return Col(f"{name}({column.sql})", kind, exact)


def _other_call(gen: Gen, scope: Scope, name: str) -> Col:
    rng = gen.rng
    columns = scope.comparable()
    if name in {"bool_and", "bool_or", "count_if"}:
        test = condition(gen, scope, 0)
        return Col(f"{name}({test})", "int" if name == "count_if" else "bool")
    strings, ints = scope.of("str"), scope.of("int")
    if name == "string_agg" and strings:
        text = rng.choice(strings).sql
        distinct = "DISTINCT " if gen.chance(0.2) else ""
        return Col(f"string_agg({distinct}{text}, ',' ORDER BY {text}{rng.choice(('', ' DESC'))})", "str")
    if name == "bit_or" and ints:
        return Col(f"{rng.choice(('bit_or', 'bit_xor', 'bit_and'))}({rng.choice(ints).sql})", "int")
    if name == "list" and columns:
        column = rng.choice(columns)
        return Col(f"list({column.sql} ORDER BY {column.sql} NULLS FIRST)", "list", exact=False)
    if name in {"first", "arg_max"} and scope.total and columns:
        column = rng.choice(columns)
        order = ", ".join(scope.total)
        if name == "first":
            return Col(f"{rng.choice(('first', 'last'))}({column.sql} ORDER BY {order})", column.kind)
        if len(scope.total) == 1:
            return Col(f"{rng.choice(('arg_max', 'arg_min'))}({column.sql}, {order})", column.kind)
    return Col("count(*)", "int")


def make_groups(gen: Gen, scope: Scope) -> list[Col]:
    """Zero to three group expressions."""
    rng = gen.rng
    columns = scope.comparable()
    count = rng.choices((0, 1, 2, 3), (12, 55, 26, 7))[0]
    groups = rng.sample(columns, min(len(columns), count))
    made = []
    for column in groups:
        usable = Scope(tuple(columns))
        made.append(expression(gen, usable, column.kind, 1) if gen.chance(0.2) else column)
    unique = {c.sql: c for c in made if c.exact and not _constant(c)}
    return list(unique.values())


def _constant(column: Col) -> bool:
    """A bare literal in GROUP BY would be read as a position."""
    return not any(ch.isalpha() for ch in column.sql) or column.sql.startswith(
        ("'", "TIMESTAMP", "DATE", "CAST(")
    )


def group_clause(gen: Gen, groups: list[Col]) -> str:
    """GROUP BY, by name, position, ALL, or grouping sets."""
    rng = gen.rng
    if not groups:
        return ""
    texts = [g.sql for g in groups]
    how = rng.random()
    if how < 0.1:
        gen.tag("group:position")
        return " GROUP BY " + ", ".join(str(i + 1) for i in range(len(groups)))
    if how < 0.17:
        gen.tag("group:all")
        return " GROUP BY ALL"
    if how < 0.27:
        gen.tag("group:rollup")
        return f" GROUP BY {rng.choice(('ROLLUP', 'CUBE'))} ({', '.join(texts)})"
    if how < 0.32:
        gen.tag("group:sets")
        return f" GROUP BY GROUPING SETS (({', '.join(texts)}), ({texts[0]}), ())"
    gen.tag("group:plain")
    return " GROUP BY " + ", ".join(texts)
