"""Middling frames are written by one thread, and whatever happens the engine has its threads back."""

from __future__ import annotations

import pyarrow as pa
import pytest

from strandline.engines.duckdb import ONE_THREAD_ROWS, DuckDB, connect
from strandline.errors import EngineError


def threads(engine: DuckDB) -> int:
    return int(engine.rows("SELECT current_setting('threads')")[0][0])


@pytest.mark.parametrize("rows", [10, ONE_THREAD_ROWS.start, ONE_THREAD_ROWS.stop])
def test_threads_are_few_only_while_writing(rows: int) -> None:
    engine = connect(":memory:", threads=3)
    frame = pa.table({"n": range(rows)})
    engine.load(frame, "CREATE TABLE t AS SELECT n, current_setting('threads') AS threads FROM incoming")
    one = rows in ONE_THREAD_ROWS
    assert engine.rows("SELECT DISTINCT threads FROM t") == [(1 if one else 3,)]
    assert threads(engine) == 3
    engine.close()


def test_a_failure_in_a_transaction_leaves_the_threads() -> None:
    engine = connect(":memory:", threads=3)
    frame = pa.table({"n": ["x"] * ONE_THREAD_ROWS.start})
    with pytest.raises(EngineError), engine.transaction():
        engine.load(frame, "CREATE TABLE t AS SELECT n::INTEGER AS n FROM incoming")
    assert threads(engine) == 3
    engine.close()
