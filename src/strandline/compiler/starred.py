"""COLUMNS('pattern'), COLUMNS(*) and `* LIKE 'pattern'` in SELECT: the expression for each column meant."""

from __future__ import annotations

import re

from sqlglot import exp

from strandline.compiler.free import leaves
from strandline.compiler.pivot import Columns
from strandline.compiler.trees import find_all
from strandline.compiler.using import is_comma

Column = tuple[str, str]
"""(table alias, column as it is spelled)"""


def without_columns(tree: exp.Expr, columns: Columns) -> None:
    """Write them out, in place, where the columns of FROM are known; the rest is left to the engine."""
    for select in reversed(find_all(tree, exp.Select)):
        if any(found(e) is not None for e in select.expressions):
            known = columns_of(select, columns)
            if known is not None:
                select.set("expressions", [new for e in select.expressions for new in written_out(e, known)])


def found(expr: exp.Expr) -> exp.Expr | None:
    """The COLUMNS of an output; None where it has none or several different ones."""
    if isinstance(expr, exp.Like) and isinstance(expr.this, exp.Star):
        return expr
    calls = set(find_all(expr, exp.Columns))
    return calls.pop() if len(calls) == 1 else None


def columns_of(select: exp.Select, columns: Columns) -> list[Column] | None:
    """All columns of FROM in order; None where some are not known, or merged by name."""
    from_ = select.args.get("from_")
    joins = select.args.get("joins") or []
    merged = any(j.args.get("using") or j.method or j.is_semi_or_anti_join for j in joins)
    if from_ is None or merged or any(is_comma(j) and isinstance(j.this, exp.Lateral) for j in joins):
        return None
    all_of_them: list[Column] = []
    for item in (from_.this, *(j.this for j in joins)):
        for leaf in leaves(item):
            known = columns(leaf)
            if known is None or leaf.args.get("pivots"):
                return None
            alias = leaf.args.get("alias")
            renamed = [c.name for c in alias.columns] if isinstance(alias, exp.TableAlias) else []
            all_of_them += [(leaf.alias_or_name, n) for n in [*renamed, *known[len(renamed) :]]]
    return all_of_them


def written_out(expr: exp.Expr, known: list[Column]) -> list[exp.Expr]:
    """The output once for each column, named after it; as it is where that is not known."""
    call = found(expr)
    chosen = meant(call, known) if call is not None else None
    if call is None or chosen is None:
        return [expr]
    outs: list[exp.Expr] = []
    for alias, name in chosen:
        column = exp.column(name, table=alias, quoted=True)
        holder = exp.Paren(this=expr.unalias().copy())
        for place in [p for p in find_all(holder, type(call)) if p == call]:
            place.replace(column.copy())
        outs.append(exp.alias_(holder.this, expr.alias or name, quoted=True))
    return outs


def meant(call: exp.Expr, known: list[Column]) -> list[Column] | None:
    """The columns that COLUMNS names; None for a form that is not written out here."""
    if isinstance(call, exp.Like):
        pattern = call.expression
        return [c for c in known if like(c[1], pattern.name)] if isinstance(pattern, exp.Literal) else None
    match call.this:
        case exp.Literal():
            try:
                return [c for c in known if re.search(call.this.name, c[1])]
            except re.error:
                return None
        case exp.Star() if not set(filter(call.this.args.get, call.this.args)) - {"except_"}:
            gone = {c.name.lower() for c in call.this.args.get("except_") or []}
            return [c for c in known if c[1].lower() not in gone]
        case exp.Column(this=exp.Star()):
            return [c for c in known if c[0].lower() == call.this.table.lower()]
    return None


def like(name: str, pattern: str) -> bool:
    """SQL's LIKE without an escape."""
    parts = {"%": ".*", "_": "."}
    return re.fullmatch("".join(parts.get(c, re.escape(c)) for c in pattern), name, re.DOTALL) is not None
