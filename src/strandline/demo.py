"""`strandline demo`: a pipeline that keeps itself up to date while one watches, and the proof that it did.

The pieces are those of every project: a template's files, a first `run`, a `watch` in a process of its
own, files renamed into the landing folder, and readers that are answered by the watching process.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from strandline.errors import EngineError
from strandline.schema import Parity
from strandline.templates import DEMO_MARK, init_project, make_room, template_folder
from strandline.units import counted, span, times

Say = Callable[[str], None]

PATIENCE_SECONDS = 60.0
COLUMNS = "   {:<16} {:<24} {:>6} {:>4} {:>8} {:>14} {:>10}   {}"
HEADING = COLUMNS.format("file", "with", "rows", "bad", "batch", "than in full", "done after", "how")


@dataclass(frozen=True, slots=True)
class Shown:
    """One increment as the watching process reported it.

    `ratio` is full recompute ÷ its seconds; `after` the seconds from the file's being complete to the
    news of its commit.
    """

    file: str
    what: str
    rows: int
    quarantined: int
    strategies: Mapping[str, str]
    seconds: float
    ratio: float
    after: float


@dataclass(frozen=True, slots=True)
class Demo:
    """What was shown. `full_seconds` is the recompute of all models by the plain engine."""

    folder: Path
    base_rows: int
    base_seconds: float
    full_seconds: float
    increments: tuple[Shown, ...]
    parity: tuple[Parity, ...]

    @property
    def ok(self) -> bool:
        return all(p.ok for p in self.parity)


def play(template: str, folder: Path, *, events: int, seed: int, say: Say) -> Demo:
    """Show a template at work in a fresh folder. Raises UsageError where the folder holds something else."""
    from strandline.templates.shipments import generate

    template_folder(template)
    make_room(folder)
    init_project(template, folder)
    (folder / DEMO_MARK).touch()
    say(f"1  a project in {folder}/: strandline.toml, models/*.sql")
    world = generate.World(events=events, seed=seed)
    with contextlib.closing(generate.build(world)) as con:
        files = generate.write_base(con, world, folder / "landing")
        say(f"2  {len(files)} files in {folder}/landing, in every format and packing, some lines broken")
        base_rows, base_seconds = _base(folder, say)
        full = _full_seconds(folder)
        say(f"   the full recompute of all models takes {span(full)}: that is what a batch is compared with")
        say("4  `strandline watch` runs in a process of its own; five files arrive")
        with watching(folder) as batches:
            shown = []
            say(HEADING)
            for number, what in enumerate(generate.INCREMENTS, 1):
                file = generate.increment(con, world, number, folder / "landing")
                complete = time.monotonic()
                batch = next(batches)
                shown.append(_shown(file.name, what, batch, full, time.monotonic() - complete))
                say(_line(shown[-1]))
            say("5  every table against its full recompute, asked of the watching process")
            parity = _verify(folder, say)
    _next_steps(folder, say)
    return Demo(folder, base_rows, base_seconds, full, tuple(shown), parity)


def _base(folder: Path, say: Say) -> tuple[int, float]:
    from strandline.wiring import Pipeline

    with Pipeline.load(folder, role="demo") as pipeline:
        run = pipeline.run()
    held = f", {run.quarantined:,} broken ones kept aside" if run.quarantined else ""
    say(f"3  the base: {counted(run.rows, 'row')} in, four models built in {span(run.seconds)}{held}")
    return run.rows, run.seconds


def _full_seconds(folder: Path) -> float:
    """The recompute of all models by the plain engine, the better of two."""
    from strandline.benchmark.measure import full_recompute
    from strandline.project import load_project

    project = load_project(folder)
    models = tuple((m.name, m.sql) for m in project.models)
    with tempfile.TemporaryDirectory(prefix="strandline-demo-") as scratch:
        return min(full_recompute(Path(project.warehouse.path), models, Path(scratch), threads=2, times=2))


@contextlib.contextmanager
def watching(folder: Path) -> Iterator[Iterator[Mapping[str, Any]]]:
    """`strandline watch` as a child process, which ends with the block; gives its batches as they come."""
    command = [sys.executable, "-m", "strandline", "watch", str(folder), "--json"]
    with tempfile.TemporaryFile("w+", encoding="utf-8") as said:
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, text=True, bufsize=1)
        with child:
            try:
                _wait_until_it_answers(child, folder, said)
                yield _batches(child, said)
            finally:
                _end(child)


def _wait_until_it_answers(child: subprocess.Popen[str], folder: Path, said: Any) -> None:
    from strandline.local import answers
    from strandline.project import load_project

    warehouse = load_project(folder).warehouse.path
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not answers(warehouse):
        if child.poll() is not None or time.monotonic() > deadline:
            raise _silent(said)
        time.sleep(0.02)


def _batches(child: subprocess.Popen[str], said: Any) -> Iterator[Mapping[str, Any]]:
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    assert child.stdout is not None
    threading.Thread(target=_pump, args=(child.stdout, lines), daemon=True).start()
    while True:
        try:
            line = lines.get(timeout=PATIENCE_SECONDS)
        except queue.Empty:
            line = ""
        if not line:
            raise _silent(said)
        yield json.loads(line)


def _pump(stream: Any, lines: queue.SimpleQueue[str]) -> None:
    for line in stream:
        lines.put(line)
    lines.put("")


def _silent(said: Any) -> EngineError:
    said.seek(0)
    return EngineError(
        f"`strandline watch` did not go on: {said.read().strip() or 'it said nothing'}",
        hint="run it by hand in the demo's folder to see why.",
    )


def _end(child: subprocess.Popen[str]) -> None:
    child.terminate()
    try:
        child.wait(timeout=PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _shown(file: str, what: str, run: Mapping[str, Any], full: float, after: float) -> Shown:
    return Shown(
        file=file,
        what=what,
        rows=sum(t["inserted"] + t["deleted"] for t in run["tables"]),
        quarantined=run["quarantined"],
        strategies={m["model"]: m["strategy"] for m in run["models"]},
        seconds=run["seconds"],
        ratio=full / run["seconds"],
        after=after,
    )


def _line(shown: Shown) -> str:
    cheaper = f"{times(shown.ratio)} cheaper" if shown.ratio > 1 else "no cheaper"
    return COLUMNS.format(
        shown.file,
        shown.what,
        f"{shown.rows:,}",
        f"{shown.quarantined or '-'}",
        span(shown.seconds),
        cheaper,
        span(shown.after),
        _how(shown.strategies),
    ).rstrip()


def _how(strategies: Mapping[str, str]) -> str:
    """`shipment_timeline carry, 3 more keyed`: the first model by name, the others by strategy."""
    if not strategies:
        return "no model is touched"
    (first, strategy), *others = strategies.items()
    counts = Counter(how for _, how in others)
    return ", ".join([f"{first} {strategy}", *(f"{n} more {how}" for how, n in counts.items())])


def _verify(folder: Path, say: Say) -> tuple[Parity, ...]:
    from strandline.wiring import Pipeline

    found = []
    with Pipeline.load(folder) as pipeline, pipeline.reader() as reader:
        for name in reader.models():
            parity = reader.verify(name)
            word = "exact" if parity.ok else f"DIFFERS: {parity.missing} missing, {parity.extra} extra"
            say(f"   {name:<20} {parity.rows:>9,} rows  {word}  ({span(parity.seconds)})")
            found.append(parity)
    return tuple(found)


def _next_steps(folder: Path, say: Say) -> None:
    tool = _command()
    python = sys.executable if tool == "strandline" else str(Path(tool).with_name("python"))
    say("where to look next:")
    say(f"   {folder}/models/shipment_timeline.sql")
    say("      the query, written as if all data were there")
    for command, why in (
        ("explain shipment_timeline", "how it is kept, and why so"),
        ('query "FROM shipment_current LIMIT 5"', "the results"),
        ("quarantine list", "the broken rows, with file and line"),
        ("status", "rows, files, freshness"),
        ("watch", f"go on; this drops another file: {python} {folder}/generate.py --increment 1 --seed 8"),
    ):
        say(f"   {tool} {command} -C {folder}")
        say(f"      {why}")


def _command() -> str:
    """How the command is called from here: by its name where it is on the path."""
    own = Path(sys.executable).with_name("strandline")
    found = shutil.which("strandline")
    if found is not None and (not own.exists() or Path(found).samefile(own)):
        return "strandline"
    return os.path.relpath(own) if own.is_relative_to(Path.cwd()) else str(own)
