"""Nested windows of which one breaks ties and the other keeps peers: one stage, equal to the recompute."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pyarrow as pa
import pytest

import strandline as sl
from strandline.warehouse import Warehouse

OF_PERSON = "(PARTITION BY person ORDER BY ts)"
QUERIES = {
    "sessions": f"""
        SELECT id, sum(begins) OVER {OF_PERSON} AS session
        FROM (SELECT *, CASE WHEN ts - lag(ts) OVER {OF_PERSON} <= 3 THEN 0 ELSE 1 END AS begins FROM clicks)
    """,
    "steps": f"""
        SELECT id, total - lag(total) OVER {OF_PERSON} AS step
        FROM (SELECT *, count(*) OVER {OF_PERSON} AS total FROM clicks)
    """,
    "ranked": f"""
        SELECT id, rank() OVER {OF_PERSON} AS place, max(gap) OVER (PARTITION BY person ORDER BY ts
            ROWS 1 PRECEDING) AS widest
        FROM (SELECT *, lead(ts) OVER {OF_PERSON} - ts AS gap FROM clicks)
    """,
    "three": f"""
        SELECT id, row_number() OVER {OF_PERSON} AS n, last_value(above) OVER {OF_PERSON} AS above
        FROM (
            SELECT id, person, ts, grown > avg(grown) OVER {OF_PERSON} AS above
            FROM (SELECT *, load - coalesce(lag(load) OVER {OF_PERSON}, 0) AS grown FROM clicks)
        )
    """,
}


@pytest.fixture
def warehouse() -> Iterator[Warehouse]:
    with sl.open(":memory:", threads=1) as opened:
        opened.create_table("clicks", "id INTEGER, person VARCHAR, ts INTEGER, load DOUBLE", key="id")
        yield opened


@pytest.mark.parametrize("name", QUERIES)
def test_it_is_one_stage_that_carries(warehouse: Warehouse, name: str) -> None:
    stages = warehouse.compile(name, QUERIES[name]).stages
    assert [stage.strategy for stage in stages] == ["carry"]


@pytest.mark.parametrize("seed", range(6))
def test_it_stays_equal_to_the_recompute(warehouse: Warehouse, seed: int) -> None:
    chance = random.Random(seed)
    for name, sql in QUERIES.items():
        warehouse.create_model(name, sql, strategy="incremental")
    for moment in range(12):
        warehouse.apply("clicks", inserts=clicks(chance, moment), deletes=gone(chance))
        warehouse.refresh()
        for name in QUERIES:
            found = warehouse.verify(name)
            assert found.ok, f"{name} after batch {moment}: {found.sample}"


def clicks(chance: random.Random, moment: int) -> pa.Table:
    """Mostly in order, with many of one moment; now and then late, changed or without a time."""
    rows = []
    for _ in range(chance.randint(1, 8)):
        late = chance.random() < 0.15
        ts = (
            None
            if chance.random() < 0.05
            else chance.randint(0, moment)
            if late
            else moment + chance.randint(0, 1)
        )
        load = None if chance.random() < 0.1 else float(chance.randint(-9, 9))
        rows.append({"id": chance.randint(0, 400), "person": chance.choice("ABC"), "ts": ts, "load": load})
    kinds = [("id", pa.int32()), ("person", pa.string()), ("ts", pa.int32()), ("load", pa.float64())]
    return pa.Table.from_pylist(rows, schema=pa.schema(kinds))


def gone(chance: random.Random) -> pa.Table | None:
    if chance.random() < 0.6:
        return None
    return pa.table({"id": pa.array(chance.sample(range(400), 40), pa.int32())})
