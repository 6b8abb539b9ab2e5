"""Rows of a file go into a bag's table as they come, and wait after all where something is taken away."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import strandline
from strandline.errors import InputError, StrandlineError
from strandline.schema import FileRecord
from strandline.warehouse import Warehouse, maintain
from strandline.warehouse.batches import OpenBatch

ROWS = [{"k": k, "v": f"v{k}"} for k in range(4)]


@pytest.fixture
def wh() -> Iterator[Warehouse]:
    wh = strandline.open(":memory:")
    wh.create_table("t", "k INTEGER, v VARCHAR")
    wh.create_model("m", "SELECT v, count(*) AS n, sum(k) AS s FROM t GROUP BY v")
    wh.create_model("d", "SELECT DISTINCT k FROM t")
    yield wh
    wh.close()


def file(b: OpenBatch, path: str, *chunks: list[dict[str, Any]]) -> int:
    number = b.record_file(FileRecord("s", "t", path, 1, path))
    for rows in chunks:
        b.apply("t", inserts=rows, file_id=number)
    b.finish_file(number, sum(map(len, chunks)), 0, "applied")
    return number


def two_files(wh: Warehouse, *contents: list[dict[str, Any]]) -> None:
    with wh.batch() as b:
        for number, content in enumerate(contents):
            file(b, f"{number}", content)


def rows(wh: Warehouse) -> list[tuple[int, str]]:
    return sorted(wh.sql("SELECT k, v FROM t").rows())


def as_recomputed(wh: Warehouse) -> bool:
    return all(p.ok for p in wh.verify_all())


def test_several_files_and_chunks_have_identities_of_their_own(wh: Warehouse) -> None:
    for name in "ab":
        with wh.batch() as b:
            file(b, f"{name}1", ROWS[:2], ROWS[2:])
            file(b, f"{name}2", ROWS[:1])
        assert b.run is not None
        assert [(t.inserted, t.deleted) for t in b.run.tables] == [(5, 0)]
        assert as_recomputed(wh)
    found = wh.sql("SELECT count(*), count(DISTINCT _rid), count(DISTINCT _k) FROM strandline_data.t")
    assert found.rows() == [(10, 10, 4)]
    lines = wh.sql(
        "SELECT _batch, _file, list(k ORDER BY _rid) FROM strandline_data.t GROUP BY ALL ORDER BY 2"
    )
    assert [r[2] for r in lines.rows()] == [[0, 1, 2, 3], [0], [0, 1, 2, 3], [0]]


def test_what_is_deleted_behind_it_in_the_same_batch_goes(wh: Warehouse) -> None:
    with wh.batch() as b:
        first = file(b, "a", ROWS)
    with wh.batch() as b:
        number = file(b, "b", ROWS[:2])
        b.apply("t", deletes=ROWS[:1], file_id=number)
        file(b, "c", ROWS[3:])
        b.retract_file("t", first)
        file(b, "a", ROWS[2:])
    assert rows(wh) == [(1, "v1"), (2, "v2"), (3, "v3"), (3, "v3")]
    assert as_recomputed(wh)


def test_what_waited_before_the_batch_stays_in_front(wh: Warehouse) -> None:
    wh.apply("t", inserts=ROWS[:1])
    with wh.batch() as b:
        file(b, "a", ROWS[:1])
        wh.apply("t", deletes=ROWS[:1])
    assert rows(wh) == [(0, "v0")]
    assert as_recomputed(wh)


def test_a_call_that_fails_leaves_what_was_written(wh: Warehouse) -> None:
    with wh.batch() as b:
        number = file(b, "a", ROWS)
        with pytest.raises(InputError, match="every column"):
            b.apply("t", deletes=[{"k": 1}], file_id=number)
        b.apply("t", deletes=ROWS[1:2], file_id=number)
    assert rows(wh) == [(0, "v0"), (2, "v2"), (3, "v3")]
    assert as_recomputed(wh)


def test_a_batch_that_fails_leaves_nothing(wh: Warehouse) -> None:
    with pytest.raises(StrandlineError, match="is not"):
        two_files(wh, ROWS, [{"k": "x", "v": ""}])
    assert rows(wh) == []
    assert not wh.refresh().changed
    with wh.batch() as b:
        file(b, "a", ROWS)
    assert rows(wh) == [(0, "v0"), (1, "v1"), (2, "v2"), (3, "v3")]
    assert as_recomputed(wh)


def test_many_rows_into_an_empty_table_are_a_bulk(wh: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maintain, "BULK_ROWS", 3)
    for expected in ("full", "merge"):
        with wh.batch() as b:
            file(b, f"{expected}1", ROWS[:2])
            file(b, f"{expected}2", ROWS[2:])
        assert b.run is not None
        ran = b.run.model("m")
        assert ran is not None
        assert (ran.strategy == "full") == (expected == "full"), ran
        assert as_recomputed(wh)


def test_a_table_without_rows_of_the_file(wh: Warehouse) -> None:
    with wh.batch() as b:
        file(b, "a", [])
        file(b, "b", ROWS[:1])
    assert rows(wh) == [(0, "v0")]
    assert as_recomputed(wh)
