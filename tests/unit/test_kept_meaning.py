"""New columns in a table leave the models over it what they meant; those that take all columns get them."""

from __future__ import annotations

from pathlib import Path

import pytest

import strandline as sl
from strandline import Column, Warehouse

KEPT = {
    "ambiguous": "SELECT id, w FROM e JOIN r USING (p)",
    "ambiguous full": "SELECT id, w FROM e JOIN r USING (p) LIMIT 3 OFFSET (SELECT 1)",
    "natural": "SELECT id, w FROM e NATURAL JOIN r",
    "subquery": "SELECT id, (SELECT max(w) FROM r WHERE r.p = e.p) AS w FROM e WHERE v < 4",
    "window": "SELECT id, w, row_number() OVER (PARTITION BY p ORDER BY w, id) AS n FROM e JOIN r USING (p)",
    "group": "SELECT w, count(*) AS n FROM e JOIN r USING (p) GROUP BY w",
    "count star": "SELECT count(*) AS n, sum(w) AS s FROM e JOIN r USING (p)",
    "star ambiguous": "SELECT e.*, w AS shown FROM e JOIN r USING (p)",
}
TAKEN = {
    "star": "SELECT * FROM e",
    "from": "FROM e",
    "exclude": "SELECT * EXCLUDE (v) FROM e",
    "one of two": "SELECT e.*, r.w AS rw FROM e JOIN r USING (p)",
}


def made(path: Path) -> Warehouse:
    wh = sl.open(path, threads=1)
    wh.create_table("e", "id INTEGER, p INTEGER, v INTEGER", key="id")
    wh.create_table("r", "p INTEGER, w INTEGER", key="p")
    wh.apply("e", inserts=[{"id": i, "p": i % 2, "v": i} for i in range(5)])
    wh.apply("r", inserts=[{"p": 0, "w": 4}, {"p": 1, "w": 5}])
    wh.refresh()
    return wh


def more(wh: Warehouse) -> None:
    """Rows that have the new columns, and the proof."""
    number = wh.read("e").height
    wh.apply(
        "e", inserts=[{"id": 100 + number, "p": 1, "v": 3, "z": 9, "w": 8}], deletes=[{"id": number % 5}]
    )
    wh.apply("r", inserts=[{"p": 0, "w": number}])
    wh.refresh()
    assert all(p.ok for p in wh.verify_all())


@pytest.mark.parametrize("kind", [*KEPT, *TAKEN])
def test_new_columns(tmp_path: Path, kind: str) -> None:
    query = (KEPT | TAKEN)[kind]
    wh = made(tmp_path / "w.duckdb")
    wh.create_model("m", query)
    wh.create_model("above", "SELECT count(*) AS n FROM m")
    names = wh.read("m").columns
    wh.add_columns("e", [Column("z", "INTEGER"), Column("w", "INTEGER")])
    assert (wh.read("m").columns == names) == (kind in KEPT)
    assert wh.models()["m"] == query
    more(wh)
    wh.close()
    with sl.open(tmp_path / "w.duckdb", threads=1) as again:
        more(again)
        again.add_columns("e", [Column("y", "INTEGER")])
        assert again.create_model("m", query) is False
        more(again)
        assert again.read("m").height


def test_a_new_query_means_what_it_says_now(tmp_path: Path) -> None:
    with made(tmp_path / "w.duckdb") as wh:
        wh.create_model("m", KEPT["ambiguous"])
        wh.add_columns("e", [Column("w", "INTEGER")])
        with pytest.raises(sl.StrandlineError):
            wh.create_model("m", "SELECT w, id FROM e JOIN r USING (p)")
        assert wh.create_model("m", "SELECT e.w, id FROM e JOIN r USING (p)")
        assert set(wh.read("m")["w"]) == {None}
