"""Variances and deviations over many refreshes: within 1e-9 of the query over all rows."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from decimal import Decimal

import pytest

import strandline as sl
from strandline.warehouse import Warehouse

QUERY = """
SELECT g, var_pop(i) AS i, stddev(d) AS d, variance(x) AS x, stddev_pop(x) AS p, stddev(b) AS b,
  var_samp(i) FILTER (WHERE i > 0) AS f
FROM t GROUP BY g
"""
ODD = (1e9, 1e16, -1e16, 1e200, 1e-200, math.inf, math.nan, 0.1)


@pytest.fixture
def wh() -> Iterator[Warehouse]:
    with sl.open(":memory:", threads=1) as made:
        columns = "id INTEGER, g INTEGER, i INTEGER, d DECIMAL(18,3), x DOUBLE, b BIGINT"
        made.create_table("t", columns, key="id")
        made.create_model("m", QUERY)
        yield made


def row(rng: random.Random, number: int, odd: float) -> dict[str, object]:
    """A row with values that a sum of squares would lose, `odd` of them at the limits of their types."""
    strange = rng.random() < odd
    return {
        "id": number,
        "g": rng.randrange(3),
        "i": rng.choice((2**31 - 1, -(2**31), None)) if strange else rng.randrange(-50, 50),
        "d": Decimal("1e14") if strange else Decimal(rng.randrange(10**6)) / 1000,
        "x": rng.choice(ODD) if strange else 1e6 + rng.uniform(-1000, 1000),
        "b": 2**63 - 1 if strange else 1_700_000_000_000 + rng.randrange(10**9),
    }


def drive(wh: Warehouse, seed: int, refreshes: int, odd: float, every: int) -> None:
    rng = random.Random(seed)
    alive: list[int] = []
    for number in range(refreshes):
        rows = [row(rng, number * 3 + i, odd) for i in range(3)]
        wh.apply("t", inserts=rows)
        alive += [number * 3 + i for i in range(3)]
        if rng.random() < 0.2:
            wh.apply("t", deletes=[{"id": alive.pop(rng.randrange(len(alive)))}])
        if number % 23 == 22:
            strange = {i for (i,) in wh.engine.rows("SELECT id FROM t WHERE NOT isfinite(x) OR abs(x) > 1e8")}
            alive = [i for i in alive if i not in strange]
            wh.apply("t", deletes=[{"id": i} for i in strange])
        wh.refresh()
        if number % every == every - 1:
            found = wh.verify("m")
            assert found.ok, (number, found.sample)


@pytest.mark.slow
def test_a_thousand_refreshes(wh: Warehouse) -> None:
    drive(wh, 1, 1000, 0.02, 50)


@pytest.mark.parametrize("seed", range(2))
def test_values_at_the_limits(wh: Warehouse, seed: int) -> None:
    drive(wh, seed, 30, 0.2, 1)


def test_nothing_is_read_again_for_whole_numbers(wh: Warehouse) -> None:
    """A group of equal values has no variance, exactly; what goes is taken out of the sums."""
    wh.create_model("n", "SELECT g, var_pop(i) AS v, stddev_samp(d) AS s FROM t GROUP BY g")
    for number in range(3):
        wh.apply("t", inserts=[{"id": number, "g": 1, "i": 7, "d": Decimal("0.125")}])
        wh.refresh()
    assert wh.engine.rows("SELECT v, s FROM n") == [(0.0, 0.0)]
    wh.apply("t", inserts=[{"id": 3, "g": 1, "i": 9, "d": Decimal("0.375")}])
    wh.refresh()
    wh.apply("t", deletes=[{"id": 3}])
    wh.refresh()
    assert wh.engine.rows("SELECT v, s FROM n") == [(0.0, 0.0)]
    assert [s.strategy for s in wh.explain("n").stages] == ["merge"]
