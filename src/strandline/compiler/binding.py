"""Names and expressions while a query is lowered: scopes, binding, replacement, aggregate calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from sqlglot import exp

from strandline.compiler import relations as r
from strandline.compiler.aggregates import AGGREGATE_NAMES
from strandline.compiler.catalog import Catalog
from strandline.compiler.names import Names
from strandline.compiler.qualify import TIE
from strandline.compiler.reject import UnsupportedError

Scope = dict[tuple[str, str], str]
"""(table alias, column) → unique column name."""


@dataclass(frozen=True)
class Lowered:
    """A relation and the query's output columns: (name as written, column of the relation)."""

    node: r.Relation
    outputs: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Context:
    """What lowering passes down: what can be read, names in use, CTEs and outer scopes in reach.

    `lower` is the rule for whole queries, which the rules for their parts come back to.
    """

    catalog: Catalog
    names: Names
    lower: Callable[[exp.Expr, Context], Lowered]
    ctes: Mapping[str, Lowered] = field(default_factory=dict)
    outer: Mapping[tuple[str, str], str] = field(default_factory=dict)


def bind(expr: exp.Expr, scope: Scope, ctx: Context) -> exp.Expr:
    """Qualified references → unique names; subqueries are left for their own rules."""

    def one(node: exp.Expr) -> exp.Expr:
        if isinstance(node, exp.Query):
            return node
        if isinstance(node, exp.Column) and isinstance(node.this, exp.Identifier):
            name = scope.get((node.table, node.name)) or ctx.outer.get((node.table, node.name))
            if name is None:
                raise UnsupportedError(f"the reference {node.sql()} cannot be resolved here")
            bound = r.column(name)
            bound.type = node.type
            return bound
        return node

    return rebuild(expr, one)


def rebuild(expr: exp.Expr, one: Callable[[exp.Expr], exp.Expr]) -> exp.Expr:
    """sqlglot's transform, keeping subqueries closed."""
    holder = exp.Paren(this=expr.copy())

    def visit(node: exp.Expr) -> None:
        for child in list(node.iter_expressions()):
            new = one(child)
            if new is not child:
                child.replace(new)
            elif not isinstance(child, exp.Query):
                visit(child)

    visit(holder)
    result: exp.Expr = holder.this
    result.pop()
    return result


def replace(expr: exp.Expr, mapping: Mapping[exp.Expr, exp.Expr]) -> exp.Expr:
    """The expression with every occurrence of a mapped subexpression replaced, outermost first."""

    def one(node: exp.Expr) -> exp.Expr:
        found = mapping.get(node)
        if found is None:
            return node
        new = found.copy()
        new.type = new.type or node.type
        return new

    return rebuild(expr, one)


def rename(expr: exp.Expr, mapping: Mapping[str, str]) -> exp.Expr:
    """The expression with its bare column names replaced."""
    return replace(expr, {r.column(old): r.column(new) for old, new in mapping.items()})


def refuse_subqueries(expr: exp.Expr | None) -> None:
    if expr is not None and expr.find(exp.Query):
        raise UnsupportedError("a subquery in this place has no incremental rule")


def is_aggregate(node: exp.Expr) -> bool:
    """True for aggregate functions, also those the parser knows only by name."""
    if isinstance(node, exp.AggFunc):
        return True
    return isinstance(node, exp.Anonymous) and node.name.lower() in AGGREGATE_NAMES


def aggregate_units(expr: exp.Expr) -> Iterator[exp.Expr]:
    """The outermost aggregate calls (with FILTER, WITHIN GROUP …), not those that are window functions."""
    if isinstance(expr, exp.Query):
        return
    if isinstance(expr, exp.Window):
        yield from window_parts(expr)
        return
    wrapped = expr
    while isinstance(wrapped, (exp.Filter, exp.WithinGroup, exp.IgnoreNulls, exp.RespectNulls)):
        wrapped = wrapped.this
    if is_aggregate(wrapped):
        yield expr
        return
    for child in expr.iter_expressions():
        yield from aggregate_units(child)


def window_parts(window: exp.Window) -> Iterator[exp.Expr]:
    """Aggregates inside a window call's arguments and specification."""
    head = window.this
    while isinstance(head, (exp.Filter, exp.IgnoreNulls, exp.RespectNulls, exp.WithinGroup)):
        if isinstance(head, exp.Filter):
            yield from aggregate_units(head.expression)
        head = head.this
    for child in head.iter_expressions():
        yield from aggregate_units(child)
    for part in [*(window.args.get("partition_by") or []), window.args.get("order")]:
        if part is not None:
            yield from aggregate_units(part)


def order_terms(order: exp.Order | None, ties: bool) -> list[exp.Ordered]:
    """The user's ORDER BY terms, or (`ties`) those added to make the order total."""
    terms = order.expressions if order is not None else []
    return [t for t in terms if bool(t.meta.get(TIE)) is ties]
