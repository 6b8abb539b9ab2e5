"""The crossover grid as one SVG: a square per cell, coloured by how much cheaper the better way is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Protocol

SIZE, LABEL, TOP = 46, 210, 64


class Cell(Protocol):
    """What a square shows."""

    @property
    def shape(self) -> str: ...
    @property
    def rows(self) -> int: ...
    @property
    def share(self) -> float: ...
    @property
    def incremental(self) -> float: ...
    @property
    def full(self) -> float: ...
    @property
    def picked(self) -> str: ...


def picture(cells: Sequence[Cell]) -> str:
    """One panel per table size, a row per query, a column per share of changed rows."""
    shapes = list(dict.fromkeys(c.shape for c in cells))
    shares = list(dict.fromkeys(c.share for c in cells))
    sizes = list(dict.fromkeys(c.rows for c in cells))
    panel = len(shares) * SIZE + 24
    width, height = LABEL + len(sizes) * panel, TOP + len(shapes) * SIZE + 40
    font = 'font-family="system-ui, sans-serif" font-size="12"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" {font}>',
        "<title>Full recompute against incremental refresh</title>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
    ]
    for row, shape in enumerate(shapes):
        y = TOP + row * SIZE + SIZE / 2 + 4
        parts.append(f'<text x="{LABEL - 10}" y="{y}" text-anchor="end">{escape(shape)}</text>')
    for column, size in enumerate(sizes):
        left = LABEL + column * panel
        parts.append(f'<text x="{left}" y="20" font-weight="bold">{size:,} rows</text>')
        for place, share in enumerate(shares):
            x = left + place * SIZE + SIZE / 2
            parts.append(
                f'<text x="{x}" y="{TOP - 10}" text-anchor="middle" font-size="10">{share * 100:g} %</text>'
            )
    for c in cells:
        x = LABEL + sizes.index(c.rows) * panel + shares.index(c.share) * SIZE
        parts += square(c, x, TOP + shapes.index(c.shape) * SIZE)
    note = "how many times cheaper the incremental refresh is; framed where the cost choice took the full one"
    parts.append(f'<text x="{LABEL}" y="{height - 14}" font-size="11">{note}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def square(cell: Cell, x: float, y: float) -> list[str]:
    """Blue where incremental wins, orange where full does; darker by the factor."""
    ratio = cell.full / cell.incremental
    depth = min(1.0, abs(math.log10(ratio)) / 2)
    colour = "#1f6feb" if ratio >= 1 else "#d9730d"
    framed = ' stroke="#222222" stroke-width="2"' if cell.picked == "full" else ""
    text = f"{ratio:.1f}" if ratio < 100 else f"{ratio:.0f}"
    ink = "#ffffff" if depth > 0.5 else "#111111"
    fill = f'fill="{colour}" fill-opacity="{0.15 + 0.85 * depth:.2f}"{framed}'
    return [
        f'<rect x="{x + 2}" y="{y + 2}" width="{SIZE - 4}" height="{SIZE - 4}" rx="3" {fill}/>',
        f'<text x="{x + SIZE / 2}" y="{y + SIZE / 2 + 4}" text-anchor="middle" fill="{ink}">{text}</text>',
    ]
