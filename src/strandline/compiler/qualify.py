"""SQL text → a qualified, typed sqlglot tree in which every window order is total where it matters."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from sqlglot import exp
from sqlglot.errors import OptimizeError
from sqlglot.optimizer.qualify import qualify

from strandline.compiler.aggregates import aggregate_units
from strandline.compiler.aliased import keep_operands
from strandline.compiler.asof import one_partner
from strandline.compiler.catalog import Catalog, Readable
from strandline.compiler.collation import by_functions
from strandline.compiler.ctes import common_table
from strandline.compiler.free import leaves
from strandline.compiler.handed_order import (
    IN_ORDER,
    called,
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
from strandline.compiler.trees import copy_of, find_all, has
from strandline.compiler.unknown import UNTOLD, place, unknown_name
from strandline.compiler.using import mark_using, mend_using
from strandline.compiler.whole_rows import without_whole_rows
from strandline.errors import RejectedError, UnknownNameError, nearest

TIE = "strandline_tie"
PEERS = "strandline_peers"
"""Marks an order in a call's brackets that the query does not have: how peers come one after another."""
MADE_UP = frozenset(
    {"range", "generate_series", "generateseries", "unnest", "explode", "values", "json_each", "json_tree"}
)
"""Table functions whose rows are a function of their arguments."""
ALWAYS_TOTAL = (exp.RowNumber, exp.Lag, exp.Lead, exp.Ntile)
VALUES = (exp.FirstValue, exp.LastValue, exp.NthValue)
PICKING = (*VALUES, *IN_ORDER)
JSON_LISTS = frozenset({"json_group_array", "json_group_object", "json_group_structure"})
"""Macros, which take no ORDER BY in their brackets."""
RANKS = (exp.Rank, exp.DenseRank, exp.PercentRank, exp.CumeDist)


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
        macros = [a for a in find_all(select, exp.Anonymous) if a.name.lower() in JSON_LISTS]
        terms = handed_order(select) if windows or calls or picks or macros else []
        if not terms:
            continue
        if macros:
            told = f"{macros[0].name} lists rows in the order of a subquery, which only the engine knows"
            raise UnknownNameError(told, hint=UNTOLD)
        for call in calls:
            call.set("this", exp.Order(this=call.this.copy(), expressions=ordered(terms).expressions))
        for window in windows:
            keep_whole_frame(window)
            window.set("order", ordered(terms))
        if picks:
            select.set("order", ordered(terms))


def break_ties(tree: exp.Expr, catalog: Catalog) -> None:
    """Append tie-breakers to window orders and top-k orders that need to be total.

    Keyed tables give their key; anything else gives all its columns (rows equal
    in all of them are interchangeable), so the outcome is a function of the data.
    """
    for select in find_all(tree, exp.Select):
        ties = tie_breakers(select, catalog)
        for window in find_all(select, exp.Window):
            if window.find_ancestor(exp.Select) is not select:
                continue
            if needs_total(window):
                keep_whole_frame(window)
                append_order(window, ties)
            else:
                order_peers(window, ties)
        if select.args.get("limit") or isinstance(select.args.get("distinct"), exp.Distinct):
            break_select_ties(select, ties)
        elif isinstance(select.parent, exp.Array) and not select.args.get("group"):
            append_order(select, ties)


def keep_whole_frame(window: exp.Window) -> None:
    """Without ORDER BY the frame is the whole partition; it stays so when tie-breakers give it an order."""
    if (
        not window.args.get("order")
        and not window.args.get("spec")
        and not isinstance(window.this, ALWAYS_TOTAL)
    ):
        spec = exp.WindowSpec(
            kind="ROWS", start="UNBOUNDED", start_side="PRECEDING", end="UNBOUNDED", end_side="FOLLOWING"
        )
        window.set("spec", spec)


def break_select_ties(select: exp.Select, ties: list[exp.Expr]) -> None:
    """DISTINCT ON and LIMIT pick rows: the order that picks them is made total."""
    if is_one_row(select):
        return
    distinct = select.args.get("distinct")
    if (distinct is not None and distinct.args.get("on")) or (
        select.args.get("limit") and not select.args.get("group") and distinct is None
    ):
        append_order(select, ties)
    elif select.args.get("limit"):
        append_order(select, [e.unalias() for e in select.expressions if not has(e, exp.Window)])


def is_one_row(select: exp.Select) -> bool:
    """Aggregates without GROUP BY."""
    parts = [*select.expressions, select.args.get("having"), select.args.get("order")]
    return not select.args.get("group") and any(u for p in parts if p is not None for u in aggregate_units(p))


def order_peers(window: exp.Window, ties: list[exp.Expr]) -> None:
    """What picks one of several peers, or lists them, is told in its own brackets in which order they come.

    `last_value(v) OVER (ORDER BY d)` becomes `last_value(v ORDER BY d, id) OVER (ORDER BY d)`: rows of the
    same d stay peers.
    """
    head, order = called(window.this), window.args.get("order")
    if order is None:
        return
    total = exp.Window(partition_by=window.args.get("partition_by"), order=copy_of(order))
    append_order(total, ties)
    terms = total.args["order"].expressions
    if len(terms) > len(order.expressions):
        refuse_rows_of_peers(window, head)
        if not isinstance(head, PICKING) or has(head, exp.Order, exp.Distinct):
            return
        place = "offset" if isinstance(head, exp.NthValue) else "this"
        told = exp.Order(this=copy_of(head.args[place]), expressions=terms)
        told.meta[PEERS] = True
        head.set(place, told)


def refuse_rows_of_peers(window: exp.Window, head: exp.Expr) -> None:
    """Raises RejectedError for a frame of so many rows that leaves out peers, in an order that has any.

    Which rows are in it depends on how peers come one after another, and with tie-breakers none are left.
    """
    spec = window.args.get("spec")
    if spec is None or whole(spec) or isinstance(head, RANKS):
        return
    excluded = str(spec.args.get("exclude") or "").upper()
    if excluded in ("TIES", "GROUP") and str(spec.args.get("kind") or "").upper() == "ROWS":
        raise RejectedError(
            f"ROWS with EXCLUDE {excluded} in an order with ties has no one result: {window.sql('duckdb')}",
            hint="order by a key too, or take a RANGE or GROUPS frame.",
        )


def needs_total(window: exp.Window) -> bool:
    """True for functions whose value depends on the order among peers.

    Where a frame is made of peers (RANGE, GROUPS, EXCLUDE TIES or GROUP) a
    tie-breaker would change what is a peer, so the order stays as written.
    """
    head = called(window.this)
    # the first row of all, for every peer
    first = isinstance(head, exp.FirstValue) and not has(window.this, exp.IgnoreNulls)
    if isinstance(head, ALWAYS_TOTAL) or (isinstance(head, exp.Anonymous) and head.name.lower() == "fill"):
        return True
    if isinstance(head, RANKS) and not has(head, exp.Order):
        return False  # a rank tells of peers, whatever the frame
    spec = window.args.get("spec")
    if spec is None:
        return first or (isinstance(head, VALUES) and not window.args.get("order"))
    if str(spec.args.get("exclude") or "").upper() in ("TIES", "GROUP"):
        return False
    starts = str(spec.args.get("start")).upper() == "UNBOUNDED"
    if (first and starts) or (isinstance(head, VALUES) and whole(spec)):
        return True
    return str(spec.args.get("kind") or "").upper() == "ROWS" and not whole(spec)


def whole(spec: exp.WindowSpec) -> bool:
    """A frame that is always the whole partition."""
    start, end = str(spec.args.get("start")).upper(), str(spec.args.get("end")).upper()
    return start == end == "UNBOUNDED" and not spec.args.get("exclude")


def append_order(node: exp.Expr, ties: Iterable[exp.Expr]) -> None:
    """Add ordering terms that are not there yet, marked as tie-breakers."""
    order = node.args.get("order")
    present = {o.this for o in order.expressions} if order is not None else set()
    present |= set(node.args.get("partition_by") or [])
    added = []
    for tie in ties:
        if tie not in present and not isinstance(tie, exp.Literal):
            term = exp.Ordered(this=copy_of(tie), nulls_first=False)
            term.meta[TIE] = True
            added.append(term)
    if added:
        old = list(order.expressions) if order is not None else []
        node.set("order", exp.Order(expressions=old + added))


def tie_breakers(select: exp.Select, catalog: Catalog) -> list[exp.Expr]:
    """Columns that together tell apart all rows that matter in this SELECT."""
    group = select.args.get("group")
    if group is not None:
        keys = []
        for item in group.expressions:
            keys += (
                find_all(item, exp.Column)
                if isinstance(item, (exp.Rollup, exp.Cube, exp.GroupingSets))
                else [item]
            )
        return keys
    return [t for source in sources(select, catalog) for t in source_ties(source, catalog)]


def sources(select: exp.Select, catalog: Catalog) -> list[exp.Expr]:
    """The FROM items that a row's identity is made of: of the others, it meets one row at most."""
    from_ = select.args.get("from_")
    found = [*leaves(from_.this)] if from_ is not None else []
    for join in select.args.get("joins") or []:
        if several_matches(join, catalog):
            found += leaves(join.this)
    return found


def several_matches(join: exp.Join, catalog: Catalog) -> bool:
    """Whether a row may meet more than one row of the join's right side, and show it."""
    shown = str(join.args.get("kind") or join.args.get("side") or "").upper() not in ("SEMI", "ANTI")
    return shown and not single_match(join, catalog)


def source_ties(source: exp.Expr, catalog: Catalog) -> list[exp.Expr]:
    """The identifying columns of one FROM item."""
    names = identifying(source, catalog)
    return [exp.column(name, table=source.alias_or_name, quoted=True) for name in names]


def identifying(source: exp.Expr, catalog: Catalog) -> list[str]:
    """Unique columns of a FROM item where they are known, else all of its columns."""
    if isinstance(source, exp.Table):
        cte = common_table(source)
        if cte is not None:
            return query_identity(cte.this, catalog, list(cte.args["alias"].columns))
        readable = catalog.get(source.name.lower())
        if readable is not None:
            return [u.lower() for u in readable.unique] or [c.name.lower() for c in readable.columns]
    alias = source.args.get("alias")
    titled = list(alias.columns) if isinstance(alias, exp.TableAlias) else []
    if isinstance(source, exp.Subquery):
        return query_identity(source.unnest(), catalog, titled)
    if isinstance(source, exp.Unnest) and isinstance(source.args.get("offset"), exp.Identifier):
        titled.append(source.args["offset"])
    return [i.name for i in titled]


def query_identity(query: exp.Expr, catalog: Catalog, renamed: list[exp.Identifier]) -> list[str]:
    """The output columns of a subquery that identify its rows: a passed-on key, else all.

    Windows tell apart what is equal where it comes from, so that a bag's columns do not suffice beside them.
    """
    if not isinstance(query, exp.Query):
        return []
    names = [i.name for i in renamed] or [n.lower() for n in query.named_selects]
    if isinstance(query, exp.Select) and not query.args.get("distinct"):
        wanted = tie_breakers(query, catalog)
        by_expr = {e.unalias(): n for e, n in zip(query.expressions, names, strict=False)}
        passed = bool(wanted) and all(w in by_expr for w in wanted)
        if passed and (not has(query, exp.Window) or is_keyed_query(query, catalog)):
            return [by_expr[w] for w in wanted]
    return names


def is_keyed(leaf: exp.Expr, catalog: Catalog) -> bool:
    """Whether no two rows of a FROM item are equal, as far as its text tells."""
    if isinstance(leaf, exp.Subquery):
        return is_keyed_query(leaf.unnest(), catalog)
    cte = common_table(leaf) if isinstance(leaf, exp.Table) else None
    if cte is not None:
        return is_keyed_query(cte.this, catalog)
    readable = catalog.get(leaf.name.lower())
    return readable is not None and bool(readable.unique)


def is_keyed_query(query: exp.Expr, catalog: Catalog) -> bool:
    """Whether a subquery is a SELECT of different rows, or shows what tells its sources' rows apart."""
    if not isinstance(query, exp.Select):
        return False
    if query.args.get("distinct") or is_one_row(query):
        return True
    if not query.args.get("group") and not all(is_keyed(s, catalog) for s in sources(query, catalog)):
        return False
    shown = {e.unalias() for e in query.expressions}
    return all(e in shown for e in tie_breakers(query, catalog))


def single_match(join: exp.Join, catalog: Catalog) -> bool:
    """A join that finds at most one partner: its table's unique key is equated."""
    if join.method == "ASOF" and join.side in ("", "LEFT"):
        return True
    readable: Readable | None = (
        catalog.get(join.this.name.lower()) if isinstance(join.this, exp.Table) else None
    )
    on = join.args.get("on")
    if readable is None or not readable.unique or on is None or join.side in ("RIGHT", "FULL"):
        return False
    alias = join.this.alias_or_name
    terms = list(on.flatten()) if isinstance(on, exp.And) else [on]
    equated = {
        side.name.lower()
        for term in terms
        if isinstance(term, exp.EQ)
        for side, other in ((term.this, term.expression), (term.expression, term.this))
        if isinstance(side, exp.Column) and side.table == alias and alias not in tables_of(other)
    }
    return {u.lower() for u in readable.unique} <= equated


def tables_of(expr: exp.Expr) -> set[str]:
    return {c.table for c in find_all(expr, exp.Column)}
