"""Rows of a keyed table that files overwrote, brought twice or took back: always as if read anew in order."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

import strandline as sl
from strandline import Pipeline

TOML = """[warehouse]
path = "w.duckdb"
[sources.t]
kind = "files"
path = "landing"
key = ["id"]
settle_seconds = 0
[sources.t.columns]
id = "INTEGER"
v = "VARCHAR"
"""


class Landing:
    """A project whose files get ever later times of change."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = 1_700_000_000
        (folder / "landing").mkdir(parents=True)
        (folder / "models").mkdir()
        (folder / "strandline.toml").write_text(TOML)
        (folder / "models" / "m.sql").write_text("SELECT v, count(*) AS n, sum(id) AS s FROM t GROUP BY v")

    def put(self, name: str, rows: dict[int, str]) -> None:
        path = self.folder / "landing" / name
        path.write_text("id,v\n" + "".join(f"{k},{v}\n" for k, v in rows.items()))
        self.clock += 10
        os.utime(path, (self.clock, self.clock))

    def run(self) -> tuple[dict[int, str], list[str]]:
        said: list[str] = []
        with Pipeline.load(self.folder, notice=said.append) as pipeline:
            pipeline.run()
            assert all(pipeline.warehouse.verify_all())
            return dict(pipeline.warehouse.read("t").rows()), said

    def anew(self, folder: Path) -> dict[int, str]:
        """What a fresh warehouse makes of the files that are there now."""
        other = Landing(folder)
        for path in (self.folder / "landing").iterdir():
            there = folder / "landing" / path.name
            there.write_bytes(path.read_bytes())
            os.utime(there, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
        return other.run()[0]


@pytest.fixture
def landing(tmp_path: Path) -> Landing:
    return Landing(tmp_path / "p")


@pytest.mark.parametrize("together", [False, True])
def test_an_overwritten_row_comes_back(landing: Landing, together: bool) -> None:
    landing.put("a.csv", {1: "a", 2: "a"})
    if not together:
        landing.run()
    landing.put("b.csv", {1: "b"})
    assert landing.run()[0] == {1: "b", 2: "a"}
    landing.put("b.csv", {3: "b"})
    assert landing.run()[0] == {1: "a", 2: "a", 3: "b"}
    landing.put("a.csv", {2: "A"})
    assert landing.run()[0] == {2: "A", 3: "b"}


def test_a_row_that_another_file_brought_too_stays_and_is_that_files(landing: Landing) -> None:
    landing.put("a.csv", {1: "x"})
    landing.run()
    landing.put("b.csv", {1: "x"})
    landing.put("b.csv", {1: "x", 2: "b"})
    landing.run()
    landing.put("a.csv", {9: "a"})
    assert landing.run()[0] == {1: "x", 2: "b", 9: "a"}
    landing.put("b.csv", {2: "b"})
    assert landing.run()[0] == {2: "b", 9: "a"}


def test_what_a_file_of_the_same_batch_brings_is_not_taken_back(landing: Landing) -> None:
    landing.put("b.csv", {1: "b"})
    landing.run()
    landing.put("c.csv", {1: "c"})
    landing.put("b.csv", {2: "b"})
    assert landing.run()[0] == {1: "c", 2: "b"}


def test_a_file_that_is_gone_cannot_give_its_rows_back(landing: Landing) -> None:
    landing.put("a.csv", {1: "a", 2: "a"})
    landing.put("b.csv", {1: "b"})
    landing.run()
    (landing.folder / "landing" / "a.csv").unlink()
    landing.put("b.csv", {3: "b"})
    rows, said = landing.run()
    assert rows == {2: "a", 3: "b"}
    assert said == ["a.csv is gone: rows of table t that it had too cannot come back"]


@pytest.mark.parametrize("seed", range(4))
def test_files_replaced_at_random(landing: Landing, tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    for step in range(5):
        for _ in range(rng.randint(1, 3)):
            keys = rng.sample(range(6), rng.randint(1, 4))
            landing.put(f"{rng.choice('abcd')}.csv", {k: rng.choice("xyz") for k in keys})
        found, _ = landing.run()
        if step % 2 == 0:
            assert found == landing.anew(tmp_path / f"anew{step}")


def test_nothing_is_noted_of_keys_that_are_new(landing: Landing) -> None:
    landing.put("a.csv", {1: "a"})
    landing.run()
    landing.put("b.csv", {2: "b"})
    landing.run()
    with sl.open(landing.folder / "w.duckdb", read_only=True) as wh:
        assert wh.sql("SELECT count(*) AS n FROM strandline.superseded").item() == 0


def test_a_dropped_table_leaves_nothing_noted(landing: Landing) -> None:
    landing.put("a.csv", {1: "a"})
    landing.put("b.csv", {1: "b"})
    landing.run()
    with sl.open(landing.folder / "w.duckdb") as wh:
        noted = "SELECT count(*) AS n FROM strandline.superseded"
        assert wh.sql(noted).item() == 1
        wh.drop_model("m")
        wh.drop_table("t")
        assert wh.sql(noted).item() == 0
