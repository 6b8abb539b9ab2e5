"""Horizontal bars as SVG text: no script, no font, no colour of its own (classes take the page's)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, LABEL, BAR, GAP, VALUE = 720, 150, 20, 12, 110


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar; `mark` is a second value shown as a thin line (the worst case), `text` stands at its end."""

    label: str
    value: float
    text: str
    mark: float | None = None
    kind: str = "bar"


def bars(title: str, description: str, rows: Sequence[Bar], *, linear: bool = False) -> str:
    """A chart on a logarithmic scale, for values that span orders of magnitude, or on one from zero."""
    values = [v for row in rows for v in (row.value, row.mark) if v and v > 0]
    if not values:
        return ""
    low = 0.0 if linear else 10 ** math.floor(math.log10(min(values)))
    high = max(values) * (1.0 if linear else 1.1)
    height = len(rows) * (BAR + GAP) + GAP
    ident = "".join(c if c.isalnum() else "-" for c in title.lower())
    parts = [
        f'<svg role="img" viewBox="0 0 {WIDTH} {height}" aria-labelledby="{ident}-t {ident}-d">',
        f'<title id="{ident}-t">{escape(title)}</title><desc id="{ident}-d">{escape(description)}</desc>',
        *_grid(low, high, height),
    ]
    for place, row in enumerate(rows):
        parts += _bar(row, GAP + place * (BAR + GAP), low, high)
    return "\n".join([*parts, "</svg>"])


def _at(value: float, low: float, high: float) -> float:
    """The x of a value. The scale starts at zero, or at a power of ten below the smallest value."""
    if not low:
        part = value / high
    else:
        part = max(0.0, math.log10(max(value, low) / low)) / (math.log10(high / low) or 1.0)
    return LABEL + part * (WIDTH - LABEL - VALUE)


def _grid(low: float, high: float, height: int) -> list[str]:
    lines: list[str] = []
    value = low or high * 2
    while value <= high:
        x = _at(value, low, high)
        lines.append(f'<line class="grid" x1="{x:.1f}" y1="0" x2="{x:.1f}" y2="{height}"/>')
        value *= 10
    return lines


def _bar(row: Bar, y: int, low: float, high: float) -> list[str]:
    end = max(_at(row.value, low, high), LABEL + 2.0)
    last = max(end, _at(row.mark, low, high)) if row.mark else end
    middle = y + BAR / 2 + 4.5
    parts = [
        f'<text class="label" x="{LABEL - 10}" y="{middle}" text-anchor="end">{escape(row.label)}</text>',
        f'<rect class="{row.kind}" x="{LABEL}" y="{y}" width="{end - LABEL:.1f}" height="{BAR}" rx="2"/>',
        f'<text class="value" x="{last + 8:.1f}" y="{middle}">{escape(row.text)}</text>',
    ]
    if row.mark:
        x = _at(row.mark, low, high)
        parts.append(f'<line class="mark" x1="{x:.1f}" y1="{y - 3}" x2="{x:.1f}" y2="{y + BAR + 3}"/>')
    return parts
