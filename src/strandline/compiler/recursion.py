"""Recursive CTEs: those that read no table are rows like VALUES."""

from __future__ import annotations

from sqlglot import exp

from strandline.compiler import relations as r
from strandline.compiler.binding import Context, Lowered
from strandline.compiler.reject import UnsupportedError
from strandline.compiler.text import DIALECT
from strandline.compiler.trees import find_all


def repeats(cte: exp.CTE) -> bool:
    """Whether it reads itself."""
    return any(t.name.lower() == cte.alias.lower() for t in find_all(cte.this, exp.Table))


def constant_recursion(cte: exp.CTE, ctx: Context) -> Lowered:
    """The rows of a recursive CTE that reads nothing but itself, told apart by their place among all.

    Raises UnsupportedError for one that reads a table.
    """
    if any(t.name.lower() != cte.alias.lower() for t in find_all(cte.this, exp.Table)):
        raise UnsupportedError("a recursive CTE has no incremental rule")
    given = [c.name for c in cte.args["alias"].columns]
    titles = [*given, *cte.this.named_selects[len(given) :]]
    names = tuple(ctx.names.fresh(t) for t in titles)
    place = ctx.names.fresh("place")
    shown = ", ".join(r.quote(n) for n in names)
    with_ = exp.With(expressions=[cte.copy()], recursive=True).sql(dialect=DIALECT)
    rows = f"{with_} SELECT * FROM {r.quote(cte.alias)}"
    text = f"SELECT *, row_number() OVER (ORDER BY {shown}) AS {r.quote(place)} FROM ({rows}) AS v({shown})"
    return Lowered(r.Constant(text, (*names, place), (place,)), tuple(zip(titles, names, strict=True)))
