"""Rows of a wide table without key are told apart by all of their columns."""

from __future__ import annotations

import time

import duckdb
import pytest

import strandline as sl
from strandline.compiler.relations import Order
from strandline.compiler.text import precedes

VALUES = "(NULL, 1.0), (NULL, NULL), (1, 'nan'::DOUBLE), (1, 0.5), (2, NULL), (2, -0.5)"


@pytest.mark.parametrize("terms", range(1, 8))
def test_long_orders_are_compared_as_the_engine_sorts(terms: int) -> None:
    """Whatever follows the first two terms decides nothing, and neither does how it is written."""
    orders = [Order("x", True, False), Order("y", False, True), *[Order("x", False, True)] * 5][:terms]
    with duckdb.connect() as con:
        con.execute(f"CREATE TABLE t AS SELECT x, y::DOUBLE AS y FROM (VALUES {VALUES}) AS v(x, y)")
        by = ", ".join(
            f"{o.column} {'DESC' if o.descending else 'ASC'} NULLS {'FIRST' if o.nulls_first else 'LAST'}"
            for o in orders
        )
        ranked = f"(SELECT *, rank() OVER (ORDER BY {by}) AS place FROM t)"
        sooner = f"({precedes('a', 'b', orders)})"
        wrong = f"SELECT * FROM {ranked} a, {ranked} b WHERE {sooner} IS DISTINCT FROM a.place < b.place"
        assert con.execute(wrong).fetchall() == []


def test_a_window_over_a_wide_bag_is_refreshed_soon() -> None:
    count = 200
    with sl.open(":memory:") as wh:
        wh.create_table("w", ", ".join(f"c{i} INTEGER" for i in range(count)))
        wh.create_model("m", "SELECT *, lag(c1) OVER (PARTITION BY c2 ORDER BY c0) AS before FROM w")
        for batch in range(3):
            started = time.process_time()
            wh.apply("w", inserts=[{f"c{i}": (i + batch + n) % 3 for i in range(count)} for n in range(4)])
            wh.refresh()
            assert time.process_time() - started < 5  # it took 15 s for one refresh
        assert wh.verify("m").ok
