"""The sales benchmark as `results.md` (plain ASCII) and as one HTML page that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from strandline.benchmark.charts import Bar, bars
from strandline.benchmark.report import page
from strandline.benchmark.sales.measured import Measured
from strandline.benchmark.sales.plan import Result, median
from strandline.units import size, span

Row = tuple[str, ...]
Table = tuple[str, Row, list[Row]]
METHOD = (
    (
        "Every measurement runs in a fresh process: floor, baseline and increment in turn, the increment "
        "from a copy of the same warehouse. Clocks start when the archive is there and end when SQLite "
        "has the rows; imports are done and the warehouse is open by then, as in a process that waits for "
        "archives. The column 'process' is the time of the whole process instead, from its start to its "
        "end, with imports, opening and closing. 'Incremental, at work' is a process that took the archive "
        "of the day before too, as `strandline watch` does: its memory is mapped and its code has run. "
        "Files are in the page cache."
    ),
    (
        "Floor: the archive's member is read to its end with the standard library and dropped. Baseline: "
        "unzip to disk, one lazy Polars query with the streaming engine, a new SQLite database. Its stages "
        "were timed in one more run that keeps what lies between them, which costs more than the stream "
        "does. Incremental: the project's `run`, which checks by hash that the archive begins, as it is "
        "compressed, like the one before, decompresses and parses the rest, stores it, and calls the same "
        "Polars function with the touched days; then the days that changed go to SQLite."
    ),
    (
        "Memory is the process's highest resident memory, with the interpreter and the libraries: DuckDB, "
        "PyArrow and Polars for the increment, Polars alone for the baseline. 'At start' is what was there "
        "when the archive came, 'added' is the rest. Parity: polars.testing.assert_frame_equal, exact, "
        "over both published tables."
    ),
)


def write(result: Result, folder: Path) -> tuple[Path, Path]:
    """Write `results.md` and `results.html` into a folder; returns the two paths."""
    text, html = folder / "results.md", folder / "results.html"
    text.write_text(markdown(result), encoding="ascii", errors="replace")
    html.write_text(page_of(result), encoding="utf-8")
    return text, html


def ratio(value: float) -> str:
    return f"{value:,.1f} times" if value < 99.5 else f"{value:,.0f} times"


def middle(found: Sequence[Measured], what: str) -> float:
    """The median of one phase, or of `peak_mb`, `idle_mb` and the like."""
    values = sorted(float(getattr(m, what)) for m in found)
    return values[len(values) // 2]


def phase(found: Sequence[Measured], name: str) -> float:
    values = sorted(m.phases.get(name, 0.0) for m in found)
    return values[len(values) // 2]


def conditions(result: Result) -> list[str]:
    chosen = result.settings
    parity = f"exact, {result.compared:,} rows" if result.ok else f"DIFFERENT: {result.difference}"
    return [
        (
            f"Client {chosen.client}, day {chosen.day}: {result.rows:,} rows in the archive,"
            f" {chosen.world.daily_rows:,} of them new."
        ),
        f"Archive {size(result.archive_bytes)}, decompressed {size(result.text_bytes)}.",
        f"Parity of the published tables: {parity}.",
        f"{result.versions}; {result.machine}; measured {result.measured_at}.",
    ]


def conclusion(result: Result) -> list[str]:
    full, kept, floor = (median(f) for f in (result.baseline, result.incremental, result.floor))
    inflate = phase(result.baseline, "unzip")
    own, theirs = max(kept - phase(result.incremental, "unzip"), 1e-9), full - inflate
    lines = [
        f"End to end the increment is {ratio(full / kept)} as fast: {span(kept)} against {span(full)}.",
        f"Without decompressing it is {ratio(theirs / own)} as fast: {span(own)} against {span(theirs)}.",
        (
            f"Decompressing the archive alone, the floor, takes {span(floor)}, {floor / full:.0%} of the"
            f" baseline; the increment, which begins where the day before ended, takes {kept / floor:.2f}"
            " times the floor."
        ),
        at_work(result, full, floor),
        memory(result),
    ]
    if result.ok:
        return lines
    return [f"The pipelines DIFFER, so their times mean nothing: {result.difference}", *lines]


def at_work(result: Result, full: float, floor: float) -> str:
    seconds = median(result.watching)
    own = seconds - phase(result.watching, "unzip")
    return (
        f"In a process that took the day before too, it takes {span(seconds)}: {ratio(full / seconds)} as"
        f" fast as the baseline, {seconds / floor:.2f} times the floor, {span(own)} without decompressing."
    )


def memory(result: Result) -> str:
    """Both peaks, and what the archive itself needed."""
    (peak, idle, added), (its_peak, its_idle, its_added) = map(_memory, (result.incremental, result.baseline))
    return (
        f"Peak memory: {peak:,.0f} MB against {its_peak:,.0f} MB, {peak / its_peak:.1f} times the baseline's."
        f" Interpreter, libraries and the open warehouse are {idle:,.0f} and {its_idle:,.0f} MB of that;"
        f" the archive added {added:,.0f} against {its_added:,.0f} MB."
    )


def tables(result: Result) -> list[Table]:
    return [
        pipelines(result),
        memories(result),
        phases(result),
        repairs(result),
        groups(result),
        split(result),
    ]


def pipelines(result: Result) -> Table:
    rows: list[Row] = [
        (
            name,
            span(median(found)),
            f"{span(min(m.seconds for m in found))} to {span(max(m.seconds for m in found))}",
            span(middle(found, "cpu")),
            span(middle(found, "whole")) if found[0].whole else "-",
        )
        for name, found in _named(result)
    ]
    head = ("pipeline", "time", "spread", "processor", "process")
    return f"Medians of {len(result.floor)}", head, rows


def memories(result: Result) -> Table:
    rows: list[Row] = [(name, *(f"{mb:,.0f} MB" for mb in _memory(found))) for name, found in _named(result)]
    return "Memory of the processes", ("pipeline", "peak memory", "at start", "added"), rows


def _named(result: Result) -> list[tuple[str, tuple[Measured, ...]]]:
    return [
        ("floor: decompress", result.floor),
        ("baseline", result.baseline),
        ("incremental", result.incremental),
        ("incremental, at work", result.watching),
    ]


def _memory(found: Sequence[Measured]) -> tuple[float, float, float]:
    peak, idle = middle(found, "peak_mb"), middle(found, "idle_mb")
    return peak, idle, peak - idle


def phases(result: Result) -> Table:
    full, kept = result.baseline, result.incremental
    shown = [
        ("baseline", "unzip", phase(full, "unzip")),
        ("baseline", "parse, transform, aggregate (one stream)", phase(full, "parse, transform, aggregate")),
        ("baseline", "write", phase(full, "write")),
        *(("baseline, stage by stage", n, s) for n, s in result.staged.phases.items()),
        *(("incremental", n, phase(kept, n)) for n in kept[0].phases),
        ("incremental, before", "open the warehouse", middle(kept, "opening")),
        *(("incremental, history", f"day {n}", s) for n, s in enumerate(result.history_seconds, 1)),
    ]
    return "Time per phase", ("pipeline", "phase", "seconds"), [(a, b, span(c)) for a, b, c in shown]


def repairs(result: Result) -> Table:
    rows: list[Row] = [(name.replace("_", " "), f"{count:,}") for name, count in result.quality.items()]
    return "Data quality, all days", ("what", "transactions"), rows


def groups(result: Result) -> Table:
    rows: list[Row] = [(name, f"{revenue:,.2f}") for name, revenue in result.groups]
    return "Top 5 SKU groups by revenue", ("SKU group", "revenue, USD"), rows


def split(result: Result) -> Table:
    rows: list[Row] = [(name, f"{orders:,}", f"{revenue:,.2f}") for name, orders, revenue in result.local]
    return "Local and not", ("where", "orders", "revenue, USD"), rows


_WORDS = ("pipeline", "phase", "what", "SKU group", "where")
"""Columns of words, which begin at the left."""


def markdown(result: Result) -> str:
    """The report as GitHub-flavoured Markdown."""
    lines = ["# Sales: everything anew against only what is new", "", *_listed(conditions(result)), ""]
    lines += ["## Conclusion", "", *_listed(conclusion(result)), ""]
    for title, head, rows in tables(result):
        rule = ["---" if name in _WORDS else "---:" for name in head]
        lines += [f"## {title}", "", *(f"| {' | '.join(row)} |" for row in (head, rule, *rows)), ""]
    return "\n".join([*lines, "## Methodology", "", "\n\n".join(METHOD), ""])


def _listed(sentences: Iterable[str]) -> list[str]:
    return [f"- {sentence}" for sentence in sentences]


def page_of(result: Result) -> str:
    title = "Sales: everything anew against only what is new"
    parts = [f"<h1>{escape(title)}</h1>", _html_list(conditions(result))]
    parts += [
        "<h2>Conclusion</h2>",
        _html_list(conclusion(result)),
        "<h2>Time</h2>",
        _DIM,
        time_chart(result),
    ]
    parts += ["<h2>Memory</h2>", _DIM, memory_chart(result)]
    for caption, head, rows in tables(result):
        parts += [f"<h2>{escape(caption)}</h2>", _html_table(head, rows)]
    return page(title, [*parts, "<h2>Methodology</h2>", *(f"<p>{escape(text)}</p>" for text in METHOD)])


_DIM = '<p class="dim">The bar is the median, the thin line the worst repeat.</p>'


def _html_list(sentences: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(s)}</li>" for s in sentences) + "</ul>"


def _html_table(head: Row, rows: Iterable[Row]) -> str:
    styles = [' style="text-align: left"' if name in _WORDS else "" for name in head]

    def line(cells: Row, tag: str) -> str:
        return "".join(
            f"<{tag}{style}>{escape(c)}</{tag[:2]}>" for style, c in zip(styles, cells, strict=True)
        )

    body = "\n".join(f"<tr>{line(row, 'td')}</tr>" for row in rows)
    names = line(head, 'th scope="col"')
    return f'<div class="wide"><table><thead><tr>{names}</tr></thead><tbody>{body}</tbody></table></div>'


def time_chart(result: Result) -> str:
    rows = [
        Bar(name, median(found), span(median(found)), max(m.seconds for m in found), kind)
        for name, found, kind in _sides(result)
    ]
    return bars("Seconds", "; ".join(f"{r.label}: {r.text}" for r in rows), rows, linear=True)


def memory_chart(result: Result) -> str:
    rows = [
        Bar(name, peak, f"{peak:,.0f} MB", max(m.peak_mb for m in found), kind)
        for name, found, kind in _sides(result)
        if (peak := middle(found, "peak_mb"))
    ]
    return bars("Peak memory", "; ".join(f"{r.label}: {r.text}" for r in rows), rows, linear=True)


def _sides(result: Result) -> list[tuple[str, tuple[Measured, ...], str]]:
    return [
        ("baseline", result.baseline, "full"),
        ("incremental", result.incremental, "bar"),
        ("incremental, at work", result.watching, "bar"),
        ("decompress alone", result.floor, "full"),
    ]
