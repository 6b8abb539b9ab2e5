"""Models kept plain for now: no state, one table; everything else works as with any model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import strandline as sl
from strandline.warehouse import definitions, keeping
from strandline.warehouse.costs import Choice, Way
from strandline.warehouse.maintain import Change

Rows = list[dict[str, Any]]
MODELS = {
    "running": "SELECT id, g, sum(v) OVER (PARTITION BY g ORDER BY id) AS total, "
    "lead(v) OVER (PARTITION BY g ORDER BY id) AS next FROM t WHERE v >= 0",
    "many": "SELECT g, count(*) AS n, sum(total) AS all_of_it FROM running GROUP BY g HAVING count(*) > 1",
    "beside": "SELECT r.id, r.total, m.n FROM running r JOIN many m USING (g)",
}


class Told:
    """In place of the choice: plain from now on, or (`fill`) no longer; `refresh` leaves it as it is."""

    def __init__(self) -> None:
        self.way: Way = "refresh"

    def __call__(self, engine: Any, held: Any, model: Any, above: Any, change: Change) -> Choice:
        if self.way == "plain" or model.plain:
            return Choice("plain" if self.way != "fill" else "fill", "told so")
        return Choice("refresh")


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    choice = Told()
    monkeypatch.setattr(keeping, "cheapest", choice)
    return choice


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[sl.Warehouse]:
    with sl.open(tmp_path / "w.duckdb") as wh:
        wh.create_table("t", "id INTEGER, g VARCHAR, v INTEGER", key="id")
        wh.apply("t", rows(0, 40))
        wh.refresh()
        for name, sql in MODELS.items():
            wh.create_model(name, sql)
        yield wh


def rows(first: int, last: int, more: int = 0) -> Rows:
    return [{"id": i, "g": "abc"[i % 3], "v": i % 7 - 1 + more} for i in range(first, last)]


def changed(wh: sl.Warehouse, told: Told, way: Way, first: int = 30, more: int = 1) -> dict[str, str]:
    """Refreshed in a way from ten rows; the strategies by model, everything verified."""
    told.way = way
    wh.apply("t", rows(first, first + 10, more))
    run = wh.refresh()
    assert [p.model for p in wh.verify_all() if not p.ok] == []
    return {m.model: m.strategy for m in run.models}


def stored(wh: sl.Warehouse) -> set[str]:
    found = wh.engine.rows("SELECT table_name FROM duckdb_tables() WHERE schema_name = 'strandline_state'")
    return {name for (name,) in found}


def plain_models(wh: sl.Warehouse) -> set[str]:
    return {n for n in wh.models() if wh.explain(n).plain}


def test_there_and_back(warehouse: sl.Warehouse, told: Told) -> None:
    before = stored(warehouse)
    assert set(changed(warehouse, told, "plain").values()) == {"full"}
    assert plain_models(warehouse) == set(MODELS)
    assert len(stored(warehouse)) == len(MODELS) < len(before)
    changed(warehouse, told, "plain", 35)
    for more, _ in enumerate(
        MODELS
    ):  # one level a refresh: those above it are told what changed only by then
        changed(warehouse, told, "fill", 36, 5 + more)
    assert plain_models(warehouse) == set()
    assert stored(warehouse) == before
    assert "full" not in changed(warehouse, told, "refresh", 37).values()


def test_it_says_so(warehouse: sl.Warehouse, told: Told) -> None:
    changed(warehouse, told, "plain")
    explained = warehouse.explain("running")
    (stage,) = explained.stages
    assert (explained.plain, stage.strategy) == ("told so", "carry")
    assert "its state is built again once 10 refreshes" in str(explained)
    assert stage.state_rows == warehouse.read("running").height
    assert warehouse.explain("many").plain == "kept plain for now: it reads running, which is"
    fills = warehouse.sql("SELECT plain FROM strandline.fills WHERE model = 'many' ORDER BY batch_seq")
    assert fills["plain"].to_list() == [False, True]


def test_a_reader_of_before_explains_it_as_it_is(warehouse: sl.Warehouse, told: Told) -> None:
    reader = warehouse.reader()
    changed(warehouse, told, "plain")
    assert reader.explain("beside").plain
    assert reader.verify("beside").ok
    reader.close()


def test_another_process_knows(tmp_path: Path, warehouse: sl.Warehouse, told: Told) -> None:
    changed(warehouse, told, "plain")
    warehouse.close()
    with sl.open(tmp_path / "w.duckdb") as wh:
        assert plain_models(wh) == set(MODELS)
        assert set(changed(wh, told, "plain", 34).values()) == {"full"}
        changed(wh, told, "fill", 35)
        assert plain_models(wh) == {"many", "beside"}


def test_state_of_another_version_is_made_anew(
    tmp_path: Path, warehouse: sl.Warehouse, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed(warehouse, told, "plain")
    warehouse.close()
    monkeypatch.setattr(definitions, "LAYOUT", definitions.LAYOUT + 1)
    with sl.open(tmp_path / "w.duckdb") as wh:
        assert "full" not in changed(wh, told, "refresh", 34).values()
        assert plain_models(wh) == set()


def test_what_is_made_above_has_the_state_below_built(warehouse: sl.Warehouse, told: Told) -> None:
    changed(warehouse, told, "plain")
    warehouse.create_model("top", "SELECT max(n) AS most FROM many", metadata=True)
    assert plain_models(warehouse) == {"beside"}
    found = changed(warehouse, told, "refresh", 33)
    assert {n for n, strategy in found.items() if strategy == "full"} == {"beside"}


def test_what_does_not_follow_a_plain_model_refreshes_by_itself(warehouse: sl.Warehouse, told: Told) -> None:
    warehouse.create_table("u", "g VARCHAR, w INTEGER")
    warehouse.create_model("both", "SELECT m.g, m.n, u.w FROM many m JOIN u USING (g)")
    changed(warehouse, told, "plain")
    told.way = "fill"
    warehouse.apply("u", [{"g": "a", "w": 1}])
    warehouse.refresh()
    assert plain_models(warehouse) == {"beside"}
    found = changed(warehouse, told, "refresh", 33)
    assert {n for n, strategy in found.items() if strategy == "full"} == {"beside"}


@pytest.mark.parametrize("name", MODELS)
def test_a_changed_query(warehouse: sl.Warehouse, told: Told, name: str) -> None:
    changed(warehouse, told, "plain")
    warehouse.create_model(
        name, f"SELECT * FROM ({MODELS[name]}) WHERE g <> 'c'" if name != "beside" else "FROM many"
    )
    assert name not in plain_models(warehouse)
    assert all(p.ok for p in warehouse.verify_all())
    changed(warehouse, told, "refresh", 33)


def test_dropped(warehouse: sl.Warehouse, told: Told) -> None:
    changed(warehouse, told, "plain")
    for name in reversed(MODELS):
        warehouse.drop_model(name)
    assert stored(warehouse) == set()
    with pytest.raises(sl.StrandlineError):
        warehouse.read("many")


CHANGES: dict[str, Callable[[sl.Warehouse], None]] = {
    "add": lambda wh: wh.add_columns("t", [sl.Column("extra", "INTEGER")]),
    "retype": lambda wh: wh.change_type("t", "v", "BIGINT"),
    "rename": lambda wh: wh.rename_column(
        "t", "g", "h", queries={"running": MODELS["running"].replace("g,", "h AS g,").replace("BY g", "BY h")}
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_table_that_is_reshaped(warehouse: sl.Warehouse, told: Told, change: str) -> None:
    changed(warehouse, told, "plain")
    CHANGES[change](warehouse)
    assert plain_models(warehouse) == (set(MODELS) if change == "add" else set())
    assert all(p.ok for p in warehouse.verify_all())


def test_functions_above_and_below(warehouse: sl.Warehouse, told: Told) -> None:
    @sl.model(inputs=["many"], keys=["g"])
    def doubled(many: pl.DataFrame) -> pl.DataFrame:
        return many.with_columns(pl.col("n") * 2)

    @sl.model(inputs=["t"], keys=["g"])
    def least(t: pl.DataFrame) -> pl.DataFrame:
        return t.group_by("g").agg(pl.col("v").min())

    warehouse.create_model("doubled", doubled)
    warehouse.create_model("over", "SELECT g, n FROM doubled WHERE n > 2")
    warehouse.create_model("least", least)
    warehouse.create_model("lowest", "SELECT min(v) AS v FROM least")
    ways: list[Way] = ["refresh", "plain", "plain", "fill", "fill", "refresh", "plain", "fill"]
    for number, way in enumerate(ways):
        changed(warehouse, told, way, 20 + 3 * number, number)
    warehouse.create_model("twice", doubled)
    changed(warehouse, told, "refresh", 50)
    changed(warehouse, told, "refresh", 51)


def test_a_model_that_is_recomputed_goes_with_those_below(warehouse: sl.Warehouse, told: Told) -> None:
    warehouse.create_model("listed", "SELECT * FROM many", strategy="full")
    warehouse.create_model("counted", "SELECT count(*) AS n FROM listed")
    changed(warehouse, told, "plain")
    assert plain_models(warehouse) == {*MODELS, "listed", "counted"}
    for start in (33, 34, 35, 36):
        changed(warehouse, told, "fill", start)
    assert plain_models(warehouse) == set()
    assert "_rid" in {c.name for c in warehouse.engine.describe('FROM strandline_state."listed.0"')}


def test_a_failed_refresh_leaves_it_as_it_was(
    warehouse: sl.Warehouse, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed(warehouse, told, "refresh")
    broken = warehouse.engine.execute

    def fails(sql: str, parameters: Any = ()) -> int:
        if "strandline.checkpoints" in sql:
            raise sl.EngineError("no more", hint="")
        return broken(sql, parameters)

    told.way = "plain"
    warehouse.apply("t", rows(0, 3, 2))
    with monkeypatch.context() as patched:
        patched.setattr(warehouse.engine, "execute", fails)
        with pytest.raises(sl.EngineError):
            warehouse.refresh()
    assert plain_models(warehouse) == set()
    assert "full" not in changed(warehouse, told, "refresh", 33).values()


def test_settings_that_need_the_state_keep_it(tmp_path: Path) -> None:
    with sl.open(tmp_path / "w.duckdb") as wh:
        wh.create_table("t", "id INTEGER, g INTEGER", key="id")
        wh.apply("t", [{"id": i, "g": i % 9} for i in range(20_000)])
        wh.refresh()
        wh.create_model("kept", "SELECT g, count(*) AS n FROM t GROUP BY g", strict=True)
        wh.create_model("free", "SELECT g, count(*) AS n FROM t GROUP BY g")
        for turn in range(3):
            wh.apply("t", [{"id": i, "g": (i + turn) % 9} for i in range(20_000)])
            wh.refresh()
        assert plain_models(wh) == {"free"}
        assert wh.verify("free").ok
        assert wh.verify("kept").ok
        wh.apply("t", deletes=[{"id": i} for i in range(19_500)])
        run = wh.refresh()
        assert "reads just 500 rows by now: its state was built again" in run.model("free").reason
        assert plain_models(wh) == set()
