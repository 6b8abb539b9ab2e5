"""A maintained table against its full recompute, as bags; floating point within 1e-9 relative."""

from __future__ import annotations

import time
from collections.abc import Mapping

from strandline.compiler.relations import quote
from strandline.compiler.text import exact_hash, listed, make
from strandline.engines.base import Engine
from strandline.errors import UsageError
from strandline.schema import Parity
from strandline.warehouse.definitions import ModelDefinition
from strandline.warehouse.faraway import legible

TOLERANCE = 1e-9
SHOWN = 5
FLOATS = ("FLOAT", "DOUBLE", "REAL")


def compare(
    engine: Engine, definition: ModelDefinition, recompute: str, sample: float | None = None
) -> Parity:
    """Count rows by two independent hashes on both sides; look closer only at what differs.

    With `sample` (a share between 0 and 1) only rows whose hash falls into that
    share are compared: the same rows on both sides.
    """
    if sample is not None and not 0 < sample <= 1:
        raise UsageError(f"sample is {sample}, not a share of the rows", hint="give one such as 0.01.")
    started = time.perf_counter()
    names = [n for n, _, _ in definition.columns]
    cols, alike = listed(names), ", ".join(one_nan(n, t) for n, _, t in definition.columns)
    cut = f" WHERE hash({rounded(definition)}) % 1000000 < {int(sample * 1_000_000)}" if sample else ""
    sides = {
        "strandline_is": f"SELECT {alike} FROM main.{quote(definition.name)}{cut}",
        "strandline_ought": "SELECT * FROM strandline_recompute",
    }
    # evaluated once: sums of floating point differ from run to run in their last digits
    engine.execute(make("strandline_recompute", f"SELECT {alike} FROM ({recompute}\n) AS q({cols}){cut}"))
    rows, expected = (engine.execute(f"SELECT count(*) FROM ({s})") for s in sides.values())
    keep_differing(engine, definition, sides)
    extra, missing, largest = closer(engine, definition)
    engine.execute("DROP TABLE strandline_recompute")
    examples = sample_rows(engine, missing, "missing") + sample_rows(engine, extra, "extra")
    return Parity(
        definition.name,
        not missing and not extra,
        rows,
        expected,
        missing,
        extra,
        largest,
        time.perf_counter() - started,
        tuple(examples),
    )


def one_nan(name: str, kind: str) -> str:
    """A column whose NaNs have one sign: DuckDB 2.0.0 takes a column that is all NaN for a constant.

    The hash of that is another than the hash of negative ones.
    """
    column = quote(name)
    return (
        f"CASE WHEN isnan({column}) THEN 'nan'::{kind} ELSE {column} END AS {column}"
        if kind in FLOATS
        else column
    )


def keep_differing(engine: Engine, definition: ModelDefinition, sides: Mapping[str, str]) -> None:
    """Of two sides, SELECTs by name, the rows that are not as often in the other one: as NAME_rows."""
    typed = [(n, t) for n, _, t in definition.columns]
    first, second = exact_hash(typed), exact_hash(typed, seed="1")
    for name, text in sides.items():
        hashes = f"SELECT {first} AS a, {second} AS b, count(*) AS n FROM ({text}) GROUP BY ALL"
        engine.execute(make(f"{name}_hash", hashes))
    cols = listed(n for n, _ in typed)
    for name, other in zip(sides, list(sides)[::-1], strict=True):
        differing = f"SELECT a, b FROM {name}_hash ANTI JOIN {other}_hash USING (a, b, n)"
        where = f"({first}, {second}) IN (SELECT (a, b) FROM ({differing}))"
        engine.execute(make(f"{name}_rows", f"SELECT {cols} FROM ({sides[name]}) WHERE {where}"))


def rounded(definition: ModelDefinition) -> str:
    """The columns a sample is drawn by: all but floating point."""
    names = [n for n, _, t in definition.columns if t not in FLOATS]
    return listed(names) or "1"


def closer(engine: Engine, definition: ModelDefinition) -> tuple[int, int, float]:
    """Pair the differing rows by their exact columns, floats in order.

    Gives (extra, missing, largest difference).
    """
    floats = [n for n, _, t in definition.columns if t in FLOATS]
    exact = [n for n, _, t in definition.columns if t not in FLOATS]
    by = f"PARTITION BY {listed(exact)} " if exact else ""
    order = f"ORDER BY {listed(floats)}" if floats else ""
    for side in ("is", "ought"):
        engine.execute(
            make(
                f"strandline_{side}_n",
                f"SELECT *, row_number() OVER ({by}{order}) AS _pair FROM strandline_{side}_rows",
            )
        )
    match = " AND ".join(
        [*(f"a.{quote(c)} IS NOT DISTINCT FROM b.{quote(c)}" for c in exact), "a._pair = b._pair"]
    )
    near = [near_enough(f) for f in floats]
    good = " AND ".join([match, *near])
    extra = engine.execute(
        f"SELECT count(*) FROM strandline_is_n AS a ANTI JOIN strandline_ought_n AS b ON {good}"
    )
    missing = engine.execute(
        f"SELECT count(*) FROM strandline_ought_n AS b ANTI JOIN strandline_is_n AS a ON {good}"
    )
    gaps = ", ".join(f"max(abs(a.{quote(f)} - b.{quote(f)}))" for f in floats)
    largest = 0.0
    if floats:
        found = engine.rows(
            f"SELECT greatest({gaps}) FROM strandline_is_n AS a JOIN strandline_ought_n AS b ON {good}"
        )
        largest = float(found[0][0] or 0.0)
    return extra, missing, largest


def near_enough(name: str) -> str:
    """Equal (NULL, NaN and infinities included) or within the relative tolerance."""
    a, b = f"a.{quote(name)}", f"b.{quote(name)}"
    close = f"abs({a} - {b}) <= {TOLERANCE} * greatest(abs({a}), abs({b}), 1e-300)"
    finite = (
        f"isfinite({a}) AND isfinite({b})"  # else NaN and infinity are as far from all as from themselves
    )
    return f"({a} IS NOT DISTINCT FROM {b} OR coalesce({finite} AND {close}, FALSE))"


def sample_rows(engine: Engine, count: int, kind: str) -> list[dict[str, object]]:
    """A few differing rows to look at."""
    if not count:
        return []
    table = "strandline_ought_n" if kind == "missing" else "strandline_is_n"
    found = legible(engine.arrow(f"SELECT * EXCLUDE (_pair) FROM {table} LIMIT {SHOWN}")).to_pylist()
    return [{"side": kind, **row} for row in found]
