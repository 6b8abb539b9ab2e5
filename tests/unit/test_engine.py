"""The DuckDB engine: what it keeps of a statement, and what it must not keep."""

from __future__ import annotations

import pytest

from strandline.engines.duckdb import DuckDB, connect
from strandline.errors import EngineError


@pytest.fixture
def engine() -> DuckDB:
    return connect(":memory:")


def test_a_statement_is_parsed_once(engine: DuckDB) -> None:
    for value in (1, 2, 3):
        assert engine.rows("SELECT ?::INTEGER + 1", [value]) == [(value + 1,)]
    assert engine._parsed.cache_info().misses == 1


def test_a_kept_statement_sees_tables_as_they_are(engine: DuckDB) -> None:
    found = []
    for kind in ("INTEGER", "VARCHAR"):
        engine.execute(f"CREATE OR REPLACE TEMP TABLE t AS SELECT 7::{kind} AS x")
        found += engine.rows("SELECT * FROM t")
    engine.execute("INSERT INTO t VALUES ('8')")
    assert found == [(7,), ("7",)]
    assert engine.rows("SELECT count(*) FROM t WHERE x > '7'") == [(1,)]
    engine.execute("INSERT INTO t VALUES ('9')")
    assert engine.rows("SELECT count(*) FROM t WHERE x > '7'") == [(2,)]


def test_several_statements_in_one_text_all_run(engine: DuckDB) -> None:
    engine.execute("CREATE TABLE t (x INTEGER); INSERT INTO t VALUES (1)")
    assert engine.execute("SELECT count(*) FROM t") == 1


def test_what_cannot_be_parsed_is_an_error_of_the_engine(engine: DuckDB) -> None:
    with pytest.raises(EngineError):
        engine.execute("SELEC 1")
