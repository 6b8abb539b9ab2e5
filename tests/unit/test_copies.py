"""Rows of a table without a key that are equal in everything: several windows number them alike.

What one window says of them does not depend on which copy is which. What two windows of different
orders say together does, and it has to be the same however the model is kept up to date.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence

import pytest

import strandline as sl

Row = tuple[int, int]
Numbered = Counter[tuple[int, int, int, int]]
QUERY = (
    "SELECT a, b, row_number() OVER (PARTITION BY a % 2 ORDER BY a) AS m,"
    " row_number() OVER (PARTITION BY b % 2 ORDER BY b DESC) AS n FROM {}"
)
BETWEEN = "t JOIN (SELECT a AS d FROM t) AS u ON t.a = u.d"
NESTED = (
    "SELECT a, b, m, row_number() OVER (PARTITION BY b % 2 ORDER BY b DESC) AS n FROM ("
    "SELECT a, b, row_number() OVER (PARTITION BY a % 2 ORDER BY a) AS m FROM t) AS q"
)


def rows_of(many: int, step: int) -> list[Row]:
    """Few different rows, each many times."""
    return [(i * step % 7, i % 5) for i in range(many)]


def places(
    rows: Sequence[Row], part: Callable[[Row], int], by: Callable[[Row], tuple[int, ...]]
) -> list[int]:
    """The row number of each row in its partition; of equal rows the first one comes first."""
    numbers, found = defaultdict[int, int](int), [0] * len(rows)
    for i in sorted(range(len(rows)), key=lambda i: by(rows[i])):
        numbers[part(rows[i])] += 1
        found[i] = numbers[part(rows[i])]
    return found


def wanted(rows: Sequence[Row]) -> Numbered:
    first = places(rows, lambda r: r[0] % 2, lambda r: r)
    second = places(rows, lambda r: r[1] % 2, lambda r: (-r[1], r[0]))
    return Counter((*r, m, n) for r, m, n in zip(rows, first, second, strict=True))


def joined(rows: Sequence[Row]) -> list[Row]:
    """BETWEEN: every row as often as there are rows with its `a`."""
    many = Counter(a for a, _ in rows)
    return [r for r in rows for _ in range(many[r[0]])]


def read(warehouse: sl.Warehouse) -> Numbered:
    return Counter(warehouse.read("m").rows())


def opened(query: str, rows: Iterable[Row], strategy: str) -> sl.Warehouse:
    warehouse = sl.open(":memory:", threads=1)
    warehouse.create_table("t", "a INTEGER, b INTEGER")
    warehouse.create_model("m", query, strategy=strategy)
    put(warehouse, rows)
    return warehouse


def put(warehouse: sl.Warehouse, inserts: Iterable[Row] = (), deletes: Iterable[Row] = ()) -> None:
    given = [[{"a": a, "b": b} for a, b in rows] for rows in (inserts, deletes)]
    warehouse.apply("t", inserts=given[0] or None, deletes=given[1] or None)
    warehouse.refresh()


@pytest.mark.parametrize("strategy", ["incremental", "partition", "full"])
@pytest.mark.parametrize(
    ("source", "many", "seen"),
    [
        ("t", 3000, list),
        ("(SELECT b, a FROM t) AS q", 3000, list),
        (BETWEEN, 150, joined),
        (None, 3000, list),
    ],
    ids=["table", "subquery", "join", "nested"],
)
def test_copies_are_numbered_alike(
    source: str | None, many: int, seen: Callable[[Sequence[Row]], list[Row]], strategy: str
) -> None:
    rows = rows_of(many, 3)
    with opened(QUERY.format(source) if source else NESTED, rows, strategy) as warehouse:
        assert read(warehouse) == wanted(seen(rows))
        gone, come = rows[10 : many // 10], rows_of(many // 20, 2)
        put(warehouse, come, gone)
        rows = [*rows[:10], *rows[many // 10 :], *come]
        assert read(warehouse) == wanted(seen(rows))
        assert warehouse.verify("m").ok
