"""Types that the compiler takes for exact, floating point or nested are that in the engine too."""

from __future__ import annotations

import re

import duckdb
import pytest
import sqlglot
from sqlglot import exp
from sqlglot.optimizer.qualify import qualify

from strandline.compiler.inferring import inferred

COLUMNS = {
    "i": "INTEGER",
    "b": "BIGINT",
    "h": "HUGEINT",
    "u": "UBIGINT",
    "f": "FLOAT",
    "d": "DOUBLE",
    "dc": "DECIMAL(18,4)",
    "s": "VARCHAR",
    "bo": "BOOLEAN",
    "dt": "DATE",
    "t": "TIMESTAMP",
    "tz": "TIMESTAMPTZ",
    "iv": "INTERVAL",
    "l": "INTEGER[]",
    "ld": "DOUBLE[]",
    "ldc": "DECIMAL(9,2)[]",
    "st": "STRUCT(x INTEGER, y DOUBLE, z DECIMAL(9,2))",
    "j": "JSON",
}
PAIRS = [f"{x} {o} {y}" for x in COLUMNS for y in COLUMNS for o in ("+", "-", "*", "/", "//", "%", "||")]
CHOICES = [f"CASE WHEN bo THEN {x} ELSE {y} END" for x in COLUMNS for y in COLUMNS if "j" not in (x, y)]
CALLS = [
    f"{name}({x})"
    for x in COLUMNS
    for name in ("sum", "avg", "min", "round", "abs", "median", "mode", "floor")
]
QUANTILES = [
    f"{name}({x}, {how})"
    for x in ("i", "d", "dc", "iv", "t")
    for name in ("quantile_cont", "quantile_disc", "quantile", "approx_quantile")
    for how in ("0.5", "[0.5, 0.2]")
]
OTHERS = [
    *(
        "1.5",
        "1.5e0",
        "i * 1.5",
        "dc * 1.1",
        "d * 1.1",
        "d::DECIMAL(10, 2) * d",
        "dc::DOUBLE",
        "st.y",
        "st.z",
    ),
    *(
        "st.z * d",
        "ldc[1] * d",
        "nullif(b, d)",
        "nullif(d, b)",
        "max(d, 2)",
        "arg_max(d, i, 2)",
        "EXTRACT(epoch FROM t)",
    ),
    *(
        "date_part('epoch', t)",
        "date_part(['year', 'month'], t)",
        "EXTRACT(year FROM t)",
        "j->'a'",
        "j->>'a'",
    ),
    *(
        "array_position(l, 1)",
        "corr(d, i)",
        "repeat(l, 2)",
        "concat(s, i)",
        "greatest(dc, d)",
        "coalesce(i, dc, d)",
    ),
    *("percentile_cont([0.5]) WITHIN GROUP (ORDER BY d)", "(SELECT max(dc) * max(d) FROM t)"),
    *("lag(dc, 1, 0) OVER (ORDER BY i)", "sum(dc * d) FILTER (bo)", "sum(i) OVER (ORDER BY i)"),
]


def kind(text: str | None) -> str:
    """Exact, floating, nested or an interval; else nothing that a rule would ask for."""
    upper = (text or "").upper()
    if upper.endswith("]") or upper.startswith(("STRUCT", "MAP", "LIST")):
        return "nested"
    if upper in ("DOUBLE", "FLOAT", "REAL"):
        return "floating"
    if re.match(r"DECIMAL|\w*INT(EGER|128)?$", upper):
        return "exact"
    return "interval" if upper == "INTERVAL" else ""


@pytest.fixture(scope="module")
def engine() -> duckdb.DuckDBPyConnection:
    columns = ", ".join(f"{name} {type_}" for name, type_ in COLUMNS.items())
    connection = duckdb.connect()
    connection.execute(f"CREATE TABLE t ({columns})")
    return connection


def judged(expression: str, source: str = "t") -> str:
    tree = sqlglot.parse_one(f"SELECT {expression} AS v FROM {source}", dialect="duckdb")
    typed = inferred(qualify(tree, schema={"t": COLUMNS}, dialect="duckdb"), {"t": COLUMNS}, "duckdb")
    type_ = typed.selects[0].type if isinstance(typed, exp.Query) else None
    return kind(type_.sql(dialect="duckdb") if type_ is not None else None)


def held(engine: duckdb.DuckDBPyConnection, expression: str, source: str = "t") -> str | None:
    try:
        return kind(str(engine.sql(f"SELECT {expression} AS v FROM {source}").types[0]))
    except duckdb.Error:
        return None  # the engine has no such form


@pytest.mark.parametrize("forms", [PAIRS, CHOICES, CALLS, QUANTILES, OTHERS], ids=len)
def test_what_is_told_of_a_type_is_so(engine: duckdb.DuckDBPyConnection, forms: list[str]) -> None:
    pairs = {f: (judged(f), real) for f in forms if (real := held(engine, f)) is not None}
    assert {f: p for f, p in pairs.items() if p[0] and p[0] != p[1]} == {}


def test_types_meet_in_set_operations_and_subqueries(engine: duckdb.DuckDBPyConnection) -> None:
    for first, second in (("dc", "d"), ("d", "dc"), ("i", "dc"), ("u", "d"), ("f", "h")):
        source = f"(SELECT {first} AS x FROM t UNION ALL SELECT {second} FROM t) AS q"
        assert judged("sum(x)", source) == held(engine, "sum(x)", source)


@pytest.mark.parametrize(
    "expression", ["i + b", "dc * 1.1", "dc + i", "sum(dc * i)", "round(dc, 1)", "d * 2"]
)
def test_what_is_certain_is_told(engine: duckdb.DuckDBPyConnection, expression: str) -> None:
    assert judged(expression) == held(engine, expression) != ""
