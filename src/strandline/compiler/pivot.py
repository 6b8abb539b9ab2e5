"""PIVOT and UNPIVOT as the SELECTs that they stand for.

`PIVOT t ON k IN (1, 2) USING sum(v)` is
`SELECT * EXCLUDE (k, v), sum(v) FILTER (WHERE k = 1) AS "1", … FROM t GROUP BY ALL`, the values
compared as text; UNPIVOT unnests the names and the values of its columns side by side. What is
not written out here stays as it is, and is left to the engine.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from sqlglot import exp
from sqlglot.errors import OptimizeError

from strandline.compiler.aggregates import aggregate_units
from strandline.compiler.outputs import Columns
from strandline.compiler.starred import meant
from strandline.compiler.trees import find_all, has
from strandline.errors import RejectedError


@dataclass(frozen=True)
class Value:
    """One value of an IN list: the test for it, and its part of a column's name."""

    test: exp.Expr
    name: str


def as_select(statement: exp.Expr) -> exp.Expr:
    """A PIVOT, UNPIVOT or VALUES that is a whole statement, as `SELECT * FROM (…)`."""
    if not isinstance(statement, (exp.Pivot, exp.Values)):
        return statement
    select = exp.Select(expressions=[exp.Star()])
    select.set("with_", statement.args.get("with_"))
    statement.set("with_", None)
    title = exp.TableAlias(this=exp.to_identifier("rows"))
    values = isinstance(statement, exp.Values)
    if values:
        statement.set("alias", title)
    select.set("from_", exp.From(this=statement if values else exp.Subquery(this=statement, alias=title)))
    return select


def without_pivots(tree: exp.Expr, columns: Columns) -> None:
    """Replace every PIVOT and UNPIVOT in place.

    Raises RejectedError for columns that depend on the data, OptimizeError for what only the engine can do.
    """
    for pivot in find_all(tree, exp.Pivot):
        holder = pivot.parent
        if isinstance(holder, (exp.Subquery, exp.CTE)) and holder.this is pivot:
            select = selected(pivot, pivot.this, columns(pivot.this))
            if select is not None:
                pivot.replace(select)
        elif isinstance(holder, (exp.Table, exp.Subquery)) and holder.args.get("pivots") == [pivot]:
            source = holder.copy()
            source.set("pivots", None)
            alias = pivot.args.get("alias")
            select = selected(pivot, source, columns(holder))
            if select is not None:
                holder.replace(exp.Subquery(this=select, alias=alias.copy() if alias is not None else None))
    if has(tree, exp.Pivot):
        raise OptimizeError("this form of PIVOT or UNPIVOT has no incremental rule")


def selected(pivot: exp.Pivot, source: exp.Expr, known: list[str] | None) -> exp.Select | None:
    """The SELECT over the source; None where there is no rule for it."""
    if pivot.args.get("unpivot"):
        return unpivoted(pivot, source, known)
    inner = pivot.args.get("fields")
    ons = inner or pivot.expressions
    using = pivot.expressions if inner else pivot.args.get("using") or []
    using = using or [exp.Count(this=exp.Star(), big_int=True)]
    if not ons or any(not isinstance(on, exp.In) or not on.expressions for on in ons):
        raise RejectedError(
            "PIVOT without a list of values has columns that depend on the data",
            hint="name the values: PIVOT … ON column IN (1, 2, 3) USING ….",
        )
    if any(has(call, exp.Filter) for call in using):
        return None  # the engine puts its own test in the place of theirs
    values = [list(in_values(on)) for on in ons]
    if any(v is None for one in values for v in one):
        return None
    outs = [named for one in product(*values) for named in cells([v for v in one if v], using)]
    group = pivot.args.get("group")
    if group is not None:
        keys: list[exp.Expr] = [g.copy() for g in group.expressions]
    else:
        taken = dict.fromkeys(c.name for part in (*ons, *using) for c in mentioned(part))
        keys = [exp.Star(except_=[exp.to_identifier(name) for name in taken])]
    select = exp.Select(expressions=[*keys, *outs])
    select.set("from_", exp.From(this=source.copy()))
    select.set("group", exp.Group(all=True))
    return select


def mentioned(part: exp.Expr) -> Iterator[exp.Column]:
    """The columns that a PIVOT takes up: of an IN only what stands before it."""
    return (part.this if isinstance(part, exp.In) else part).find_all(exp.Column)


def in_values(on: exp.In) -> Iterator[Value | None]:
    """The values of an IN list; None for one whose name is not known here."""
    for written in on.expressions:
        value = written.unalias()
        name = written.alias or spelled_value(value)
        if name is None:
            yield None
            continue
        text: exp.Expr = exp.cast(value.copy(), "VARCHAR")
        if isinstance(value, exp.Column):
            text = exp.Literal.string(value.name)
        yield Value(exp.NullSafeEQ(this=exp.cast(on.this.copy(), "VARCHAR"), expression=text), name)


def spelled_value(value: exp.Expr) -> str | None:
    """A constant as the engine names a column after it."""
    match value:
        case exp.Literal():
            return str(value.this)
        case exp.Column():
            return None if value.table else value.name
        case exp.Null():
            return "NULL"
        case exp.Neg() if isinstance(value.this, exp.Literal):
            return f"-{value.this.this}"
    return None


def cells(values: list[Value], using: list[exp.Expr]) -> Iterator[exp.Expr]:
    """The columns of one combination of values: every aggregate over the rows that have them."""
    for aggregate in using:
        call = aggregate.unalias().copy()
        holder = exp.Paren(this=call)
        for unit in list(aggregate_units(call)):
            test = exp.and_(*(v.test.copy() for v in values))
            unit.replace(exp.Filter(this=unit.copy(), expression=exp.Where(this=test)))
        parts = [v.name for v in values]
        if aggregate.alias or len(using) > 1:
            parts.append(aggregate.alias or call_name(aggregate))
        yield exp.alias_(holder.this, "_".join(parts), quoted=True)


def call_name(aggregate: exp.Expr) -> str:
    """An aggregate's own text, as the engine has it."""
    if isinstance(aggregate, exp.Count) and isinstance(aggregate.this, exp.Star):
        return "count_star()"
    return aggregate.sql(dialect="duckdb", normalize_functions="lower")


def unpivoted(pivot: exp.Pivot, source: exp.Expr, known: list[str] | None) -> exp.Select | None:
    """Names and values of some columns, or of several side by side, without the NULLs."""
    parts = unpivot_parts(pivot)
    if parts is None or known is None:
        return None
    written, name, titles = parts
    spelling = {k.lower(): k for k in known}
    taken = [(one, side_by_side(one)) for entry in written for one in named_by(entry, known)]
    if any(len(side) != len(titles) or not all(is_known(c, spelling) for c in side) for _, side in taken):
        return None
    names = [
        exp.Literal.string(one.alias or "_".join(spelling[c.name.lower()] for c in side))
        for one, side in taken
    ]
    gone = {c.name.lower() for _, side in taken for c in side}
    kept = [exp.column(k, quoted=True) for k in known if k.lower() not in gone]
    lists = [
        exp.alias_(exp.Explode(this=exp.Array(expressions=[side[i].copy() for _, side in taken])), value)
        for i, value in enumerate(titles)
    ]
    named = exp.alias_(exp.Explode(this=exp.Array(expressions=names)), name)
    inner = exp.Select(expressions=[*kept, named, *lists])
    inner.set("from_", exp.From(this=source.copy()))
    return inner if pivot.args.get("include_nulls") else without_nulls(inner, titles)


def without_nulls(inner: exp.Select, titles: list[str]) -> exp.Select:
    """The rows of which no value is NULL."""
    outer = exp.Select(expressions=[exp.Star()])
    title = exp.TableAlias(this=exp.to_identifier("unpivot"))
    outer.set("from_", exp.From(this=exp.Subquery(this=inner, alias=title)))
    there = [exp.Not(this=exp.Is(this=exp.column(t), expression=exp.Null())) for t in titles]
    outer.set("where", exp.Where(this=exp.and_(*there)))
    return outer


def side_by_side(written: exp.Expr) -> list[exp.Expr]:
    """The columns of one entry: `a`, or `(a, b)`."""
    value = written.unalias()
    return value.expressions if isinstance(value, exp.Tuple) else [value]


def is_known(column: exp.Expr, spelling: dict[str, str]) -> bool:
    return isinstance(column, exp.Column) and column.name.lower() in spelling


def named_by(written: exp.Expr, known: list[str]) -> list[exp.Expr]:
    """The columns that `*` or COLUMNS stands for; anything else stands for itself."""
    call = exp.Columns(this=written) if isinstance(written, exp.Star) else written
    chosen = meant(call, [("", name) for name in known]) if isinstance(call, exp.Columns) else None
    return [written] if chosen is None else [exp.column(name, quoted=True) for _, name in chosen]


def unpivot_parts(pivot: exp.Pivot) -> tuple[list[exp.Expr], str, list[str]] | None:
    """(columns, the name column, the value columns) of either way to write UNPIVOT."""
    fields = pivot.args.get("fields")
    if fields:
        one = fields[0]
        single = len(fields) == 1 and len(pivot.expressions) == 1 and isinstance(one, exp.In)
        return (one.expressions, one.this.name, value_titles(pivot.expressions)) if single else None
    into = pivot.args.get("into")
    if into is None:
        return pivot.expressions, "name", ["value"]
    return pivot.expressions, into.this.name, value_titles(into.expressions)


def value_titles(written: list[exp.Expr]) -> list[str]:
    """`(x, y)` or `x, y`"""
    return [
        part.name for one in written for part in (one.expressions if isinstance(one, exp.Tuple) else [one])
    ]
