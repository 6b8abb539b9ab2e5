"""Orders made total where a result depends on which of two equal rows comes first."""

from __future__ import annotations

from collections.abc import Iterable

from sqlglot import exp

from strandline.compiler.aggregate_order import (
    extreme,
    in_arrival,
    order_call,
    order_calls,
    own_order,
    take_in_order,
)
from strandline.compiler.aggregates import called, is_one_row
from strandline.compiler.catalog import Catalog
from strandline.compiler.identities import breakers, tie_breakers
from strandline.compiler.trees import copy_of, find_all, has
from strandline.errors import RejectedError

PEERS = "strandline_peers"
"""Marks an order in a call's brackets that the query does not have: how peers come one after another."""
ALWAYS_TOTAL = (exp.RowNumber, exp.Lag, exp.Lead, exp.Ntile)
VALUES = (exp.FirstValue, exp.LastValue, exp.NthValue)
RANKS = (exp.Rank, exp.DenseRank, exp.PercentRank, exp.CumeDist)


def break_ties(tree: exp.Expr, catalog: Catalog) -> None:
    """Append tie-breakers to the orders of windows, top-k and aggregates that need to be total.

    Keyed tables give their key; anything else gives all its columns (rows equal
    in all of them are interchangeable), so the outcome is a function of the data.
    """
    for select in find_all(tree, exp.Select):
        ties, arrived = tie_breakers(select, catalog), in_arrival(select, catalog)
        for window in find_all(select, exp.Window):
            if window.find_ancestor(exp.Select) is not select:
                continue
            if needs_total(window):
                keep_whole_frame(window)
                append_order(window, ties)
                if own_order(called(window.this)) is not None:
                    order_call(window.this, [], window.args.get("partition_by") or [], ties)
            else:
                order_peers(window, ties, arrived)
        if select.args.get("limit") or isinstance(select.args.get("distinct"), exp.Distinct):
            break_select_ties(select, ties)
        elif isinstance(select.parent, exp.Array) and not select.args.get("group"):
            append_order(select, ties)
        order_calls(select, catalog, arrived)


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


def order_peers(window: exp.Window, ties: list[exp.Expr], arrived: bool) -> None:
    """What picks one of several peers, or lists them, is told in its own brackets in which order they come.

    `last_value(v) OVER (ORDER BY d)` becomes `last_value(v ORDER BY d, id) OVER (ORDER BY d)`: rows of the
    same d stay peers. Without an order all rows of the partition are peers.
    """
    head, order = called(window.this), window.args.get("order")
    terms, alike = order.expressions if order is not None else [], window.args.get("partition_by") or []
    added = breakers([*(t.this for t in terms), *alike], ties)
    if not added:
        return
    if terms:
        refuse_rows_of_peers(window, head)
    given: exp.Order | None = None
    if isinstance(head, VALUES) and own_order(head) is None:
        place = "offset" if isinstance(head, exp.NthValue) else "this"
        given = take_in_order(head, place, [*map(copy_of, terms), *added])
    elif terms or not arrived or own_order(head) is not None or has(head, exp.Distinct):
        picked = extreme(head)
        if picked is not None and (picked.count is not None or len(picked.needed) < 2):
            return  # the engine has no window function that could say it
        given = order_call(window.this, terms, alike, ties)
    if given is not None:
        given.meta[PEERS] = True


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
    old = list(order.expressions) if order is not None else []
    added = breakers([*(o.this for o in old), *(node.args.get("partition_by") or [])], ties)
    if added:
        node.set("order", exp.Order(expressions=old + added))
