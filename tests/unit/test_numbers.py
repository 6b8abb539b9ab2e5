"""A number that the compiler takes for exact is exact in the engine: such sums are subtracted from."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import duckdb
import pytest
from sqlglot import exp

from strandline.compiler.aggregate import inexact
from strandline.compiler.catalog import Catalog, Readable, SourceColumn
from strandline.compiler.qualify import parse, qualified

COLUMNS = {
    "d": "DECIMAL(18,2)",
    "i": "INTEGER",
    "h": "HUGEINT",
    "u": "UBIGINT",
    "w": "UHUGEINT",
    "x": "DOUBLE",
}
OPERANDS = (*COLUMNS, "1.5", "(1e0)", "0.1234567890123456789012345678901234567890")
FORMS = (
    "{a} + {b}",
    "{a} - {b}",
    "{a} / {b}",
    "{a} // {b}",
    "{a} % {b}",
    "-({a} / {b})",
    "coalesce({a}, {b})",
    "greatest({a}, {b})",
    "CASE WHEN i > 1 THEN {a} ELSE {b} END",
    "if(i > 1, {a}, {b})",
    "nullif({a}, {b})",
    "round({a} * {b}, 2)",
    "floor({a} * {b})",
    "abs({a}) - {b}",
    "{a}::DECIMAL(10, 2) + {b}",
    "try_cast({a} AS DECIMAL(10, 2)) * {b}",
    "lag({a}, 1, {b}) OVER (ORDER BY i)",
    "(SELECT z FROM (SELECT {a} AS z UNION ALL SELECT {b}) LIMIT 1)",
    "(SELECT {a} UNION ALL SELECT {b} LIMIT 1)",
    "extract(epoch FROM TIMESTAMP '2026-01-01') + {a} + {b}",
)


CATALOG: Catalog = {
    "t": Readable("t", tuple(SourceColumn(n, n, k) for n, k in COLUMNS.items()), "data/t", ("_rid",))
}


def typed(query: str) -> exp.Expr:
    """The query's one column, with its type."""
    tree = qualified(parse(query, "duckdb"), CATALOG, "duckdb")
    assert isinstance(tree, exp.Query)
    return tree.selects[0].unalias()


@pytest.fixture(scope="module")
def engine() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        columns = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
        connection.execute(f"CREATE TABLE t ({columns})")
        yield connection


@pytest.mark.parametrize("form", FORMS)
def test_what_is_taken_for_exact_is(engine: duckdb.DuckDBPyConnection, form: str) -> None:
    for a, b in itertools.product(OPERANDS, OPERANDS):
        query = f"SELECT {form.format(a=a, b=b)} AS r FROM t"
        try:
            kind = str(engine.sql(query).types[0])
        except duckdb.Error:
            continue  # not defined for these
        assert kind not in ("DOUBLE", "FLOAT") or inexact(typed(query)), f"{query}: {kind}"


@pytest.mark.parametrize("text", ["d * 1.5", "round(d * i, 2)", "coalesce(d, 0)", "d + i", "-d", "i % 3"])
def test_exact_sums_stay_exact(text: str) -> None:
    assert not inexact(typed(f"SELECT {text} AS r FROM t"))
