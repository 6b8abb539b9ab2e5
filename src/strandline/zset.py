"""The reference: relational operators over Z-sets in plain Python, to be read and trusted.

A Z-set maps each row to an integer weight: +2 means two copies, -1 one copy to take away. A table
is a Z-set without negative weights; a change set is any Z-set. The definitions follow M. Budiu,
T. Chajed, F. McSherry, L. Ryzhyk and V. Tannen, *DBSP: Automatic Incremental View Maintenance for
Rich Query Languages*, PVLDB 16(7), 2023: a stream of changes is integrated into a stream of
tables, a query runs on each of them, and the results are differentiated into changes again.
`incremental` is that sentence in one line; whatever the compiler makes must agree with it.

Rows are tuples, NULL is None, columns are places (numbers from 0). Nothing here is fast, and
nothing in the product calls it; the tests hold DuckDB and the compiled plans against it.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Row = tuple[Any, ...]
ZSet = Mapping[Row, int]
Places = Sequence[int]
Predicate = Callable[[Row], bool | None]
Aggregator = Callable[[Sequence[Row]], Any]
JoinKind = Literal["inner", "left", "right", "full", "semi", "anti"]
Unit = Literal["rows", "range", "groups"]
Exclusion = Literal["no others", "current row", "group", "ties"]
Offset = int | float | dt.timedelta

NAN = math.nan  # the one NaN, so that rows holding it are equal as SQL's DISTINCT sees them


# ── Z-sets ────────────────────────────────────────────────────────────────────────────────────


def canonical(row: Iterable[Any]) -> Row:
    """The row with one NaN and no negative zero: equal for SQL means equal for Python."""
    return tuple((NAN if math.isnan(v) else v + 0.0) if isinstance(v, float) else v for v in row)


def is_nan(item: Any) -> bool:
    return isinstance(item, float) and math.isnan(item)


def zset(rows: Iterable[Iterable[Any]], weight: int = 1) -> ZSet:
    """Rows, repeated ones counted, as a Z-set."""
    return consolidate((canonical(row), weight) for row in rows)


def consolidate(pairs: Iterable[tuple[Row, int]]) -> ZSet:
    """Weights of equal rows added up; rows of weight 0 are gone."""
    total: dict[Row, int] = {}
    for row, weight in pairs:
        total[row] = total.get(row, 0) + weight
    return {row: weight for row, weight in total.items() if weight}


def add(*parts: ZSet) -> ZSet:
    """The sum; of tables: UNION ALL."""
    return consolidate(item for part in parts for item in part.items())


def negate(z: ZSet) -> ZSet:
    return {row: -weight for row, weight in z.items()}


def subtract(a: ZSet, b: ZSet) -> ZSet:
    """What has to be added to `b` to get `a`."""
    return add(a, negate(b))


def rows_of(z: ZSet) -> list[Row]:
    """The bag as a list. Raises ValueError on a negative weight: that is no table."""
    if any(weight < 0 for weight in z.values()):
        raise ValueError("a table has no negative weights")
    return [row for row, weight in z.items() for _ in range(weight)]


def integrate(changes: Iterable[ZSet]) -> Iterator[ZSet]:
    """Changes to tables: the running sum."""
    total: ZSet = {}
    for change in changes:
        total = add(total, change)
        yield total


def differentiate(tables: Iterable[ZSet]) -> Iterator[ZSet]:
    """Tables to changes: each minus the one before."""
    before: ZSet = {}
    for table in tables:
        yield subtract(table, before)
        before = table


def incremental(query: Callable[..., ZSet], *changes: Sequence[ZSet]) -> list[ZSet]:
    """The changes of a query's result, given each input's changes: D ∘ query ∘ I."""
    tables = [integrate(stream) for stream in changes]
    return list(differentiate(query(*now) for now in zip(*tables, strict=True)))


# ── linear operators: they may be applied to a change as it is ────────────────────────────────


def select(z: ZSet, keep: Predicate) -> ZSet:
    """WHERE: rows for which `keep` is true (neither false nor NULL)."""
    return {row: weight for row, weight in z.items() if keep(row) is True}


def project(z: ZSet, make: Callable[[Row], Iterable[Any]]) -> ZSet:
    """SELECT list: rows that become equal add their weights."""
    return consolidate((canonical(make(row)), weight) for row, weight in z.items())


# ── joins and sets ────────────────────────────────────────────────────────────────────────────


def join(
    left: ZSet,
    right: ZSet,
    kind: JoinKind,
    on: Callable[[Row, Row], bool | None],
    *,
    widths: tuple[int, int],
) -> ZSet:
    """A join of any kind; `widths` are the column counts, for the NULLs of unmatched rows.

    Semi and anti joins keep the left row and its weight; `on` returning None is no match.
    """
    met = [(a, b) for a in left for b in right if on(a, b) is True]
    matched_left, matched_right = {a for a, _ in met}, {b for _, b in met}
    if kind == "semi":
        return {a: w for a, w in left.items() if a in matched_left}
    if kind == "anti":
        return {a: w for a, w in left.items() if a not in matched_left}
    pairs = [(a + b, left[a] * right[b]) for a, b in met]
    if kind in {"left", "full"}:
        nulls: Row = (None,) * widths[1]
        pairs += [(a + nulls, w) for a, w in left.items() if a not in matched_left]
    if kind in {"right", "full"}:
        nulls = (None,) * widths[0]
        pairs += [(nulls + b, w) for b, w in right.items() if b not in matched_right]
    return consolidate(pairs)


def equal(a: Any, b: Any) -> bool | None:
    """SQL's `=`: unknown where either side is NULL, and NaN equals NaN."""
    if a is None or b is None:
        return None
    return bool(a == b) or (is_nan(a) and is_nan(b))


def on_equal(left: Places, right: Places) -> Callable[[Row, Row], bool | None]:
    """The join condition `left[i] = right[j] AND …`."""
    places = list(zip(left, right, strict=True))
    return lambda a, b: all(equal(a[i], b[j]) is True for i, j in places)


def distinct(z: ZSet) -> ZSet:
    """One copy of every row that is there."""
    return {row: 1 for row, weight in z.items() if weight > 0}


def except_all(a: ZSet, b: ZSet) -> ZSet:
    return {row: weight for row, weight in subtract(a, b).items() if weight > 0}


def intersect_all(a: ZSet, b: ZSet) -> ZSet:
    return {row: min(weight, b[row]) for row, weight in a.items() if row in b}


# ── aggregates ────────────────────────────────────────────────────────────────────────────────


def aggregate(z: ZSet, by: Places | None, calls: Sequence[Aggregator]) -> ZSet:
    """GROUP BY: one row per group, its key and then its aggregates.

    `by` None is the ungrouped aggregate: always one row, over nothing too. A group without rows
    is no group.
    """
    if by is None:
        return zset([tuple(call(rows_of(z)) for call in calls)])
    groups = partitions(rows_of(z), by)
    return zset((*key, *(call(rows) for call in calls)) for key, rows in groups.items())


def partitions(rows: Iterable[Row], by: Places) -> dict[Row, list[Row]]:
    """Rows by the values of some columns; NULL is a value here."""
    groups: dict[Row, list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[i] for i in by), []).append(row)
    return groups


def values(rows: Sequence[Row], place: int) -> list[Any]:
    """A column's values without its NULLs."""
    return [row[place] for row in rows if row[place] is not None]


def count_star(rows: Sequence[Row]) -> int:
    return len(rows)


def count(place: int) -> Aggregator:
    return lambda rows: len(values(rows, place))


def count_distinct(place: int) -> Aggregator:
    return lambda rows: len(set(canonical(values(rows, place))))


def total(place: int) -> Aggregator:
    """SUM: NULL over nothing; floats are summed without rounding on the way."""

    def call(rows: Sequence[Row]) -> Any:
        found = values(rows, place)
        if not found:
            return None
        return _float_sum(found) if isinstance(found[0], float) else sum(found)

    return call


def _float_sum(found: list[float]) -> float:
    """Infinities follow IEEE 754; math.fsum refuses those of both signs."""
    return math.fsum(found) if all(map(math.isfinite, found)) else float(sum(found))


def average(place: int) -> Aggregator:
    def call(rows: Sequence[Row]) -> float | None:
        found = values(rows, place)
        return None if not found else float(total(place)(rows)) / len(found)

    return call


def minimum(place: int) -> Aggregator:
    return lambda rows: min(values(rows, place), key=_comparable, default=None)


def maximum(place: int) -> Aggregator:
    return lambda rows: max(values(rows, place), key=_comparable, default=None)


def every(place: int) -> Aggregator:
    """BOOL_AND."""
    return lambda rows: None if not (found := values(rows, place)) else all(found)


def some(place: int) -> Aggregator:
    """BOOL_OR."""
    return lambda rows: None if not (found := values(rows, place)) else any(found)


def deviation(place: int, taken: int = 1, power: float = 0.5) -> Aggregator:
    """STDDEV_SAMP, of all (`taken` 0) STDDEV_POP, with `power` 1 VAR_SAMP and VAR_POP; nothing cancels."""

    def call(rows: Sequence[Row]) -> float | None:
        found = [float(v) for v in values(rows, place)]
        if len(found) <= taken:
            return None
        mean = math.fsum(found) / len(found)
        squares = math.fsum((v - mean) ** 2 for v in found)
        return float((squares / (len(found) - taken)) ** power)

    return call


# ── order ─────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Order:
    """One ORDER BY item; NULLs last unless said otherwise, NaN above all numbers."""

    place: int
    descending: bool = False
    nulls_first: bool = False


def _comparable(item: Any) -> tuple[bool, Any]:
    """A sort key in which NaN is the greatest number."""
    return (True, 0.0) if is_nan(item) else (False, item)


def ordered(rows: Iterable[Row], order: Sequence[Order]) -> list[Row]:
    """Rows in order; ties keep the order in which they came."""
    now = list(rows)
    for by in reversed(order):
        here = [row for row in now if row[by.place] is not None]
        nulls = [row for row in now if row[by.place] is None]
        here = _sorted(here, by)
        now = nulls + here if by.nulls_first else here + nulls
    return now


def _sorted(rows: list[Row], by: Order) -> list[Row]:
    return sorted(rows, key=lambda row: _comparable(row[by.place]), reverse=by.descending)


def topk(z: ZSet, by: Places, order: Sequence[Order], k: int) -> ZSet:
    """The first `k` rows of every partition, under a total order."""
    best: list[Row] = []
    for rows in partitions(rows_of(z), by).values():
        best += ordered(rows, order)[:k]
    return zset(best)


# ── windows ───────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Frame:
    """A window frame. Bounds are offsets: negative PRECEDING, 0 CURRENT ROW, positive FOLLOWING,
    None UNBOUNDED. In RANGE frames they are differences of the single order column's values."""

    unit: Unit = "range"
    start: Offset | None = None
    end: Offset | None = 0
    exclude: Exclusion = "no others"


WHOLE = Frame("rows", None, None)


@dataclass(frozen=True)
class Seat:
    """A row in its ordered partition: what a window function may look at."""

    rows: Sequence[Row]
    place: int
    group: Sequence[int]  # the number of each row's peer group, from 0
    frame: Sequence[int]  # places of the rows in the frame, in order

    def first_peer(self) -> int:
        return self.group.index(self.group[self.place])

    def framed(self) -> list[Row]:
        return [self.rows[i] for i in self.frame]


WindowFunction = Callable[[Seat], Any]


def window(
    z: ZSet,
    by: Places,
    order: Sequence[Order],
    calls: Sequence[WindowFunction],
    frame: Frame | None = None,
) -> ZSet:
    """Every row with the calls' values appended. Without a frame: SQL's default."""
    used = frame or (Frame() if order else WHOLE)
    made: list[Row] = []
    for rows in partitions(rows_of(z), by).values():
        made += _seated(ordered(rows, order), order, calls, used)
    return zset(made)


def _seated(
    rows: list[Row], order: Sequence[Order], calls: Sequence[WindowFunction], frame: Frame
) -> Iterator[Row]:
    group = _peer_groups(rows, order)
    for place, row in enumerate(rows):
        seat = Seat(rows, place, group, _in_frame(rows, place, group, order, frame))
        yield (*row, *(call(seat) for call in calls))


def _peer_groups(rows: Sequence[Row], order: Sequence[Order]) -> list[int]:
    keys = [canonical(row[by.place] for by in order) for row in rows]
    group: list[int] = []
    for place, key in enumerate(keys):
        group.append(0 if place == 0 else group[-1] + (key != keys[place - 1]))
    return group


def _in_frame(
    rows: Sequence[Row], place: int, group: Sequence[int], order: Sequence[Order], frame: Frame
) -> list[int]:
    def inside(other: int) -> bool:
        distance = _distance(rows, place, other, group, order, frame.unit)
        return distance(frame.start, after=True) and distance(frame.end, after=False)

    return [i for i in range(len(rows)) if inside(i) and not _excluded(i, place, group, frame.exclude)]


def _distance(
    rows: Sequence[Row], place: int, other: int, group: Sequence[int], order: Sequence[Order], unit: Unit
) -> Callable[..., bool]:
    """Whether the other row is on the inner side of a bound."""

    def test(bound: Offset | None, *, after: bool) -> bool:
        if bound is None:
            return True
        gap: Any = other - place if unit == "rows" else group[other] - group[place]
        if unit == "range" and bound:
            mine, theirs = rows[place][order[0].place], rows[other][order[0].place]
            if any(v is None or is_nan(v) for v in (mine, theirs)):
                return bool(gap >= 0 if after else gap <= 0)  # NULL is only near NULL
            gap = mine - theirs if order[0].descending else theirs - mine
        elif unit == "range":
            bound = 0
        return bool(gap >= bound if after else gap <= bound)

    return test


def _excluded(other: int, place: int, group: Sequence[int], exclude: Exclusion) -> bool:
    if exclude == "current row":
        return other == place
    peer = group[other] == group[place]
    return (exclude == "group" and peer) or (exclude == "ties" and peer and other != place)


def row_number(seat: Seat) -> int:
    return seat.place + 1


def rank(seat: Seat) -> int:
    return seat.first_peer() + 1


def dense_rank(seat: Seat) -> int:
    return seat.group[seat.place] + 1


def percent_rank(seat: Seat) -> float:
    return seat.first_peer() / (len(seat.rows) - 1) if len(seat.rows) > 1 else 0.0


def cume_dist(seat: Seat) -> float:
    return sum(g <= seat.group[seat.place] for g in seat.group) / len(seat.rows)


def ntile(parts: int) -> WindowFunction:
    """The number of the row's bucket; the first buckets are one row larger where it does not divide."""

    def call(seat: Seat) -> int:
        size, larger = divmod(len(seat.rows), parts)
        split = larger * (size + 1)
        if seat.place < split:
            return seat.place // (size + 1) + 1
        return larger + (seat.place - split) // size + 1

    return call


def lag(place: int, by: int = 1, default: Any = None, *, ignore_nulls: bool = False) -> WindowFunction:
    """The value `by` rows before (after, if negative) in the partition; frames do not matter."""

    def call(seat: Seat) -> Any:
        step = 1 if by < 0 else -1
        wanted = abs(by)
        if wanted == 0:
            return seat.rows[seat.place][place]
        here = seat.place + step
        while 0 <= here < len(seat.rows):
            found = seat.rows[here][place]
            wanted -= found is not None or not ignore_nulls
            if wanted == 0:
                return found
            here += step
        return default

    return call


def lead(place: int, by: int = 1, default: Any = None, *, ignore_nulls: bool = False) -> WindowFunction:
    return lag(place, -by, default, ignore_nulls=ignore_nulls)


def nth_value(place: int, n: int, *, ignore_nulls: bool = False) -> WindowFunction:
    """The n-th value of the frame (from its end, if negative); NULL where it is shorter."""

    def call(seat: Seat) -> Any:
        found = [row[place] for row in seat.framed() if row[place] is not None or not ignore_nulls]
        if len(found) < abs(n):
            return None
        return found[n - 1] if n > 0 else found[n]

    return call


def first_value(place: int, *, ignore_nulls: bool = False) -> WindowFunction:
    return nth_value(place, 1, ignore_nulls=ignore_nulls)


def last_value(place: int, *, ignore_nulls: bool = False) -> WindowFunction:
    return nth_value(place, -1, ignore_nulls=ignore_nulls)


def over(call: Aggregator) -> WindowFunction:
    """An aggregate as a window function: over the rows of the frame."""
    return lambda seat: call(seat.framed())
