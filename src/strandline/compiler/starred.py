"""COLUMNS(…) by pattern, by name, by `*`, and `* LIKE 'pattern'`: the expression for each column meant."""

from __future__ import annotations

import re

from sqlglot import exp
from sqlglot.errors import OptimizeError

from strandline.compiler.outputs import Column, Columns, columns_of
from strandline.compiler.trees import copy_of, find_all, has, nodes

CONDITIONS = ("where", "having", "qualify")


def without_columns(tree: exp.Expr, columns: Columns) -> None:
    """Write them out, in place, where the columns of FROM are known.

    Raises OptimizeError for what only the engine can write out.
    """
    if not any(isinstance(n, exp.Columns) or of_a_star(n) for n in nodes(tree)):
        return
    for select in reversed(find_all(tree, exp.Select)):
        conditions = [c for c in CONDITIONS if found(select.args.get(c)) is not None]
        if not conditions and not any(of_a_star(e) or outside_queries(e) for e in select.expressions):
            continue
        known = columns_of(select, columns)
        if known is None:
            continue
        select.set("expressions", [new for e in select.expressions for new in written_out(e, known)])
        for clause in conditions:
            select.args[clause].set("this", for_each(select.args[clause].this, known))
    if has(tree, exp.Columns) or any(of_a_star(e) for e in find_all(tree, *PATTERNS)):
        raise OptimizeError("this form of COLUMNS has no incremental rule")


PATTERNS = (exp.Like, exp.ILike, exp.SimilarTo, exp.Glob)


def of_a_star(expr: exp.Expr) -> bool:
    """`* LIKE 'pattern'`"""
    return isinstance(expr, PATTERNS) and isinstance(expr.this, exp.Star)


def found(expr: exp.Expr | None) -> exp.Expr | None:
    """The COLUMNS of an output; None where it has none or several different ones."""
    if expr is None or of_a_star(expr):
        return expr
    calls = set(outside_queries(expr))
    return calls.pop() if len(calls) == 1 else None


def outside_queries(expr: exp.Expr) -> list[exp.Expr]:
    """Its own COLUMNS, not those of subqueries in it."""
    if isinstance(expr, exp.Columns):
        return [expr]
    below = (c for c in expr.iter_expressions() if not isinstance(c, exp.Query))
    return [call for child in below for call in outside_queries(child)]


def written_out(expr: exp.Expr, known: list[Column]) -> list[exp.Expr]:
    """The output once for each column, named after it; as it is where that is not known."""
    expr, call, chosen = told(expr, known)
    if call is None or chosen is None:
        return [expr]
    return [
        exp.alias_(instead(expr.unalias(), call, column), title(expr.alias, call, column), quoted=True)
        for column in chosen
    ]


def told(expr: exp.Expr, known: list[Column]) -> tuple[exp.Expr, exp.Expr | None, list[Column] | None]:
    """What stands for each column, the call in it that names them, and the columns where they are known."""
    expr = unpacked(expr, known)
    call = found(expr)
    return expr, call, meant(call, known) if call is not None and not call.args.get("unpack") else None


def title(alias: str, call: exp.Expr, column: Column) -> str:
    """A column's name: its own, or an alias, in which `\\1` is what the pattern's first group found."""
    pattern = call.this
    if "\\" not in alias or not isinstance(pattern, exp.Literal):
        return alias or column[1]
    parts = re.search(pattern.name, column[1])
    groups = (parts[0], *parts.groups("")) if parts is not None else ()
    return re.sub(r"\\(\d)", lambda m: groups[int(m[1])] if int(m[1]) < len(groups) else "", alias)


def for_each(condition: exp.Expr, known: list[Column]) -> exp.Expr:
    """A condition holds where it does for every column that its COLUMNS names."""
    condition, call, chosen = told(condition, known)
    if call is None or not chosen:
        return condition
    return exp.and_(*(instead(condition, call, column) for column in chosen))


def instead(expr: exp.Expr, call: exp.Expr, column: Column) -> exp.Expr:
    """A copy of the expression with one column for the call."""
    holder = exp.Paren(this=copy_of(expr))
    for place in [p for p in find_all(holder, type(call)) if p == call]:
        place.replace(exp.column(column[1], table=column[0], quoted=True))
    inner: exp.Expr = holder.this
    return inner


def meant(call: exp.Expr, known: list[Column]) -> list[Column] | None:
    """The columns that COLUMNS names; None for a form that is not written out here."""
    if isinstance(call, (exp.Like, exp.SimilarTo)):
        pattern, star = call.expression, call.this
        if not isinstance(pattern, exp.Literal) or set(filter(star.args.get, star.args)) - {"except_"}:
            return None
        wanted = not call.args.get("negate")
        if isinstance(call, exp.SimilarTo):
            return by_pattern(pattern.name, but(star, known))
        return [c for c in but(star, known) if like(c[1], pattern.name) == wanted]
    what = call.this if isinstance(call, exp.Columns) else None
    match what:
        case exp.Literal():
            return by_pattern(what.name, known)
        case exp.Lambda() if len(what.expressions) == 1:
            said = [(c, holds(what.this, what.expressions[0].name, c[1])) for c in known]
            return None if any(t is None for _, t in said) else [c for c, t in said if t]
        case exp.Star() if not set(filter(what.args.get, what.args)) - {"except_"}:
            return but(what, known)
        case exp.Column(this=exp.Star()) if not set(filter(what.this.args.get, what.this.args)) - {"except_"}:
            return [c for c in but(what.this, known) if c[0].lower() == what.table.lower()]
        case exp.Array() if all(isinstance(e, exp.Literal) and e.is_string for e in what.expressions):
            names = {e.name.lower() for e in what.expressions}
            return [c for c in known if c[1].lower() in names]
    return None


def by_pattern(pattern: str, known: list[Column]) -> list[Column] | None:
    """The columns in whose names a regular expression is found; None where it is none."""
    try:
        return [c for c in known if re.search(pattern, c[1])]
    except re.error:
        return None


def holds(condition: exp.Expr, name: str, value: str) -> bool | None:
    """Whether a lambda's condition is true of a column's name; None for what is not evaluated here."""
    match condition:
        case exp.Paren():
            return holds(condition.this, name, value)
        case exp.Not():
            inner = holds(condition.this, name, value)
            return None if inner is None else not inner
        case exp.And() | exp.Or():
            sides = [holds(e, name, value) for e in (condition.this, condition.expression)]
            both = isinstance(condition, exp.And)
            return None if None in sides else all(sides) if both else any(sides)
    texts = [text_of(e, name, value) for e in (condition.this, *operands(condition))]
    known = [t for t in texts if t is not None]
    if len(known) < len(texts) or len(known) < 2:
        return None
    return compared(condition, known) != bool(condition.args.get("negate"))


def compared(condition: exp.Expr, texts: list[str]) -> bool:
    """A comparison of the first text with the others."""
    first, other = texts[:2]
    match condition:
        case exp.Like():
            return like(first, other)
        case exp.ILike():
            return like(first.lower(), other.lower())
        case exp.NEQ():
            return first != other
        case exp.StartsWith():
            return first.startswith(other)
    return first in texts[1:]


def operands(condition: exp.Expr) -> list[exp.Expr]:
    """What a comparison compares its first operand with."""
    if isinstance(condition, exp.In):
        return condition.expressions
    if isinstance(condition, (exp.Like, exp.ILike, exp.EQ, exp.NEQ, exp.StartsWith)):
        return [condition.expression]
    return []


def text_of(expr: exp.Expr, name: str, value: str) -> str | None:
    """A constant text, or the column's name in either case; None for anything else."""
    if isinstance(expr, exp.Literal) and expr.is_string:
        return str(expr.this)
    if isinstance(expr, (exp.Identifier, exp.Column)):
        return value if expr.name.lower() == name.lower() else None
    if isinstance(expr, (exp.Lower, exp.Upper)):
        inner = text_of(expr.this, name, value)
        return inner and (inner.lower() if isinstance(expr, exp.Lower) else inner.upper())
    return None


def unpacked(expr: exp.Expr, known: list[Column]) -> exp.Expr:
    """`f(*COLUMNS(…))` with the columns for its arguments, in place."""
    for call in outside_queries(expr):
        holder = call.parent
        chosen = meant(call, known) if call.args.get("unpack") else None
        if not chosen or not isinstance(holder, exp.Func) or isinstance(holder, exp.Struct):
            continue
        columns: list[exp.Expr] = [exp.column(name, table=table, quoted=True) for table, name in chosen]
        if call.arg_key == "expressions":
            call.replace(columns)
        elif holder.is_var_len_args and "expressions" in holder.arg_types:
            holder.set("expressions", [*columns[1:], *holder.expressions])
            holder.set("this", columns[0])
    return expr


def but(star: exp.Expr, known: list[Column]) -> list[Column]:
    """All columns without those that EXCLUDE names."""
    gone = {c.name.lower() for c in star.args.get("except_") or []}
    return [c for c in known if c[1].lower() not in gone]


def like(name: str, pattern: str) -> bool:
    """SQL's LIKE without an escape."""
    parts = {"%": ".*", "_": "."}
    return re.fullmatch("".join(parts.get(c, re.escape(c)) for c in pattern), name, re.DOTALL) is not None
