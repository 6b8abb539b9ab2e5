"""LIMIT and OFFSET as whole numbers where they are constants, else as a condition on the row's place.

`ORDER BY v LIMIT 10%` is `QUALIFY row_number() OVER (ORDER BY v) <= trunc(10 / 100 * count(*) OVER ())`,
and a subquery's value stands there as it is; NULL is no limit.
"""

from __future__ import annotations

from sqlglot import exp
from sqlglot.optimizer.simplify import simplify

from strandline.compiler.trees import copy_of, find_all, has

CLAUSES = ("limit", "offset")


def plain_limits(tree: exp.Expr) -> None:
    """Rewrite in place what has a rule; the rest stays as it is."""
    for query in find_all(tree, exp.Select, exp.SetOperation):
        for clause in CLAUSES:
            fold(query, clause)
        if isinstance(query, exp.Select) and any(moving(query.args.get(c)) for c in CLAUSES):
            by_place(query)


def fold(query: exp.Query, clause: str) -> None:
    """`2 + 1` is 3; ALL and NULL are no limit."""
    limit = query.args.get(clause)
    if not isinstance(limit, (exp.Limit, exp.Offset)) or has(limit.expression, exp.Query, exp.Column):
        return
    value = limit.expression
    if isinstance(value, exp.Null) or (isinstance(value, exp.Var) and value.name.upper() == "ALL"):
        query.set(clause, None)
    elif not isinstance(value, exp.Literal):
        limit.set("expression", simplify(value.copy(), dialect="duckdb"))


def moving(limit: exp.Expr | None) -> bool:
    """A limit that depends on the data: a part of the rows, or a subquery's value."""
    if limit is None:
        return False
    options = limit.args.get("limit_options")
    if options is not None and options.args.get("with_ties"):
        return False
    return percent(limit) or isinstance(limit.expression, exp.Subquery)


def percent(limit: exp.Expr) -> bool:
    options = limit.args.get("limit_options")
    return options is not None and bool(options.args.get("percent"))


def by_place(select: exp.Select) -> None:
    """The condition in place of the clauses, where the order can be said in a window."""
    order = select.args.get("order")
    terms = [within(t, select) for t in order.expressions] if order is not None else []
    if select.args.get("distinct") or select.args.get("qualify") or any(t is None for t in terms):
        return
    if isinstance(select.parent, exp.Array):
        return  # whose elements lie in this order
    spec = exp.Order(expressions=terms) if terms else None
    place = exp.Window(this=exp.RowNumber(), order=spec, over="OVER")
    limit, offset = (select.args.get(c) for c in CLAUSES)
    skipped: exp.Expr = exp.Literal.number(0)
    if offset is not None:
        skipped = exp.Coalesce(this=value_of(offset), expressions=[skipped])
    parts: list[exp.Expr] = [exp.GT(this=place, expression=skipped)] if offset is not None else []
    if limit is not None:
        last: exp.Expr = exp.Add(this=skipped.copy(), expression=value_of(limit))
        never = exp.Is(this=value_of(limit), expression=exp.Null())
        within_it = exp.LTE(this=place.copy(), expression=last)
        known = isinstance(limit.expression, exp.Subquery) and not percent(limit)
        parts.append(exp.paren(exp.or_(within_it, never)) if known else within_it)
    for clause in (*CLAUSES, "order"):
        select.set(clause, None)
    select.set("qualify", exp.Qualify(this=exp.and_(*parts)))


def value_of(limit: exp.Expr) -> exp.Expr:
    """How many rows it says."""
    fetched = limit.args.get("count") if isinstance(limit, exp.Fetch) else limit.expression
    value = fetched.copy() if fetched is not None else exp.Literal.number(1)
    if not percent(limit):
        return exp.cast(value, "BIGINT")
    share = exp.Div(this=exp.cast(value, "DOUBLE"), expression=exp.Literal.number("100.0"))
    rows = exp.Window(this=exp.Count(this=exp.Star(), big_int=True), over="OVER")
    return exp.Anonymous(this="trunc", expressions=[exp.Mul(this=share, expression=rows)])


def within(term: exp.Expr, select: exp.Select) -> exp.Expr | None:
    """A term of ORDER BY as it is said in a window; None where that is not known."""
    what = term.this
    outputs = {e.alias.lower(): e.unalias() for e in select.expressions if e.alias}
    if isinstance(what, exp.Literal) and not what.is_string:
        place = int(what.name) - 1
        starred = any(e.is_star for e in select.expressions)
        meant = None if starred else select.expressions[place].unalias()
    elif isinstance(what, exp.Column) and not what.table:
        meant = outputs.get(what.name.lower(), what)
    else:
        meant = what if not has(what, exp.Var) else None
    if meant is None or has(meant, exp.Window, exp.Query, exp.Explode):
        return None
    moved = copy_of(term)
    moved.set("this", copy_of(meant))
    return moved
