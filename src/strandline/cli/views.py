"""How results look to a person: frozen values in, tables and lines of text out."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from strandline.cli.output import cell, data, plain, say, say_plain, show, show_error, table
from strandline.errors import StrandlineError
from strandline.schema import ModelRun, Parity, Run
from strandline.units import counted, span

if TYPE_CHECKING:
    from rich.table import Table

    from strandline.benchmark.plan import Line, Result
    from strandline.doctor import Check
    from strandline.local import Status


def run_line(run: Run) -> str:
    """One line about a batch: what came in, how long it took, how each model was kept."""
    if not run.changed:
        return "nothing new"
    parts = [f"{run.kind} batch", counted(run.rows, "row")]
    if run.files:
        parts.append(counted(len(run.files), "file"))
    if run.quarantined:
        parts.append(f"{run.quarantined:,} quarantined")
    parts.append(span(run.seconds))
    return ", ".join(parts)


def run_models(run: Run) -> Table:
    """What each model did in a batch."""
    rows = [
        (m.model, m.strategy, f"{m.rows_in:,}", f"{m.rows_out:,}", span(m.seconds), m.reason)
        for m in run.models
    ]
    return table(("model", "strategy", "rows in", "rows out", "time", "why"), rows, right=(2, 3, 4))


def run_files(run: Run) -> Table:
    """The files a batch took in."""
    rows = [(f.path, f.table, f"{f.rows:,}", f"{f.rejected:,}", f.status) for f in run.files]
    return table(("file", "table", "rows", "quarantined", "status"), rows, right=(2, 3))


def parities(found: Iterable[Parity]) -> Table:
    """One line a model: whether it equals its full recompute."""
    rows = [
        (
            p.model,
            "exact" if p.ok else "DIFFERS",
            f"{p.rows:,}",
            f"{p.expected_rows:,}",
            f"{p.missing:,}",
            f"{p.extra:,}",
            f"{p.largest_float_difference:.1e}" if p.largest_float_difference else "0",
            span(p.seconds),
        )
        for p in found
    ]
    headings = ("model", "parity", "rows", "expected", "missing", "extra", "float error", "time")
    return table(headings, rows, right=range(2, 8))


def status_head(status: Status) -> list[str]:
    """The lines above the status tables."""
    lines = [f"warehouse    {status.warehouse}"]
    if status.checkpoint is None:
        lines.append("last batch   none yet: `strandline run` builds the base")
    else:
        last, ago = status.checkpoint, span(status.lag_seconds or 0.0)
        lines.append(f"last batch   {last.kind}, {ago} ago ({last.last_update_time:%Y-%m-%d %H:%M:%S} UTC)")
    files = ", ".join(f"{n:,} {word}" for word, n in status.files.items())
    lines.append(f"files        {files or 'none yet'}")
    lines.append(f"quarantine   {counted(status.quarantined, 'row')} held")
    lines.append(f"held by      {status.holder or 'nobody'}")
    return lines


def status_tables(status: Status) -> Table:
    """Tables and models with their rows."""
    rows: list[Sequence[Any]] = [("table", t.name, f"{t.rows:,}", "") for t in status.tables]
    rows += [("model", m.name, f"{m.rows:,}", m.strategy or "") for m in status.models]
    return table(("kind", "name", "rows", "strategy"), rows, right=(2,))


def quarantined(found: Sequence[Mapping[str, Any]]) -> Table:
    """Held rows; long raw text is cut."""
    names = ("quarantine_id", "table_name", "file", "line", "reason", "status", "raw")
    rows = [[cut(cell(row[name])) if name == "raw" else row[name] for name in names] for row in found]
    return table(("id", "table", "file", "line", "reason", "status", "row"), rows, right=(3,))


def cut(text: str, most: int = 80) -> str:
    """At most so many characters, the last one a sign that there are more."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def checks(found: Iterable[Check]) -> Table:
    """What `doctor` looked at."""
    return table(("", "looked at", "found", "next"), [(c.state, c.name, c.found, c.next) for c in found])


def show_run(run: Run) -> None:
    """Say what a run did."""
    say(run_line(run))
    if run.files:
        show(run_files(run), human=True)
    if run.quarantined:
        say_plain("next: `strandline quarantine list` says what is wrong with each line and file")
    if run.models:
        show(run_models(run), human=True)


def watched(as_json: bool) -> Callable[[Run], None]:
    """What `watch` does with every batch: a line of JSON as data, or a line for the person."""

    def show_batch(run: Run) -> None:
        if as_json:
            data(json.dumps(plain(run), ensure_ascii=False))
            sys.stdout.flush()
        else:
            say_plain(f"{run.started_at:%H:%M:%S}  {run_line(run)}; {strategies(run.models)}")

    return show_batch


def show_retry(error: StrandlineError, seconds: float) -> None:
    """Say what went wrong while watching, and when it is tried again."""
    show_error(error, as_json=False)
    say_plain(f"trying again in {span(seconds)}")


def show_bench(result: Result) -> None:
    """Say what a benchmark measured."""
    from strandline.benchmark.report import facts

    for fact in facts(result):
        say_plain(fact)
    show(bench_lines(result.lines, ""), human=True)
    if result.append_only:
        show(bench_lines(result.append_only, "events declared append-only"), human=True)


def bench_lines(lines: Iterable[Line], title: str) -> Table:
    """A benchmark's batches against the full recompute."""
    from strandline.benchmark.report import HEADINGS, cells

    return table(HEADINGS, [cells(line) for line in lines], right=range(1, 6), title=title)


def strategies(models: Iterable[ModelRun]) -> str:
    """`shipment_timeline carry, shipment_current merge`: how a batch kept each model."""
    return ", ".join(f"{m.model} {m.strategy}" for m in models)
