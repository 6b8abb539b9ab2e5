"""The two pipelines and the floor beneath them, timed. Each function runs in a process of its own.

Libraries are imported and the warehouse is opened before the clock starts, as in a process that waits
for archives; what is written is on disk when it stops.
"""

from __future__ import annotations

import shutil
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from strandline.benchmark import memory

if TYPE_CHECKING:
    import polars as pl

    from strandline.schema import Run
    from strandline.wiring import Pipeline

BLOCK = 1 << 17
"""Bytes inflated at a time: with more of them freed memory goes back to the system and is mapped anew."""


@dataclass(frozen=True, slots=True)
class Job:
    """One archive to process. `project` is the incremental pipeline's; `static` holds the reference files."""

    project: Path
    archive: Path
    static: Path
    client: str
    database: Path


@dataclass(frozen=True, slots=True)
class Measured:
    """Seconds from the archive to the published table, by phase, and the process's highest memory in MB.

    `idle_mb` of it were there before: the interpreter, libraries, and an open warehouse. `whole` is the
    time of its process from start to end, imports, opening and closing included; 0 where not measured.
    """

    seconds: float
    phases: Mapping[str, float]
    peak_mb: float
    idle_mb: float
    rows: int = 0
    opening: float = 0.0
    cpu: float = 0.0
    """Seconds of processor time, over all threads: what other work on the machine disturbs least."""
    whole: float = 0.0


@dataclass
class Clock:
    """Seconds by phase."""

    phases: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.phases[name] = self.phases.get(name, 0.0) + time.perf_counter() - started

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, with its time counted; of one that gives rows bit by bit, the time it works."""

        def call(*args: Any, **kwargs: Any) -> Any:
            with self.phase(name):
                result = function(*args, **kwargs)
            return self._stepwise(name, result) if hasattr(result, "__next__") else result

        return call

    def _stepwise(self, name: str, items: Iterator[Any]) -> Iterator[Any]:
        nothing = object()
        while True:
            with self.phase(name):
                item = next(items, nothing)
            if item is nothing:
                return
            yield item


def decompressed(archive: Path) -> Measured:
    """The floor: read the archive's member to its end and keep nothing."""
    idle = _settled()
    started, cpu, size = time.perf_counter(), time.process_time(), 0
    with zipfile.ZipFile(archive) as opened, opened.open(opened.namelist()[0]) as stream:
        while block := stream.read(BLOCK):
            size += len(block)
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    return Measured(seconds, {}, memory.peak_mb(), idle, size, cpu=cpu)


def baseline(job: Job, staged: bool) -> Measured:
    """Everything anew: unzip, one lazy query over the whole CSV file, a database made from nothing.

    `staged` keeps what lies between the phases in memory, to time them one by one; without it Polars
    runs parsing, transformation and aggregation as one stream.
    """
    import polars as pl

    from strandline.templates.sales import publish

    sales = _model(job.project)
    clock = Clock()
    idle = _settled()
    started, cpu = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory(prefix="sales-", dir=job.database.parent) as folder:
        text = Path(folder) / "transactions.csv"
        with clock.phase("unzip"):
            _unzip(job.archive, text)
        rows = _scanned(pl, text, job.client)
        result = _in_stages(sales, rows, job, clock) if staged else _streamed(sales, rows, job, clock)
    with clock.phase("write"):
        written = publish.write_all(result, job.database)
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    return Measured(seconds, clock.phases, memory.peak_mb(), idle, written, cpu=cpu)


def _unzip(archive: Path, target: Path) -> None:
    with zipfile.ZipFile(archive) as opened, target.open("wb") as out:
        shutil.copyfileobj(opened.open(opened.namelist()[0]), out, BLOCK)


def _scanned(pl: Any, text: Path, client: str) -> Any:
    kinds = {
        "transaction_id": pl.String,
        "transaction_date": pl.Date,
        "sku_id": pl.String,
        "quantity_sold": pl.Int32,
        "revenue_usd": pl.Float64,
        "maturity_date": pl.Date,
        "zip_code_raw": pl.String,
    }
    return pl.scan_csv(text, schema=kinds).with_columns(client_id=pl.lit(client))


def _references(folder: Path) -> tuple[pl.LazyFrame, pl.LazyFrame]:
    import polars as pl

    zips = pl.scan_csv(folder / "us_zip_codes.csv", schema_overrides={"zip_code": pl.String})
    return pl.scan_csv(folder / "sku_groups.csv"), zips


def _streamed(sales: Any, rows: Any, job: Job, clock: Clock) -> Any:
    with clock.phase("parse, transform, aggregate"):
        return sales.process(rows, *_references(job.static)).collect(engine="streaming")


def _in_stages(sales: Any, rows: Any, job: Job, clock: Clock) -> Any:
    needed = [n for n in rows.collect_schema().names() if n != "transaction_id"]
    with clock.phase("parse"):
        parsed = rows.select(needed).collect(engine="streaming")
    with clock.phase("transform"):
        cleaned = sales.cleaned(parsed.lazy(), *_references(job.static)).collect(engine="streaming")
    with clock.phase("aggregate"):
        return sales.aggregated(cleaned.lazy()).collect(engine="streaming")


def _model(project: Path) -> Any:
    """The project's own transformation: what the incremental pipeline runs."""
    import sys

    from strandline.project.functions import load_functions

    function = load_functions(project / "models" / "sales.py", "models/sales.py")[0]
    return sys.modules[function.call.__module__]


def _settled() -> float:
    """Memory in MB before the clock starts; the peak counts from there."""
    memory.start()
    return memory.peak_mb()


def arrive(job: Job) -> Path:
    """Put the archive where the project's source looks for it, complete."""
    target = job.project / "data" / job.client / job.archive.name
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(job.archive, target.with_name(f"{target.name}.part"))
    return target.with_name(f"{target.name}.part").rename(target)


def incremental(*jobs: Job) -> Measured:
    """What is new: `Pipeline.run` as it is, then the changed days to SQLite.

    Of several archives, which arrive one after the other, the last is measured: what it costs in a
    process that has been at work.
    """
    import polars  # noqa: F401  loaded before the clock starts, as for the baseline

    from strandline.wiring import Pipeline

    clock = Clock()
    opening = time.perf_counter()
    with Pipeline.load(jobs[0].project, role="bench") as pipeline:
        pipeline.prepare()
        _preload(pipeline)
        opening = time.perf_counter() - opening
        _watch_phases(clock)
        for job in jobs:
            found = _arrival(pipeline, job, clock)
    return replace(found, opening=opening)


def _arrival(pipeline: Pipeline, job: Job, clock: Clock) -> Measured:
    from strandline.templates.sales import publish

    clock.phases.clear()
    arrive(job)
    idle = _settled()
    started, cpu = time.perf_counter(), time.process_time()
    run = pipeline.run()
    ran = time.perf_counter() - started
    with clock.phase("write"):
        publish.write_changes(pipeline.warehouse, job.database)
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    phases, rows = _phases(clock, run, ran), sum(f.rows for f in run.files)
    return Measured(seconds, phases, memory.peak_mb(), idle, rows, cpu=cpu)


def _preload(pipeline: Any) -> None:
    """Import and compile what a pipeline needs for its first batch; a waiting process has long done that."""
    from strandline.sources import cumulative, formats  # noqa: F401

    pipeline.run()
    for name in pipeline.warehouse.models():
        pipeline.warehouse.explain(name)


def _watch_phases(clock: Clock) -> None:
    """Time the steps inside a run, in this process only."""
    from strandline.sources import assemble, cumulative, landing
    from strandline.warehouse import straight

    for module, name, phase in (
        (cumulative, "scan", "unzip"),
        (landing, "sha256", "unzip"),
        (assemble, "chunks", "parse"),
        (straight, "write", "take in"),
        (straight, "settled", "take in"),
    ):
        setattr(module, name, clock.timed(phase, getattr(module, name)))


def _phases(clock: Clock, run: Run, ran: float) -> dict[str, float]:
    found = dict(clock.phases)
    published = found.pop("write", 0.0)
    found["transform, aggregate"] = sum(m.seconds for m in run.models)
    found["commit, record"] = max(0.0, ran - sum(found.values()))
    found["write"] = published
    return found
