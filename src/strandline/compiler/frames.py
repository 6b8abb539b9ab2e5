"""Which window functions can be continued from carried state, and how far they look back and ahead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import replace as evolve

from sqlglot import exp

from strandline.compiler import relations as r
from strandline.compiler.accumulators import is_number, several
from strandline.compiler.trees import has

LONGEST_HEAD = 1000
RUNNING = (exp.Sum, exp.Count, exp.Min, exp.Max, exp.LogicalAnd, exp.LogicalOr, exp.Avg)


@dataclass(frozen=True)
class Reach:
    """How one function is continued: `running` (value so far + new rows) or re-evaluated near the end.

    `back` and `ahead` count rows; `peers` says that rows tied on the order key
    belong together, so a tie with the last row cannot be continued.
    """

    running: str = ""
    back: int = 0
    ahead: int = 0
    peers: bool = False


@dataclass(frozen=True)
class Frame:
    """ROWS/RANGE/GROUPS and bounds as row offsets; None is unbounded."""

    kind: str
    start: int | None
    end: int | None
    exclude: bool = False
    computed: bool = False


def frame_of(window: exp.Window, ordered: bool) -> Frame:
    """The frame as written or as the standard's default."""
    spec = window.args.get("spec")
    if spec is None:
        return Frame("RANGE", None, 0 if ordered else None)
    start, a = bound(spec.args.get("start"), spec.args.get("start_side"))
    end, b = bound(spec.args.get("end") or "CURRENT ROW", spec.args.get("end_side"))
    kind = str(spec.args.get("kind") or "RANGE").upper()
    return Frame(kind, start, end, bool(spec.args.get("exclude")), a or b)


def bound(value: object, side: object) -> tuple[int | None, bool]:
    """(offset from the current row or None, whether it is computed)."""
    text = value.name if isinstance(value, exp.Literal) else str(value).upper()
    if text == "UNBOUNDED":
        return None, False
    if text.startswith("CURRENT"):
        return 0, False
    if not text.isdigit():
        return 0, True
    return int(text) * (-1 if str(side).upper() == "PRECEDING" else 1), False


def head_function(out: r.Out) -> tuple[exp.Expr, str, bool]:
    """The call, its FILTER condition as a node's SQL marker, and whether NULLs are ignored."""
    node, filtered, ignoring = out.expr.this, "", False
    while isinstance(node, (exp.Filter, exp.IgnoreNulls, exp.RespectNulls)):
        if isinstance(node, exp.Filter):
            filtered = "filter"
        ignoring = ignoring or isinstance(node, exp.IgnoreNulls)
        node = node.this
    return node, filtered, ignoring


def reach(out: r.Out, window: r.Window, total: bool) -> Reach | str:
    """How far a function looks, or why it cannot be carried."""
    call, _, ignoring = head_function(out)
    assert isinstance(out.expr, exp.Window)
    if not window.order and not window.ties:
        return "it looks at the whole partition (no ORDER BY)"
    if has(call, exp.Order):
        return "it has an order of its own inside its frame"
    if isinstance(call, exp.RowNumber):
        return Reach("row_number")
    if isinstance(call, (exp.Rank, exp.DenseRank)):
        if not window.order:
            return Reach()  # all rows are peers, whatever tie-breakers other functions have
        return Reach("rank" if isinstance(call, exp.Rank) else "dense_rank", peers=True)
    if isinstance(call, (exp.Lag, exp.Lead)):
        return neighbour(call, ignoring)
    frame = frame_of(out.expr, bool(window.order))
    if not window.order and frame.kind != "ROWS":
        return "it looks at the whole partition (no ORDER BY)"
    if frame.exclude or frame.computed or has(call, exp.Distinct):
        return "its frame or arguments have no bounded carried state"
    if frame.kind == "RANGE" and total and frame.end == 0 and frame.start in (None, 0):
        frame = Frame("ROWS", frame.start, 0)
    return framed(call, frame, ignoring)


def reaches(window: r.Window, total: bool) -> dict[str, Reach | str]:
    """Of every function: what looks at values that look ahead looks as much further ahead itself."""
    found: dict[str, Reach | str] = {}
    ahead: dict[str, int] = {}
    for level in window.stack:
        for f in level.functions:
            how = further(reach(f, window, total), seen_ahead(f.expr, ahead))
            found[f.name] = how
            ahead[f.name] = how.ahead if isinstance(how, Reach) else 0
        ahead |= {o.name: seen_ahead(o.expr, ahead) for o in level.outs}
    return found


def seeded(known: Mapping[str, Reach | str]) -> frozenset[str]:
    """Of `reaches`, the functions that go on from their value so far."""
    return frozenset(name for name, how in known.items() if isinstance(how, Reach) and how.running)


def seen_ahead(expr: exp.Expr, ahead: dict[str, int]) -> int:
    return max((ahead.get(c, 0) for c in r.references(expr)), default=0)


def further(how: Reach | str, ahead: int) -> Reach | str:
    """The reach over values that themselves look `ahead` rows ahead."""
    if isinstance(how, str) or not ahead:
        return how
    if how.running:
        return "it runs over values that a later row changes"
    return evolve(how, ahead=how.ahead + ahead)


def neighbour(call: exp.Expr, ignoring: bool) -> Reach | str:
    """lag and lead with a constant offset."""
    offset = call.args.get("offset")
    text = offset.name if isinstance(offset, exp.Literal) else "1" if offset is None else ""
    if ignoring or not text.isdigit():
        return "lag and lead are carried with a constant offset, without IGNORE NULLS"
    n = int(text)
    return Reach(back=n) if isinstance(call, exp.Lag) else Reach(ahead=n)


def framed(call: exp.Expr, frame: Frame, ignoring: bool) -> Reach | str:
    """Aggregates and first/last/nth value over a frame."""
    if frame.end is None:
        return "its frame reaches the end of the partition"
    peers = frame.kind == "RANGE"
    if frame.kind not in ("ROWS", "RANGE") or (peers and (frame.start is not None or frame.end != 0)):
        return f"{frame.kind} frames with offsets are evaluated over the whole partition"
    if frame.start is not None:
        if frame.start > frame.end:
            return "its frame is empty"
        back, ahead = max(0, -frame.start), max(0, frame.end)
        return Reach(back=back, ahead=ahead)
    if frame.end != 0:
        return "its frame starts at the beginning and does not end at the current row"
    if isinstance(call, exp.FirstValue):
        return Reach("first_ignoring" if ignoring else "first", peers=peers)
    if isinstance(call, exp.LastValue):
        return Reach("last_ignoring" if ignoring else "last", peers=peers)
    if isinstance(call, exp.NthValue):
        return nth(call, peers, ignoring)
    return running(call, peers)


def nth(call: exp.NthValue, peers: bool, ignoring: bool) -> Reach | str:
    """The n-th row of a partition: a head of n rows is all of a partition that is shorter."""
    place = call.args.get("offset")
    text = place.name if isinstance(place, exp.Literal) and place.is_int else ""
    if peers or ignoring or not text.isdigit() or int(text) < 1:
        return "nth_value is carried with a constant place in a total order, without IGNORE NULLS"
    return Reach("nth", back=int(text))


def running(call: exp.Expr, peers: bool) -> Reach | str:
    """Aggregates from the partition's start to the current row."""
    if not isinstance(call, RUNNING) or several(call):
        return "this function has no running form"
    if isinstance(call, exp.Avg) and not is_number(call.this):
        return "avg over this type has no running form"
    if isinstance(call, exp.Sum) and not is_number(call.this):
        return "sum over this type has no running form"
    names = {exp.Sum: "sum", exp.Count: "count", exp.Min: "min", exp.Max: "max", exp.Avg: "avg"}
    names |= {exp.LogicalAnd: "and", exp.LogicalOr: "or"}
    return Reach(names[type(call)], peers=peers)
