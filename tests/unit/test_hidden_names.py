"""Output columns may be called like the columns that stored rows have beside them."""

from __future__ import annotations

import pytest

import strandline as sl
from strandline.warehouse.definitions import beside_hidden

QUERIES = {
    "window": "SELECT id, sum(v) OVER (ORDER BY id) AS _batch, lag(v) OVER (ORDER BY id) AS _seq FROM t",
    "groups": "SELECT g AS c_k, count(*) AS _batch, max(v) AS _k, min(v) AS _rid FROM t GROUP BY g",
    "rows": 'SELECT id AS _batch, v AS _rid, g AS _K, v AS "_copy" FROM t',
}


@pytest.mark.parametrize("strategy", [None, "full"])
@pytest.mark.parametrize("name", QUERIES)
def test_a_model_with_such_columns_is_kept(name: str, strategy: str | None) -> None:
    with sl.open(":memory:") as wh:
        wh.create_table("t", "id INTEGER, g VARCHAR, v INTEGER", key="id")
        wh.create_model("m", QUERIES[name], strategy=strategy)
        wh.create_model("above", "SELECT max(COLUMNS(*)) FROM m")
        for changed in ([1, 2], [2, 3], [1]):
            wh.apply("t", inserts=[{"id": i, "g": "ab"[i % 2], "v": 10 * i} for i in changed])
            wh.refresh()
            wanted = wh.sql(QUERIES[name])
            assert wh.read("m").columns == wanted.columns
            assert sorted(wh.read("m").rows(), key=repr) == sorted(wanted.rows(), key=repr)
            assert wh.read("above").rows() == wh.sql("SELECT max(COLUMNS(*)) FROM m").rows()


def test_names_stay_different() -> None:
    assert beside_hidden(["a", "_k", "c_k", "_K2"]) == ["a", "c_k_", "c_k", "c_K2"]


@pytest.mark.parametrize("key", [None, "k"])
def test_a_column_may_be_called_rowid(key: str | None) -> None:
    with sl.open(":memory:") as wh:
        wh.create_table("t", "k INTEGER, rowid INTEGER, v INTEGER", key=key)
        wh.create_model("total", "SELECT rowid, sum(v) AS v, count(DISTINCT k) AS k FROM t GROUP BY rowid")
        wh.create_model("run", "SELECT k, rowid, sum(v) OVER (PARTITION BY rowid ORDER BY k) AS v FROM t")
        wh.create_model("other", "SELECT k AS rowid, rowid AS k FROM t WHERE v > 0")
        wh.create_model("above", "SELECT rowid, max(k) AS k FROM other GROUP BY rowid")
        wh.create_model("whole", "SELECT k // 2 AS rowid, v FROM t", strategy="full")
        wh.create_model("top", "SELECT rowid, v FROM t ORDER BY v, rowid LIMIT 2")
        wh.apply("t", inserts=[{"k": i, "rowid": i // 3, "v": i} for i in range(6)])
        wh.refresh()
        wh.apply("t", inserts=[{"k": 4, "rowid": 0, "v": 9}], deletes=[{"k": 1, "rowid": 0, "v": 1}])
        wh.refresh()
        left = [(0, 0, 0), (2, 0, 2), (3, 1, 3), (4, 0, 9), (5, 1, 5)]
        assert sorted(wh.read("t").rows()) == sorted(left if key else [*left, (4, 1, 4)])
        assert all(p.ok for p in wh.verify_all())
        wh.apply("t", deletes=[{"k": 2, "rowid": 0, "v": 2}])
        wh.refresh()
        assert all(p.ok for p in wh.verify_all())
        assert wh.read("other").columns == ["rowid", "k"]


@pytest.mark.parametrize("small", [True, False])
def test_columns_may_begin_like_those_of_old_rows(small: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not small:
        monkeypatch.setattr("strandline.warehouse.batches.SMALL_TABLE", 0)
    names = ("k", "_k1", "__k1", "__k", "___h", "__rid", "____row")
    with sl.open(":memory:") as wh:
        wh.create_table("t", ", ".join(f"{n} INTEGER" for n in names), key=("k", "__k"))
        wh.create_model(
            "m", "SELECT __k, sum(___h) AS h, max(__rid) AS r, count(____row) AS n FROM t GROUP BY __k"
        )
        rows = [dict.fromkeys(names, i) for i in range(5)]
        wh.apply("t", rows)
        wh.refresh()
        wh.apply("t", [{**rows[1], "___h": 7}, {**rows[2], "__k": 8}, rows[3]], deletes=[rows[4]])
        run = wh.refresh()
        assert [(t.inserted, t.deleted) for t in run.tables] == [(2, 2)]
        assert sorted(wh.read("m").rows()) == [
            (0, 0, 0, 1),
            (1, 7, 1, 1),
            (2, 2, 2, 1),
            (3, 3, 3, 1),
            (8, 2, 2, 1),
        ]
        assert all(p.ok for p in wh.verify_all())


def test_many_rows_of_new_and_known_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many rows it is asked first whether any key is known, and the pairs do not stay."""
    monkeypatch.setattr("strandline.warehouse.keyed.FEW", 0)
    with sl.open(":memory:") as wh:
        wh.create_table("t", "k VARCHAR, v INTEGER", key="k")
        wh.create_model("m", "SELECT v % 2 AS odd, count(*) AS n, sum(v) AS total FROM t GROUP BY 1")
        for keys, changed in (("adgj", (4, 0)), ("be", (2, 0)), ("abcz", (3, 1)), ("ab", (2, 2))):
            wh.apply("t", [{"k": k, "v": ord(k) + len(keys)} for k in keys])
            run = wh.refresh()
            assert [(t.inserted, t.deleted) for t in run.tables] == [changed]
            assert wh.verify("m").ok
        left = "SELECT count(*) FROM duckdb_tables() WHERE table_name LIKE '%pairs'"
        assert wh.engine.rows(left) == [(0,)]
