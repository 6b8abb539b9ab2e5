"""Where output goes: data to stdout, everything said to a person to stderr.

On a terminal there is colour (unless NO_COLOR is set), a live line for progress and tables cut to the
width; elsewhere plain lines and whole tables.
"""

from __future__ import annotations

import datetime as dt
import decimal
import json
import math
import os
import re
import sys
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import IO, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from strandline.errors import StrandlineError

_UNLIMITED = 100_000
_NEEDS_QUOTES = re.compile(r'[",\r\n]|^\s|\s$')


def console(stream: IO[str]) -> Console:
    """A console on a stream; without a terminal lines are as long as they are, unless COLUMNS says."""
    width = None if stream.isatty() or os.environ.get("COLUMNS") else _UNLIMITED
    return Console(file=stream, width=width, highlight=False, soft_wrap=False)


def screen_width() -> int | None:
    """The columns of the terminal that stdout is, or what COLUMNS says; None where there is no limit."""
    width = console(sys.stdout).width
    return width if width < _UNLIMITED else None


def say(text: str) -> None:
    """A line for the person, on stderr; rich markup is understood."""
    console(sys.stderr).print(text, soft_wrap=True)


def say_plain(text: str) -> None:
    """The same for text that is not ours: brackets in it mean nothing."""
    say(escape(text))


def data(text: str) -> None:
    """Text that is the command's result, on stdout, as it is."""
    sys.stdout.write(text if text.endswith("\n") else f"{text}\n")


def print_json(value: Any) -> None:
    """The command's result as JSON, on stdout."""
    data(json.dumps(plain(value), indent=2, ensure_ascii=False))


@contextmanager
def progress(first: str = "", steps: int | None = None) -> Iterator[Callable[[str], None]]:
    """Says what is going on: a live line on a terminal, a plain line per message elsewhere.

    With `steps` the line has a bar, and every message begins the next step.
    """
    screen = console(sys.stderr)
    if not screen.is_terminal:
        if first:
            say_plain(first)
        yield say_plain
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

    counting = (BarColumn(bar_width=20), MofNCompleteColumn()) if steps else ()
    columns = (SpinnerColumn(), *counting, TextColumn("{task.description}"))
    with Progress(*columns, console=screen, transient=True) as live:
        task = live.add_task(escape(first), total=steps, completed=-1 if steps else 0)
        yield lambda text: live.update(task, description=escape(text), advance=1 if steps else 0)


@contextmanager
def file_progress(first: str) -> Iterator[Callable[[int, int, str], None]]:
    """Takes how many files are in, of how many, and the one at work: a bar, on a terminal alone."""
    screen = console(sys.stderr)
    if not screen.is_terminal:
        say_plain(first)
        yield lambda *_: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

    columns = (
        SpinnerColumn(),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=screen, transient=True) as live:
        task = live.add_task(escape(first), total=None)

        def show_file(done: int, total: int, name: str) -> None:
            live.update(task, completed=done, total=total, description=escape(name or "the models follow"))

        yield show_file


def table(
    headings: Sequence[str], rows: Iterable[Sequence[Any]], *, right: Iterable[int] = (), title: str = ""
) -> Table:
    """A table of cells shown by `cell`; columns in `right` are right-aligned."""
    aligned = set(right)
    made = Table(box=SIMPLE_HEAD, show_edge=False, title=title or None, title_justify="left", pad_edge=False)
    for place, heading in enumerate(headings):
        made.add_column(escape(heading), justify="right" if place in aligned else "left", overflow="fold")
    for row in rows:
        made.add_row(*(escape(cell(value)) for value in row))
    return made


def show(thing: Any, *, human: bool = False) -> None:
    """Print a table or text: on stdout as data, or on stderr where it only accompanies something."""
    screen = console(sys.stderr if human else sys.stdout)
    screen.print(thing, no_wrap=not screen.is_terminal)


def cell(value: Any) -> str:
    """A value as a table shows it."""
    if value is None:
        return "∅"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.10g}"
    if isinstance(value, dt.datetime):
        return value.isoformat(sep=" ")
    if isinstance(value, tuple | list) and not hasattr(value, "nanoseconds"):
        return f"[{', '.join(cell(v) for v in value)}]"
    return str(plain(value)) if not isinstance(value, dict) else json.dumps(plain(value))


def plain(value: Any) -> Any:
    """A value as JSON has it. Times become ISO 8601 texts, exact numbers keep their value."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, decimal.Decimal):
        if value == value.to_integral_value() and value.as_tuple().exponent == 0:
            return int(value)
        return float(value) if decimal.Decimal(repr(float(value))) == value else str(value)
    if isinstance(value, dt.timedelta):
        return interval(0, value.days, (value.seconds * 1_000_000 + value.microseconds) * 1000)
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, tuple) and hasattr(value, "nanoseconds"):  # Arrow's month-day-nano interval
        return interval(*value)
    return _plain_container(value)


def interval(months: int, days: int, nanoseconds: int) -> str:
    """An interval as the database writes it: `1 year 2 days 03:04:05.5`."""
    years, months = divmod(months, 12) if months >= 0 else (-(-months // 12), -(-months % 12))
    counted = ((years, "year"), (months, "month"), (days, "day"))
    parts = [f"{n} {word}{'' if abs(n) == 1 else 's'}" for n, word in counted if n]
    if nanoseconds or not parts:
        sign = "-" if nanoseconds < 0 else ""
        seconds, fraction = divmod(abs(nanoseconds) // 1000, 1_000_000)
        clock = f"{sign}{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
        parts.append(clock + (f".{fraction:06}".rstrip("0") if fraction else ""))
    return " ".join(parts)


def _plain_container(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(v) for v in value]
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, uuid.UUID | Path):
        return str(value)
    return str(value)


def write_csv(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Rows as CSV on stdout: NULL is an empty field, an empty text is written as a pair of quotes."""
    sys.stdout.write(",".join(map(_field, names)) + "\n")
    sys.stdout.writelines(",".join(map(_field, row)) + "\n" for row in rows)


def _field(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float | decimal.Decimal):
        return str(value)
    text = plain(value)
    text = text if isinstance(text, str) else json.dumps(text)
    return text if text and not _NEEDS_QUOTES.search(text) else '"' + text.replace('"', '""') + '"'


def show_error(error: StrandlineError, as_json: bool) -> None:
    """What went wrong, where, why and what next, on stderr; with --json as an object on stdout too."""
    cause = error.__cause__  # of one of our own kind it says the same once more
    why = str(cause).strip().partition("\n")[0] if cause and not isinstance(cause, type(error)) else ""
    why = "" if why in error.message or why.startswith(error.message) else why
    screen = console(sys.stderr)
    screen.print(f"[bold red]error:[/] {escape(error.message)}", soft_wrap=True)
    for word, text in (("where", error.where), ("why", why), ("next", error.hint)):
        if text:
            screen.print(f"  [dim]{word + ':':<6}[/] {escape(text)}", soft_wrap=True)
    if as_json:
        kind = type(error).__name__
        print_json(
            {"error": {"type": kind, "message": error.message, "where": error.where, "hint": error.hint}}
        )
