"""Positions in grouping sets as what they stand for: `SELECT a, b … GROUP BY ROLLUP (1, 2)`."""

from __future__ import annotations

from sqlglot import exp
from sqlglot.errors import OptimizeError

from strandline.compiler.aggregates import aggregate_units
from strandline.compiler.trees import find_all, has

SETS = (exp.Rollup, exp.Cube, exp.GroupingSets)
BRACKETS = (*SETS, exp.Tuple, exp.Paren)


def without_positions(tree: exp.Expr) -> None:
    """Write the outputs out, in place, where GROUP BY names them within brackets by their number.

    Raises OptimizeError where only the engine can tell what is meant.
    """
    for group in find_all(tree, exp.Group):
        select = group.parent
        if not isinstance(select, exp.Select):
            continue
        if has(group, *SETS):
            refuse_two_spellings(select, [e for i in group.expressions for e in within(i) or [i]])
        for item in group.expressions:
            for number in [e for e in within(item) if is_position(e)]:
                holder = number.parent
                (holder if isinstance(holder, exp.Paren) else number).replace(output(select, number))
        rows = [item.expressions if isinstance(item, exp.Tuple) else [item] for item in group.expressions]
        group.set("expressions", [e for row in rows for e in row])


def refuse_two_spellings(select: exp.Select, elements: list[exp.Expr]) -> None:
    """Raises OptimizeError where sets name one thing in two ways, which the engine takes for two things."""
    titles = {e.alias.lower(): e.unalias() for e in select.expressions if e.alias}
    spellings: dict[str, set[str]] = {}
    for element in elements:
        meant = output(select, element) if is_position(element) else element
        meant = titles.get(meant.name.lower(), meant) if is_bare(meant) else meant
        shown = element.sql("duckdb").lower()
        spellings.setdefault(bare(meant), set()).add(shown)
    if any(len(ways) > 1 for ways in spellings.values()):
        raise OptimizeError("grouping sets that spell one column in two ways are the engine's alone")


def is_position(element: exp.Expr) -> bool:
    return isinstance(element, exp.Literal) and not element.is_string


def is_bare(element: exp.Expr) -> bool:
    """A name without its table: an alias may be meant."""
    return isinstance(element, exp.Column) and not element.table


def bare(element: exp.Expr) -> str:
    """Its text without the names of tables."""
    copy = exp.Paren(this=element.copy())
    for column in find_all(copy, exp.Column):
        column.set("table", None)
    return copy.sql("duckdb").lower()


def within(item: exp.Expr) -> list[exp.Expr]:
    """The elements of the sets in a term of GROUP BY, to any depth; none of a term without brackets."""
    if not isinstance(item, BRACKETS):
        return []
    below = item.expressions if not isinstance(item, exp.Paren) else [item.this]
    return [found for e in below for found in (within(e) if isinstance(e, BRACKETS) else [e])]


def output(select: exp.Select, number: exp.Expr) -> exp.Expr:
    """The expression of the output at a place, counted from 1."""
    place = int(number.name) if number.name.isdigit() else 0
    before = select.expressions[:place]
    if not 1 <= place <= len(select.expressions) or any(e.is_star for e in before):
        raise OptimizeError(f"GROUP BY {number.name} in brackets names no output that is written out")
    found: exp.Expr = before[-1].unalias().copy()
    if any(True for _ in aggregate_units(found)):
        raise OptimizeError(f"GROUP BY {number.name} names an aggregate")
    return found
