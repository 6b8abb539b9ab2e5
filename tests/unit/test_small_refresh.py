"""What a small refresh costs is the number of its statements; what they leave out has to be nothing."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Iterator

import polars as pl
import pytest

import strandline as sl
from strandline.engines import duckdb as engine

CHAIN = {
    "a": "SELECT o.id, o.customer, o.day, o.amount, c.region FROM orders o LEFT JOIN customers c"
    " USING (customer) WHERE o.amount > 1",
    "b": "SELECT customer, region, day, sum(amount) AS total, count(*) AS n FROM a GROUP BY ALL",
    "c": "SELECT customer, region, day, total,"
    " sum(total) OVER (PARTITION BY customer ORDER BY day) AS running FROM b",
    "d": "SELECT region, day, sum(total) AS total, max(running) AS top FROM c GROUP BY ALL",
}
MOST = 19
"""Statements of a refresh of the chain, when one row comes."""
MOST_CHANGED, MOST_GONE = 38, 36
"""The same, when a row is changed and when one goes."""


@contextlib.contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    statements: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr(engine, "on_statement", lambda _, sql: statements.append(sql))
        yield statements


def orders(ids: list[int], customer: int, day: int) -> pl.DataFrame:
    date = dt.date(2025, 1, 1) + dt.timedelta(days=day)
    return pl.DataFrame(
        {"id": ids, "customer": [customer] * len(ids), "day": [date] * len(ids), "amount": [12.5] * len(ids)}
    )


def test_a_row_through_four_models_takes_few_statements(monkeypatch: pytest.MonkeyPatch) -> None:
    with sl.open(":memory:") as wh:
        wh.create_table("orders", "id INTEGER, customer INTEGER, day DATE, amount DECIMAL(12,2)", key="id")
        wh.create_table("customers", "customer INTEGER, region VARCHAR", key="customer")
        wh.apply("customers", pl.DataFrame({"customer": [1, 2], "region": ["n", "s"]}))
        wh.apply("orders", orders(list(range(10)), 1, 0))
        wh.refresh()
        for name, query in CHAIN.items():
            wh.create_model(name, query, strategy="incremental")
        for i, (customer, day) in enumerate([(1, 1), (1, 1), (2, 0), (1, 3), (1, 2)]):
            wh.apply("orders", orders([100 + i], customer, day))
            with counted(monkeypatch) as statements:
                wh.refresh()
            if i in {2, 3}:  # sizes are asked for once; then a group changes; the last row is late
                assert len(statements) <= MOST
            assert all(wh.verify(name).ok for name in CHAIN)


def test_a_row_changed_or_gone_takes_not_many_more(monkeypatch: pytest.MonkeyPatch) -> None:
    with sl.open(":memory:") as wh:
        wh.create_table("orders", "id INTEGER, customer INTEGER, day DATE, amount DECIMAL(12,2)", key="id")
        wh.create_table("customers", "customer INTEGER, region VARCHAR", key="customer")
        wh.apply("customers", pl.DataFrame({"customer": [1, 2], "region": ["n", "s"]}))
        for day in range(6):
            wh.apply("orders", orders([10 * day, 10 * day + 1], 1 + day % 2, day))
        wh.refresh()
        for name, query in CHAIN.items():
            wh.create_model(name, query, strategy="incremental")
        for i, most in [(10, MOST_CHANGED), (40, MOST_CHANGED), (21, MOST_GONE), (20, MOST_GONE)]:
            if most == MOST_GONE:
                wh.apply("orders", deletes=pl.DataFrame({"id": [i]}))
            else:
                wh.apply("orders", orders([i], 1 + i // 10 % 2, i // 10).with_columns(amount=pl.lit(99.5)))
            with counted(monkeypatch) as statements:
                wh.refresh()
            if i != 10:  # sizes are asked for once
                assert len(statements) <= most
            assert all(wh.verify(name).ok for name in CHAIN)


def test_some_partitions_are_late_and_others_are_not() -> None:
    with sl.open(":memory:") as wh:
        wh.create_table("t", "k INTEGER, g INTEGER, v INTEGER", key="k")
        over = "OVER (PARTITION BY g ORDER BY k)"
        wh.create_model("w", f"SELECT k, g, v, sum(v) {over} AS s, lead(v) {over} AS n FROM t")
        wh.create_model("r", f"SELECT k, g, sum(v) {over} AS s FROM t")
        wh.create_model("m", "SELECT g, max(s) AS s FROM r GROUP BY g")
        wh.create_model("n", "SELECT g, sum(n) AS n FROM w GROUP BY g")

        def change(keys: list[int], groups: list[int], gone: list[int]) -> None:
            wh.apply("t", pl.DataFrame({"k": keys, "g": groups, "v": keys}), pl.DataFrame({"k": gone}))
            wh.refresh()
            assert all(wh.verify(name).ok for name in "wrmn")

        change([10, 20, 30, 11, 21, 31, 12, 22, 32], [0, 0, 0, 1, 1, 1, 2, 2, 2], [999])
        change([15, 41], [0, 1], [999])  # late in one, in order in another
        change([42, 43], [2, 3], [20])  # one loses a row, another goes on, a third begins
        change([40, 31], [0, 1], [43, 32])
        change([5, 6], [0, 1], [999])  # all late
        change([50], [0], [10, 15, 30, 40, 5])


def test_keys_are_taken_as_they_are_cast() -> None:
    with sl.open(":memory:") as wh:
        wh.create_table("t", "k VARCHAR, v INTEGER", key="k")
        wh.create_model("m", "SELECT v % 2 AS odd, count(*) AS n, min(k) AS least FROM t GROUP BY v % 2")
        wh.apply("t", pl.DataFrame({"k": ["5", "95"], "v": [1, 2]}))
        wh.refresh()
        wh.apply("t", pl.DataFrame({"k": [10, 9, 95], "v": [3, 4, 5]}))  # '10' < '5' < '9' < '95' as text
        wh.refresh()
        wh.apply("t", pl.DataFrame({"k": ["9", "é", "9"], "v": [6, 7, 8]}))
        wh.refresh()
        wh.apply("t", deletes=pl.DataFrame({"k": ["5", "none"]}))
        wh.refresh()
        assert sorted(wh.read("t").rows()) == [("10", 3), ("9", 8), ("95", 5), ("é", 7)]
        assert wh.verify("m").ok


def test_what_is_known_of_a_frame_is_forgotten_with_it() -> None:
    with sl.open(":memory:") as wh:
        wh.create_table("t", "k INTEGER, v INTEGER", key="k")
        wh.apply("t", pl.DataFrame({"k": [1, 2], "v": [1, 1]}))
        wh.refresh()
        wrong = pl.DataFrame({"k": [3], "v": ["no number"]})
        with pytest.raises(sl.InputError):
            wh.apply("t", inserts=wrong, deletes=pl.DataFrame({"k": [7]}))
        wh.apply("t", pl.DataFrame({"k": [1], "v": [9]}))
        wh.apply("t", pl.DataFrame({"k": [2, 4], "v": [9, 9]}))
        with contextlib.suppress(ZeroDivisionError), wh.batch() as b:
            b.apply("t", pl.DataFrame({"k": [50], "v": [50]}))
            raise ZeroDivisionError
        wh.apply("t", pl.DataFrame({"k": [5], "v": [9]}))
        wh.refresh()
        kept = {k: v for k, v in wh.read("t").rows() if k != 50}
        assert kept == {1: 9, 2: 9, 4: 9, 5: 9}


QUERIES = {
    "sums": "SELECT g, sum(x) AS s, max(x) AS top, count(*) AS n FROM t GROUP BY g",
    "spread": "SELECT g, stddev(x) AS d, min(x) AS low FROM t GROUP BY g",
    "all": "SELECT sum(x) AS s, count(*) AS n FROM t WHERE g > 0",
    "joined": "SELECT u.name, sum(t.x) AS s, avg(t.x) AS a FROM t JOIN u ON t.g = u.g GROUP BY u.name",
}


@pytest.mark.parametrize("read", [False, True])
@pytest.mark.parametrize("name", QUERIES)
def test_groups_to_which_rows_only_come(name: str, read: bool) -> None:
    """New groups and old ones, groups that are read again, zeros of both signs as keys, nothing at all."""
    with sl.open(":memory:") as wh:
        wh.create_table("t", "g DOUBLE, x DOUBLE")
        wh.create_table("u", "g DOUBLE, name VARCHAR", key="g")
        wh.apply("u", pl.DataFrame({"g": [0.0, 1.0, 2.0], "name": ["zero", "one", "two"]}))
        wh.refresh()
        wh.create_model("m", QUERIES[name], strategy="incremental")
        if read:
            wh.create_model("above", "SELECT count(*) AS n, max(COLUMNS(*)) FROM m", strategy="incremental")
            wh.create_model("beside", "SELECT * FROM m", strategy="incremental")
        for rows in (
            [(0.0, 1.5)],
            [(-0.0, 2.5), (1.0, 1e16)],
            [(1.0, -1e16), (1.0, 3.0)],
            [(-1.0, 0.0)],
            [(2.0, None)],
        ):
            wh.apply("t", pl.DataFrame(rows, schema=["g", "x"], orient="row"))
            wh.refresh()
            for model in ["m", *(["above", "beside"] if read else [])]:
                assert wh.verify(model).ok
