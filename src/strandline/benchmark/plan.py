"""Which measurements make a benchmark, and the result they add up to."""

from __future__ import annotations

import os
import platform
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from strandline.benchmark import measure
from strandline.benchmark.data import Kind, Shape
from strandline.benchmark.measure import Group, Job, Loaded, Measured
from strandline.errors import UsageError, nearest
from strandline.project import Project, load_project
from strandline.schema import Schema, utc_now
from strandline.templates import template_folder, template_names
from strandline.units import counted

Say = Callable[[str], None]

MODEL = "shipment_timeline"
TABLES = ("shipment_events", "locations", "packages")


@dataclass(frozen=True, slots=True)
class Settings:
    """What to measure: `events` in the base, batch sizes, timed batches a size, the model, threads.

    `append_only` measures the in-order batches once more with the events declared append-only.
    """

    events: int = 1_000_000
    batches: tuple[int, ...] = (1_000, 10_000, 100_000)
    repeat: int = 3
    model: str = MODEL
    threads: int = 2
    append_only: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """The batches of one kind and size against the full recompute (`full_median` seconds)."""

    kind: Kind
    rows: int
    measured: Measured
    parity: bool
    full_median: float

    @property
    def median(self) -> float:
        return statistics.median(self.measured.seconds)

    @property
    def ratio(self) -> float:
        return self.full_median / self.median

    @property
    def worst_ratio(self) -> float:
        """Against the slowest batch of the group."""
        return self.full_median / max(self.measured.seconds)

    def as_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "rows": self.rows,
            "seconds": [round(s, 5) for s in self.measured.seconds],
            "ratio": round(self.ratio, 2),
            "worst_ratio": round(self.worst_ratio, 2),
            "strategies": list(self.measured.strategies),
            "parity": self.parity,
            "first_seconds": round(self.measured.first_seconds, 5),
            "close_seconds": round(self.measured.close_seconds, 5),
            "peak_memory_mb": round(self.measured.peak_memory_mb, 1),
        }


@dataclass(frozen=True, slots=True)
class Result:
    """A whole benchmark. `append_only` holds the lines measured with that declaration, if asked for."""

    settings: Settings
    full_seconds: tuple[float, ...]
    loaded: Loaded
    lines: tuple[Line, ...]
    append_only: tuple[Line, ...]
    machine: str
    versions: str
    measured_at: str

    @property
    def full_median(self) -> float:
        return statistics.median(self.full_seconds)

    @property
    def peak_memory_mb(self) -> float:
        return max(line.measured.peak_memory_mb for line in (*self.lines, *self.append_only))

    @property
    def ok(self) -> bool:
        """Whether parity held after every kind of batch."""
        return all(line.parity for line in (*self.lines, *self.append_only))

    def as_dict(self) -> dict[str, Any]:
        return {
            "events": self.settings.events,
            "full_seconds": [round(s, 4) for s in self.full_seconds],
            "batches": [line.as_dict() for line in self.lines],
            "peak_memory_mb": round(self.peak_memory_mb, 1),
            "compile_ms": round(self.loaded.compile_ms, 2),
            "append_only": [line.as_dict() for line in self.append_only],
            "load_seconds": round(self.loaded.load_seconds, 3),
            "build_seconds": round(self.loaded.build_seconds, 3),
            "database_bytes": self.loaded.database_bytes,
            "model": self.settings.model,
            "threads": self.settings.threads,
            "machine": self.machine,
            "versions": self.versions,
            "measured_at": self.measured_at,
        }


def bench(target: str, settings: Settings, say: Say, *, scratch: Path | None = None) -> Result:
    """Measure a template, or a project with the template's tables. Each measurement runs in a process
    of its own over one warehouse in a temporary folder (inside `scratch`), removed at the end.

    Raises UsageError where the numbers make no sense or there is no data generator for the project.
    """
    check(settings)
    project = find_project(target)
    models = models_for(project, settings.model)
    tables = tables_for(project)
    with tempfile.TemporaryDirectory(prefix="strandline-bench-", dir=scratch) as folder:
        job = Job(Path(folder), Shape(settings.events), settings.threads, tables, models)
        say(f"loading {settings.events:,} events and building {job.model}")
        loaded = measure.alone(measure.load, job)
        say(f"{counted(settings.repeat, 'full recompute')} before the batches")
        before = measure.alone(measure.recompute, job, settings.repeat)
        measured = [(g, *_measure(job, g, say)) for g in groups(settings)]
        say(f"{counted(settings.repeat, 'full recompute')} after the batches")
        full = before + measure.alone(measure.recompute, job, settings.repeat)
    middle = statistics.median(full)
    append_only = _append_only(job, settings, middle, say, scratch) if settings.append_only else ()
    return Result(
        settings=settings,
        full_seconds=full,
        loaded=loaded,
        lines=tuple(Line(g.kind, g.rows, m, ok, middle) for g, m, ok in measured),
        append_only=append_only,
        machine=_machine(),
        versions=_versions(),
        measured_at=utc_now().isoformat(timespec="seconds"),
    )


def groups(settings: Settings) -> Iterator[Group]:
    """Every kind of batch in turn. Late and update batches have the middle size; each group's first
    batch is a warm-up, and every batch has a number of its own."""
    sizes = sorted(set(settings.batches))
    middle = min(sizes[len(sizes) // 2], settings.events // 2)
    wanted: list[tuple[Kind, int]] = [("in-order", size) for size in sizes]
    wanted += [("late", middle), ("update", middle), ("no-change", 0)]
    count = settings.repeat + 1
    for place, (kind, rows) in enumerate(wanted):
        yield Group(kind, rows, tuple(range(place * count, (place + 1) * count)))


def settings(
    events: int, batches: str, repeat: int, model: str | None, threads: int, append_only: bool
) -> Settings:
    """The settings as a command line has them; `batches` are sizes separated by commas."""
    try:
        sizes = tuple(int(size.replace("_", "")) for size in batches.split(",") if size.strip())
    except ValueError:
        raise UsageError(
            f"--batches {batches!r} are not sizes", hint="for example --batches 1000,10000."
        ) from None
    return Settings(events, sizes, repeat, model or MODEL, threads, append_only)


def steps(settings: Settings) -> int:
    """How many times a benchmark says what it does next."""
    kinds = [g.kind for g in groups(settings)]
    return 3 + len(kinds) + (1 + kinds.count("in-order") if settings.append_only else 0)


def check(settings: Settings) -> None:
    """Raises UsageError for numbers that cannot be measured."""
    if settings.events < 1_000:
        raise UsageError(f"--events {settings.events} is too few to measure", hint="use at least 1000.")
    if not settings.batches or min(settings.batches) < 1:
        raise UsageError("--batches needs sizes of at least 1", hint="for example --batches 1000,10000.")
    if settings.repeat < 1 or settings.threads < 1:
        raise UsageError("--repeat and --threads are at least 1", hint="for example --repeat 3 --threads 2.")


def find_project(target: str) -> Project:
    """The project of a template's name or of a folder. Raises UsageError for anything else."""
    folder = Path(target)
    if target in template_names() and not (folder / "strandline.toml").exists():
        return load_project(template_folder(target))
    if (folder / "strandline.toml").exists():
        return load_project(folder)
    raise UsageError(
        f"{target!r} is neither a template nor a project's folder; {nearest(target, template_names())}",
        hint="name a template, or a folder with a strandline.toml.",
    )


def tables_for(project: Project) -> dict[str, Schema]:
    """The project's own declarations of the tables that can be generated. Raises UsageError without them."""
    declared = {s.table.lower(): s.schema for s in project.sources.values()}
    example = {s.table: s.schema for s in load_project(template_folder("shipments")).sources.values()}
    for table in TABLES:
        wanted = example[table].columns
        if table not in declared or {c.name for c in wanted} - set(declared[table].names):
            raise UsageError(
                f"there is no data generator for this project: it needs the table {table} with the columns"
                f" {', '.join(c.name for c in wanted)}",
                where=str(project.directory),
                hint="`strandline bench shipments` measures the template; DIR may hold its tables"
                " and models of your own over them.",
            )
    return {table: declared[table] for table in TABLES}


def models_for(project: Project, model: str) -> tuple[tuple[str, str], ...]:
    """The model as (name, SQL), after the models it uses. Raises UsageError for an unknown one."""
    known = {m.name.lower(): m for m in project.models}
    chosen = known.get(model.lower())
    if chosen is None:
        names = [m.name for m in project.models]
        raise UsageError(
            f"the project has no model {model!r}; {nearest(model, names)}", hint="name one with --model."
        )
    wanted = {chosen.name.lower()}
    for other in reversed(project.models):  # each comes after those it uses
        if other.name.lower() in wanted:
            wanted |= {name.lower() for name in other.uses}
    before = [m for m in project.models if m.name.lower() in wanted and m is not chosen]
    return tuple((m.name, m.sql) for m in (*before, chosen))


def _measure(job: Job, group: Group, say: Say) -> tuple[Measured, bool]:
    size = f" of {group.rows:,}" if group.rows else ""
    say(f"{group.kind}: {counted(len(group.numbers) - 1, 'batch', 'batches')}{size}, then parity")
    measured = measure.alone(measure.increments, job, group)
    return measured, measure.alone(measure.verify, job)


def _append_only(
    job: Job, settings: Settings, full: float, say: Say, scratch: Path | None
) -> tuple[Line, ...]:
    events = replace(job.tables["shipment_events"], key=(), append_only=True)
    with tempfile.TemporaryDirectory(prefix="strandline-bench-", dir=scratch) as folder:
        own = replace(job, folder=Path(folder), tables={**job.tables, "shipment_events": events})
        say("the same with the events declared append-only: loading")
        measure.alone(measure.load, own)
        wanted: Sequence[Group] = [g for g in groups(settings) if g.kind == "in-order"]
        return tuple(Line(g.kind, g.rows, *_measure(own, g, say), full) for g in wanted)


def _machine() -> str:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{platform.system()} {platform.machine()}, {cores} cores"


def _versions() -> str:
    import duckdb

    from strandline import __version__

    return f"Strandline {__version__}, DuckDB {duckdb.__version__}, Python {platform.python_version()}"
