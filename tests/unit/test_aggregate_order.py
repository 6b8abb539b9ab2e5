"""Aggregates that pick or list rows say the same of the same data, however it came."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pyarrow as pa
import pytest

import strandline as sl

KEYED = {
    "any": "SELECT w, any_value(bal) AS a, first(bal) AS f, last(id) AS l, arbitrary(d) AS b "
    "FROM c GROUP BY w",
    "lists": "SELECT w, list(id) AS l, string_agg(id::VARCHAR) AS s, list(DISTINCT bal) AS d "
    "FROM c GROUP BY w",
    "tied": "SELECT w, list(id ORDER BY bal) AS l, first(id ORDER BY bal DESC) AS f FROM c GROUP BY w",
    "extremes": "SELECT w, arg_max(id, bal) AS a, min_by(id, bal) AS i, arg_max_null(bal, d) AS n "
    "FROM c GROUP BY w",
    "several": "SELECT w, arg_max(id, bal, 2) AS a, min_by(id, bal, 2) AS b FROM c GROUP BY w",
    "some": "SELECT w, arg_max(id, bal) FILTER (d > 1) AS a, list(id) FILTER (bal > 90) AS n "
    "FROM c GROUP BY w",
    "modes": "SELECT w, mode(bal) AS m, mode(d) AS d, approx_quantile(bal, 0.5) AS q FROM c GROUP BY w",
    "json": "SELECT w, json_group_array(bal) AS a, json_group_object(id, bal) AS o, "
    "json_group_structure(bal) AS s FROM c GROUP BY w",
    "whole": "SELECT list(id) AS l, arg_min(id, bal) AS a, string_agg(d::VARCHAR, '-' ORDER BY bal) AS s "
    "FROM c",
    "levels": "SELECT w, d, list(id) AS l, arg_max(id, bal) AS a FROM c GROUP BY ROLLUP (w, d)",
    "totals_or_null": "SELECT w, bal, n, lag(n) OVER (PARTITION BY w ORDER BY bal) AS p, "
    "first(n) OVER (PARTITION BY w ORDER BY bal) AS f FROM "
    "(SELECT w, bal, count(*) AS n FROM c GROUP BY ROLLUP (w, bal))",
    "totals_beside": "SELECT w, bal + 1 AS b, count(*) AS n, row_number() OVER (ORDER BY w) AS r, "
    "lag(count(*)) OVER (PARTITION BY w ORDER BY bal + 1) AS p FROM c GROUP BY CUBE (w, (bal + 1))",
    "totals_listed": "SELECT w, list(n ORDER BY bal) AS l, arg_max(n, bal) AS a, first(n) AS f FROM "
    "(SELECT w, bal, count(*) AS n FROM c GROUP BY GROUPING SETS ((w, bal), w, ())) GROUP BY w",
    "totals_picked": "SELECT DISTINCT ON (w) w, bal, count(*) AS n FROM c "
    "GROUP BY ROLLUP (w, bal) ORDER BY w, bal",
    "having": "SELECT w FROM c GROUP BY w HAVING first(bal) > 1 OR arg_max(d, bal) = 2",
    "ranked": "SELECT w, arg_max(id, bal) AS m, rank() OVER (ORDER BY first(bal)) AS r FROM c GROUP BY w",
    "met": "SELECT c.w, list(c.id) AS l, any_value(e.x) AS x FROM c JOIN e ON c.bal = e.y GROUP BY c.w",
    "inner": "SELECT id, w, (SELECT arg_max(x, z) FROM e WHERE e.y = c.bal) AS m FROM c",
    "both": "SELECT k, list(v) AS l, arg_max(v, o) AS m FROM "
    "(SELECT w AS k, id AS v, d AS o FROM c UNION ALL SELECT y, x, z FROM e) GROUP BY k",
    "bag": "SELECT y, list(x ORDER BY z) AS l, arg_max(x, z) AS m, first(x ORDER BY z DESC) AS f "
    "FROM e GROUP BY y",
    "filtered": "SELECT y, list(x) AS l, first(z) AS f FROM e "
    "WHERE EXISTS (SELECT 1 FROM c WHERE c.bal = e.x) GROUP BY y",
    "looked_up": "SELECT y, list(x) FILTER (z IN (SELECT d FROM c)) AS l, mode(x) AS m FROM e GROUP BY y",
    "outer": "SELECT w, (SELECT list(c.id)) AS l, (SELECT max(x) FROM e WHERE e.y = first(c.bal)) AS m "
    "FROM c GROUP BY w",
    "told": "SELECT w, arg_max(id, d ORDER BY bal) AS a, min(DISTINCT bal, 2) AS n FROM c GROUP BY w",
    "own_order": "SELECT w, id, last_value(id ORDER BY bal) OVER (PARTITION BY w ORDER BY d) AS l, "
    "first_value(id ORDER BY bal) OVER (PARTITION BY w ORDER BY d ROWS 1 PRECEDING) AS f FROM c",
    "as_windows": "SELECT w, id, json_group_array(d) OVER (PARTITION BY w ORDER BY id) AS j, "
    "arbitrary(d) FILTER (d > 1) OVER (PARTITION BY w ORDER BY id) AS a, "
    "arg_max(id, bal) FILTER (d > 1) OVER (ORDER BY d RANGE 1 PRECEDING) AS m FROM c",
    "different": "SELECT w, approx_quantile(DISTINCT bal, 0.5) AS q, "
    "string_agg(DISTINCT d::VARCHAR, '-') AS s FROM c GROUP BY w",
    "different_windows": "SELECT x, y, list(DISTINCT z) OVER (PARTITION BY y) AS l, "
    "string_agg(DISTINCT x::VARCHAR, '-') OVER () AS s FROM e",
    "beside": "SELECT w, id, any_value(bal) OVER (PARTITION BY d) AS a, "
    "mode(bal) OVER (PARTITION BY w) AS m, list(id) OVER (ORDER BY bal) AS l FROM c",
    "picked": "SELECT w, id, arg_max(id, bal) OVER (PARTITION BY w) AS a, "
    "arg_min(id, bal) OVER (PARTITION BY w ORDER BY d) AS i, "
    "first(bal) OVER (PARTITION BY d ORDER BY bal) AS f FROM c",
}
C = pa.schema([(n, pa.int32()) for n in ("w", "id", "d", "bal")])
E = pa.schema([(n, pa.int32()) for n in ("x", "y", "z")])


@pytest.fixture
def warehouse() -> Iterator[sl.Warehouse]:
    with sl.open(":memory:", threads=1) as wh:
        yield wh


def rows(schema: pa.Schema, values: list[tuple[int | None, ...]]) -> pa.Table:
    return pa.Table.from_pylist([dict(zip(schema.names, v, strict=True)) for v in values], schema=schema)


def tables(wh: sl.Warehouse) -> None:
    wh.create_table("c", "w INTEGER, id INTEGER, d INTEGER, bal INTEGER", key=["w", "id"])
    wh.create_table("e", "x INTEGER, y INTEGER, z INTEGER")


@pytest.mark.parametrize("seed", range(3))
def test_what_is_picked_or_listed_is_that_of_the_recompute(warehouse: sl.Warehouse, seed: int) -> None:
    """Rows change in columns that a model does not read, too: they move in their table, and nowhere else."""
    tables(warehouse)
    for name, query in KEYED.items():
        warehouse.create_model(name, query)
        assert "full" not in {stage.strategy for stage in warehouse.explain(name).stages}, name
    rng, there = random.Random(seed), []
    for _ in range(8):
        new = {
            (rng.randint(1, 2), rng.randint(1, 6)): (rng.randint(1, 3), rng.choice((1, 2, 3, None)))
            for _ in range(3)
        }
        warehouse.apply("c", inserts=rows(C, [(*key, *rest) for key, rest in new.items()]))
        gone = [there.pop(rng.randrange(len(there)))] if there and rng.random() < 0.6 else []
        there += (came := [(rng.randint(1, 4), rng.randint(1, 3), rng.randint(1, 2)) for _ in range(2)])
        warehouse.apply("e", inserts=rows(E, came), deletes=rows(E, gone))
        warehouse.refresh()
        assert not [
            name for name in KEYED if any(s.strategy == "full" for s in warehouse.explain(name).stages)
        ]
        wrong = {name: parity.sample for name in KEYED if not (parity := warehouse.verify(name))}
        assert not wrong


@pytest.mark.parametrize("query", KEYED.values(), ids=KEYED)
def test_the_order_of_arrival_changes_nothing(query: str) -> None:
    rng = random.Random(query)
    keys = [(w, i) for w in (1, 2) for i in range(1, 6)]
    c = [(*key, rng.randint(1, 3), rng.choice((1, 2, None))) for key in keys]
    e = [(rng.randint(1, 4), rng.randint(1, 3), rng.randint(1, 2)) for _ in range(8)]
    found = []
    for turn in range(3):
        with sl.open(":memory:", threads=1) as wh:
            tables(wh)
            wh.apply("c", inserts=rows(C, random.Random(turn).sample(c, len(c))))
            wh.apply("e", inserts=rows(E, random.Random(turn).sample(e, len(e))))
            wh.refresh()
            wh.create_model("m", query)
            found.append(sorted(map(str, wh.read("m").rows())))
    assert found[0] == found[1] == found[2]


def test_one_table_without_a_key_keeps_the_order_of_its_rows(warehouse: sl.Warehouse) -> None:
    tables(warehouse)
    warehouse.create_model("m", "SELECT y, list(x) AS l, first(x) AS f, any_value(x) AS a FROM e GROUP BY y")
    warehouse.apply("e", inserts=rows(E, [(9, 1, 0), (3, 1, 0), (5, 1, 0)]))
    warehouse.refresh()
    warehouse.apply("e", inserts=rows(E, [(1, 1, 0)]), deletes=rows(E, [(9, 1, 0)]))
    warehouse.refresh()
    assert warehouse.read("m").rows() == [(1, [3, 5, 1], 3, 3)]
