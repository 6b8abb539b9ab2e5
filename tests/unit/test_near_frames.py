"""Frames that reach by order value or peer group, and running ones that end beside the row, are carried."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Iterator
from typing import Any

import pytest

import strandline as sl
from strandline import zset as z
from strandline.compiler import suffix
from strandline.warehouse import Warehouse

COLUMNS = "id INTEGER, k VARCHAR, ts TIMESTAMP, n INTEGER, d DECIMAL(9,2), f DOUBLE, x INTEGER"
OF = "OVER (PARTITION BY k ORDER BY"
QUERIES = {
    "hours": f"SELECT id, sum(x) {OF} ts RANGE INTERVAL 30 HOURS PRECEDING) AS v FROM t",
    "months": f"""SELECT id, count(DISTINCT x) {OF} ts::DATE RANGE BETWEEN INTERVAL 1 MONTH PRECEDING
        AND INTERVAL 1 DAY FOLLOWING) AS v FROM t""",
    "falling": f"""SELECT id, min(x) {OF} f DESC NULLS FIRST RANGE BETWEEN 1.5 PRECEDING AND 1 FOLLOWING
        EXCLUDE TIES) AS v,
        avg(x) {OF} f DESC NULLS FIRST RANGE BETWEEN 3 PRECEDING AND 2 PRECEDING) AS w FROM t""",
    "decimals": f"SELECT id, max(x) {OF} d RANGE BETWEEN 0.25 PRECEDING AND 0.5 FOLLOWING) AS v FROM t",
    "groups": f"""SELECT id, sum(x) {OF} n GROUPS BETWEEN 2 PRECEDING AND 1 FOLLOWING EXCLUDE GROUP) AS v,
        lead(x) {OF} n) AS next, row_number() {OF} n) AS place FROM t""",
    "so_far": f"""SELECT id, avg(x) {OF} n RANGE BETWEEN UNBOUNDED PRECEDING AND 2 FOLLOWING) AS v,
        count(x) {OF} n GROUPS BETWEEN UNBOUNDED PRECEDING AND 1 FOLLOWING) AS w FROM t""",
    "before": f"""SELECT id, sum(x) {OF} n ROWS BETWEEN UNBOUNDED PRECEDING AND 2 PRECEDING) AS v,
        last_value(x IGNORE NULLS) {OF} n ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS w,
        max(x) {OF} n ROWS BETWEEN UNBOUNDED PRECEDING AND 2 FOLLOWING) AS u,
        lag(x, 1, 0 IGNORE NULLS) {OF} n) AS y FROM t""",
    "above": f"""SELECT id, v - lag(v, 2) {OF} n) AS step, sum(v) {OF} n RANGE 2 PRECEDING) AS more
        FROM (SELECT id, k, n, sum(x) {OF} n RANGE BETWEEN 1 PRECEDING AND CURRENT ROW) AS v FROM t)""",
    "whole": "SELECT id, sum(x) OVER (ORDER BY n RANGE BETWEEN CURRENT ROW AND 3 FOLLOWING) AS v FROM t",
}
LATE_ONES = 0.02


@pytest.fixture
def warehouse() -> Iterator[Warehouse]:
    with sl.open(":memory:", threads=1) as opened:
        opened.create_table("t", COLUMNS, key="id")
        yield opened


@pytest.mark.parametrize("name", QUERIES)
def test_it_is_one_stage_that_carries(warehouse: Warehouse, name: str) -> None:
    stages = warehouse.compile(name, QUERIES[name]).stages
    assert [stage.strategy for stage in stages] == ["carry"]


@pytest.mark.parametrize("long", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_it_stays_equal_to_the_recompute(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, seed: int, *, long: bool
) -> None:
    """Where partitions are taken for long ones, what follows a late row is evaluated alone."""
    chance = random.Random(seed)
    if long:
        monkeypatch.setattr(suffix, "LONG", 0)
    for name, sql in QUERIES.items():
        warehouse.create_model(name, sql, strategy="incremental")
    for moment in range(10):
        warehouse.apply("t", inserts=readings(chance, moment), deletes=gone(chance))
        warehouse.refresh()
        for name in QUERIES:
            assert warehouse.verify(name).ok, name
    used = warehouse.sql("SELECT DISTINCT model FROM strandline.stage_runs WHERE strategy = 'carry'").rows()
    assert {model for (model,) in used} == set(QUERIES)


def readings(chance: random.Random, moment: int) -> list[dict[str, Any]]:
    made = []
    for place in range(chance.choice([0, 1, 3, 12])):
        late = chance.random() < LATE_ONES
        n = chance.randrange(moment + 1) if late else moment + chance.choice([0, 0, 1])
        ts = dt.datetime.fromisoformat("2024-01-28") + dt.timedelta(hours=n * 20)
        falling = chance.choice([-float(n), -float(n), -n - 0.5, float("-inf") if moment > 6 else -float(n)])
        row = {"id": moment * 20 + place, "k": chance.choice("abc"), "x": chance.randrange(9)}
        row |= {"ts": ts, "n": n, "d": n / 4, "f": falling}
        empty = chance.choice(["ts", "n", "d", "f", "x"]) if chance.random() < 0.06 else ""
        made.append({c: None if c == empty else v for c, v in row.items()})
    return made


def gone(chance: random.Random) -> list[dict[str, int]] | None:
    return [{"id": chance.randrange(100)}] if chance.random() < 0.1 else None


def test_it_is_what_the_reference_says(warehouse: Warehouse) -> None:
    sql = f"""SELECT k, n, x, sum(x) {OF} n RANGE BETWEEN 3 PRECEDING AND 1 FOLLOWING) AS v,
        count(*) {OF} n RANGE BETWEEN 3 PRECEDING AND 1 FOLLOWING) AS w FROM t"""
    warehouse.create_model("m", sql, strategy="incremental")
    chance, known = random.Random(7), list[z.Row]()
    for moment in range(12):
        rows = readings(chance, moment)
        warehouse.apply("t", inserts=rows)
        warehouse.refresh()
        known += [(row["k"], row["n"], row["x"]) for row in rows]
        calls = [z.over(z.total(2)), z.over(z.count_star)]
        ought = z.window(z.zset(known), (0,), [z.Order(1)], calls, z.Frame("range", -3, 1))
        assert z.zset(warehouse.read("m").rows()) == ought


def test_a_tie_with_the_last_row_is_not_late(warehouse: Warehouse) -> None:
    warehouse.create_model("m", QUERIES["hours"], strategy="incremental")
    day = {"k": "a", "ts": dt.datetime.fromisoformat("2024-02-29"), "x": 1}
    for i in range(3):
        warehouse.apply("t", inserts=[day | {"id": i}])
        warehouse.refresh()
    assert sorted(warehouse.read("m").rows()) == [(0, 3), (1, 3), (2, 3)]
    runs = warehouse.sql("SELECT DISTINCT strategy FROM strandline.stage_runs").rows()
    assert runs == [("carry",)]


def test_the_head_holds_what_is_in_reach(warehouse: Warehouse) -> None:
    warehouse.create_model("m", QUERIES["hours"], strategy="incremental")
    start = dt.datetime.fromisoformat("2024-01-01")
    for i in range(200):
        warehouse.apply("t", inserts=[{"id": i, "k": "a", "ts": start + dt.timedelta(hours=i), "x": 1}])
        if i % 40 == 39:
            warehouse.refresh()
    held = warehouse.sql('SELECT count(*) FROM strandline_state."m.1.head"').rows()
    assert held == [(31,)]
    assert warehouse.verify("m").ok
