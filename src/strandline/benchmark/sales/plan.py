"""The sales benchmark: feeds, history, repeats, parity."""

from __future__ import annotations

import datetime as dt
import logging
import platform
import shutil
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from strandline.benchmark.measure import alone
from strandline.benchmark.sales import measured
from strandline.benchmark.sales.measured import Job, Measured
from strandline.errors import ParityError, UsageError
from strandline.templates import DEMO_MARK, init_project, make_room
from strandline.templates.sales import generate, publish

if TYPE_CHECKING:
    import polars as pl

_log = logging.getLogger("strandline")
Step = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Settings:
    """`rows` on the first day, a tenth of it on each other day up to `day`."""

    day: int = 10
    client: str = "client_1"
    rows: int = 1_000_000
    repeat: int = 5
    seed: int = 7

    @property
    def world(self) -> generate.World:
        return generate.World(self.day, self.rows, max(1, self.rows // 10), self.seed)


@dataclass(frozen=True, slots=True)
class Result:
    """All figures of one benchmark; `difference` is what parity found, "" where the tables are equal."""

    settings: Settings
    machine: str
    versions: str
    measured_at: str
    archive_bytes: int
    text_bytes: int
    history_seconds: tuple[float, ...]
    floor: tuple[Measured, ...]
    baseline: tuple[Measured, ...]
    staged: Measured
    incremental: tuple[Measured, ...]
    watching: tuple[Measured, ...]
    compared: int
    difference: str
    quality: dict[str, int]
    groups: tuple[tuple[str, float], ...]
    local: tuple[tuple[str, int, float], ...]

    @property
    def ok(self) -> bool:
        return not self.difference

    @property
    def rows(self) -> int:
        return self.settings.world.rows_until(self.settings.day)


def settings(day: int, client: str, rows: int, repeat: int, seed: int) -> Settings:
    """Checked settings. Raises UsageError."""
    if client not in generate.CLIENTS:
        raise UsageError(f"there is no client {client!r}", hint=f"it can be {' or '.join(generate.CLIENTS)}.")
    if day < 2 or repeat < 1 or rows < 1:
        raise UsageError(
            f"day {day}, {rows} rows and {repeat} repeats cannot be measured",
            hint="take day 2 or later, so that there is a history, and at least one row and one repeat.",
        )
    return Settings(day, client, rows, repeat, seed)


def steps(chosen: Settings) -> int:
    """How many messages `bench` says."""
    return 2 * chosen.day + chosen.repeat


def bench(chosen: Settings, folder: Path, step: Step) -> Result:
    """Make a project with its feeds in `folder`, run both pipelines, compare their results.

    Raises UsageError where the folder holds something else than an earlier demo.
    """
    archives = feeds(chosen, folder, step)
    work = folder / "benchmark"
    init_project("sales", work / "project")
    shutil.copytree(folder / "data" / "static", work / "project" / "data" / "static", dirs_exist_ok=True)
    static = folder / "data" / "static"
    before = history(chosen, work, archives[:-1], static, step)
    last, job = (
        Job(work / "project", archive, static, chosen.client, work / "full.db") for archive in archives[-2:]
    )
    found = repeats(chosen, work, last, job, step)
    step("comparing the results")
    staged = alone(measured.baseline, job, True)
    return summed_up(chosen, job, before, found, staged)


def feeds(chosen: Settings, folder: Path, step: Step) -> list[Path]:
    """The project and its archives."""
    make_room(folder)
    init_project("sales", folder)
    (folder / DEMO_MARK).touch()
    con = generate.connect(chosen.world)
    generate.write_static(con, folder / "data" / "static")
    made = []
    for path in generate.archives(con, chosen.world, chosen.client, folder / "data" / chosen.client):
        made.append(path)
        step(f"wrote {path.name}, {path.stat().st_size / 1e6:.1f} MB")
    con.close()
    return made


def history(
    chosen: Settings, work: Path, archives: Sequence[Path], static: Path, step: Step
) -> tuple[float, ...]:
    """Let the days before arrive one by one; what results is kept for the repeats."""
    found = []
    for archive in archives:
        keep(work, work / "before")
        job = Job(work / "project", archive, static, chosen.client, work / "incremental.db")
        found.append(alone(measured.incremental, job).seconds)
        step(f"history: {archive.name}")
    keep(work, work / "kept")
    return tuple(found)


KEPT = ("project/warehouse.duckdb", "incremental.db")


def keep(source: Path, target: Path) -> None:
    """Copy the warehouse and the published database, or that there is none."""
    for name in KEPT:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).unlink(missing_ok=True)
        if (source / name).exists():
            shutil.copy2(source / name, target / name)


@dataclass(frozen=True, slots=True)
class Figures:
    """What the repeats measured. `watching` is the increment in a process that took the day before, too."""

    floor: tuple[Measured, ...]
    baseline: tuple[Measured, ...]
    incremental: tuple[Measured, ...]
    watching: tuple[Measured, ...]


def repeats(chosen: Settings, work: Path, last: Job, job: Job, step: Step) -> Figures:
    """Floor, baseline and increments in turn, each from the same state in a fresh process."""
    rounds = []
    for number in range(1, chosen.repeat + 1):
        step(f"day {chosen.day}, repeat {number} of {chosen.repeat}")
        floor = alone(measured.decompressed, job.archive)
        full = whole(measured.baseline, job, False)
        restore(work, "before", last, job)
        watching = alone(
            measured.incremental, *(replace(j, database=work / "incremental.db") for j in (last, job))
        )
        restore(work, "kept", job)
        rounds.append(
            (
                floor,
                full,
                whole(measured.incremental, replace(job, database=work / "incremental.db")),
                watching,
            )
        )
    return Figures(*zip(*rounds, strict=True))


def whole(function: Callable[..., Measured], *arguments: object) -> Measured:
    """The measurement with the time of its process."""
    started = time.perf_counter()
    found = alone(function, *arguments)
    return replace(found, whole=time.perf_counter() - started)


def restore(work: Path, state: str, *coming: Job) -> None:
    """The state of a moment, before these archives came."""
    keep(work / state, work)
    for job in coming:
        (job.project / "data" / job.client / job.archive.name).unlink(missing_ok=True)


def summed_up(
    chosen: Settings, job: Job, before: tuple[float, ...], found: Figures, staged: Measured
) -> Result:
    full = published(job.database)
    kept = published(job.database.with_name("incremental.db"))
    difference = differing(full, kept)
    return Result(
        chosen, machine(), versions(), dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        job.archive.stat().st_size, found.floor[0].rows, before,
        found.floor, found.baseline, staged, found.incremental, found.watching,
        full.height, difference, quality(job.project), *best(kept),
    )  # fmt: skip


def published(database: Path) -> pl.DataFrame:
    """The published table, in the order of its key."""
    import sqlite3
    from contextlib import closing

    import polars as pl

    with closing(sqlite3.connect(database)) as con:
        rows = con.execute(f"SELECT * FROM processed_sales ORDER BY {', '.join(publish.KEY)}").fetchall()
    kinds = {"TEXT": pl.String, "INTEGER": pl.Int64, "REAL": pl.Float64}
    schema = {name: kinds[kind] for name, kind in publish.COLUMNS.items()}
    return pl.DataFrame(rows, schema=schema, orient="row")


def differing(full: pl.DataFrame, kept: pl.DataFrame) -> str:
    """What `assert_frame_equal` says, to the last bit; "" where there is nothing to say."""
    from polars.testing import assert_frame_equal

    try:
        assert_frame_equal(full, kept, check_exact=True)
    except AssertionError as found:
        error = ParityError(f"the two pipelines differ: {found}", where="processed_sales")
        _log.error("%s", error)
        return error.message
    return ""


def quality(project: Path) -> dict[str, int]:
    """What the incremental pipeline repaired, over all days."""
    from strandline.wiring import Pipeline

    with Pipeline.load(project) as pipeline, pipeline.reader() as reader:
        names = list(reader.sql("FROM sales_quality LIMIT 0", arrow=True).column_names[2:])
        sums = ", ".join(f"sum({n})::BIGINT AS {n}" for n in names)
        row: dict[str, Any] = reader.sql(f"SELECT {sums} FROM sales_quality", arrow=True).to_pylist()[0]
        held = reader.sql("SELECT count(*) AS n FROM strandline.quarantine", arrow=True).to_pylist()[0]["n"]
    return {**{n: int(v or 0) for n, v in row.items()}, "quarantined": int(held)}


def best(
    table: pl.DataFrame,
) -> tuple[tuple[tuple[str, float], ...], tuple[tuple[str, int, float], ...]]:
    """The five SKU groups with most revenue; orders and revenue in California and elsewhere."""
    import polars as pl

    revenue = pl.col("total_revenue").sum()
    top = table.group_by("sku_group").agg(revenue).sort("total_revenue", descending=True).head(5)
    split = table.group_by("local").agg(pl.col("order_count").sum(), revenue).sort("local", descending=True)
    names = {1: "California", 0: "elsewhere"}
    return tuple(top.rows()), tuple((names[place], n, sold) for place, n, sold in split.rows())


def median(found: Sequence[Measured]) -> float:
    return statistics.median(m.seconds for m in found)


def machine() -> str:
    import os

    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors"


def versions() -> str:
    import duckdb
    import polars

    from strandline import __version__

    return (
        f"Strandline {__version__}, Polars {polars.__version__}, DuckDB {duckdb.__version__},"
        f" Python {platform.python_version()}"
    )
