"""Names and expressions while a query is lowered: scopes, binding, replacement, aggregate calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from sqlglot import exp

from strandline.compiler import relations as r
from strandline.compiler.catalog import Catalog
from strandline.compiler.identities import TIE
from strandline.compiler.names import Names
from strandline.compiler.reject import UnsupportedError
from strandline.compiler.trees import copy_of, has, rebuilt

Scope = dict[tuple[str, str], str]
"""(table alias, column) → unique column name."""


@dataclass(frozen=True)
class Lowered:
    """A relation and the query's output columns: (name as written, column of the relation).

    `keys` are the columns that tie a correlated subquery's rows to outer ones.
    """

    node: r.Relation
    outputs: tuple[tuple[str, str], ...]
    keys: tuple[str, ...] = ()


@dataclass(frozen=True)
class Domain:
    """The distinct values of the outer columns that a subquery names: (alias, column) → column of `node`."""

    node: r.Relation
    columns: tuple[tuple[tuple[str, str], str], ...]


@dataclass(frozen=True)
class Keyed:
    """Expressions over a subquery's own columns that its outer query equates with something."""

    exprs: tuple[exp.Expr, ...]


@dataclass(frozen=True)
class Context:
    """What lowering passes down: what can be read, names in use, CTEs, how a subquery is correlated.

    `lower` is the rule for whole queries, which the rules for their parts come back to. A CTE that
    names outer columns stays as written, and is lowered where it is used.
    """

    catalog: Catalog
    names: Names
    lower: Callable[[exp.Expr, Context], Lowered]
    ctes: Mapping[str, Lowered | exp.CTE] = field(default_factory=dict)
    correlation: Domain | Keyed | None = None


def copied(inner: Lowered, ctx: Context) -> Lowered:
    """A use of a lowered query: its columns under names of their own, so that it can be used twice."""
    mapping: dict[str, str] = {}
    for name, internal in inner.outputs:
        mapping.setdefault(internal, ctx.names.fresh(name))
    for internal in (*inner.keys, *r.ids(inner.node)):
        if internal not in mapping:
            mapping[internal] = ctx.names.fresh(internal)
    outs = tuple(r.Out(fresh, r.column(internal)) for internal, fresh in mapping.items())
    node = r.Project(inner.node, outs, tuple(mapping[i] for i in r.ids(inner.node)))
    outputs = tuple((n, mapping[c]) for n, c in inner.outputs)
    return Lowered(node, outputs, tuple(mapping[k] for k in inner.keys))


def empty_value(out: r.Out) -> exp.Expr:
    """The aggregate's column, or what the aggregate is over no rows: counts are 0, the rest NULL."""
    col = r.column(out.name)
    head = out.expr.this if isinstance(out.expr, exp.Filter) else out.expr
    named = isinstance(head, exp.Anonymous) and head.name.lower() in ZERO_WHEN_EMPTY
    if named or isinstance(head, COUNTS):
        return exp.Coalesce(this=col, expressions=[exp.Literal.number(0)])
    col.type = out.expr.type
    return col


COUNTS = (exp.Count, exp.ApproxDistinct, exp.RegrCount)
ZERO_WHEN_EMPTY = frozenset(["count_star", "entropy"])


def bind(expr: exp.Expr, scope: Scope) -> exp.Expr:
    """Qualified references → unique names; subqueries are left for their own rules."""

    def one(node: exp.Expr) -> exp.Expr:
        if isinstance(node, exp.Query):
            return node
        if isinstance(node, exp.Column) and isinstance(node.this, exp.Identifier):
            name = scope.get((node.table, node.name))
            if name is None:
                raise UnsupportedError(f"the reference {node.sql()} cannot be resolved here")
            bound = r.column(name)
            bound.type = node.type
            return bound
        return node

    return rebuilt(expr, one)


def replace(expr: exp.Expr, mapping: Mapping[exp.Expr, exp.Expr]) -> exp.Expr:
    """The expression with every occurrence of a mapped subexpression replaced, outermost first.

    The function of a window is not one: count(*) OVER (…) counts other rows than count(*) beside it.
    """

    bare = all(isinstance(key, exp.Column) for key in mapping)

    def one(node: exp.Expr) -> exp.Expr:
        if bare and not isinstance(node, exp.Column):
            return node  # looking it up would hash all that is below it
        found = mapping.get(node)
        if found is None or function_of_window(node, expr):
            return node
        new = copy_of(found)
        new.type = new.type or node.type
        return new

    return rebuilt(expr, one)


def function_of_window(node: exp.Expr, whole: exp.Expr) -> bool:
    """Whether it is what a window within `whole` computes, with its FILTER and the like or without."""
    holders = (exp.Filter, exp.IgnoreNulls, exp.RespectNulls)
    while node is not whole and isinstance(node.parent, holders) and node.arg_key == "this":
        node = node.parent
    return (
        node is not whole
        and isinstance(node.parent, exp.Window)
        and node.arg_key == "this"
        and isinstance(node, CALLS)
    )


CALLS = (exp.Func, exp.Filter, exp.IgnoreNulls, exp.RespectNulls)


def rename(expr: exp.Expr, mapping: Mapping[str, str]) -> exp.Expr:
    """The expression with its bare column names replaced."""
    return replace(expr, {r.column(old): r.column(new) for old, new in mapping.items()})


def refuse_subqueries(expr: exp.Expr | None) -> None:
    if expr is not None and has(expr, exp.Query):
        raise UnsupportedError("a subquery in this place has no incremental rule")


def order_terms(order: exp.Order | None, ties: bool) -> list[exp.Ordered]:
    """The user's ORDER BY terms, or (`ties`) those added to make the order total."""
    terms = order.expressions if order is not None else []
    return [t for t in terms if bool(t.meta.get(TIE)) is ties]
