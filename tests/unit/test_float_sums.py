"""Sums and averages of doubles over many refreshes: within 1e-9 of the query over all rows."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator

import pyarrow as pa
import pytest

import strandline as sl
from strandline.warehouse import Warehouse

QUERY = "SELECT g, sum(x) AS s, avg(x) AS a FROM t GROUP BY g"
REFRESHES = 1_000
NASTY = (1e16, -1e16, 1e308, -1e308, math.inf, -math.inf, math.nan)


@pytest.fixture
def wh() -> Iterator[Warehouse]:
    with sl.open(":memory:", threads=1) as made:
        made.create_table("t", "id INTEGER, g INTEGER, x DOUBLE", key="id")
        made.create_model("m", QUERY)
        yield made


def frame(rows: list[tuple[int, int, float]]) -> pa.Table:
    ids, groups, values = (list(c) for c in zip(*rows, strict=True))
    return pa.table({"id": pa.array(ids, pa.int32()), "g": pa.array(groups, pa.int32()), "x": values})


def worst(wh: Warehouse) -> float:
    """The largest relative error of the model against the query over everything."""
    got = wh.engine.rows("SELECT g, s, a FROM m ORDER BY g")
    want = wh.engine.rows(f"SELECT * FROM ({QUERY}) ORDER BY g")
    assert [row[0] for row in got] == [row[0] for row in want]
    pairs = [pair for g, w in zip(got, want, strict=True) for pair in zip(g[1:], w[1:], strict=True)]
    return max((error(a, b) for a, b in pairs), default=0.0)


def error(a: float | None, b: float | None) -> float:
    if a is None or b is None or not (math.isfinite(a) and math.isfinite(b)):
        same = a == b or (a is not None and b is not None and math.isnan(a) and math.isnan(b))
        return 0.0 if same else math.inf
    return 0.0 if a == b else abs(a - b) / max(abs(a), abs(b))


def insert(wh: Warehouse, *rows: tuple[int, int, float]) -> None:
    wh.apply("t", inserts=frame(list(rows)))
    wh.refresh()


@pytest.mark.slow
def test_a_thousand_refreshes_with_large_values_in_and_out(wh: Warehouse) -> None:
    rng = random.Random(3)
    alive: list[int] = []
    highest = 0.0
    for number in range(REFRESHES):
        ids = range(number * 3, number * 3 + 3)
        values = [rng.choice(NASTY) if rng.random() < 0.03 else rng.uniform(-1000, 1000) for _ in ids]
        wh.apply("t", inserts=frame([(i, rng.randrange(4), x) for i, x in zip(ids, values, strict=True)]))
        if alive and rng.random() < 0.15:
            gone = [alive.pop(rng.randrange(len(alive)))]
            wh.apply("t", deletes=pa.table({"id": pa.array(gone, pa.int32())}))
        if number % 97 == 96:  # what is not finite goes, so that the sums are numbers again
            odd = wh.engine.rows("SELECT id FROM t WHERE NOT isfinite(x) OR abs(x) > 1e300")
            alive = [i for i in alive if (i,) not in set(odd)]
            if odd:
                wh.apply("t", deletes=pa.table({"id": pa.array([i for (i,) in odd], pa.int32())}))
        alive += ids
        wh.refresh()
        if number % 25 == 0 or number % 97 > 94:
            highest = max(highest, worst(wh))
    assert highest < 1e-9
    assert wh.verify("m").ok


def test_additions_alone_do_not_drift(wh: Warehouse) -> None:
    """Nothing is ever deleted, so that hardly anything is ever read again."""
    rng = random.Random(4)
    for number in range(100):
        first = number * 40
        insert(wh, *[(first + i, i % 3, rng.uniform(-1, 1.5) * 10 ** rng.randint(-3, 6)) for i in range(40)])
    assert worst(wh) < 1e-9


@pytest.mark.parametrize(
    "steps",
    [
        [(100.5,), (1e16,), (-1e16,)],
        [(100.5,), (1e16, 1.0, -1e16)],
        [(1e16, 0.25), (-5e15,), (-4e15,), (-9e14,), (-9e13,), (-9e12,), (-1e12,), (0.125,)],
        [(1e308,), (1e308,), (-1e308,)],
        [(1.0,), (math.inf,), (5.0,), (-math.inf,), (7.0,)],
        [(1.0,), (math.nan,), (5.0,)],
        [(0.1,), (0.2,), (-0.3,), (0.1,)],
    ],
)
def test_insertions_that_cancel_give_what_the_query_gives(
    wh: Warehouse, steps: list[tuple[float, ...]]
) -> None:
    number = 0
    for step in steps:
        insert(wh, *[(number + i, 1, x) for i, x in enumerate(step)])
        number += len(step)
        assert worst(wh) < 1e-9


def test_an_ungrouped_sum_that_cancels(wh: Warehouse) -> None:
    wh.create_model("u", "SELECT sum(x) AS s, avg(x) AS a FROM t")
    for number, x in enumerate((100.5, 1e16, -1e16, 0.5)):
        insert(wh, (number, 1, x))
        want = wh.engine.rows("SELECT sum(x), avg(x) FROM t")
        assert wh.engine.rows("SELECT s, a FROM u") == want


def test_sums_of_singles_are_kept_as_doubles() -> None:
    with sl.open(":memory:", threads=1) as wh:
        wh.create_table("f", "id INTEGER, x FLOAT", key="id")
        wh.create_model("m", "SELECT sum(x) AS s FROM f")
        for number, x in enumerate((1.5, 1e10, -1e10, 2.25)):
            wh.apply("f", inserts=[{"id": number, "x": x}])
            wh.refresh()
        assert wh.verify("m").ok
