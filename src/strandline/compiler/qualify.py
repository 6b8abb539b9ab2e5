"""SQL text → a qualified, typed sqlglot tree in which every window order is total where it matters."""

from __future__ import annotations

from functools import partial

from sqlglot import exp
from sqlglot.errors import OptimizeError
from sqlglot.optimizer.qualify import qualify

from strandline.compiler.aggregates import called, is_one_row
from strandline.compiler.aliased import keep_operands
from strandline.compiler.asof import one_partner
from strandline.compiler.catalog import Catalog
from strandline.compiler.collation import by_functions
from strandline.compiler.handed_order import (
    IN_ORDER,
    handed_order,
    ordered,
    picks_unordered,
    unordered_calls,
)
from strandline.compiler.inferring import inferred
from strandline.compiler.limits import plain_limits
from strandline.compiler.outputs import spelled_columns
from strandline.compiler.parsing import refuse_loose_arrows
from strandline.compiler.pivot import without_pivots
from strandline.compiler.positions import without_positions
from strandline.compiler.spelling import sees_before, spelled, without_lateral
from strandline.compiler.starred import without_columns
from strandline.compiler.structs import keep_field_names, without_struct_stars
from strandline.compiler.ties import break_ties, keep_whole_frame, needs_total
from strandline.compiler.trees import copy_of, find_all
from strandline.compiler.unknown import place, unknown_name
from strandline.compiler.using import mark_using, mend_using
from strandline.compiler.whole_rows import without_whole_rows
from strandline.errors import RejectedError, UnknownNameError, nearest

MADE_UP = frozenset(
    {"range", "generate_series", "generateseries", "unnest", "explode", "values", "json_each", "json_tree"}
)
"""Table functions whose rows are a function of their arguments."""


def qualified(query: exp.Query, catalog: Catalog, dialect: str) -> exp.Expr:
    """Names resolved, stars and USING expanded, types annotated, ties broken."""
    check_tables(query, catalog)
    asked = copy_of(query)
    types = {r.name.lower(): {c.name.lower(): c.type for c in r.columns} for r in catalog.values()}
    schema: dict[str, object] = {**types}
    try:
        in_one_spelling(asked, catalog)
        tree = resolved(spelled(unordered(asked)), schema, dialect)
    except OptimizeError as error:
        raise unknown_name(error, query, catalog) from None
    except (
        AssertionError,
        AttributeError,
        KeyError,
        TypeError,
        ValueError,
        IndexError,
        RecursionError,
    ) as error:
        # the resolver fails over what it does not know; the engine may still know the names
        what = OptimizeError(f"the query's names cannot be resolved: {error!r}")
        raise unknown_name(what, query, catalog) from error
    without_lateral(tree)
    order_by_all(tree)
    mend_using(tree)
    one_partner(tree, catalog)
    expand_named_windows(tree)
    take_handed_order(tree)
    tree = inferred(tree, types, dialect)
    break_ties(tree, catalog)
    return tree


def in_one_spelling(asked: exp.Query, catalog: Catalog) -> None:
    """What the resolver does not know, said in what it does, in place. Raises OptimizeError."""
    refuse_loose_arrows(asked)
    known = partial(spelled_columns, catalog=catalog)
    by_functions(asked)
    plain_limits(asked)
    without_pivots(asked, known)
    without_columns(asked, known)
    without_whole_rows(asked, known)
    without_struct_stars(asked, catalog)
    without_positions(asked)
    keep_field_names(asked)
    keep_operands(asked)
    mark_using(asked)


def unordered(query: exp.Query) -> exp.Query:
    """The query without an ORDER BY that picks no rows: a table has no order."""
    distinct = query.args.get("distinct")
    picks = isinstance(distinct, exp.Distinct) and distinct.args.get("on")
    if not picks and not query.args.get("limit") and not query.args.get("offset"):
        query.set("order", None)
    return query


def order_by_all(tree: exp.Expr) -> None:
    """ORDER BY ALL names every column of its SELECT, in their order."""
    for order in find_all(tree, exp.Order):
        select, terms = order.parent, order.expressions
        if not isinstance(select, exp.Select) or len(terms) != 1 or not isinstance(terms[0].this, exp.Var):
            continue
        names = [c.alias_or_name for c in select.selects]
        if terms[0].this.name.upper() == "ALL" and all(names) and len(set(names)) == len(names):
            columns = [exp.column(exp.to_identifier(n, quoted=True)) for n in names]
            order.set("expressions", [exp.Ordered(**{**terms[0].args, "this": c}) for c in columns])


def resolved(query: exp.Expr, schema: dict[str, object], dialect: str) -> exp.Expr:
    """Names resolved; where that fails, subqueries in FROM may name what stands before them."""
    joined = any(isinstance(join.this, exp.Subquery) for join in find_all(query, exp.Join))
    again = copy_of(query) if joined else None
    try:
        return qualify(query, schema=schema, dialect=dialect)
    except OptimizeError as error:
        if again is None or not sees_before(again):
            raise
        try:
            return qualify(again, schema=schema, dialect=dialect)
        except OptimizeError:
            raise error from None


def check_tables(query: exp.Query, catalog: Catalog) -> None:
    """Every table named is in the catalog or a CTE."""
    ctes = {c.alias.lower() for c in find_all(query, exp.CTE)}
    for table in find_all(query, exp.Table):
        if not table.name or isinstance(table.this, exp.Func):
            refuse_outside(table)
            continue
        name = table.name.lower()
        if name not in ctes and name not in catalog:
            at = place(table.this)
            raise UnknownNameError(
                f"there is no table or model {table.name!r}{at}",
                hint=nearest(table.name, [r.name for r in catalog.values()]),
            )


def refuse_outside(table: exp.Table) -> None:
    """Refuse what no batch changes: files, the catalogue, directory listings."""
    function = table.this
    name = function.name.lower() if isinstance(function, exp.Anonymous) else function.key if function else ""
    if function is not None and name not in MADE_UP:
        raise RejectedError(
            f"{function.sql(dialect='duckdb')} is read outside the warehouse, where no batch tells of change",
            hint="load it into a table with apply() or a files source, and read that.",
        )


def expand_named_windows(tree: exp.Expr) -> None:
    """`OVER w` and `OVER (w ROWS …)` become whole specifications."""
    for select in find_all(tree, exp.Select):
        own = select.args.get("windows") or []
        named = {w.name.lower(): w for w in own}
        used = [w for w in find_all(select, exp.Window) if w.find_ancestor(exp.Select) is select]
        for window in [*own, *(w for w in used if w.arg_key != "windows")]:  # a named one may extend another
            over = window.args.get("over")
            name = window.args.get("alias") or (over if isinstance(over, exp.Identifier) else None)
            if name is not None and name.name.lower() in named:
                inherit(window, named[name.name.lower()])
        select.set("windows", None)


def inherit(window: exp.Window, base: exp.Window) -> None:
    """Take from a named window what the reference does not say itself."""
    window.set("alias", None)
    window.set("over", "OVER")
    for part in ("partition_by", "order", "spec"):
        value = base.args.get(part)
        if not window.args.get(part) and value:
            window.set(part, [copy_of(e) for e in value] if isinstance(value, list) else copy_of(value))


def take_handed_order(tree: exp.Expr) -> None:
    """What depends on the order of rows and says none takes that of the subquery in FROM, in place."""
    for select in find_all(tree, exp.Select):
        windows = [
            w
            for w in find_all(select, exp.Window)
            if not w.args.get("order")
            and w.find_ancestor(exp.Select) is select
            and (needs_total(w) or isinstance(called(w.this), IN_ORDER))
        ]
        calls, picks = unordered_calls(select), picks_unordered(select) and not is_one_row(select)
        terms = handed_order(select) if windows or calls or picks else []
        if not terms:
            continue
        for call in calls:
            call.set("this", exp.Order(this=call.this.copy(), expressions=ordered(terms).expressions))
        for window in windows:
            keep_whole_frame(window)
            window.set("order", ordered(terms))
        if picks:
            select.set("order", ordered(terms))
