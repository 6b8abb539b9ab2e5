"""Where maintaining a result beats recomputing it: table size × share of change × kind of query.

    python bench/crossover.py --rows 10000,1000000 --shares 0.00001,0.01,0.5 --out bench-out/crossover

Every cell is one refresh of a model after a change of that share of its table's
rows (half of them new, half of them changed in place, spread evenly), timed in
three warehouses that are alike: one that always refreshes, one that always
recomputes (the model as one CREATE TABLE AS), and one that chooses. What taking
the rows in costs is the same for all three and counted in all. Medians of
`--repeat` changes after one to warm up, of up to three times as many where they
take no time; the results are compared at the end.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
from picture import picture

import strandline as sl
from strandline.warehouse.batches import SMALL_TABLE
from strandline.warehouse.waiting import FEW

if TYPE_CHECKING:
    import pyarrow as pa

MODES = ("incremental", "full", "chosen")
QUICK = 4.0
"""Seconds of a cell in all up to which it is seen more often than asked for."""
CHANGED = """
SELECT id, id % {groups} AS g, (id * 7919) % {other} AS o,
       (hash(id + {salt}) % 1000)::DECIMAL(12, 2) / 10 AS v, TIMESTAMP '2026-01-01' + to_seconds(id) AS ts
FROM ({ids}) AS i
"""


@dataclass(frozen=True)
class Shape:
    """A kind of query: its models in order, and how many rows share a group or partition."""

    name: str
    models: tuple[tuple[str, str], ...]
    per_group: int = 100
    dimensions: bool = False


@dataclass(frozen=True)
class Cell:
    """One measurement, seconds; `picked` says what the choosing warehouse did."""

    shape: str
    rows: int
    share: float
    changed: int
    incremental: float
    full: float
    chosen: float
    picked: str
    equal: bool


RANGE = "PARTITION BY g ORDER BY ts, id"
WINDOW = f"SELECT id, g, sum(v) OVER ({RANGE}) AS running, lag(v) OVER ({RANGE}) AS before FROM events"
FOUR = "events e JOIN d1 USING (o) JOIN d2 ON d2.k = e.g % 50 JOIN d3 ON d3.k = e.o % 20"
SHAPES = (
    Shape(
        "projection",
        (("m", "SELECT id, g, v * 2 AS twice, md5(g::VARCHAR) AS name FROM events"),),
    ),
    Shape("one-table aggregate", (("m", "SELECT g, count(*) AS n, sum(v) AS total FROM events GROUP BY g"),)),
    Shape(
        "2-way join aggregate",
        (
            (
                "m",
                "SELECT d1.name, count(*) AS n, sum(v) AS total FROM events JOIN d1 USING (o) GROUP BY 1",
            ),
        ),
        dimensions=True,
    ),
    Shape(
        "4-way join aggregate",
        (("m", f"SELECT d1.name, d2.name AS a, d3.name AS b, sum(e.v) AS total FROM {FOUR} GROUP BY ALL"),),
        dimensions=True,
    ),
    Shape("windows over 10 rows", (("m", WINDOW),), per_group=10),
    Shape("windows over 10,000 rows", (("m", WINDOW),), per_group=10_000),
    Shape(
        "chain of 4 models",
        (
            ("a", "SELECT e.id, e.g, e.ts, e.v, d1.name FROM events e LEFT JOIN d1 USING (o) WHERE e.v > 1"),
            ("b", "SELECT g, name, date_trunc('day', ts) AS day, sum(v) AS total FROM a GROUP BY ALL"),
            ("c", "SELECT *, sum(total) OVER (PARTITION BY g ORDER BY day, name) AS running FROM b"),
            ("m", "SELECT name, day, sum(total) AS total, max(running) AS top FROM c GROUP BY ALL"),
        ),
        dimensions=True,
    ),
)


def ids(rows: int, changed: int, number: int) -> str:
    """Half of a change's rows are in the table, evenly spread; half are new."""
    old = changed // 2
    step = max(1, rows // max(1, old))
    fresh = rows + number * changed
    there = f"SELECT (range * {step} + {number}) % {rows} AS id FROM range({old})"
    return f"{there} UNION ALL SELECT {fresh} + range FROM range({changed - old})"


def events(con: duckdb.DuckDBPyConnection, shape: Shape, rows: int, which: str, salt: int) -> pa.Table:
    groups = max(1, rows // shape.per_group)
    return con.sql(CHANGED.format(groups=groups, other=1000, salt=salt, ids=which)).to_arrow_table()


def warehouse(
    folder: Path, mode: str, shape: Shape, base: pa.Table, con: duckdb.DuckDBPyConnection
) -> sl.Warehouse:
    """The base and, but for the one that recomputes, the models."""
    wh = sl.open(folder / f"{mode}.duckdb", threads=2)
    wh.create_table("events", "id BIGINT, g BIGINT, o BIGINT, v DECIMAL(12,2), ts TIMESTAMP", key="id")
    wh.apply("events", base)
    if shape.dimensions:
        for name, key, count in (("d1", "o", 1000), ("d2", "k", 50), ("d3", "k", 20)):
            wh.create_table(name, f"{key} BIGINT, name VARCHAR", key=key)
            rows = f"SELECT range AS {key}, 'n' || range % 40 AS name FROM range({count})"
            wh.apply(name, con.sql(rows).to_arrow_table())
    wh.refresh()
    strategy = "incremental" if mode == "incremental" else None
    for name, sql in shape.models if mode != "full" else ():
        wh.create_model(name, sql, strategy=strategy)
    wh.checkpoint()
    return wh


def recomputed(wh: sl.Warehouse, shape: Shape, alone: bool) -> None:
    """What one would do without: every model as one statement, in one transaction.

    On one thread where the rows were taken in so, for setting them takes time.
    """
    with wh.engine.alone() if alone else contextlib.nullcontext(), wh.engine.transaction():
        for name, sql in shape.models:
            wh.engine.execute(f"CREATE OR REPLACE TABLE main.{name} AS {sql}")


def refreshed(wh: sl.Warehouse, mode: str, shape: Shape, change: pa.Table, small: bool) -> tuple[float, str]:
    """Seconds, and what was done."""
    started = time.perf_counter()
    wh.apply("events", change)
    run = wh.refresh()
    if mode == "full":
        recomputed(wh, shape, small and change.num_rows <= FEW)
        return time.perf_counter() - started, "full"
    seconds = time.perf_counter() - started
    anew = sum(m.strategy == "full" for m in run.models)
    return seconds, "full" if anew == len(run.models) else "incremental" if not anew else "mixed"


def cells(shape: Shape, rows: int, shares: list[float], repeat: int) -> Iterator[Cell]:
    """All shares over one base; the three warehouses take turns, so that they see the same machine."""
    con = duckdb.connect()
    base = events(con, shape, rows, f"SELECT range AS id FROM range({rows})", 0)
    with tempfile.TemporaryDirectory() as folder:
        held = {mode: warehouse(Path(folder), mode, shape, base, con) for mode in MODES}
        number = 0
        for share in shares:
            changed = max(1, round(rows * share))
            seconds: dict[str, list[float]] = {mode: [] for mode in MODES}
            picks: list[str] = []
            while not enough(seconds, repeat):
                number += 1
                change = events(con, shape, rows, ids(rows, changed, number), number)
                for mode in MODES[number % 3 :] + MODES[: number % 3]:
                    took, done = refreshed(held[mode], mode, shape, change, rows <= SMALL_TABLE)
                    seconds[mode].append(took)
                    picks += [done] if mode == "chosen" else []
            middle = {mode: statistics.median(found[1:]) for mode, found in seconds.items()}
            equal = same(held, shape.models[-1][0])
            yield Cell(
                shape.name, rows, share, changed, **middle, picked=statistics.mode(picks[1:]), equal=equal
            )
        for wh in held.values():
            wh.close()


def enough(seconds: dict[str, list[float]], repeat: int) -> bool:
    """Whether a cell was seen often enough: the first time warms up, and quick ones are seen more often."""
    turns = len(seconds["chosen"]) - 1
    spent = sum(sum(found) for found in seconds.values())
    return turns >= 3 * repeat or (turns >= repeat and spent >= QUICK)


def same(held: dict[str, sl.Warehouse], model: str) -> bool:
    """The three results are one bag of rows."""
    texts = []
    for wh in held.values():
        digest = f"SELECT count(*), sum(hash(t)::HUGEINT)::VARCHAR FROM main.{model} AS t"
        texts.append(wh.engine.rows(digest))
    return texts[0] == texts[1] == texts[2]


def table(found: list[Cell]) -> str:
    """Markdown: what to expect of each way, and of the choice."""
    head = "| query | rows | change | incremental | full | full ÷ incremental | chosen | chosen ÷ better |"
    lines = [head, "|---|---:|---:|---:|---:|---:|---|---:|"]
    for c in found:
        better = min(c.incremental, c.full)
        lines.append(
            f"| {c.shape} | {c.rows:,} | {c.share * 100:g} % "
            f"| {c.incremental * 1000:.1f} ms | {c.full * 1000:.1f} ms | {c.full / c.incremental:.2f} "
            f"| {c.picked}, {c.chosen * 1000:.1f} ms | {c.chosen / better:.2f} |"
        )
    return "\n".join(lines)


def written(found: list[Cell], out: Path) -> None:
    """`out`.json, .md and .svg."""
    out.parent.mkdir(parents=True, exist_ok=True)
    out.with_suffix(".json").write_text(json.dumps([asdict(c) for c in found], indent=1) + "\n")
    out.with_suffix(".md").write_text(table(found) + "\n")
    out.with_suffix(".svg").write_text(picture(found))


def main() -> int:
    """Measure, write, and fail where the three warehouses differ."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", default="10000,100000,1000000")
    parser.add_argument("--shares", default="0.00001,0.0001,0.001,0.01,0.1,0.5")
    parser.add_argument("--shapes", default="", help="parts of names, separated by commas; all without")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("bench-out/crossover"))
    given = parser.parse_args()
    wanted = [s for s in SHAPES if any(part in s.name for part in given.shapes.split(","))]
    found: list[Cell] = []
    for rows in (int(r) for r in given.rows.split(",")):
        for shape in wanted:
            for cell in cells(shape, rows, [float(s) for s in given.shares.split(",")], given.repeat):
                found.append(cell)
                print(table([cell]).splitlines()[-1], file=sys.stderr, flush=True)
            written(found, given.out)
    print(table(found))
    return 0 if all(c.equal for c in found) else 1


if __name__ == "__main__":
    sys.exit(main())
