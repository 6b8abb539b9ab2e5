"""The cost choice: what past runs say about refreshing, filling anew and keeping plain."""

from __future__ import annotations

from pathlib import Path

import pytest

import strandline as sl
from strandline.warehouse import costs
from strandline.warehouse.costs import Choice, Known

ROWS = 20_000


def known(seconds: float = 1.0, rows: int = 1_000_000) -> Known:
    """Filled twice: the first time alone is not quite believed."""
    one = Known(rows)
    one.made(rows, seconds, plain=False)
    one.made(rows, seconds, plain=False)
    one.fills = 0
    return one


def ran(one: Known, rows: int, removing: bool, seconds: float) -> Known:
    for _ in range(2):
        one.ran(rows, removing, seconds)
    return one


def filled(*chain: Known, rows: int, removing: bool = False) -> Choice:
    """The choice where nothing may be kept plain."""
    return costs.choose(chain[0], chain[1:], rows, removing, may_be_plain=False)


def test_before_any_refresh_a_quarter_of_the_rows_decides() -> None:
    assert filled(known(), rows=200_000).way == "refresh"
    assert "300,000 of 1,000,000 rows" in filled(known(), rows=300_000).why


def test_the_run_nearest_in_size_decides() -> None:
    one = ran(ran(known(), 1_000, False, 0.01), 100_000, False, 2.0)
    assert filled(one, rows=1_000).way == "refresh"
    assert filled(one, rows=90_000).way == "fill"


def test_a_change_far_smaller_than_any_seen_is_tried() -> None:
    one = ran(known(), 100_000, False, 2.0)
    assert filled(one, rows=50_000).way == "fill"
    assert filled(one, rows=100).way == "refresh"


def test_far_above_what_was_seen_the_growth_so_far_goes_on() -> None:
    """1,000 rows took a tenth more than 100: 50,000 are tried, though one of 10,000 alone says nothing."""
    slowly = ran(ran(known(), 100, False, 0.20), 1_000, False, 0.22)
    assert filled(slowly, rows=50_000).way == "refresh"
    in_proportion = ran(ran(known(), 100, False, 0.02), 1_000, False, 0.2)
    assert filled(in_proportion, rows=50_000).way == "fill"
    assert filled(ran(known(), 1_000, False, 0.2), rows=300_000).way == "fill"


def test_time_too_short_to_measure_is_no_error() -> None:
    assert filled(ran(ran(known(), 100, False, 0.0), 1_000, False, 0.0), rows=50_000).way == "refresh"


def test_removed_rows_are_counted_apart() -> None:
    one = ran(known(), 1_000, True, 5.0)
    assert filled(one, rows=1_000, removing=True).way == "fill"
    assert filled(one, rows=1_000).way == "refresh"


def test_models_above_count_too() -> None:
    cheap, dear = ran(known(0.1), 1_000, False, 0.5), known(10.0)
    assert filled(cheap, rows=1_000).way == "fill"
    assert filled(cheap, dear, rows=1_000).way == "refresh"


def test_small_models_are_always_refreshed() -> None:
    one = ran(known(0.001, rows=100), 50, False, 1.0)
    assert costs.choose(one, [], 50, False).way == "refresh"
    one.plain = True
    assert costs.choose(one, [], 50, False).way == "fill"


def test_what_ran_once_is_not_quite_believed() -> None:
    one = known()
    one.ran(1_000, False, 1.3)
    assert filled(one, rows=1_000).way == "refresh"
    one.ran(1_000, False, 1.3)
    assert filled(one, rows=1_000).way == "fill"


def test_a_long_fill_took_as_long_because_of_its_rows() -> None:
    """A window over a million rows: of 0.46 s newness is a small part, of 0.03 s half."""
    one = Known(1_000_000)
    one.made(1_000_000, 0.46, plain=False)
    assert 0.42 < one.filling() < 0.46
    few = Known(10_000)
    few.made(10_000, 0.03, plain=False)
    assert few.filling() == pytest.approx(0.015)


def test_growth_of_small_runs_is_not_taken_for_that_of_large_ones() -> None:
    """Of ten times the rows a refresh took twice as long: what each takes, however small, counts in both."""
    one = ran(ran(known(0.6), 15_000, True, 0.12), 150_000, True, 0.26)
    assert 0.5 < one.refreshing(750_000, True) < 0.85


def test_refreshes_not_tried_for_long_are_tried_again() -> None:
    one = ran(known(), 1_000, False, 1.5)
    turns = 0
    while filled(one, rows=1_000).way == "fill":
        one.made(1_000_000, 1.0, plain=False)
        turns += 1
    assert 20 < turns < 60


def test_a_fill_is_expected_to_grow_with_the_rows() -> None:
    one = known()
    one.rows *= 3
    assert one.filling() == pytest.approx(3.0)


# ── plain ──────────────────────────────────────────────────────────────────────────────────


def test_the_second_fill_in_a_row_is_a_plain_one() -> None:
    one = ran(known(), 1_000, False, 3.0)
    assert costs.choose(one, [], 1_000, False).way == "fill"
    one.made(1_000_000, 1.0, plain=False)
    assert costs.choose(one, [], 1_000, False).way == "plain"


def test_where_only_the_plain_table_is_cheaper_state_is_not_filled_first() -> None:
    one = ran(known(), 1_000, False, 1.0)
    chosen = costs.choose(one, [], 1_000, False)
    assert chosen.way == "plain"
    assert "over 1,000,000 rows costs less than refreshing 1,000" in chosen.why
    assert "600 ms against 1000 ms" in chosen.why


def test_a_model_above_that_was_refreshed_meanwhile_keeps_its_state() -> None:
    one, above = ran(known(), 1_000, False, 3.0), ran(known(), 1_000, False, 3.0)
    one.made(1_000_000, 1.0, plain=False)
    assert costs.choose(one, [above], 1_000, False).way == "fill"
    above.made(1_000_000, 1.0, plain=False)
    assert costs.choose(one, [above], 1_000, False).way == "plain"


def kept_plain(refresh: float) -> Known:
    one = ran(known(), 1_000, False, refresh)
    one.plain = True
    for _ in range(2):
        one.made(1_000_000, 0.8, plain=True)
    one.fills = 0
    return one


def test_state_is_built_again_where_ten_refreshes_pay_for_it() -> None:
    assert costs.choose(kept_plain(0.75), [], 1_000, False).way == "plain"
    chosen = costs.choose(kept_plain(0.65), [], 1_000, False)
    assert chosen.way == "fill"
    assert "650 ms against 800 ms" in chosen.why
    assert "its state was built again" in chosen.why


def test_state_that_has_to_be_built_below_counts() -> None:
    below = known(5.0)
    assert costs.choose(kept_plain(0.65), [], 1_000, False, below=[below]).way == "plain"


def test_a_model_above_may_stay_plain_where_the_first_does_not() -> None:
    assert costs.choose(kept_plain(0.1), [kept_plain(5.0)], 1_000, False).way == "fill"


# ── in a warehouse ─────────────────────────────────────────────────────────────────────────


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
    warehouse.create_model("m", QUERY, strict=True)
    assert strategy_after(warehouse, 0, ROWS, 1) == "full"
    reason = warehouse.sql("SELECT reason FROM strandline.stage_runs WHERE model = 'm'")["reason"][-1]
    assert "filling anew is cheaper" in reason
    assert warehouse.explain("m").stages[0].strategy == "merge"


def test_a_setting_keeps_to_the_change(warehouse: sl.Warehouse) -> None:
    warehouse.create_model("m", QUERY, strategy="incremental")
    assert strategy_after(warehouse, 0, ROWS, 1) == "merge"


def test_models_that_show_batches_are_not_filled_anew(warehouse: sl.Warehouse) -> None:
    warehouse.create_model("m", QUERY, metadata=True)
    assert strategy_after(warehouse, 0, ROWS, 1) == "merge"
    assert warehouse.sql("SELECT DISTINCT process_type FROM m")["process_type"].to_list() == ["incremental"]


def test_another_process_knows_what_things_took(tmp_path: Path, warehouse: sl.Warehouse) -> None:
    warehouse.create_model("m", QUERY, strategy="incremental")
    strategy_after(warehouse, 0, 10, 1)
    warehouse.close()
    with sl.open(tmp_path / "w.duckdb") as wh:
        found = wh.held.costs.of(wh.engine, wh.held.model("m"))
        assert found.rows == ROWS
        assert [changed for changed, _ in found.filled.seen] == [ROWS]
        assert 0 < found.filled.seen[0][1] < 60
        assert [run.seen[0][0] for run in found.runs.values()] == [20]
        assert found.fills == 0


def test_rows_of_the_inputs_are_counted_once_and_followed(warehouse: sl.Warehouse) -> None:
    warehouse.create_model("m", QUERY, strategy="incremental")
    warehouse.create_model("above", "SELECT max(n) AS most FROM m", strategy="incremental")
    known_of = warehouse.held.costs.of
    strategy_after(warehouse, ROWS, ROWS + 500, 10)
    assert known_of(warehouse.engine, warehouse.held.model("m")).rows == ROWS + 500
    assert known_of(warehouse.engine, warehouse.held.model("above")).rows == warehouse.read("m").height
    warehouse.apply("t", deletes=[{"id": i} for i in range(100)])
    warehouse.refresh()
    assert known_of(warehouse.engine, warehouse.held.model("m")).rows == ROWS + 400
