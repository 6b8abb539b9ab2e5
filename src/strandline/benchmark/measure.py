"""One measurement each. Every function here runs in a process of its own, so that neither the memory nor
the warm caches of one measurement are counted in another; what they take and give can be pickled.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from strandline.benchmark import data, memory
from strandline.benchmark.data import Kind, Shape
from strandline.errors import StrandlineError
from strandline.schema import Run, Schema

if TYPE_CHECKING:
    from strandline.warehouse import Warehouse

COMPILED_TIMES = 5
INCREMENT_MEMORY = "1GiB"
"""What the engine may hold while increments run; without a limit it keeps every block it has read."""
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Job:
    """What all measurements of one benchmark share. `models` are (name, SQL), the measured one last."""

    folder: Path
    shape: Shape
    threads: int
    tables: dict[str, Schema]
    models: tuple[tuple[str, str], ...]

    @property
    def warehouse(self) -> Path:
        return self.folder / "warehouse.duckdb"

    @property
    def model(self) -> str:
        return self.models[-1][0]


@dataclass(frozen=True, slots=True)
class Loaded:
    """Seconds to load the base and to fill the models; milliseconds to compile the measured one."""

    load_seconds: float
    build_seconds: float
    compile_ms: float
    database_bytes: int


@dataclass(frozen=True, slots=True)
class Group:
    """Batches of one kind and size: `numbers` says which ones, the first is the warm-up."""

    kind: Kind
    rows: int
    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Measured:
    """Seconds of every batch of a group (`first_seconds`: the one that found a just opened warehouse),
    the highest memory during them, and the strategies of the measured model's stages."""

    seconds: tuple[float, ...]
    first_seconds: float
    close_seconds: float
    peak_memory_mb: float
    strategies: tuple[str, ...] = field(default=())


def alone(function: Callable[..., R], *args: object) -> R:
    """Call a function of this module in a fresh process."""
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=fresh, initializer=_say_on_stderr) as pool:
        try:
            return pool.submit(function, *args).result()
        except StrandlineError as error:
            raise error from None  # the other process's traceback is no reason to show


def _say_on_stderr() -> None:
    """Whatever a library prints in a measuring process must not mix with the result on stdout."""
    os.dup2(2, 1)


def load(job: Job) -> Loaded:
    """Create the warehouse: tables, the base as one batch, the models."""
    with _open(job) as wh:
        for name, schema in job.tables.items():
            wh.create_table(
                name,
                ", ".join(f'"{c.name}" {c.type}' for c in schema.columns),
                key=schema.key or None,
                append_only=schema.append_only,
            )
        started = time.perf_counter()
        con = data.connect(job.threads)
        with wh.batch(kind="base") as base:
            for name, rows in data.references(con, job.shape).items():
                base.apply(name, inserts=rows)
            for chunk in data.base_chunks(con, job.shape):
                base.apply("shipment_events", inserts=chunk)
        loaded = time.perf_counter()
        for name, sql in job.models:
            wh.create_model(name, sql)
        built = time.perf_counter()
        compile_ms = _compile_ms(job, wh)
    size = job.warehouse.stat().st_size
    return Loaded(loaded - started, built - loaded, compile_ms, size)


def recompute(job: Job, times: int) -> tuple[float, ...]:
    """Seconds of the full recompute of the benchmark's models."""
    return full_recompute(job.warehouse, job.models, job.folder, threads=job.threads, times=times)


def full_recompute(
    warehouse: Path, models: Sequence[tuple[str, str]], scratch: Path, *, threads: int, times: int
) -> tuple[float, ...]:
    """Seconds of the full recompute: the same SQL over the warehouse's tables into new tables of a new
    file in `scratch`, by the same engine, up to and including its checkpoint. Nobody may be writing."""
    import duckdb

    target = scratch / "full.duckdb"
    con = duckdb.connect(str(target), config={"threads": threads})
    con.execute("SET enable_progress_bar = false").fetchall()
    con.execute(f"ATTACH '{_quoted(warehouse)}' AS kept (READ_ONLY)").fetchall()
    con.execute("USE kept").fetchall()
    seconds = []
    for _ in range(times):
        started = time.perf_counter()
        for name, sql in models:
            con.execute(f'CREATE TABLE "{target.stem}".main."{name}" AS {sql}').fetchall()
        con.execute(f'CHECKPOINT "{target.stem}"').fetchall()
        seconds.append(time.perf_counter() - started)
        for name, _sql in models:
            con.execute(f'DROP TABLE "{target.stem}".main."{name}"').fetchall()
    con.close()
    target.unlink()
    return tuple(seconds)


def increments(job: Job, group: Group) -> Measured:
    """Apply and refresh the group's batches one after another; only that is timed."""
    batches = _batches(job, group)
    seconds: list[float] = []
    strategies: set[str] = set()
    with _open(job, memory_limit=INCREMENT_MEMORY) as wh:
        memory.start()
        for rows in batches:
            took, run = _one(wh, rows)
            seconds.append(took)
            strategies |= _strategies(run, job.model)
        peak = memory.peak_mb()
        closing = time.perf_counter()
    closed = time.perf_counter() - closing
    return Measured(tuple(seconds[1:]), seconds[0], closed, peak, tuple(sorted(strategies)))


def verify(job: Job) -> bool:
    """Whether every model of the benchmark equals its full recompute."""
    with _open(job) as wh:
        return all(wh.verify(name).ok for name, _ in job.models)


def _open(job: Job, memory_limit: str | None = None) -> Warehouse:
    import strandline

    path = str(job.warehouse)
    return strandline.open(path, threads=job.threads, memory_limit=memory_limit, role="bench")


def _batches(job: Job, group: Group) -> list[Any]:
    if group.kind == "no-change":
        return [None] * len(group.numbers)
    con = data.connect(job.threads)
    made = [data.batch(con, job.shape, group.kind, group.rows, number) for number in group.numbers]
    con.close()
    return made


def _one(wh: Warehouse, rows: Any) -> tuple[float, Run]:
    started = time.perf_counter()
    if rows is not None:
        wh.apply("shipment_events", inserts=rows)
    run = wh.refresh()
    return time.perf_counter() - started, run


def _strategies(run: Run, model: str) -> set[str]:
    ran = run.model(model)
    if ran is None:
        return set()
    return {stage.strategy for stage in ran.stages} or {ran.strategy}


def _compile_ms(job: Job, wh: Warehouse) -> float:
    name, sql = job.models[-1]
    took = []
    for _ in range(COMPILED_TIMES):
        started = time.perf_counter()
        wh.compile(name, sql)
        took.append((time.perf_counter() - started) * 1000)
    return statistics.median(took)


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")
