"""The cost choice: what past runs say about refreshing and filling anew."""

from __future__ import annotations

from pathlib import Path

import pytest

import strandline as sl
from strandline.warehouse import costs
from strandline.warehouse.costs import Known

ROWS = 20_000


def known(seconds: float = 1.0, rows: int = 1_000_000) -> Known:
    return Known(rows, rows, seconds)


def test_before_any_refresh_a_quarter_of_the_rows_decides() -> None:
    assert costs.cheaper_anew([known()], 200_000, removing=False) == ""
    assert "300,000 of 1,000,000 rows" in costs.cheaper_anew([known()], 300_000, removing=False)


def test_the_run_nearest_in_size_decides() -> None:
    one = known()
    one.ran(1_000, False, 0.01)
    one.ran(100_000, False, 2.0)
    assert costs.cheaper_anew([one], 1_000, removing=False) == ""
    assert costs.cheaper_anew([one], 90_000, removing=False)


def test_removed_rows_are_counted_apart() -> None:
    one = known()
    one.ran(1_000, True, 5.0)
    assert costs.cheaper_anew([one], 1_000, removing=True)
    assert costs.cheaper_anew([one], 1_000, removing=False) == ""


def test_models_above_count_too() -> None:
    cheap, dear = known(0.1), known(10.0)
    cheap.ran(1_000, False, 0.5)
    assert costs.cheaper_anew([cheap], 1_000, removing=False)
    assert costs.cheaper_anew([cheap, dear], 1_000, removing=False) == ""


def test_small_models_are_always_refreshed() -> None:
    one = known(0.001, rows=100)
    one.ran(50, False, 1.0)
    assert costs.cheaper_anew([one], 50, removing=False) == ""


def test_refreshes_not_tried_for_long_are_tried_again() -> None:
    one = known()
    one.ran(1_000, False, 5.0)
    assert costs.cheaper_anew([one], 1_000, removing=False)
    one.refilled(1.0)
    assert costs.cheaper_anew([one], 1_000, removing=False) == ""


def test_a_fill_is_expected_to_grow_with_the_rows() -> None:
    one = known()
    one.rows *= 3
    assert one.filling() == pytest.approx(3.0)


@pytest.fixture
def warehouse(tmp_path: Path) -> sl.Warehouse:
    wh = sl.open(tmp_path / "w.duckdb")
    wh.create_table("t", "id INTEGER, g INTEGER", key="id")
    wh.apply("t", rows(0, ROWS, 0))
    wh.refresh()
    return wh


def rows(first: int, last: int, g: int) -> list[dict[str, int]]:
    return [{"id": i, "g": i % 7 + g} for i in range(first, last)]


def strategy_after(wh: sl.Warehouse, first: int, last: int, g: int) -> str:
    wh.apply("t", rows(first, last, g))
    found = wh.refresh().model("m").strategy
    assert wh.verify("m").ok
    return found


QUERY = "SELECT g, count(*) AS n FROM t GROUP BY g"


def test_a_large_change_fills_anew_and_says_why(warehouse: sl.Warehouse) -> None:
    warehouse.create_model("m", QUERY)
    assert strategy_after(warehouse, 0, ROWS, 1) == "full"
    reason = warehouse.sql("SELECT reason FROM strandline.stage_runs WHERE model = 'm'")["reason"][-1]
    assert "filling anew is cheaper" in reason


def test_a_setting_keeps_to_the_change(warehouse: sl.Warehouse) -> None:
    warehouse.create_model("m", QUERY, strategy="incremental")
    assert strategy_after(warehouse, 0, ROWS, 1) == "merge"


def test_models_that_show_batches_are_not_filled_anew(warehouse: sl.Warehouse) -> None:
    warehouse.create_model("m", QUERY, metadata=True)
    assert strategy_after(warehouse, 0, ROWS, 1) == "merge"
    assert warehouse.sql("SELECT DISTINCT process_type FROM m")["process_type"].to_list() == ["incremental"]


def test_another_process_knows_what_things_took(tmp_path: Path, warehouse: sl.Warehouse) -> None:
    warehouse.create_model("m", QUERY)
    strategy_after(warehouse, 0, 10, 1)
    warehouse.close()
    with sl.open(tmp_path / "w.duckdb") as wh:
        found = wh.held.costs.of(wh.engine, wh.held.model("m"))
        assert (found.rows, found.filled_rows) == (ROWS, ROWS)
        assert 0 < found.filled_seconds < 60
        assert [changed for changed, _ in found.runs[True]] == [20]
