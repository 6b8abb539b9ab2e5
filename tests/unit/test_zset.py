"""The reference against DuckDB on random tables, and the laws that it has to obey."""

from __future__ import annotations

import datetime as dt
import functools
import itertools
import math
import random
from collections.abc import Callable, Sequence
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from strandline import zset as z

Rows = list[tuple[Any, ...]]
COLUMNS = "k INTEGER, g VARCHAR, i INTEGER, x DOUBLE, b BOOLEAN, ts TIMESTAMP"
SCHEMA = pa.schema(
    [
        ("k", pa.int32()),
        ("g", pa.string()),
        ("i", pa.int32()),
        ("x", pa.float64()),
        ("b", pa.bool_()),
        ("ts", pa.timestamp("us")),
    ]
)
K, G, I, X, B, TS = range(6)  # noqa: E741 (places of the columns)
SEEDS = range(6)


def rows_of(seed: int, size: int = 14) -> Rows:
    """Rows with NULLs, ties, a NaN now and then, and unique k."""
    rng = random.Random(seed)
    start = dt.datetime(2024, 2, 27)  # noqa: DTZ001
    made = []
    for k in range(size):
        row = [
            k,
            rng.choice(["a", "b", "", None]),
            rng.choice([None, *range(-1, 4)]),
            rng.choice([None, 0.5, -0.0, 1.25, 2.5, math.nan if seed % 3 == 0 else 3.0]),
            rng.choice([None, True, False]),
            rng.choice([None, *(start + dt.timedelta(hours=h) for h in (0, 1, 1, 5, 30))]),
        ]
        made.append(tuple(row))
    return made


@functools.cache
def database() -> duckdb.DuckDBPyConnection:
    return duckdb.connect()


def duck(sql: str, **tables: Rows) -> Rows:
    """What DuckDB makes of the same rows."""
    for name, rows in tables.items():
        listed = [dict(zip(SCHEMA.names, row, strict=True)) for row in rows]
        database().register("given", pa.Table.from_pylist(listed, SCHEMA))
        database().execute(f"CREATE OR REPLACE TABLE {name} AS SELECT * FROM given")
    return database().execute(sql).fetchall()


def plain(rows: Sequence[tuple[Any, ...]]) -> list[Any]:
    """Sorted and rounded, so that two bags can be compared."""
    made = [tuple(_plain(v) for v in z.canonical(row)) for row in rows]
    return sorted(made, key=repr)


def _plain(item: Any) -> Any:
    if isinstance(item, float):
        return "NaN" if math.isnan(item) else round(item, 9)
    return float(item) if isinstance(item, int) and not isinstance(item, bool) else item


def assert_same(made: z.ZSet, sql: str, **tables: Rows) -> None:
    assert plain(z.rows_of(made)) == plain(duck(sql, **tables)), sql


@pytest.mark.parametrize("seed", SEEDS)
def test_filter_and_projection(seed: int) -> None:
    rows = rows_of(seed)
    made = z.project(z.select(z.zset(rows), lambda r: None if r[I] is None else r[I] > 0), lambda r: (r[G],))
    assert_same(made, "SELECT g FROM t WHERE i > 0", t=rows)


@pytest.mark.parametrize("kind", ["inner", "left", "right", "full", "semi", "anti"])
@pytest.mark.parametrize("seed", SEEDS)
def test_joins(seed: int, kind: z.JoinKind) -> None:
    a, b = rows_of(seed, 9), rows_of(seed + 100, 7)
    made = z.join(z.zset(a), z.zset(b), kind, z.on_equal([G, I], [G, I]), widths=(6, 6))
    assert_same(made, f"SELECT * FROM a {kind} JOIN b ON a.g = b.g AND a.i = b.i", a=a, b=b)


@pytest.mark.parametrize("kind", ["inner", "left", "full", "anti"])
@pytest.mark.parametrize("seed", SEEDS)
def test_joins_on_a_condition(seed: int, kind: z.JoinKind) -> None:
    a, b = rows_of(seed, 8), rows_of(seed + 50, 8)
    made = z.join(
        z.zset(a),
        z.zset(b),
        kind,
        lambda p, q: None if p[I] is None or q[I] is None else p[I] < q[I],
        widths=(6, 6),
    )
    assert_same(made, f"SELECT * FROM a {kind} JOIN b ON a.i < b.i", a=a, b=b)


SETS: dict[str, Callable[[z.ZSet, z.ZSet], z.ZSet]] = {
    "UNION ALL": z.add,
    "UNION": lambda a, b: z.distinct(z.add(a, b)),
    "EXCEPT ALL": z.except_all,
    "EXCEPT": lambda a, b: z.except_all(z.distinct(a), z.distinct(b)),
    "INTERSECT ALL": z.intersect_all,
    "INTERSECT": lambda a, b: z.intersect_all(z.distinct(a), z.distinct(b)),
}


@pytest.mark.parametrize("operator", SETS)
@pytest.mark.parametrize("seed", SEEDS)
def test_set_operations(seed: int, operator: str) -> None:
    a, b = rows_of(seed), rows_of(seed + 10)
    left, right = (z.project(z.zset(r), lambda row: (row[G], row[B])) for r in (a, b))
    assert_same(SETS[operator](left, right), f"SELECT g, b FROM a {operator} SELECT g, b FROM b", a=a, b=b)


AGGREGATES: dict[str, z.Aggregator] = {
    "count(*)": z.count_star,
    "count(i)": z.count(I),
    "count(DISTINCT x)": z.count_distinct(X),
    "sum(i)": z.total(I),
    "sum(x)": z.total(X),
    "avg(i)": z.average(I),
    "min(g)": z.minimum(G),
    "max(x)": z.maximum(X),
    "min(x)": z.minimum(X),
    "max(ts)": z.maximum(TS),
    "bool_and(b)": z.every(B),
    "bool_or(b)": z.some(B),
    "stddev(i)": z.deviation(I),
    "stddev_pop(i)": z.deviation(I, 0),
    "var_samp(i)": z.deviation(I, 1, 1),
    "var_pop(i)": z.deviation(I, 0, 1),
}


@pytest.mark.parametrize("by", [None, [G], [G, B]])
@pytest.mark.parametrize("seed", SEEDS)
def test_aggregates(seed: int, by: list[int] | None) -> None:
    rows = rows_of(seed, 0 if seed == 5 else 14)
    names = ", ".join(SCHEMA.names[i] for i in by or [])
    made = z.aggregate(z.zset(rows), by, list(AGGREGATES.values()))
    head, tail = (f"{names}, ", f" GROUP BY {names}") if by else ("", "")
    assert_same(made, f"SELECT {head}{', '.join(AGGREGATES)} FROM t{tail}", t=rows)


TOTAL = [z.Order(I, descending=True), z.Order(K)]
PLACED: dict[str, z.WindowFunction] = {
    "row_number()": z.row_number,
    "ntile(3)": z.ntile(3),
    "lag(x)": z.lag(X),
    "lag(i, 2, 7)": z.lag(I, 2, 7),
    "lag(i IGNORE NULLS)": z.lag(I, ignore_nulls=True),
    "lead(g)": z.lead(G),
    "lead(x, 2 IGNORE NULLS)": z.lead(X, 2, ignore_nulls=True),
    "first_value(x)": z.first_value(X),
    "last_value(x IGNORE NULLS)": z.last_value(X, ignore_nulls=True),
    "nth_value(i, 2 IGNORE NULLS)": z.nth_value(I, 2, ignore_nulls=True),
    "sum(i)": z.over(z.total(I)),
    "count(*)": z.over(z.count_star),
    "max(g)": z.over(z.maximum(G)),
}
BOUNDS: list[tuple[int | None, int | None]] = [
    (None, 0), (None, None), (0, None), (-2, 0), (-1, 1), (0, 2), (-3, -1), (1, 2), (None, -1),
]  # fmt: skip
EXCLUDES: list[z.Exclusion] = ["no others", "current row", "group", "ties"]


def bound(offset: Any, unbounded: str, unit: str = "") -> str:
    if offset is None:
        return f"UNBOUNDED {unbounded}"
    if not offset:
        return "CURRENT ROW"
    size = abs(offset)
    shown = f"INTERVAL {size.total_seconds() // 3600} HOUR" if isinstance(size, dt.timedelta) else size
    return f"{shown} {'PRECEDING' if offset < type(offset)() else 'FOLLOWING'}"


def frame_sql(frame: z.Frame) -> str:
    start, end = bound(frame.start, "PRECEDING"), bound(frame.end, "FOLLOWING")
    return f"{frame.unit} BETWEEN {start} AND {end} EXCLUDE {frame.exclude}"


def assert_window(
    rows: Rows, by: list[int], order: str, calls: dict[str, z.WindowFunction], made: z.ZSet, frame: str
) -> None:
    partition = f"PARTITION BY {', '.join(SCHEMA.names[i] for i in by)}" if by else ""
    listed = ", ".join(f"{name} OVER ({partition} {order} {frame})" for name in calls)
    assert_same(made, f"SELECT *, {listed} FROM t", t=rows)


@pytest.mark.parametrize("unit", ["rows", "groups"])
@pytest.mark.parametrize(("start", "end"), BOUNDS)
@pytest.mark.parametrize("seed", range(2))
def test_frames_under_a_total_order(seed: int, start: int | None, end: int | None, unit: z.Unit) -> None:
    rows = rows_of(seed)
    for exclude, by in itertools.product(EXCLUDES, ([], [G])):
        frame = z.Frame(unit, start, end, exclude)
        made = z.window(z.zset(rows), by, TOTAL, list(PLACED.values()), frame)
        assert_window(rows, by, "ORDER BY i DESC, k", PLACED, made, frame_sql(frame))


PEERS: dict[str, z.WindowFunction] = {
    "rank()": z.rank,
    "dense_rank()": z.dense_rank,
    "percent_rank()": z.percent_rank,
    "cume_dist()": z.cume_dist,
    "sum(i)": z.over(z.total(I)),
    "count(x)": z.over(z.count(X)),
    "min(g)": z.over(z.minimum(G)),
}


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("nulls_first", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_frames_over_peers(seed: int, nulls_first: bool, descending: bool) -> None:
    rows = rows_of(seed * 3 + 1)
    order = [z.Order(I, descending, nulls_first)]
    sql = f"ORDER BY i {'DESC' if descending else 'ASC'} NULLS {'FIRST' if nulls_first else 'LAST'}"
    for (start, end), unit in itertools.product(BOUNDS, ("range", "groups")):
        frame = z.Frame(unit, start, end)  # type: ignore[arg-type]
        made = z.window(z.zset(rows), [B], order, list(PEERS.values()), frame)
        assert_window(rows, [B], sql, PEERS, made, frame_sql(frame))


@pytest.mark.parametrize("seed", SEEDS)
def test_range_frames_of_time(seed: int) -> None:
    rows = rows_of(seed)
    frame = z.Frame("range", dt.timedelta(hours=-2), 0)
    made = z.window(z.zset(rows), [], [z.Order(TS)], list(PEERS.values()), frame)
    assert_window(rows, [], "ORDER BY ts", PEERS, made, frame_sql(frame))


@pytest.mark.parametrize("by", [[], [G]])
def test_default_frames(by: list[int]) -> None:
    rows = rows_of(4)
    made = z.window(z.zset(rows), by, [z.Order(I)], list(PEERS.values()))
    assert_window(rows, by, "ORDER BY i", PEERS, made, "")
    calls = {"sum(i)": z.over(z.total(I))}
    assert_window(rows, by, "", calls, z.window(z.zset(rows), by, [], list(calls.values())), "")


@pytest.mark.parametrize("seed", SEEDS)
def test_topk(seed: int) -> None:
    rows = rows_of(seed)
    sql = "SELECT * FROM t QUALIFY row_number() OVER (PARTITION BY g ORDER BY i DESC, k) <= 2"
    assert_same(z.topk(z.zset(rows), [G], TOTAL, 2), sql, t=rows)


# ── laws ──────────────────────────────────────────────────────────────────────────────────────


def changes(seed: int, steps: int = 4) -> list[z.ZSet]:
    """A stream of changes whose running sum is a table at every step."""
    rng = random.Random(seed)
    now: Rows = []
    made = []
    for step in range(steps):
        gone = rng.sample(now, len(now) // 3)
        new = [row[1:4] for row in rows_of(seed * 100 + step, 6)]
        made.append(z.subtract(z.zset(new), z.zset(gone)))
        now = z.rows_of(z.add(z.zset(now), made[-1]))
    return made


def on_first(a: z.Row, b: z.Row) -> bool | None:
    return z.equal(a[0], b[0])


def inner(a: z.ZSet, b: z.ZSet) -> z.ZSet:
    return z.join(a, b, "inner", on_first, widths=(3, 3))


@pytest.mark.parametrize("seed", SEEDS)
def test_differentiation_undoes_integration(seed: int) -> None:
    stream = changes(seed)
    assert list(z.differentiate(z.integrate(stream))) == stream


@pytest.mark.parametrize("seed", SEEDS)
def test_linear_operators_run_on_the_change_alone(seed: int) -> None:
    stream = changes(seed)

    def query(t: z.ZSet) -> z.ZSet:
        return z.project(z.select(t, lambda r: r[1] != 2), lambda r: (r[0],))

    assert z.incremental(query, stream) == [query(change) for change in stream]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_inner_join_is_bilinear(seed: int) -> None:
    """The change of a ⋈ b is Δa ⋈ b + a ⋈ Δb + Δa ⋈ Δb, with a and b as they were before."""
    left, right = changes(seed), changes(seed + 1)
    befores = zip([{}, *z.integrate(left)], [{}, *z.integrate(right)], strict=True)
    made = [
        z.add(inner(da, b), inner(a, db), inner(da, db))
        for (a, b), da, db in zip(befores, left, right, strict=False)
    ]
    assert made == z.incremental(inner, left, right)


@pytest.mark.parametrize("kind", ["left", "full", "semi", "anti"])
@pytest.mark.parametrize("seed", SEEDS)
def test_changes_of_a_query_add_up_to_its_result(seed: int, kind: z.JoinKind) -> None:
    left, right = changes(seed), changes(seed + 1)

    def query(a: z.ZSet, b: z.ZSet) -> z.ZSet:
        return z.join(a, b, kind, on_first, widths=(3, 3))

    *_, last = z.integrate(z.incremental(query, left, right))
    assert last == query(z.add(*left), z.add(*right))


def test_a_table_has_no_negative_weights() -> None:
    with pytest.raises(ValueError, match="negative"):
        z.rows_of({("a",): -1})


def test_an_ungrouped_aggregate_over_nothing_is_one_row() -> None:
    assert z.aggregate({}, None, [z.count_star, z.total(0)]) == {(0, None): 1}
    assert z.aggregate({}, [0], [z.count_star]) == {}
