"""`text.upper().replace('a', 'b')` as the calls that it stands for: `replace(upper(text), 'a', 'b')`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from sqlglot import exp
from sqlglot.errors import SqlglotError

from strandline.compiler.trees import find_all

Parse = Callable[[str], list[exp.Expr | None]]
"""The statements of a text."""
SCHEMAS = frozenset({"main", "system", "pg_catalog"})
"""Before a function these are where it lies, and no column."""
OPERATORS = (exp.Paren, exp.Binary, exp.Unary, exp.Func, exp.Bracket, exp.In, exp.Between)
"""What has columns for its operands."""
NAMED = (exp.Dot, exp.PropertyEQ, exp.Kwarg)
"""What has names beside its values."""


def without_chains(tree: exp.Expr, parse: Parse) -> exp.Expr:
    """Every call behind a dot as a call of what stands before the dot; the innermost first."""
    for chain in reversed(find_all(tree, exp.Dot)):
        call = chain.expression
        if not isinstance(call, exp.Anonymous) or not call.name.isidentifier() or chain.parent is None:
            continue
        if isinstance(chain.this, exp.Identifier) and chain.this.name.lower() in SCHEMAS:
            continue
        with contextlib.suppress(SqlglotError):  # no function with such arguments: the engine says what it is
            chain.replace(in_brackets(call, [operand(chain.this), *call.expressions], parse))
    return tree


def in_brackets(call: exp.Anonymous, arguments: list[exp.Expr], parse: Parse) -> exp.Expr:
    """The function as the parser reads it where its arguments stand in its brackets."""
    places = [a.sql("duckdb") if isinstance(a, exp.Literal) else f"_{i}" for i, a in enumerate(arguments)]
    [holder] = parse(f"SELECT {call.name}({', '.join(places)})")
    assert isinstance(holder, exp.Select)
    for place in find_all(holder, exp.Column):
        if place.name in places:
            place.replace(arguments[places.index(place.name)].copy())
    found: exp.Expr = holder.expressions[0]
    return found


def operand(before: exp.Expr) -> exp.Expr:
    """What stands before the dot, in which the parser takes columns for bare names."""
    holder = exp.Paren(this=before.copy())
    local = {p.name for above in lambdas(before) for p in above.expressions}
    for node in reversed(find_all(holder, exp.Identifier, exp.Dot)):
        if not isinstance(node.parent, OPERATORS) or isinstance(node.parent, NAMED):
            continue
        names = path(node)
        inner = {p.name for above in lambdas(node) for p in above.expressions}
        if names and len(names) < 5 and names[0].name not in local | inner:
            parts = ("this", "table", "db", "catalog")
            node.replace(exp.Column(**dict(zip(parts, reversed(names), strict=False))))
    found: exp.Expr = holder.this
    return found


def lambdas(node: exp.Expr) -> list[exp.Expr]:
    """The lambdas around a node, innermost first."""
    found: list[exp.Expr] = []
    above = node.find_ancestor(exp.Lambda)
    while above is not None:
        found.append(above)
        above = above.find_ancestor(exp.Lambda)
    return found


def path(node: exp.Expr) -> list[exp.Identifier]:
    """The names of `a.b.c`, outermost first; nothing of anything else."""
    if isinstance(node, exp.Identifier):
        return [node.copy()]
    if isinstance(node, exp.Dot) and isinstance(node.expression, exp.Identifier):
        before = path(node.this)
        return [*before, node.expression.copy()] if before else []
    return []
