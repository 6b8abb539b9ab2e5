"""One at a time: batches inside of batches, several threads, and a warehouse that was closed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

import strandline as sl
from strandline.errors import EngineError, UsageError
from strandline.warehouse import Warehouse

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
