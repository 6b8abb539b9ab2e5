"""The commands. Each reads its words, calls the library and prints; none decides anything."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter

from strandline import __version__
from strandline.cli import output, views
from strandline.cli.words import Json, ProjectDir, nearest_project, project_folder, share
from strandline.errors import UnknownNameError, UsageError, nearest
from strandline.schema import Run
from strandline.units import counted

if TYPE_CHECKING:
    from strandline.local import Reading

Format = Literal["table", "json", "csv", "parquet"]
Flag = Parameter(negative="")
INTERRUPTED = 130

app = App(
    name="strandline",
    help="Keeps tables exactly up to date from only what changed.",
    version=__version__,
    version_flags=["--version", "-V"],
    help_format="markdown",
    result_action="return_value",
    print_error=False,
    exit_on_error=False,
    help_on_error=False,
    suppress_keyboard_interrupt=False,
)
quarantine = App(name="quarantine", help="The rows that were not accepted: list them, let them in.")
app.command(quarantine)


@contextlib.contextmanager
def reading(folder: Path) -> Iterator[Reading]:
    """A reader of the project's warehouse, whoever holds it."""
    from strandline.wiring import Pipeline

    with Pipeline.load(folder) as pipeline, pipeline.reader() as reader:
        yield reader


def known_table(reader: Reading, name: str | None) -> None:
    """Raises UnknownNameError for a table that is not there."""
    tables = reader.tables() if name is not None else {}
    if name is not None and name.lower() not in {t.lower() for t in tables}:
        raise UnknownNameError(f"there is no table {name!r}", hint=nearest(name, tables))


@app.command
def init(
    template: str, directory: Path, /, *, force: Annotated[bool, Flag] = False, json: Json = False
) -> None:
    """Write a new project from a template (`shipments`, `sales`).

    Parameters
    ----------
    template
        The template's name.
    directory
        The folder to write into; what it holds is not overwritten.
    force
        Overwrite the template's own files.
    """
    from strandline.templates import init_project

    written = init_project(template, directory, force=force)
    if json:
        output.print_json({"template": template, "directory": directory, "files": written})
        return
    output.say_plain(f"wrote {counted(len(written), 'file')} into {directory}")
    output.say_plain(f"next: cd {directory}, read README.md, then `strandline run`")


@app.command
def run(directory: Path | None = None, /, *, project: ProjectDir = None, json: Json = False) -> int:
    """Take in what has arrived, bring every model up to date, in one commit.

    Exit code 1 where a check that `[verify]` asks for finds a model that differs from its recompute.

    Parameters
    ----------
    directory
        The project's folder.
    """
    from strandline.wiring import Pipeline

    folder = project_folder(directory, project)
    runs: list[Run] = []
    with (
        output.file_progress(f"running {folder.resolve().name}") as on_file,
        Pipeline.load(folder, role="run", notice=output.say_plain) as pipeline,
    ):
        last = pipeline.run(on_run=runs.append, on_file=on_file)
    for done in runs or [last]:
        views.show_run(done)
    if json:
        output.print_json(last if len(runs) < 2 else runs)
    return 0 if all(parity.ok for parity in pipeline.checked) else 1


@app.command
def watch(directory: Path | None = None, /, *, project: ProjectDir = None, json: Json = False) -> int:
    """Run whenever files arrive, until stopped with Ctrl-C.

    Parameters
    ----------
    directory
        The project's folder.
    json
        Print every batch as one line of JSON.
    """
    from strandline.wiring import Pipeline

    folder = project_folder(directory, project)
    with Pipeline.load(folder, role="watch", notice=output.say_plain) as pipeline:
        pipeline.prepare()
        output.say_plain(f"watching {folder}; Ctrl-C stops")
        received = pipeline.watch(on_run=views.watched(json), on_error=views.show_retry)
    return INTERRUPTED if received == signal.SIGINT else 0


@app.command
def plan(directory: Path | None = None, /, *, project: ProjectDir = None, json: Json = False) -> None:
    """Show what the next run would do: files, rows, strategies. Nothing is changed.

    Parameters
    ----------
    directory
        The project's folder.
    """
    from strandline.wiring import Pipeline

    with Pipeline.load(project_folder(directory, project), role="plan") as pipeline:
        found = pipeline.plan()
    if json:
        output.print_json(found.as_dict())
    else:
        output.data(str(found))


@app.command
def explain(model: str, /, *, project: ProjectDir = None, json: Json = False) -> None:
    """Show how a model is kept up to date: every stage, its strategy and why.

    Parameters
    ----------
    model
        The model's name.
    """
    with reading(project_folder(project)) as reader:
        found = reader.explain(model)
    if json:
        output.print_json(found.as_dict())
    else:
        output.data(str(found))


@app.command
def verify(
    model: str | None = None,
    /,
    *,
    sample: Annotated[float | None, Parameter(validator=share)] = None,
    project: ProjectDir = None,
    json: Json = False,
) -> int:
    """Compare models with their full recompute, row for row. Exit code 1 if one differs.

    Parameters
    ----------
    model
        The model's name; without one, every model.
    sample
        Compare only this share of the rows, such as 0.01.
    """
    with reading(project_folder(project)) as reader:
        names = [model] if model is not None else list(reader.models())
        with output.progress(steps=len(names)) as step:
            found = []
            for name in names:
                step(f"recomputing {name}")
                found.append(reader.verify(name, sample))
    if json:
        output.print_json(found)
    else:
        output.show(views.parities(found))
    return 0 if all(parity.ok for parity in found) else 1


@app.command
def status(*, project: ProjectDir = None, json: Json = False) -> None:
    """Show what the warehouse holds and how fresh it is."""
    from strandline.wiring import Pipeline

    with Pipeline.load(project_folder(project), role="status") as pipeline:
        found = pipeline.status()
    if json:
        output.print_json(found.as_dict())
        return
    output.data("\n".join(views.status_head(found)))
    output.show(views.status_tables(found))


@app.command
def query(
    sql: Annotated[str, Parameter(allow_leading_hyphen=True)],
    /,
    *,
    format: Format = "table",  # noqa: A002  the option's name
    csv: Annotated[bool, Flag] = False,
    parquet: Path | None = None,
    project: ProjectDir = None,
    json: Json = False,
) -> None:
    """Run a read-only query over the project's tables and models.

    Parameters
    ----------
    sql
        The query; `-` reads it from standard input.
    format
        How to print the rows.
    csv
        The same as `--format csv`.
    parquet
        Write the rows to this file instead.
    """
    from strandline.cli.rows import write_rows

    text = sys.stdin.read() if sql == "-" else sql
    with reading(project_folder(project)) as reader:
        rows = reader.sql(text, arrow=True)
    write_rows(rows, "json" if json else "csv" if csv else format, parquet)


@quarantine.command(name="list")
def list_quarantine(
    *,
    table: str | None = None,
    all: Annotated[bool, Flag] = False,  # noqa: A002  the option's name
    limit: int | None = 50,
    project: ProjectDir = None,
    json: Json = False,
) -> None:
    """Show the rows that are held back, with the reason, the file and the line.

    Parameters
    ----------
    table
        Only this table's rows.
    all
        Also those that were released, or whose file was replaced, since.
    limit
        At most this many, the newest first.
    """
    from strandline import local

    with reading(project_folder(project)) as reader:
        known_table(reader, table)
        found = local.quarantine(reader, table=table, status=None if all else "held", limit=limit)
    if json:
        output.print_json(found)
    elif found:
        output.show(views.quarantined(found))
    else:
        output.say("nothing is held back")


@quarantine.command
def release(
    *ids: str,
    table: str | None = None,
    file: str | None = None,
    all: Annotated[bool, Flag] = False,  # noqa: A002  the option's name
    project: ProjectDir = None,
    json: Json = False,
) -> None:
    """Read held rows again and let in those that pass now.

    Parameters
    ----------
    ids
        The rows' ids, as `quarantine list` shows them.
    table
        All rows of this table.
    file
        All rows of this file.
    all
        All rows there are.
    """
    from strandline.wiring import Pipeline

    if not (ids or table or file or all):
        raise UsageError("say which rows", hint="give ids, --table, --file, or --all.")
    folder = project_folder(project)
    with Pipeline.load(folder, role="quarantine release", notice=output.say_plain) as pipeline:
        found = pipeline.release(ids=ids or None, table=table, file=file)
    if json:
        output.print_json(found)
    else:
        output.say(f"released {counted(found.released, 'row')}, {found.held:,} stay held back")


@app.command
def bench(  # noqa: PLR0913  each is an option
    target: str,
    /,
    *,
    events: int = 1_000_000,
    batches: str = "1000,10000,100000",
    repeat: int = 3,
    model: str | None = None,
    threads: int = 2,
    append_only: Annotated[bool, Flag] = False,
    report: Path = Path("bench-out"),
    json: Json = False,
) -> int:
    """Measure increments against the full recompute, with parity; exit code 1 if parity fails.

    Parameters
    ----------
    target
        A template's name, or the folder of a project with its tables.
    events
        Events in the base.
    batches
        Batch sizes, separated by commas.
    repeat
        Batches of each kind and size that are timed.
    model
        The model to measure (`shipment_timeline`).
    threads
        Threads for the engine, for both sides.
    append_only
        Measure also with the events declared append-only.
    report
        The folder for report.md and report.html.
    """
    from strandline.benchmark import plan as benchmark
    from strandline.benchmark.report import write

    settings = benchmark.settings(events, batches, repeat, model, threads, append_only)
    with output.progress(steps=benchmark.steps(settings)) as step:
        result = benchmark.bench(target, settings, step)
    views.show_bench(result)
    output.say_plain("wrote " + " and ".join(str(path) for path in write(result, report)))
    if json:
        output.print_json(result.as_dict())
    return 0 if result.ok else 1


@app.command
def doctor(directory: Path | None = None, /, *, project: ProjectDir = None, json: Json = False) -> int:
    """Look whether everything is here that Strandline and the project need.

    Parameters
    ----------
    directory
        The project's folder.
    """
    from strandline.doctor import examine

    found = examine(directory or project or nearest_project())
    if json:
        output.print_json(found)
    else:
        output.show(views.checks(found))
    return 1 if any(check.state == "failed" for check in found) else 0


@app.command
def demo(  # noqa: PLR0913  each is an option
    template: str = "shipments",
    /,
    *,
    dir: Path = Path("demo"),  # noqa: A002  the option's name
    events: int = 200_000,
    day: int = 10,
    client: str = "client_1",
    rows: int = 1_000_000,
    repeat: int = 5,
    seed: int = 7,
    json: Json = False,
) -> int:
    """Watch a pipeline keep itself up to date (`shipments`), or race it against a full run (`sales`).

    Parameters
    ----------
    template
        The template to show.
    dir
        The folder to make; one that an earlier demo made is replaced.
    events
        About how many events the base has (`shipments`).
    day
        The day whose archive is processed; those before it are its history (`sales`).
    client
        Whose archives: client_1 or client_2 (`sales`).
    rows
        Rows of the first day; each other day has a tenth of them (`sales`).
    repeat
        How often the day is processed by each pipeline (`sales`).
    seed
        The same seed gives the same data.
    """
    if template == "sales":
        return _demo_sales(dir, (day, client, rows, repeat, seed), json)
    from strandline.demo import play

    result = play(template, dir, events=events, seed=seed, say=output.say_plain)
    if json:
        output.print_json(result)
    return 0 if result.ok else 1


def _demo_sales(folder: Path, chosen: tuple[int, str, int, int, int], json: bool) -> int:
    """The sales benchmark: exit code 1 where the two pipelines differ."""
    from strandline.benchmark.sales import plan as sales
    from strandline.benchmark.sales.report import write

    settings = sales.settings(*chosen)
    with output.progress(steps=sales.steps(settings)) as step:
        result = sales.bench(settings, folder, step)
    text, page = write(result, folder)
    if json:
        output.print_json(result)
    else:
        output.data(text.read_text(encoding="utf-8"))
    output.say_plain(f"wrote {text} and {page}")
    return 0 if result.ok else 1
