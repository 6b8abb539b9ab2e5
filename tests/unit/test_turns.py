"""One at a time: batches inside of batches, several threads, and a warehouse that was closed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

import strandline as sl
from strandline.errors import EngineError, LockedError, UsageError
from strandline.schema import FileRecord, Position, Reject
from strandline.warehouse import OpenBatch, Warehouse, keeping, remaking

Doing = Callable[[Warehouse], object]


@pytest.fixture
def wh() -> Iterator[Warehouse]:
    with sl.open(":memory:") as warehouse:
        warehouse.create_table("t", "id INTEGER, v INTEGER", key="id")
        warehouse.create_model("s", "SELECT sum(v) AS s FROM t")
        yield warehouse


CHANGES: dict[str, Doing] = {
    "batch": lambda wh: wh.batch().__enter__(),
    "refresh": lambda wh: wh.refresh(),
    "create_table": lambda wh: wh.create_table("u", "a INTEGER"),
    "drop_table": lambda wh: wh.drop_table("t"),
    "add_columns": lambda wh: wh.add_columns("t", [sl.Column("w", "INTEGER")]),
    "create_model": lambda wh: wh.create_model("m", "SELECT * FROM t"),
    "drop_model": lambda wh: wh.drop_model("s"),
    "record_checks": lambda wh: wh.record_checks(wh.verify_all()),
}


@pytest.mark.parametrize("what", CHANGES)
def test_nothing_else_is_changed_inside_a_batch(wh: Warehouse, what: str) -> None:
    with wh.batch() as b:
        b.apply("t", [{"id": 1, "v": 1}])
        with pytest.raises(UsageError, match="a batch is open"):
            CHANGES[what](wh)
        b.apply("t", [{"id": 2, "v": 2}])  # the batch goes on
    assert wh.read("s").rows() == [(3,)]
    wh.refresh()


def test_a_batch_that_is_over_takes_nothing(wh: Warehouse) -> None:
    with wh.batch() as b:
        b.apply("t", [{"id": 1, "v": 1}])
    with pytest.raises(UsageError, match="the batch is over"):
        b.apply("t", [{"id": 2, "v": 2}])
    assert not wh.refresh().changed


def in_another_thread(do: Callable[[], object]) -> BaseException | None:
    raised: list[BaseException] = []

    def run() -> None:
        try:
            do()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return raised[0] if raised else None


USES: dict[str, Doing] = {
    "apply": lambda wh: wh.apply("t", [{"id": 9, "v": 9}]),
    "refresh": lambda wh: wh.refresh(),
    "read": lambda wh: wh.read("s"),
    "verify": lambda wh: wh.verify("s"),
}


@pytest.mark.parametrize("what", USES)
def test_another_thread_is_refused_while_one_is_at_work(wh: Warehouse, what: str) -> None:
    with wh.batch() as b:
        b.apply("t", [{"id": 1, "v": 1}])
        raised = in_another_thread(lambda: USES[what](wh))
        assert isinstance(raised, UsageError)
        assert "another thread" in str(raised)
        assert isinstance(in_another_thread(lambda: b.apply("t", [{"id": 8, "v": 8}])), UsageError)
        assert in_another_thread(lambda: wh.reader().read("s")) is None
    assert in_another_thread(lambda: USES[what](wh)) is None  # one after the other is fine
    wh.refresh()
    assert wh.verify("s").ok


def test_a_closed_warehouse_says_so() -> None:
    wh = sl.open(":memory:")
    wh.create_table("t", "id INTEGER, v INTEGER", key="id")
    wh.close()
    for do in (*USES.values(), lambda w: w.reader(), lambda w: w.checkpoint()):
        with pytest.raises(sl.StrandlineError, match=r"closed|no model|no table"):
            do(wh)
    with pytest.raises(EngineError, match="the warehouse is closed"):
        wh.apply("t", [{"id": 1, "v": 1}])
    wh.close()


def test_a_reader_follows_what_is_defined_meanwhile(wh: Warehouse) -> None:
    wh.apply("t", [{"id": 1, "v": 5}, {"id": 2, "v": 6}])
    wh.refresh()
    reader = wh.reader()
    assert reader.verify("s").ok
    wh.create_model("s", "SELECT min(v) AS s FROM t")
    assert reader.verify("s").ok
    wh.create_model("above", "SELECT s + 1 AS more FROM s")
    wh.add_columns("t", [sl.Column("w", "INTEGER")])
    assert reader.models() == wh.models()
    assert reader.tables() == wh.tables()
    assert reader.explain("above").model == "above"
    assert reader.read("above").rows() == [(6,)]
    wh.drop_model("above")
    with pytest.raises(sl.StrandlineError, match="there is no model 'above'"):
        reader.verify("above")
    wh.create_model("above", "SELECT s + 2 AS more FROM s")
    assert reader.verify("above").ok
    other = wh.reader()
    wh.create_model("above", "SELECT s + 3 AS more FROM s")  # a text as long as the one before
    assert "s + 3" in reader.models()["above"]
    assert "s + 3" in other.explain("above").sql


def test_closing_is_refused_while_another_thread_is_at_work(tmp_path: Path) -> None:
    path = tmp_path / "w.duckdb"
    wh = sl.open(path)
    wh.create_table("t", "id INTEGER, v INTEGER", key="id")
    with wh.batch() as b:
        b.apply("t", [{"id": 1, "v": 1}])
        raised = in_another_thread(wh.close)
        assert isinstance(raised, UsageError)
        assert "another thread" in str(raised)
        assert (tmp_path / "w.duckdb.lock").exists()
        assert isinstance(in_another_thread(lambda: sl.open(path)), LockedError), "it is open as before"
        b.apply("t", [{"id": 2, "v": 2}])
    assert wh.read("t").height == 2
    assert in_another_thread(wh.close) is None
    with sl.open(path) as again:
        assert again.read("t").height == 2


def test_a_reader_at_work_is_not_closed_by_another_thread(wh: Warehouse) -> None:
    reader = wh.reader()
    with reader.turn.taken("reading"):
        assert isinstance(in_another_thread(reader.close), UsageError)
    assert in_another_thread(reader.close) is None


def test_what_the_engine_says_of_closing_is_an_error_of_ours(wh: Warehouse) -> None:
    class Busy:
        def close(self) -> None:
            raise duckdb.InvalidInputException("there is something open")

    engine = wh.engine.reader()
    engine.connection = Busy()  # type: ignore[attr-defined]
    with pytest.raises(EngineError, match="there is something open"):
        engine.close()


def test_a_batch_left_open_by_a_thread_that_ended_is_not_the_next_ones(wh: Warehouse) -> None:
    left = wh.batch()
    assert in_another_thread(left.__enter__) is None
    for _ in range(20):  # a new thread often gets the number of the one before
        raised = in_another_thread(lambda: wh.apply("t", [{"id": 1, "v": 1}]))
        assert isinstance(raised, UsageError)
        assert "another thread" in str(raised)
    wh.close()  # which ends what nobody can end any more
    with pytest.raises(EngineError, match="the warehouse is closed"):
        left.__exit__(None, None, None)


BATCH_USES: dict[str, Callable[[OpenBatch], object]] = {
    "retract_file": lambda b: b.retract_file("t", 1),
    "sought": lambda b: b.sought("t"),
    "record_file": lambda b: b.record_file(FileRecord("s", "t", "a.csv", 1, "x")),
    "finish_file": lambda b: b.finish_file(1, 0, 0, "applied"),
    "put_content": lambda b: b.put_content(1, "x"),
    "quarantine": lambda b: b.quarantine([Reject("t", "a.csv", 1, "why", "raw")]),
    "release": lambda b: b.release(["x"]),
    "position": lambda b: b.position(Position("s", {})),
}


@pytest.mark.parametrize("what", BATCH_USES)
def test_every_use_of_a_batch_is_its_own_threads_until_it_is_over(wh: Warehouse, what: str) -> None:
    use = BATCH_USES[what]
    with wh.batch() as b:
        raised = in_another_thread(lambda: use(b))
        assert isinstance(raised, UsageError)
        assert "another thread" in str(raised)
    with pytest.raises(UsageError, match="the batch is over"):
        use(b)
    assert not wh.refresh().changed


def test_state_is_brought_to_this_version_in_the_batchs_own_turn(
    wh: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[object] = []

    def look(_: object) -> list[str]:
        seen.append(wh.turn.owner)
        return []

    monkeypatch.setattr(remaking, "outdated", look)
    with wh.batch():
        pass
    assert seen == [threading.current_thread()]


def test_what_waits_already_is_part_of_a_batch(wh: Warehouse) -> None:
    wh.apply("t", [{"id": 1, "v": 1}])
    with wh.batch() as b:
        b.apply("t", [{"id": 2, "v": 2}])
    assert wh.read("t").height == 2


def test_one_call_of_a_reader_is_of_one_moment(wh: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    wh.apply("t", [{"id": 1, "v": 5}])
    wh.refresh()
    reader, recompute = wh.reader(), keeping.recompute

    def with_a_commit_between(*args: Any) -> str:
        text = recompute(*args)
        monkeypatch.setattr(keeping, "recompute", recompute)
        wh.create_model("s", "SELECT max(v) + 1 AS s FROM t")
        wh.apply("t", [{"id": 2, "v": 7}])
        wh.refresh()
        return text

    monkeypatch.setattr(keeping, "recompute", with_a_commit_between)
    assert reader.verify("s").ok
    assert reader.verify("s").ok
    assert reader.read("s").rows() == [(8,)]


def test_readers_follow_a_writer_at_work() -> None:
    with sl.open(":memory:") as wh:
        wh.create_table("t", "id INTEGER, v INTEGER", key="id")
        reader, over, raised = wh.reader(), threading.Event(), []

        def read() -> None:
            while not over.is_set():
                try:
                    found = [reader.models(), reader.tables()]
                    found += [reader.explain(m) for m in reader.models() if m == "kept"]
                    if not all(p.ok for p in reader.verify_all()):
                        raised.append(AssertionError(found))
                except BaseException as error:
                    raised.append(error)

        wh.create_model("kept", "SELECT count(*) AS n FROM t")
        thread = threading.Thread(target=read)
        thread.start()
        try:
            for i in range(30):
                wh.create_model(f"m{i % 3}", f"SELECT sum(v) + {i} AS s FROM t")
                wh.apply("t", [{"id": i, "v": i}])
                wh.refresh()
                wh.drop_model(f"m{i % 3}")
        finally:
            over.set()
            thread.join()
        assert not raised, raised[0]
