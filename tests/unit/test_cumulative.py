"""Cumulative files: only the tail is read, and a changed beginning is never taken for a known one."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import strandline as sl
from strandline.schema import Run

TOML = """
[warehouse]
path = ":memory:"

[sources.sales]
kind = "files"
path = "in"
{key}
cumulative = true
settle_seconds = 0

[sources.sales.columns]
id = "INTEGER"
day = "VARCHAR"
"""
HEADER = "id,day\n"
ONE = "1,a\n2,a\n"
TWO = '3,b\n4,"b, quoted"\n'
Drop = Callable[[str, str], Run]


@pytest.fixture(params=['key = ["id"]', ""], ids=["keyed", "bag"])
def pipeline(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[sl.Pipeline]:
    (tmp_path / "in").mkdir()
    (tmp_path / "models").mkdir()
    (tmp_path / "strandline.toml").write_text(TOML.format(key=request.param))
    (tmp_path / "models" / "days.sql").write_text("SELECT day, count(*) AS n FROM sales GROUP BY day")
    with sl.Pipeline.load(tmp_path) as loaded:
        yield loaded


@pytest.fixture
def drop(pipeline: sl.Pipeline) -> Drop:
    """Let an archive with this text arrive, a second after the former one, and run."""
    clock = iter(range(1_700_000_000, 1_800_000_000))

    def arrive(name: str, text: str) -> Run:
        path = pipeline.config.directory / "in" / name
        path.parent.mkdir(exist_ok=True)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("sales.csv", text)
        now = next(clock)
        os.utime(path, (now, now))
        return pipeline.run()

    return arrive


def rows(pipeline: sl.Pipeline) -> list[tuple[int, str]]:
    assert all(pipeline.warehouse.verify_all())
    found: list[tuple[int, str]] = pipeline.warehouse.sql("SELECT * FROM sales ORDER BY ALL").rows()
    return found


def test_only_the_tail_is_read(pipeline: sl.Pipeline, drop: Drop) -> None:
    drop("day_1.zip", HEADER + ONE)
    run = drop("day_2.zip", HEADER + ONE + TWO)
    assert [f.rows for f in run.files] == [2]
    assert (run.tables[0].inserted, run.tables[0].deleted, run.tables[0].unchanged) == (2, 0, 0)
    assert rows(pipeline) == [(1, "a"), (2, "a"), (3, "b"), (4, "b, quoted")]
    run = drop("day_2.zip", HEADER + ONE + TWO + "5,c\n")  # the same name again
    assert [f.rows for f in run.files] == [1]
    assert len(rows(pipeline)) == 5
    assert not drop("day_2.zip", HEADER + ONE + TWO + "5,c\n").tables


def test_lines_go_on(pipeline: sl.Pipeline, drop: Drop) -> None:
    drop("1.zip", HEADER + ONE)
    drop("2.zip", HEADER + ONE + "3,b\nbroken\n4,b\n")
    found = pipeline.warehouse.sql('SELECT _line FROM strandline_data."sales" ORDER BY id').rows()
    assert [line for (line,) in found] == [2, 3, 4, 6]
    held = pipeline.warehouse.sql("SELECT line, reason FROM strandline.quarantine").rows()
    assert [line for line, _ in held] == [5]


def test_a_changed_beginning_replaces_row_by_row(pipeline: sl.Pipeline, drop: Drop) -> None:
    drop("1.zip", HEADER + ONE)
    drop("2.zip", HEADER + ONE + TWO)
    run = drop("3.zip", HEADER + "1,a\n2,corrected\n" + TWO + "5,c\n")
    assert rows(pipeline) == [(1, "a"), (2, "corrected"), (3, "b"), (4, "b, quoted"), (5, "c")]
    assert (run.tables[0].inserted, run.tables[0].deleted) == (2, 1)
    drop("4.zip", HEADER + "1,a\n")  # the newest file is the truth, even a shorter one
    assert rows(pipeline) == [(1, "a")]
    drop("5.zip", HEADER + "1,a\n9,z\n")
    assert rows(pipeline) == [(1, "a"), (9, "z")]


def test_an_older_state_that_comes_again_says_nothing(pipeline: sl.Pipeline, drop: Drop) -> None:
    drop("1.zip", HEADER + ONE)
    drop("2.zip", HEADER + ONE + TWO)
    drop("copy_of_1.zip", HEADER + ONE)
    assert len(rows(pipeline)) == 4
    run = drop("3.zip", HEADER + ONE + TWO + "5,c\n")
    assert [f.rows for f in run.files] == [1]
    assert len(rows(pipeline)) == 5


def test_a_beginning_that_does_not_end_with_a_line(pipeline: sl.Pipeline, drop: Drop) -> None:
    drop("1.zip", HEADER + "1,a\n2,a")
    drop("2.zip", HEADER + "1,a\n2,ab\n")
    assert rows(pipeline) == [(1, "a"), (2, "ab")]
    drop("3.zip", HEADER + '1,a\n2,ab\n3,"open\n')
    drop("4.zip", HEADER + '1,a\n2,ab\n3,"open\nstill"\n')
    assert rows(pipeline) == [(1, "a"), (2, "ab"), (3, "open\nstill")]


def test_of_several_waiting_files_the_newest_counts(pipeline: sl.Pipeline, drop: Drop) -> None:
    folder = pipeline.config.directory / "in"
    for number in (9, 10):
        with zipfile.ZipFile(folder / f"day_{number}.zip", "w") as archive:
            archive.writestr("sales.csv", HEADER + ONE + (TWO if number == 10 else ""))
        os.utime(folder / f"day_{number}.zip", (1_600_000_000, 1_600_000_000))
    run = pipeline.run()
    assert [f.path for f in run.files] == ["day_10.zip"]
    assert len(rows(pipeline)) == 4
    assert not pipeline.run().changed


def test_a_damaged_archive_changes_nothing(pipeline: sl.Pipeline, drop: Drop) -> None:
    drop("1.zip", HEADER + ONE)
    path = pipeline.config.directory / "in" / "2.zip"
    drop("2.zip", HEADER + ONE + TWO)
    whole = path.read_bytes()
    damaged = path.with_name("3.zip")
    damaged.write_bytes(whole[: len(whole) // 2])
    run = pipeline.run()
    assert [f.status for f in run.files] == ["quarantined"]
    with zipfile.ZipFile(path.with_name("4.zip"), "w") as archive:
        archive.writestr("a.csv", HEADER)
        archive.writestr("b.csv", HEADER)
    assert [f.status for f in pipeline.run().files] == ["quarantined"]
    assert len(rows(pipeline)) == 4
    run = drop("5.zip", HEADER + ONE + TWO + "5,c\n")  # its time is before the damaged ones
    assert [f.rows for f in run.files] == [1]


def test_folders_are_apart(pipeline: sl.Pipeline, drop: Drop) -> None:
    drop("north/1.zip", HEADER + ONE)
    drop("south/1.zip", HEADER + "7,s\n")
    run = drop("north/2.zip", HEADER + ONE + TWO)
    assert [f.rows for f in run.files] == [2]
    assert len(rows(pipeline)) == 5


def test_a_retracted_file_rolls_back_with_its_batch(
    pipeline: sl.Pipeline, drop: Drop, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop("1.zip", HEADER + ONE)
    monkeypatch.setattr("strandline.warehouse.batches.write_record", _fails)
    with pytest.raises(OSError, match="disk"):
        drop("2.zip", HEADER + ONE + TWO)
    monkeypatch.undo()
    assert rows(pipeline) == [(1, "a"), (2, "a")]
    assert [f.rows for f in pipeline.run().files] == [2]
    assert len(rows(pipeline)) == 4


def _fails(*_: object) -> None:
    raise OSError("disk")
