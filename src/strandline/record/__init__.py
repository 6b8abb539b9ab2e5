"""The record: what was read, run, refused and committed, as tables.

Its SQL lives in `queries.sql`, by name.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def queries() -> dict[str, str]:
    """Statements by name."""
    text = files("strandline.record").joinpath("queries.sql").read_text()
    parts = (p.split("\n", 1) for p in text.split("-- name: ")[1:])
    return {name.strip(): sql.strip() for name, sql in parts}


def query(name: str) -> str:
    """One named statement."""
    return queries()[name]


def insertion(name: str, rows: int) -> str:
    """A named INSERT … VALUES for this many rows at once, their parameters one row after the other."""
    text = query(name).removesuffix(";")
    return text + f", {text.partition('VALUES ')[2]}" * (rows - 1)


def statements(name: str) -> list[str]:
    """A named group of statements, one by one."""
    return [s for s in (p.strip() for p in queries()[name].split(";")) if s]
