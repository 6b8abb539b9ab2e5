"""Subqueries: what they are kept by, and the engine's own errors."""

from __future__ import annotations

import pytest

import strandline as sl
from strandline import Warehouse
from strandline.errors import EngineError


@pytest.fixture
def wh() -> Warehouse:
    warehouse = sl.open(":memory:")
    warehouse.create_table("t", "id INTEGER, k INTEGER, v INTEGER", key="id")
    warehouse.create_table("d", "id INTEGER, name VARCHAR", key="id")
    warehouse.create_table("b", "k INTEGER, v INTEGER")
    return warehouse


def test_a_second_row_for_a_scalar_subquery_is_the_engines_error(wh: Warehouse) -> None:
    wh.create_model("m", "SELECT id, (SELECT v FROM b WHERE b.k = t.k) AS x FROM t")
    wh.apply("t", inserts=[{"id": 1, "k": 1, "v": 0}])
    wh.apply("b", inserts=[{"k": 1, "v": 7}, {"k": 2, "v": 1}, {"k": 2, "v": 2}])
    wh.refresh()
    assert wh.read("m").rows() == [(1, 7)], "two rows that no outer row asks for are no error"
    wh.apply("b", inserts=[{"k": 1, "v": 8}])
    with pytest.raises(EngineError, match=r"model m: .*More than one row"):
        wh.refresh()
    assert wh.read("m").rows() == [(1, 7)]
    wh.apply("b", deletes=[{"k": 1, "v": 7}])
    wh.refresh()
    assert wh.read("m").rows() == [(1, 8)]


def test_a_scalar_subquery_by_key_is_one_join(wh: Warehouse) -> None:
    wh.create_model("m", "SELECT id, (SELECT upper(name) FROM d WHERE d.id = t.k) AS name FROM t")
    assert [s.operator for s in wh.explain("m").stages] == ["join"]


def test_the_last_row_per_key_is_one_top_k(wh: Warehouse) -> None:
    wh.create_model("m", "SELECT id, (SELECT v FROM b WHERE b.k = t.k ORDER BY v DESC LIMIT 1) AS v FROM t")
    assert [s.operator for s in wh.explain("m").stages] == ["top-k", "join"]


def test_not_in_joins_by_equality(wh: Warehouse) -> None:
    """One join over `x = v OR x IS NULL OR v IS NULL` would compare every pair of rows."""
    wh.create_model("m", "SELECT id FROM t WHERE k NOT IN (SELECT k FROM b)")
    assert [s.operator for s in wh.explain("m").stages] == ["distinct", "join"]


def test_one_more_row_of_a_group_that_exists_goes_no_further(wh: Warehouse) -> None:
    wh.create_model("m", "SELECT id, k IN (SELECT k FROM b) AS known FROM t")
    wh.apply("t", inserts=[{"id": i, "k": i % 3, "v": 0} for i in range(30)])
    wh.apply("b", inserts=[{"k": 1, "v": 7}])
    wh.refresh()
    wh.apply("b", inserts=[{"k": 1, "v": 8}])
    (run,) = wh.refresh().models
    assert [s.operator for s in run.stages] == ["distinct", "aggregate"]
    assert run.rows_out == 0
    assert wh.verify("m").ok
