"""Copies, moves and refused replacements of files: the table stays what the files say, once each."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from strandline import Pipeline

TOML = """[warehouse]
path = "w.duckdb"
[sources.t]
path = "landing"
settle_seconds = 0
{settings}
[sources.t.columns]
id = "INTEGER"
v = "VARCHAR"
"""
KEYED, BAG, APPENDED = 'key = ["id"]', "", 'key = ["id"]\nappend_only = true'
BROKEN = "nothing,of this\n1,2\n"


class Feed:
    """A project whose files get ever later times of change."""

    def __init__(self, folder: Path, settings: str) -> None:
        self.landing = folder / "landing"
        self.clock = 1_700_000_000
        self.said: list[str] = []
        self.landing.mkdir(parents=True)
        (folder / "models").mkdir()
        (folder / "strandline.toml").write_text(TOML.format(settings=settings))
        (folder / "models" / "m.sql").write_text("SELECT v, count(*) AS n, sum(id) AS s FROM t GROUP BY v")
        self.folder = folder

    def put(self, name: str, rows: str) -> None:
        """`"1a 2b"` are two rows; anything with a comma is the file's text."""
        text = rows if "," in rows else "id,v\n" + "".join(f"{r[0]},{r[1:]}\n" for r in rows.split())
        (self.landing / name).write_text(text)
        self.clock += 10
        os.utime(self.landing / name, (self.clock, self.clock))

    def move(self, name: str, to: str) -> None:
        (self.landing / to).parent.mkdir(exist_ok=True)
        (self.landing / name).rename(self.landing / to)

    def run(self, rows: str) -> None:
        """The table holds these rows after a run, the models are exact, and nothing is left to do."""
        with Pipeline.load(self.folder, notice=self.said.append) as pipeline:
            pipeline.run()
            found = sorted(f"{i}{v}" for i, v in pipeline.warehouse.read("t").rows())
            assert found == sorted(rows.split())
            assert all(pipeline.warehouse.verify_all())
            assert not pipeline.run().changed

    def ledger(self) -> Sequence[tuple[str, str]]:
        with Pipeline.load(self.folder) as pipeline:
            query = "SELECT path, status FROM strandline.files ORDER BY file_id"
            return pipeline.warehouse.sql(query).rows()


@pytest.mark.parametrize("settings", [KEYED, BAG, APPENDED])
@pytest.mark.parametrize("to", ["z.csv", "done/a.csv"])
def test_a_file_that_is_moved_says_nothing_new(tmp_path: Path, settings: str, to: str) -> None:
    feed = Feed(tmp_path, settings)
    feed.put("a.csv", "1a 2a")
    feed.run("1a 2a")
    feed.put("b.csv", "1b" if settings == KEYED else "3b")
    feed.run("1b 2a" if settings == KEYED else "1a 2a 3b")
    feed.move("a.csv", to)
    feed.run("1b 2a" if settings == KEYED else "1a 2a 3b")
    assert feed.ledger() == [(to, "applied"), ("b.csv", "applied")]


@pytest.mark.parametrize("settings", [KEYED, BAG])
def test_a_moved_file_is_replaced_under_its_new_name(tmp_path: Path, settings: str) -> None:
    feed = Feed(tmp_path, settings)
    feed.put("a.csv", "1a 2a")
    feed.put("b.csv", "3b")
    feed.run("1a 2a 3b")
    feed.move("a.csv", "z.csv")
    feed.run("1a 2a 3b")
    feed.put("z.csv", "4z")
    feed.run("3b 4z")
    feed.put("a.csv", "1a 2a")  # the old content again: it counts no longer, so it is news
    feed.run("1a 2a 3b 4z")


def test_a_moved_file_gives_its_rows_back(tmp_path: Path) -> None:
    feed = Feed(tmp_path, KEYED)
    feed.put("a.csv", "1a 2a")
    feed.put("b.csv", "1b")
    feed.run("1b 2a")
    feed.move("a.csv", "z.csv")
    feed.put("b.csv", "3b")
    feed.run("1a 2a 3b")


def test_what_is_held_of_a_moved_file_goes_with_it(tmp_path: Path) -> None:
    feed = Feed(tmp_path, KEYED)
    feed.put("a.csv", "id,v\n1,a\nx,a\n")
    feed.run("1a")
    feed.move("a.csv", "z.csv")
    feed.run("1a")
    with Pipeline.load(feed.folder) as pipeline:
        held = "SELECT file, status FROM strandline.quarantine"
        assert pipeline.warehouse.sql(held).rows() == [("z.csv", "held")]
    feed.put("z.csv", "1a")
    feed.run("1a")
    with Pipeline.load(feed.folder) as pipeline:
        assert pipeline.warehouse.sql(held).rows() == [("z.csv", "replaced")]


def test_plan_says_that_a_file_was_moved(tmp_path: Path) -> None:
    feed = Feed(tmp_path, BAG)
    feed.put("a.csv", "1a")
    feed.run("1a")
    feed.move("a.csv", "z.csv")
    with Pipeline.load(feed.folder) as pipeline:
        assert "moved z.csv → t, 9 bytes (it was a.csv)" in str(pipeline.plan())


@pytest.mark.parametrize("settings", [KEYED, BAG])
def test_rotated_files(tmp_path: Path, settings: str) -> None:
    feed = Feed(tmp_path, settings)
    feed.put("log", "1a 2a")
    feed.run("1a 2a")
    feed.move("log", "log.1")
    feed.put("log", "3b")
    feed.run("1a 2a 3b")
    feed.move("log.1", "log.2")
    feed.move("log", "log.1")
    feed.put("log", "4c")
    feed.run("1a 2a 3b 4c")


def test_a_copy_stands_where_it_arrived(tmp_path: Path) -> None:
    feed = Feed(tmp_path, KEYED)
    feed.put("a.csv", "1a 2a")
    feed.put("copy.csv", "1a 2a")
    feed.run("1a 2a")
    feed.put("b.csv", "1b")
    feed.run("1b 2a")
    feed.put("a.csv", "3c")  # the copy is older than b.csv: its row 1 does not come over that of b.csv
    feed.run("1b 2a 3c")


@pytest.mark.parametrize("together", [True, False])
def test_a_copy_of_what_a_refused_file_held_counts_once(tmp_path: Path, together: bool) -> None:
    feed = Feed(tmp_path, BAG)
    feed.put("a.csv", "1a 2a")
    feed.run("1a 2a")
    feed.put("a.csv", BROKEN)
    if not together:
        feed.run("1a 2a")
    feed.put("sent again.csv", "1a 2a")
    feed.run("1a 2a")
    feed.put("a.csv", "3a")
    feed.run("1a 2a 3a")


def test_a_copy_stays_one_while_the_other_file_is_refused(tmp_path: Path) -> None:
    feed = Feed(tmp_path, BAG)
    feed.put("a.csv", "1a")
    feed.put("b.csv", "1a")
    feed.run("1a")
    feed.put("a.csv", BROKEN)
    feed.run("1a")


def test_a_row_that_cannot_come_back_from_a_refused_file_is_said(tmp_path: Path) -> None:
    feed = Feed(tmp_path, KEYED)
    feed.put("a.csv", "1a 2a")
    feed.put("b.csv", "1b")
    feed.run("1b 2a")
    feed.put("a.csv", BROKEN)
    feed.run("1b 2a")
    feed.put("b.csv", "3b")
    feed.run("2a 3b")
    assert feed.said[-1].startswith("a.csv is not as it was taken in: rows of table t")


@pytest.mark.parametrize("garbage", ["", BROKEN])
def test_equal_garbage_in_two_files_takes_nothing_back(tmp_path: Path, garbage: str) -> None:
    feed = Feed(tmp_path, BAG)
    feed.put("a.csv", "1a")
    feed.put("b.csv", "2b")
    feed.run("1a 2b")
    for name in ("a.csv", "b.csv"):
        feed.put(name, garbage or ",")
        (feed.landing / name).write_text(garbage)
    feed.run("1a 2b")
    assert [status for _, status in feed.ledger()] == ["applied", "applied", "quarantined", "quarantined"]


@pytest.mark.parametrize("refused", [True, False])
def test_what_a_file_held_before_it_became_a_copy_counts_no_longer(tmp_path: Path, refused: bool) -> None:
    feed = Feed(tmp_path, BAG)
    feed.put("a.csv", "1a")
    feed.put("b.csv", "2b")
    feed.run("1a 2b")
    feed.put("b.csv", "1a")
    feed.run("1a")
    if refused:
        feed.put("b.csv", BROKEN)
        feed.run("1a")
    feed.put("c.csv", "2b")
    feed.run("1a 2b")


def test_held_rows_are_released_though_another_file_is_a_copy(tmp_path: Path) -> None:
    feed = Feed(tmp_path, BAG)
    feed.put("b.csv", "id,v\n1,a\nx,a\n")
    feed.put("a.csv", "id,v\n1,a\nx,a\n")
    os.utime(feed.landing / "a.csv", (feed.clock - 1000, feed.clock - 1000))
    os.utime(feed.landing / "b.csv", (feed.clock - 2000, feed.clock - 2000))
    feed.run("1a")
    os.utime(feed.landing / "a.csv", (feed.clock - 3000, feed.clock - 3000))
    settings = feed.folder / "strandline.toml"
    settings.write_text(
        settings.read_text().replace("settle_seconds = 0", 'settle_seconds = 0\nnull_values = ["x"]')
    )
    with Pipeline.load(feed.folder) as pipeline:
        assert pipeline.release().released == 1
        assert sorted(pipeline.warehouse.read("t").rows(), key=str) == [(1, "a"), (None, "a")]
        assert all(pipeline.warehouse.verify_all())
