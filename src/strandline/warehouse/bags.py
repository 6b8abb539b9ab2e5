"""Which rows of a table without a key come and go: SELECTs over what waits and what is stored.

Equal rows are told apart by copy number, within the file that brought them.
"""

from __future__ import annotations

from collections.abc import Sequence

from strandline.compiler.text import listed, same

COPY = "_order"
"""Which of the equal rows, or how many: a name that tables are refused to give a column."""


def uncancelled(names: Sequence[str], waiting: str) -> str:
    """What waits, without the pairs of an added and a removed row that are equal."""
    numbered = f"{number(names)} AS {COPY}"
    twin = f"count(*) OVER (PARTITION BY {listed(names)}, _file, {COPY}) = 2"
    return f"SELECT * EXCLUDE ({COPY}) FROM (SELECT *, {numbered} FROM {waiting}) QUALIFY NOT {twin}"


def effective(names: Sequence[str], waiting: str, target: str) -> str:
    """What waits, without the deletions that found no row when they came.

    The copies stored and the changes so far give how many rows there were; how far that falls below
    none is how many deletions had nothing to take.
    """
    cols = listed(names)
    sought = (
        f"SELECT {cols}, count(*) AS {COPY} FROM {target} WHERE _k IN (SELECT hash({cols}) FROM {waiting})"
    )
    so_far = f"sum(l._op) OVER (PARTITION BY {listed(names, 'l.')}, l._file ORDER BY l._seq)"
    there = f"LEFT JOIN ({sought} GROUP BY ALL) AS s ON {same(names, 's', 'l')}"
    levels = f"SELECT l.*, coalesce(s.{COPY}, 0) + {so_far} AS {COPY} FROM {waiting} AS l {there}"
    lowest = f"min({COPY}) OVER (PARTITION BY {cols}, _file)"
    return f"SELECT * EXCLUDE ({COPY}) FROM ({levels}) QUALIFY _op > 0 OR {number(names)} > -{lowest}"


def number(names: Sequence[str]) -> str:
    """Which of its equals a waiting row is, additions and removals counted apart."""
    return f"row_number() OVER (PARTITION BY {listed(names)}, _op, _file ORDER BY _seq)"


def taken(names: Sequence[str], place: str, net: str, target: str) -> str:
    """The stored rows that the deletions left in `net` take: the own file's copies first."""
    counts = f"hash({listed(names)}) AS _k, count(*) AS {COPY}"
    wanted = f"SELECT {listed(names)}, _file, {counts} FROM {net} WHERE _op < 0 GROUP BY ALL"
    first = "t._file IS DISTINCT FROM w._file, t._rid"
    copies = f"row_number() OVER (PARTITION BY {listed(names, 't.')}, w._file ORDER BY {first})"
    shown = f"{listed(names, 't.')}, t._rid, t._k, t.{place} AS _row"
    joined = f"{target} AS t JOIN ({wanted}) AS w ON t._k = w._k AND {same(names, 't', 'w')}"
    return f"SELECT {shown} FROM {joined} QUALIFY {copies} <= w.{COPY}"
