"""Which rows are held and which are open where frames reach by order value or peer group.

A row is open if a row that comes after the partition's last one can still get into its frame. Rows
that an open row sees, or a coming one, are held. Where rows alone are counted, `orders.distance` does.
"""

from __future__ import annotations

from strandline.compiler import relations as r
from strandline.compiler.frames import Near
from strandline.compiler.orders import full_order, loose, operator, partition
from strandline.compiler.plan import FAR, Stage
from strandline.compiler.text import ordering


def placed(stage: Stage, rows: str) -> str:
    """The rows with `_back`: their distance from the end, and FAR more if closed, 2 FAR more if out of reach.

    They bring what `measured` says. Every bound that is computed here the query computes as well, so
    neither overflows alone.
    """
    if not stage.near:
        return rows
    edges = edge(stage)
    made = ", ".join([*measured(stage), "_open", *edges])
    found = f"SELECT *, {' OR '.join(opening(stage))} AS _open FROM ({rows}) AS o"
    if edges:
        found = f"SELECT *, {named(edges)} FROM ({found}) AS e"
    back = f"WHEN {' OR '.join(holding(stage))} THEN {FAR} + _distance ELSE {2 * FAR} + _distance"
    return (
        f"SELECT * EXCLUDE ({made}), CASE WHEN _open THEN _distance {back} END AS _back FROM ({found}) AS b"
    )


def row_distance(stage: Stage) -> str:
    """How many rows from the end a row of the head was."""
    return f"_was % {FAR}" if stage.near else "_was"


def named(expressions: dict[str, str]) -> str:
    return ", ".join(f"{text} AS {name}" for name, text in expressions.items())


def first(stage: Stage) -> r.Order:
    """The order term whose values are apart (the only one where any frame reaches by value)."""
    return operator(stage).order[0]


def value(stage: Stage) -> str:
    return r.quote(first(stage).column)


def kinds(stage: Stage) -> set[str]:
    return {near.kind for near in stage.near}


def measured(stage: Stage) -> dict[str, str]:
    """How far from the end: in rows and in peer groups; and the last row's order value.

    It is computed beside the functions, in the same order where that is theirs, so that rows are sorted once.
    """
    if not stage.near:
        return {}
    window, by = operator(stage), partition(stage)
    order = ordering(window.order) if loose(stage) else ordering(full_order(stage))
    rest = f"OVER ({by}ORDER BY {order} ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING)"
    found = {"_distance": f"count(*) {rest}"}
    if "RANGE" in kinds(stage):
        found["_last"] = f"last_value({value(stage)}) {rest}"
    if "GROUPS" in kinds(stage):
        back = ordering(r.Order(o.column, not o.descending, not o.nulls_first) for o in window.order)
        found["_peers"] = f"dense_rank() OVER ({by}ORDER BY {back})"
    return found


def peers_alone(stage: Stage) -> bool:
    """Just the peers of the last row are open, by its order value."""
    return not stage.open and all(near.kind == "RANGE" and not near.ahead for near in stage.near)


def opening(stage: Stage) -> list[str]:
    """Conditions under which a coming row can change the row."""
    found = [f"_distance <= {stage.open}"] if stage.open else []
    return found + list(dict.fromkeys(opens(stage, near) for near in stage.near if near.kind != "ROWS"))


def opens(stage: Stage, near: Near) -> str:
    """Peers of the last row are open in any case: those of NULL and infinity see each other always."""
    if near.kind == "GROUPS":
        return f"_peers <= {int(near.ahead or 0) + 1}"
    peers = f"{value(stage)} IS NOT DISTINCT FROM _last"
    if not near.ahead:
        return peers
    ahead = f"{value(stage)} + {near.ahead} >= _last"
    if first(stage).descending:
        ahead = f"{value(stage)} - {near.ahead} <= _last"
    return f"{peers} OR coalesce({ahead}, FALSE)"


def edge(stage: Stage) -> dict[str, str]:
    """The first open row: what it sees is held."""
    if peers_alone(stage):
        return {}
    extreme = f"{'max' if first(stage).descending else 'min'}({value(stage)})"
    ways = {
        "RANGE": ("_edge", extreme),
        "GROUPS": ("_edge_peers", "max(_peers)"),
        "ROWS": ("_edge_distance", "max(_distance)"),
    }
    over = f"FILTER (WHERE _open) OVER ({partition(stage).strip()})"
    return {name: f"{call} {over}" for kind, (name, call) in ways.items() if kind in kinds(stage)}


def holding(stage: Stage) -> list[str]:
    """Conditions under which an open or a coming row sees the row."""
    return [f"_distance <= {stage.back}", *dict.fromkeys(holds(stage, near) for near in stage.near)]


def holds(stage: Stage, near: Near) -> str:
    if near.kind == "GROUPS":
        return f"_peers <= _edge_peers + {near.back or 0}"
    if near.kind == "ROWS":
        return f"_distance <= _edge_distance + {near.back}"
    edge = "_last" if peers_alone(stage) else "_edge"
    return f"coalesce({seen(stage, near, value(stage), edge)}, FALSE)"


def seen(stage: Stage, near: Near, value: str, edge: str) -> str:
    """True where a frame at the order value `edge` reaches back to the value."""
    sign, compared = ("+", "<=") if first(stage).descending else ("-", ">=")
    return f"{value} {compared} {edge}{f' {sign} {near.back}' if near.back else ''}"
