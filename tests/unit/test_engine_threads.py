"""Small work is done by one thread, and whatever needs more has the engine's threads again."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import polars as pl
import pyarrow as pa
import pytest

import strandline as sl
from strandline.engines.duckdb import ONE_THREAD_ROWS, DuckDB, connect
from strandline.errors import EngineError

ASK = "SELECT current_setting('threads')"


@pytest.fixture
def engine() -> Iterator[DuckDB]:
    engine = connect(":memory:", threads=3)
    yield engine
    engine.close()


def threads(engine: DuckDB) -> int:
    return int(engine.rows(ASK)[0][0])


@pytest.mark.parametrize("rows", [10, ONE_THREAD_ROWS.start, ONE_THREAD_ROWS.stop])
def test_threads_are_few_only_while_writing(engine: DuckDB, rows: int) -> None:
    frame = pa.table({"n": range(rows)})
    engine.load(frame, "CREATE TABLE t AS SELECT n, current_setting('threads') AS threads FROM incoming")
    one = rows in ONE_THREAD_ROWS
    assert engine.rows("SELECT DISTINCT threads FROM t") == [(1 if one else 3,)]
    assert threads(engine) == 3


def test_a_failure_in_a_transaction_leaves_the_threads(engine: DuckDB) -> None:
    frame = pa.table({"n": ["x"] * ONE_THREAD_ROWS.start})
    with pytest.raises(EngineError), engine.transaction():
        engine.load(frame, "CREATE TABLE t AS SELECT n::INTEGER AS n FROM incoming")
    assert threads(engine) == 3


def test_alone_lasts_until_something_else_runs(engine: DuckDB) -> None:
    beside = engine.connection.cursor()
    with engine.alone():
        with engine.alone():
            assert threads(engine) == 1
        assert threads(engine) == 1
    engine.execute("BEGIN")
    engine.execute("COMMIT")
    assert beside.execute(ASK).fetchall() == [(1,)]
    assert threads(engine) == 3


@pytest.mark.parametrize("way", ["rows", "arrow"])
def test_another_connection_has_all_threads(engine: DuckDB, way: str) -> None:
    reader = engine.reader()
    with engine.alone():
        assert threads(engine) == 1
        found = reader.rows(ASK) if way == "rows" else [tuple(reader.arrow(ASK).to_pylist()[0].values())]
    assert found == [(3,)]
    reader.close()


def test_nobody_waits_for_another_connections_statement(engine: DuckDB) -> None:
    """While a reader's query runs the threads stay: they would end only with its work."""
    reader = engine.reader()
    inside, go_on = threading.Event(), threading.Event()

    def slow(x: int) -> int:
        inside.set()
        go_on.wait(30)
        return x

    reader.connection.create_function("slow", slow, ["BIGINT"], "BIGINT")  # type: ignore[list-item, arg-type]
    other = threading.Thread(target=reader.rows, args=["SELECT slow(1)"])
    other.start()
    assert inside.wait(30)
    try:
        with engine.alone():
            assert engine.connection.cursor().execute(ASK).fetchall() == [(3,)]
    finally:
        go_on.set()
        other.join()
    reader.close()


@pytest.mark.parametrize(("rows", "expected"), [(10, 1), (130_000, 3)])
def test_a_small_refresh_runs_alone(rows: int, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with sl.open(":memory:", threads=3) as wh:
        wh.create_table("t", "id INTEGER, n INTEGER", key="id")
        wh.create_model("m", "SELECT n, count(*) AS c FROM t GROUP BY n")
        wh.apply("t", pl.DataFrame({"id": range(rows), "n": [1] * rows}))
        wh.refresh()
        seen = []
        execute = DuckDB.execute

        def asked(self: DuckDB, sql: str, parameters: tuple[object, ...] = ()) -> int:
            if "INSERT INTO strandline.batches" in sql:
                seen.append(threads(self))
            return execute(self, sql, parameters)

        monkeypatch.setattr(DuckDB, "execute", asked)
        wh.apply("t", [{"id": 1, "n": 2}])
        wh.refresh()
        assert seen == [expected]
