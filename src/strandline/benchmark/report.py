"""A benchmark's result as Markdown and as one HTML page that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from strandline.benchmark.charts import Bar, bars
from strandline.benchmark.measure import INCREMENT_MEMORY
from strandline.benchmark.plan import Line, Result
from strandline.units import span, times

HEADINGS = ("batch", "rows", "median", "slowest", "cheaper", "at worst", "strategies", "parity")

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2733; --dim: #5b6875; --page: #fcfcfa; --line: #d5dade;
  --bar: #1f7a8c; --full: #a3adb5; --mark: #c0392b; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e9ed; --dim: #9aa7b2; --page: #14191e;
  --line: #333d46; --bar: #4fb3c6; --full: #66727c; --mark: #ff8a75; } }
body { font: 16px/1.55 system-ui, sans-serif; color: var(--ink); background: var(--page);
  max-width: 760px; margin: 2.5rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; line-height: 1.25; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
p.dim, caption, footer { color: var(--dim); font-size: .9rem; } footer { margin-top: 2.5rem; }
.wide { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-size: .92rem; }
caption { text-align: left; padding-bottom: .4rem; }
th, td { text-align: right; padding: .35rem .6rem; border-bottom: 1px solid var(--line);
  font-variant-numeric: tabular-nums; white-space: nowrap; }
th:first-child, td:first-child, th:nth-child(7), td:nth-child(7) { text-align: left; }
svg { width: 100%; height: auto; font: 13px system-ui, sans-serif; }
svg text { fill: var(--ink); } svg .label { fill: var(--dim); } svg .grid { stroke: var(--line); }
svg .bar { fill: var(--bar); } svg .full { fill: var(--full); } svg .mark { stroke: var(--mark);
  stroke-width: 2; }
"""


def write(result: Result, folder: Path) -> tuple[Path, Path]:
    """Write `report.md` and `report.html` into a folder (made if need be); returns the two paths."""
    folder.mkdir(parents=True, exist_ok=True)
    text, page = folder / "report.md", folder / "report.html"
    text.write_text(markdown(result), encoding="utf-8")
    page.write_text(html(result), encoding="utf-8")
    return text, page


def cells(line: Line) -> tuple[str, ...]:
    """A line's cells, in the order of `HEADINGS`."""
    return (
        line.kind,
        f"{line.rows:,}",
        span(line.median),
        span(max(line.measured.seconds)),
        times(line.ratio),
        times(line.worst_ratio),
        ", ".join(line.measured.strategies) or "nothing to do",
        "exact" if line.parity else "DIFFERS",
    )


def facts(result: Result) -> list[str]:
    """What the tables do not say, as sentences."""
    full, loaded = result.full_seconds, result.loaded
    slowest_first = max(line.measured.first_seconds for line in result.lines)
    return [
        (
            f"Full recompute of {result.settings.model} over {result.settings.events:,} events:"
            f" {span(result.full_median)} (median of {len(full)}; {span(min(full))} to {span(max(full))})."
        ),
        (
            f"Loading the base took {span(loaded.load_seconds)}, building the model"
            f" {span(loaded.build_seconds)}, compiling it {loaded.compile_ms:.1f} ms;"
            f" the database file has {loaded.database_bytes / 1e6:,.0f} MB."
        ),
        (
            f"Highest memory of an increment: {result.peak_memory_mb:,.0f} MB, with memory_limit ="
            f" {INCREMENT_MEMORY}; the full recompute has no limit."
        ),
        (
            "A batch's time is apply and refresh together, up to the commit. Each group of batches ran in a"
            " fresh process; its first batch found nothing in memory and is not counted (at most"
            f" {span(slowest_first)})."
        ),
    ]


def markdown(result: Result) -> str:
    """The report as GitHub-flavoured Markdown."""
    lines = [f"# Benchmark: {result.settings.model}", "", *(f"- {fact}" for fact in facts(result)), ""]
    lines += ["## Increments against the full recompute", "", *_markdown_table(result.lines), ""]
    if result.append_only:
        lines += ["## With the events declared append-only", "", *_markdown_table(result.append_only), ""]
    return "\n".join([*lines, f"{_footer(result)}", ""])


def _markdown_table(lines: Iterable[Line]) -> list[str]:
    rule = ["---" if place in (0, 6, 7) else "---:" for place in range(len(HEADINGS))]
    rows = (HEADINGS, rule, *(cells(line) for line in lines))
    return [f"| {' | '.join(row)} |" for row in rows]


def html(result: Result) -> str:
    """The report as one page: style and charts are inside, nothing is fetched, no script runs."""
    title = f"Benchmark: {result.settings.model}, {result.settings.events:,} events"
    parts = [
        f"<h1>{escape(title)}</h1>",
        "<ul>",
        *(f"<li>{escape(fact)}</li>" for fact in facts(result)),
        "</ul>",
        "<h2>Time</h2>",
        '<p class="dim">Logarithmic scale. The bar is the median, the thin line the slowest batch.</p>',
        time_chart(result),
        "<h2>How many times cheaper than the full recompute</h2>",
        '<p class="dim">Logarithmic scale. The thin line is the slowest batch.</p>',
        ratio_chart(result),
        "<h2>Numbers</h2>",
        _html_table("Increments against the full recompute", result.lines),
    ]
    if result.append_only:
        parts.append(_html_table("With the events declared append-only", result.append_only))
    parts.append(f"<footer>{escape(_footer(result))}</footer>")
    return page(title, parts)


def page(title: str, parts: Iterable[str]) -> str:
    """One HTML page around these parts: style and charts are inside, nothing is fetched, no script runs."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n<body><main>\n"
        + "\n".join(parts)
        + "\n</main></body></html>\n"
    )


def time_chart(result: Result) -> str:
    """Median and slowest time of every line, under the full recompute's."""
    rows = [Bar("full recompute", result.full_median, span(result.full_median), kind="full")]
    rows += [Bar(_label(x), x.median, span(x.median), max(x.measured.seconds)) for x in result.lines]
    return bars("Time of a batch", "; ".join(f"{r.label}: {r.text}" for r in rows), rows)


def ratio_chart(result: Result) -> str:
    """How many times cheaper every line is; doing nothing is left out, it would dwarf the others."""
    shown = [x for x in result.lines if x.rows]
    rows = [Bar(_label(x), x.ratio, times(x.ratio), x.worst_ratio) for x in shown]
    return bars("Times cheaper", "; ".join(f"{r.label}: {r.text}" for r in rows), rows)


def _label(line: Line) -> str:
    return f"{line.kind} {line.rows:,}" if line.rows else line.kind


def _html_table(caption: str, lines: Sequence[Line]) -> str:
    head = "".join(f'<th scope="col">{escape(h)}</th>' for h in HEADINGS)
    rows = "\n".join(f"<tr>{''.join(f'<td>{escape(c)}</td>' for c in cells(line))}</tr>" for line in lines)
    return (
        f'<div class="wide"><table><caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _footer(result: Result) -> str:
    where = f"{result.machine}, {result.settings.threads} threads"
    return f"{result.versions}; {where}; measured {result.measured_at}."
