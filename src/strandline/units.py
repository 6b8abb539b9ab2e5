"""Numbers as a person reads them: times, sizes, counts and ratios."""

from __future__ import annotations


def span(seconds: float) -> str:
    """A time in the unit that suits it: 0.8 ms, 78 ms, 7.90 s, 3 min 20 s, 2 h 5 min, 3 d 4 h."""
    if seconds < 0.00995:
        return f"{seconds * 1e3:.1f} ms"
    if seconds < 0.9995:
        return f"{seconds * 1e3:.0f} ms"
    if seconds < 59.995:
        return f"{seconds:.2f} s"
    whole = round(seconds)
    for large, word, part, small in ((86_400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= large:
            rest = whole % large // part
            return f"{whole // large} {word}" + (f" {rest} {small}" if rest else "")
    return f"{whole} s"


def size(count: int) -> str:
    """Bytes in the unit that suits them."""
    for unit, one in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= one:
            return f"{count / one:,.1f} {unit}"
    return f"{count} B"


def counted(n: int, word: str, words: str = "") -> str:
    """`1 row`, `2,000 rows`; `words` where an s would not do."""
    return f"{n:,} {word if n == 1 else words or f'{word}s'}"


def times(ratio: float) -> str:
    """A ratio with the digits that mean something: `8.4×`, `120×`."""
    return f"{ratio:,.1f}×" if ratio < 9.95 else f"{ratio:,.0f}×"
