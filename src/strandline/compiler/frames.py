"""Which window functions can be continued from carried state, and how far they look back and ahead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import replace as evolve

from sqlglot import exp

from strandline.compiler import relations as r
from strandline.compiler.accumulators import is_number, several
from strandline.compiler.text import sql
from strandline.compiler.ties import PEERS
from strandline.compiler.trees import find_all, has

LONGEST_HEAD = 1000
RUNNING: dict[type[exp.Expr], str] = {
    exp.Sum: "sum",
    exp.Count: "count",
    exp.CountIf: "count_if",
    exp.Min: "min",
    exp.Max: "max",
    exp.Avg: "avg",
    exp.LogicalAnd: "and",
    exp.LogicalOr: "or",
    exp.BitwiseAndAgg: "bit_and",
    exp.BitwiseOrAgg: "bit_or",
    exp.BitwiseXorAgg: "bit_xor",
    exp.GroupConcat: "text",
}
"""Aggregates that go on from their value so far, with their names in `carry.RUNNING`."""


@dataclass(frozen=True)
class Near:
    """What a sliding frame sees by order value (RANGE) or by peer groups (GROUPS), as SQL text.

    `back` and `ahead` are offsets, "" the current row with its peers. ROWS is a look back over
    values that such a frame has made.
    """

    kind: str
    back: str = ""
    ahead: str = ""


@dataclass(frozen=True)
class Reach:
    """How one function is continued: `running` (value so far + new rows) or re-evaluated near the end.

    `back` and `ahead` count rows; `peers` says that rows tied on the order key
    belong together, so a tie with the last row cannot be continued. What has
    `near` is evaluated again for all open rows, peers of the last one among
    them. `end` is where the frame of a running function ends.
    """

    running: str = ""
    back: int = 0
    ahead: int = 0
    peers: bool = False
    near: Near | None = None
    end: str = "CURRENT ROW"


@dataclass(frozen=True)
class Bound:
    """A frame's bound: its offset in rows (signed) or as text with a sign; unbounded without either."""

    rows: int | None
    text: str = ""
    computed: bool = False


@dataclass(frozen=True)
class Frame:
    """ROWS/RANGE/GROUPS between two bounds, without the rows that `exclude` names."""

    kind: str
    start: Bound
    end: Bound
    exclude: str = ""

    @property
    def running(self) -> bool:
        """From the partition's start."""
        return self.start == UNBOUNDED

    @property
    def computed(self) -> bool:
        return self.start.computed or self.end.computed


UNBOUNDED, CURRENT = Bound(None), Bound(0)
UP_TO_THE_ROW = Frame("ROWS", UNBOUNDED, CURRENT, "CURRENT ROW")


def frame_of(window: exp.Window, ordered: bool) -> Frame:
    """The frame as written or as the standard's default."""
    spec = window.args.get("spec")
    if spec is None:
        return Frame("RANGE", UNBOUNDED, CURRENT if ordered else UNBOUNDED)
    kind = str(spec.args.get("kind") or "RANGE").upper()
    start = bound(spec.args.get("start"), spec.args.get("start_side"), kind)
    end = bound(spec.args.get("end") or "CURRENT ROW", spec.args.get("end_side"), kind)
    exclude = str(spec.args.get("exclude") or "").upper()
    return Frame(kind, start, end, "" if exclude == "NO OTHERS" else exclude)


def bound(value: object, side: object, kind: str) -> Bound:
    """One bound of a frame; offsets of RANGE are distances between order values, not counts."""
    text = value.name if isinstance(value, exp.Literal) else str(value).upper()
    if text == "UNBOUNDED":
        return UNBOUNDED
    if text.startswith("CURRENT"):
        return CURRENT
    sign = -1 if str(side).upper() == "PRECEDING" else 1
    if kind == "RANGE" and isinstance(value, exp.Expr) and constant(value):
        return Bound(sign, sql(value))
    if kind == "RANGE" or not text.isdigit():
        return Bound(0, computed=True)
    return Bound(sign * int(text))


def constant(value: exp.Expr) -> bool:
    """A distance written out: a number, an interval, or one made of such."""
    others = (exp.Column, exp.Query, exp.Anonymous, exp.Null, exp.Neg, exp.Parameter, exp.Placeholder)
    return not has(value, *others)


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
    if has(call, exp.Order) and not among_peers(call):
        return "it has an order of its own inside its frame"
    if isinstance(call, exp.RowNumber):
        return Reach("row_number")
    if isinstance(call, (exp.Rank, exp.DenseRank)):
        if not window.order:
            return Reach()  # all rows are peers, whatever tie-breakers other functions have
        return Reach("rank" if isinstance(call, exp.Rank) else "dense_rank", peers=True)
    if isinstance(call, (exp.Lag, exp.Lead)):
        return neighbour(call, ignoring)
    if isinstance(call, (exp.Ntile, exp.PercentRank, exp.CumeDist)) or named_fill(call):
        return "it looks at the whole partition, whatever its frame"
    frame = frame_of(out.expr, bool(window.order))
    if not window.order and frame.kind != "ROWS":
        return "it looks at the whole partition (no ORDER BY)"
    if frame.computed:
        return "its frame has bounds that are not written out"
    if frame.end == UNBOUNDED:
        return "its frame reaches the end of the partition"
    if window.order and window.order[0].wraps and any(b.text[:1].isalpha() for b in (frame.start, frame.end)):
        return "its order column is a time of day for all that is known, and hours after it may be before it"
    by_rows = frame.kind == "ROWS" or (total and not frame.start.text and not frame.end.text)
    return from_the_start(call, frame, ignoring, by_rows) if frame.running else sliding(frame, by_rows)


def among_peers(call: exp.Expr) -> bool:
    """The order in its brackets is the window's, with tie-breakers."""
    return all(order.meta.get(PEERS) for order in find_all(call, exp.Order))


def named_fill(call: exp.Expr) -> bool:
    """DuckDB's fill(), which looks at the nearest values on both sides."""
    return isinstance(call, exp.Anonymous) and call.name.lower() == "fill"


def reaches(window: r.Window, total: bool) -> dict[str, Reach | str]:
    """Of every function: what looks at values that look ahead looks as much further ahead itself."""
    found: dict[str, Reach | str] = {}
    ahead: dict[str, Ahead] = {}
    for level in window.stack:
        for f in level.functions:
            how = further(reach(f, window, total), seen_ahead(f.expr, ahead))
            found[f.name] = how
            ahead[f.name] = Ahead(how.ahead, how.near is not None) if isinstance(how, Reach) else Ahead()
        ahead |= {o.name: seen_ahead(o.expr, ahead) for o in level.outs}
    return found


@dataclass(frozen=True)
class Ahead:
    """How later rows change a value: of so many rows ahead, or of those in reach by value or group."""

    rows: int = 0
    near: bool = False


def seeded(known: Mapping[str, Reach | str]) -> frozenset[str]:
    """Of `reaches`, the functions that go on from their value so far."""
    return frozenset(name for name, how in known.items() if isinstance(how, Reach) and how.running)


def seen_ahead(expr: exp.Expr, ahead: Mapping[str, Ahead]) -> Ahead:
    seen = [ahead.get(c, Ahead()) for c in r.references(expr)]
    return Ahead(max((a.rows for a in seen), default=0), any(a.near for a in seen))


def further(how: Reach | str, ahead: Ahead) -> Reach | str:
    """The reach over values that later rows change."""
    if isinstance(how, str) or ahead == Ahead():
        return how
    if how.running:
        return "it runs over values that a later row changes"
    if not ahead.near and how.near is None:
        return evolve(how, ahead=how.ahead + ahead.rows)
    if ahead.rows or how.ahead or (how.near is not None and how.near.ahead):
        return "it looks ahead at values that look ahead themselves"
    return evolve(how, near=how.near or Near("ROWS", str(how.back)))


def neighbour(call: exp.Expr, ignoring: bool) -> Reach | str:
    """lag and lead with a constant offset; lag that skips NULLs is the last value before the row."""
    n = places(call.args.get("offset"))
    if n is None:
        return "lag and lead are carried with a constant offset"
    n = n if isinstance(call, exp.Lag) else -n
    if not ignoring:
        return Reach(back=n) if n > 0 else Reach(ahead=-n)
    default = call.args.get("default")
    if n != 1 or (default is not None and r.references(default)):
        return "IGNORE NULLS is carried for the one value before, with a constant for none"
    return Reach("last_ignoring", back=2, end="1 PRECEDING")


def places(offset: exp.Expr | None) -> int | None:
    """An offset in rows, 1 if there is none; None where it is computed."""
    if offset is None:
        return 1
    sign, number = (-1, offset.this) if isinstance(offset, exp.Neg) else (1, offset)
    found = isinstance(number, exp.Literal) and number.name.isdigit()
    return sign * int(number.name) if found else None


def sliding(frame: Frame, by_rows: bool) -> Reach | str:
    """A frame between two bounds near the row: what it sees is in the head."""
    start, end = frame.start, frame.end
    if not by_rows:
        return Reach(near=Near(frame.kind, offset(start, -1), offset(end, 1)))
    if frame.exclude in ("TIES", "GROUP") and frame.kind == "ROWS":
        return "which rows its frame leaves out depends on peers"
    if start.rows is None or end.rows is None or start.rows > end.rows:
        return "its frame is empty"
    return Reach(back=max(0, -start.rows), ahead=max(0, end.rows))


def offset(bound: Bound, sign: int) -> str:
    """How far a bound lies on that side of the current row; "" where it does not."""
    away = bound.rows is not None and bound.rows * sign > 0
    return (bound.text or str(abs(bound.rows or 0))) if away else ""


def from_the_start(call: exp.Expr, frame: Frame, ignoring: bool, by_rows: bool) -> Reach | str:
    """Aggregates and first/last/nth value from the partition's start."""
    if frame == UP_TO_THE_ROW:
        frame = Frame("ROWS", UNBOUNDED, Bound(-1))
    if frame.exclude or has(call, exp.Distinct):
        return "its frame or arguments have no bounded carried state"
    if has(call, exp.Order) and (ignoring or not isinstance(call, exp.LastValue)):
        return "it picks among peers, which order of rows alone tells apart"
    how = running(call, ignoring, not by_rows)
    if frame.end == CURRENT or isinstance(how, str):
        return how
    if how.running in ("nth", "first"):
        return "first and nth values are carried up to the current row"
    if not by_rows:
        ahead = offset(frame.end, 1)
        near = Near(frame.kind, "", ahead)
        why = "its frame starts at the beginning and ends before the current row"
        return evolve(how, peers=False, near=near, end=f"{ahead} FOLLOWING") if ahead else why
    rows = frame.end.rows or 0
    if rows > 0:
        return evolve(how, ahead=rows, end=f"{rows} FOLLOWING")
    back = -rows if how.running == "last" else 1 - rows
    return evolve(how, back=back, end=f"{-rows} PRECEDING")


def nth(call: exp.NthValue, peers: bool, ignoring: bool) -> Reach | str:
    """The n-th row of a partition: a head of n rows is all of a partition that is shorter."""
    place = call.args.get("offset")
    text = place.name if isinstance(place, exp.Literal) and place.is_int else ""
    if peers or ignoring or not text.isdigit() or int(text) < 1:
        return "nth_value is carried with a constant place in a total order, without IGNORE NULLS"
    return Reach("nth", back=int(text))


def running(call: exp.Expr, ignoring: bool, peers: bool) -> Reach | str:
    """From the partition's start to the current row."""
    if isinstance(call, exp.FirstValue):
        # the first row of all is the same one for peers
        return Reach("first_ignoring", peers=peers) if ignoring else Reach("first")
    if isinstance(call, exp.LastValue):
        return Reach("last_ignoring" if ignoring else "last", peers=peers)
    if isinstance(call, exp.NthValue):
        return nth(call, peers, ignoring)
    if type(call) not in RUNNING or several(call):
        return "this function has no running form"
    if isinstance(call, exp.Avg) and not is_number(call.this):
        return "avg over this type has no running form"
    if isinstance(call, exp.Sum) and not is_number(call.this):
        return "sum over this type has no running form"
    return Reach(RUNNING[type(call)], peers=peers)
