"""The compiled program against the reference in plain Python: operator by operator, change by change."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

import strandline as sl
from strandline import zset as z

ID, G, V = range(3)  # places in `facts`
Tables = dict[str, z.ZSet]


@dataclass(frozen=True)
class Operator:
    """A query, and what the reference makes of it."""

    sql: str
    query: Callable[[z.ZSet, z.ZSet], z.ZSet]


def joined(kind: z.JoinKind) -> Operator:
    return Operator(
        f"SELECT * FROM facts f {kind} JOIN names n ON f.g = n.g",
        lambda facts, names: z.join(facts, names, kind, z.on_equal([G], [0]), widths=(3, 2)),
    )


BY_ID = [z.Order(ID)]
OPERATORS = {
    "filter": Operator(
        "SELECT g FROM facts WHERE v > 0", lambda f, _: z.project(z.select(f, positive), only_g)
    ),
    "union all": Operator(
        "SELECT g FROM facts UNION ALL SELECT g FROM names",
        lambda f, n: z.add(z.project(f, only_g), z.project(n, lambda r: r[:1])),
    ),
    **{kind: joined(kind) for kind in ("inner", "left", "right", "full", "semi", "anti")},
    "distinct": Operator("SELECT DISTINCT g FROM facts", lambda f, _: z.distinct(z.project(f, only_g))),
    "except all": Operator(
        "SELECT g FROM facts EXCEPT ALL SELECT g FROM names",
        lambda f, n: z.except_all(z.project(f, only_g), z.project(n, lambda r: r[:1])),
    ),
    "intersect all": Operator(
        "SELECT g FROM facts INTERSECT ALL SELECT g FROM names",
        lambda f, n: z.intersect_all(z.project(f, only_g), z.project(n, lambda r: r[:1])),
    ),
    "aggregate": Operator(
        "SELECT g, count(*), count(v), sum(v), min(v), max(v) FROM facts GROUP BY g",
        lambda f, _: z.aggregate(f, [G], AGGREGATES),
    ),
    "ungrouped": Operator(
        "SELECT count(*), count(v), sum(v), min(v), max(v) FROM facts",
        lambda f, _: z.aggregate(f, None, AGGREGATES),
    ),
    "carried window": Operator(
        "SELECT *, row_number() OVER w, sum(v) OVER w, lag(v) OVER w, lead(v, 2) OVER w FROM facts "
        "WINDOW w AS (PARTITION BY g ORDER BY id)",
        lambda f, _: z.window(
            f, [G], BY_ID, [z.row_number, z.over(z.total(V)), z.lag(V), z.lead(V, 2)], z.Frame("rows")
        ),
    ),
    "sliding window": Operator(
        "SELECT *, sum(v) OVER (ORDER BY id ROWS BETWEEN 2 PRECEDING AND 1 FOLLOWING EXCLUDE CURRENT ROW) "
        "FROM facts",
        lambda f, _: z.window(f, [], BY_ID, [z.over(z.total(V))], z.Frame("rows", -2, 1, "current row")),
    ),
    "peers": Operator(
        "SELECT *, rank() OVER w, dense_rank() OVER w, count(*) OVER w FROM facts "
        "WINDOW w AS (PARTITION BY g ORDER BY v)",
        lambda f, _: z.window(f, [G], [z.Order(V)], [z.rank, z.dense_rank, z.over(z.count_star)]),
    ),
    "top-k": Operator(
        "SELECT * FROM facts QUALIFY row_number() OVER (PARTITION BY g ORDER BY v DESC, id) <= 2",
        lambda f, _: z.topk(f, [G], [z.Order(V, descending=True), *BY_ID], 2),
    ),
}
AGGREGATES = [z.count_star, z.count(V), z.total(V), z.minimum(V), z.maximum(V)]


def positive(row: z.Row) -> bool | None:
    return None if row[V] is None else row[V] > 0


def only_g(row: z.Row) -> z.Row:
    return (row[G],)


def change(
    rng: random.Random, now: z.ZSet, made: Callable[[], z.Row], size: int
) -> tuple[list[Any], list[Any]]:
    """Rows to insert and rows to delete; ids are used once."""
    gone = rng.sample(z.rows_of(now), min(len(z.rows_of(now)), rng.randint(0, size)))
    return [made() for _ in range(rng.randint(0, size))], gone


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("seed", range(2))
def test_an_operator_is_its_definition(name: str, seed: int) -> None:
    rng = random.Random(f"{name}{seed}")
    operator = OPERATORS[name]
    ids = iter(rng.sample(range(1000), 1000))
    makers: dict[str, Callable[[], z.Row]] = {
        "facts": lambda: (
            next(ids),
            rng.choice("ab") if rng.random() < 0.9 else None,
            rng.choice([None, -1, 1, 1, 5]),
        ),
        "names": lambda: (rng.choice(["a", "c", None]), rng.choice(["x", "y"])),
    }
    now: Tables = {"facts": {}, "names": {}}
    with sl.open(":memory:", threads=1) as warehouse:
        warehouse.create_table("facts", "id INTEGER, g VARCHAR, v INTEGER", key="id")
        warehouse.create_table("names", "g VARCHAR, label VARCHAR")
        warehouse.create_model("m", f"SELECT * FROM ({operator.sql}) AS q({columns(operator, now)})")
        for _ in range(4):
            for table, made in makers.items():
                inserts, deletes = change(rng, now[table], made, 4)
                warehouse.apply(table, inserts=named(table, inserts), deletes=named(table, deletes))
                now[table] = z.add(now[table], z.zset(inserts), z.zset(deletes, -1))
            warehouse.refresh()
            assert z.zset(warehouse.read("m").rows()) == operator.query(now["facts"], now["names"])


def columns(operator: Operator, empty: Tables) -> str:
    """Names for as many columns as the reference's rows have."""
    row = ((1, "a", 1), ("a", "x"))
    made = operator.query(z.zset(row[:1]), z.zset(row[1:]))
    made = made or operator.query(z.zset(row[:1]), {})
    return ", ".join(f"c{i}" for i in range(len(next(iter(made)))))


def named(table: str, rows: list[Any]) -> list[dict[str, Any]]:
    names = {"facts": ("id", "g", "v"), "names": ("g", "label")}[table]
    return [dict(zip(names, row, strict=True)) for row in rows]
