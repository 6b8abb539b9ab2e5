"""Rows changed only in columns that a model does not read are no change to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import strandline as sl
from strandline.schema import Run
from strandline.warehouse import concern, keeping
from strandline.warehouse.maintain import Change


@pytest.fixture
def wh() -> Iterator[sl.Warehouse]:
    with sl.open(":memory:", threads=1) as wh:
        wh.create_table("t", "id INTEGER, g VARCHAR, v DOUBLE, note VARCHAR", key="id")
        wh.apply("t", [row(i) for i in range(12)])
        wh.refresh()
        yield wh


def row(i: int, **changed: object) -> dict[str, object]:
    return {"id": i, "g": f"g{i % 3}", "v": float(i), "note": "old"} | changed


def changed(wh: sl.Warehouse, *rows: dict[str, object]) -> Run:
    wh.apply("t", list(rows))
    run = wh.refresh()
    assert all(p.ok for p in wh.verify_all())
    return run


def taken(run: Run) -> dict[str, int]:
    return {m.model: m.rows_in for m in run.models}


def test_an_update_of_an_unread_column_refreshes_nothing(wh: sl.Warehouse) -> None:
    wh.create_model("m", "SELECT g, sum(v) AS total FROM t GROUP BY g")
    wh.create_model("above", "SELECT max(total) AS most FROM m")
    run = changed(wh, row(3, note="new"), row(4, note="new"))
    assert (taken(run), run.tables[0].inserted, run.tables[0].deleted) == ({}, 2, 2)
    assert wh.sql("SELECT count(*) AS n FROM t WHERE note = 'new'")["n"].to_list() == [2]


def test_each_model_is_given_what_concerns_it(wh: sl.Warehouse) -> None:
    wh.create_model("notes", "SELECT note, count(*) AS n FROM t GROUP BY note")
    wh.create_model("sums", "SELECT g, sum(v) AS total FROM t GROUP BY g")
    wh.create_model("all_of_it", "SELECT * FROM t WHERE v > 1")
    run = changed(wh, row(3, note="new"), row(4, v=40.0), row(20))
    assert taken(run) == {"notes": 3, "sums": 3, "all_of_it": 5}
    assert taken(changed(wh, row(5, note="new"))) == {"notes": 2, "all_of_it": 2}


def test_windows_carry_on_beside_updates_that_do_not_concern_them(wh: sl.Warehouse) -> None:
    wh.create_model("w", "SELECT id, sum(v) OVER (PARTITION BY g ORDER BY id) AS running FROM t")
    run = changed(wh, row(0, note="new"), row(30))
    assert [(m.strategy, m.rows_in) for m in run.models] == [("carry", 1)]
    assert [m.strategy for m in changed(wh, row(0, v=9.0)).models] == ["partition"]


def test_a_joined_column_counts_as_read(wh: sl.Warehouse) -> None:
    wh.create_table("groups", "g VARCHAR, name VARCHAR, remark VARCHAR", key="g")
    wh.apply("groups", [{"g": f"g{i}", "name": f"n{i}", "remark": "-"} for i in range(3)])
    wh.refresh()
    wh.create_model("m", "SELECT t.id, name FROM t LEFT JOIN groups USING (g)")
    wh.apply("groups", [{"g": "g1", "name": "n1", "remark": "changed"}])
    assert taken(wh.refresh()) == {}
    wh.apply("groups", [{"g": "g1", "name": "renamed", "remark": "changed"}])
    assert taken(wh.refresh()) == {"m": 2}
    assert all(p.ok for p in wh.verify_all())


def test_equal_values_that_look_different_are_a_change(wh: sl.Warehouse) -> None:
    wh.create_model("m", "SELECT id, v FROM t")
    changed(wh, row(0, v=0.0))
    assert taken(changed(wh, row(0, v=-0.0))) == {"m": 2}
    assert str(wh.sql("SELECT v FROM m WHERE id = 0")["v"][0]) == "-0.0"


def test_models_look_at_what_others_hand_on(wh: sl.Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(concern, "WORTH_LOOKING", 0)
    wh.create_model("m", "SELECT g, sum(v) AS total, max(note) AS note FROM t GROUP BY g")
    wh.create_model("above", "SELECT total, count(*) AS n FROM m GROUP BY total")
    assert taken(changed(wh, row(0, note="z"), row(1, note="z"))) == {"m": 4}
    assert taken(changed(wh, row(0, note="zz"), row(1, v=7.0))) == {"m": 4, "above": 2}


def test_a_recomputed_query_may_read_anything(wh: sl.Warehouse) -> None:
    wh.create_model("m", "SELECT count(*) AS n FROM t", strategy="full")
    assert taken(changed(wh, row(0, note="new"))) == {"m": 2}


def test_deletions_and_new_rows_concern_everybody(wh: sl.Warehouse) -> None:
    wh.create_model("m", "SELECT count(*) AS n FROM t")
    wh.apply("t", deletes=[{"id": 1}])
    assert taken(changed(wh, row(2, note="new"), row(50))) == {"m": 2}
    assert wh.read("m")["n"].to_list() == [12]


def test_plain_models_are_made_anew_for_what_they_read_alone(
    wh: sl.Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    wh.create_model("m", "SELECT g, count(*) AS n, sum(v) AS total FROM t GROUP BY g")
    with wh.engine.transaction():
        keeping.refresh_plain(wh.engine, wh.held, wh.held.model("m"), Change(), "to see")
    wh.apply("t", [row(i) for i in range(100, 6_000)])
    wh.refresh()
    assert wh.explain("m").plain
    monkeypatch.setattr(concern, "LOOK", 0)
    assert taken(changed(wh, row(3, note="new"))) == {}
    assert taken(changed(wh, row(3, note="old"), row(4, v=40.0))) == {"m": 4}
    monkeypatch.setattr(concern, "LOOK", 60.0)  # a look would take longer than the table
    assert taken(changed(wh, row(3, note="older"))) == {"m": 2}
