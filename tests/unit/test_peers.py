"""What picks one of several peers, or lists them, goes by tie-breakers, and peers they stay.

Plain DuckDB takes peers as they lie, so these are compared with what is meant and with the recompute.
"""

from __future__ import annotations

import random

import pytest

import strandline as sl

OVER = "OVER (PARTITION BY g ORDER BY d)"


def rows(*values: tuple[int, int, int | None]) -> list[dict[str, int | None]]:
    return [{"id": i, "g": 1, "d": d, "v": v} for i, d, v in values]


@pytest.mark.parametrize(
    ("call", "strategy", "expected"),
    [
        ("last_value(v)", "carry", [30, 30, 30, None, None, 60]),
        ("last_value(v IGNORE NULLS)", "partition", [30, 30, 30, 40, 40, 60]),
        ("nth_value(v, 2)", "partition", [20] * 6),
        ("first(v)", "partition", [10] * 6),
        ("string_agg(v, '>')", "partition", ["10>20>30"] * 3 + ["10>20>30>40"] * 2 + ["10>20>30>40>60"]),
        (
            "list(v)",
            "partition",
            [[10, 20, 30]] * 3 + [[10, 20, 30, 40, None]] * 2 + [[10, 20, 30, 40, None, 60]],
        ),
    ],
)
def test_the_key_decides_among_peers(call: str, strategy: str, expected: list[object]) -> None:
    with sl.open(":memory:", threads=1) as wh:
        wh.create_table("t", "id INTEGER, g INTEGER, d INTEGER, v INTEGER", key="id")
        wh.create_model("m", f"SELECT id, {call} {OVER} AS x FROM t")
        assert [s.strategy for s in wh.explain("m").stages] == [strategy]
        for batch in (rows((3, 1, 30), (1, 1, 10), (5, 2, None)), rows((2, 1, 20), (4, 2, 40), (6, 3, 60))):
            wh.apply("t", batch)
            wh.refresh()
            assert wh.verify("m").ok
        assert wh.sql("FROM m ORDER BY id")["x"].to_list() == expected


@pytest.mark.parametrize("frame", ["", " RANGE 3 PRECEDING", " GROUPS 1 PRECEDING"])
@pytest.mark.parametrize("key", ["id", None])
def test_whatever_comes_the_recompute_is_the_same(frame: str, key: str | None) -> None:
    """Rows of a table without a key may be equal; then it does not matter which of them is taken."""
    rng, calls = random.Random(1), ("last_value(v)", "nth_value(v, 2)", "list(v)", "first_value(v)")
    over = OVER.replace(")", f"{frame})")
    with sl.open(":memory:", threads=1) as wh:
        wh.create_table("t", "id INTEGER, g INTEGER, d INTEGER, v INTEGER", key=key)
        for number, call in enumerate(calls):
            wh.create_model(f"m{number}", f"SELECT id, {call} {over} AS x FROM t", strategy="incremental")
        for _ in range(4):
            ids = rng.sample(range(150), 60)
            wh.apply("t", [{"id": i, "g": i % 2, "d": i * 7 % 9, "v": rng.randint(0, 9)} for i in ids])
            wh.refresh()
            assert [p.model for p in wh.verify_all() if not p.ok] == []


def test_the_first_value_that_there_is_may_be_a_later_peers() -> None:
    with sl.open(":memory:", threads=1) as wh:
        wh.create_table("t", "id INTEGER, g INTEGER, d INTEGER, v INTEGER", key="id")
        wh.create_model("m", f"SELECT id, first_value(v IGNORE NULLS) {OVER} AS x FROM t")
        wh.create_model("n", f"SELECT id, first_value(v) {OVER} AS x FROM t")
        wh.apply("t", rows((1, 1, None), (2, 1, 5), (3, 2, 6)))
        wh.refresh()
        assert wh.sql("FROM m ORDER BY id")["x"].to_list() == [5, 5, 5]
        wh.apply("t", rows((4, 3, 7), (0, 1, 8)))
        wh.refresh()
        assert wh.sql("FROM m ORDER BY id")["x"].to_list() == [8, 8, 8, 8, 8]
        assert [p.ok for p in wh.verify_all()] == [True, True]
