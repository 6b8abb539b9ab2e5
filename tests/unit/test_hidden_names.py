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
