"""The cost choice: refresh a model from the change, fill it anew, or keep it plain.

All are estimated from what they took before. Filling costs what it took lately, in
proportion to the rows there are now; so does making a plain model's table, which is the
query and nothing beside it. A refresh costs what one of about this size took; refreshes
with removed rows are counted apart, since they recompute where others carry on. Models
above count on every side: once a model is filled anew they have no change to start from.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from strandline.compiler.text import stored
from strandline.record import insertion, query

if TYPE_CHECKING:
    from strandline.engines.base import Engine
    from strandline.warehouse.definitions import ModelDefinition
    from strandline.warehouse.maintain import Change

SMALL = 1_000
"""A model over fewer rows than this is always refreshed: it is being tried out, and shows how it is kept."""
SHARE_UNSEEN = 0.25
"""The share of changed rows from which on filling is taken to be cheaper, before any refresh was seen."""
MARGIN = 1.1
"""Filling has to be that much cheaper: it leaves nothing for later batches to learn from."""
PAYS_WITHIN = 10
"""State is built again for a plain model where that many refreshes save what building it costs."""
BARE = 0.6
"""The plain table's share of the time that filling takes, before it was seen."""
ONCE = 0.5
"""Of what something took the only time it was seen: its statements were new to the engine."""
BARE_ONCE = 0.6
"""The same of the plain table, which is one statement."""
NEWNESS = 0.03
"""Seconds that being new adds to a fill at most: its rows take as long the first time."""
FADING = 0.99
"""With every fill that much less is believed of refreshes: things change, and are tried again."""
LEAST = 0.003
"""Seconds that a stage's refresh takes at least."""
NO_TIME = 1e-6
LEAST_POWER = 0.3
"""Ten times the rows take at least twice the time, however little more the last ten times took."""
REMEMBERED = 3

Way = Literal["refresh", "fill", "plain"]


@dataclass(frozen=True)
class Choice:
    """How to bring a model up to date, and why where that is not by its change."""

    way: Way
    why: str = ""


@dataclass(frozen=True)
class Fill:
    """A model filled: all its state, or `plain` just its table; `created` by a definition, not a refresh."""

    model: str
    rows: int
    seconds: float
    created: bool = False
    plain: bool = False


@dataclass
class Took:
    """What something took the last few times: (rows, seconds)."""

    once: float = ONCE
    newness: float = math.inf
    """Seconds that the first time is believed to have been slower by, at most."""
    seen: deque[tuple[int, float]] = field(default_factory=lambda: deque(maxlen=REMEMBERED))

    def add(self, rows: int, seconds: float) -> None:
        self.seen.append((max(1, rows), seconds))

    def best(self) -> tuple[int, float]:
        """The quickest for its size: whatever else the machine did made the others slower."""
        rows, seconds = min(self.seen, key=lambda run: run[1] / run[0])
        new = min(seconds * (1 - self.once), self.newness) if len(self.seen) == 1 else 0
        return rows, seconds - new


@dataclass
class Known:
    """Of one model: rows of its inputs, and what fills and refreshes took; `plain` where it is kept so."""

    rows: int
    plain: bool = False
    stages: int = 1
    query: bool = True
    """False for a Python function, which has no state to do without."""
    fills: int = 0
    """Fills in a row, with no refresh between."""
    filled: Took = field(default_factory=lambda: Took(ONCE, NEWNESS))
    bare: Took = field(default_factory=lambda: Took(BARE_ONCE, NEWNESS))
    runs: dict[tuple[bool, int], Took] = field(default_factory=dict)

    def ran(self, rows: int, removing: bool, seconds: float) -> None:
        """Learn from a refresh."""
        size = round(math.log(max(1, rows), 4))
        self.runs.setdefault((removing, size), Took()).add(rows, seconds)
        self.fills = 0

    def made(self, rows: int, seconds: float, *, plain: bool) -> None:
        """Learn from a fill."""
        (self.bare if plain else self.filled).add(rows, seconds)
        self.fills += 1

    def filling(self) -> float:
        """Seconds that filling all state would take."""
        if not self.filled.seen:
            return math.inf
        rows, seconds = self.filled.best()
        return seconds * max(1, self.rows) / rows

    def plainly(self) -> float:
        """Seconds that the plain table would take."""
        if not self.bare.seen:
            return self.filling() * (BARE if self.query else 1)
        rows, seconds = self.bare.best()
        return seconds * max(1, self.rows) / rows

    def refreshing(self, rows: int, removing: bool) -> float:
        """Seconds that a refresh from so many changed rows would take: between those of about that size."""
        unseen = self.filling() * rows / max(1, self.rows) / SHARE_UNSEEN
        points = sorted(took.best() for (same, _), took in self.runs.items() if same == removing)
        if not points:
            return max(unseen, LEAST * self.stages)
        return between(points, rows, unseen, LEAST * self.stages) * FADING**self.fills


def between(points: Sequence[tuple[int, float]], rows: int, unseen: float, least: float) -> float:
    """Seconds for so many rows, by what was seen of fewer and of more.

    Far below all that was seen, rows alone decide, so that such a refresh is tried. Far above it, a single
    size says nothing, and two say how much more it becomes: the geometric mean of a straight line, which
    makes much of chance in small runs, and a power of the rows, which knows nothing of what each refresh
    costs however small.
    """
    below = [p for p in points if p[0] <= rows]
    above = [p for p in points if p[0] >= rows]
    if not below:
        near, took = above[0]
        return took if near <= 4 * rows else max(least, took * rows / near)
    near, took = below[-1]
    if above:
        far, longer = above[0]
        return took + (longer - took) * (rows - near) / max(1, far - near)
    if len(below) == 1:
        return max(unseen, took) if rows > 4 * near else took
    fewer, less = below[-2]
    more = max(NO_TIME, took - less)
    straight = took + more * (rows - near) / (near - fewer)
    power = math.log(1 + more / max(less, NO_TIME)) / math.log(near / fewer)
    bent: float = took * (rows / near) ** min(1.0, max(LEAST_POWER, power))
    return math.sqrt(straight * bent)


class Costs:
    """What is known of each model, by name; read from the record when first asked for."""

    def __init__(self) -> None:
        self._known: dict[str, Known] = {}
        self._sizes: dict[str, int] = {}

    def of(self, engine: Engine, model: ModelDefinition, stages: int = 1) -> Known:
        """A model's costs so far, with the rows there are now."""
        key = model.name.lower()
        if key not in self._known:
            self._known[key] = recorded(engine, model, stages)
        known = self._known[key]
        known.rows, known.plain = self.rows(engine, model), bool(model.plain)
        return known

    def rows(self, engine: Engine, model: ModelDefinition) -> int:
        """Rows of what a model reads, its own stages left out."""
        return sum(self.size(engine, table) for table in outer_inputs(model))

    def size(self, engine: Engine, table: str) -> int:
        """Rows of a stored table."""
        if table not in self._sizes:
            self._sizes[table] = engine.execute(f"SELECT count(*) FROM {stored(table)}")
        return self._sizes[table]

    def follow(self, change: Change, tables: Iterable[str]) -> None:
        """These tables' rows, from what was done to them."""
        for table in tables:
            if table in change.rebuilt:
                self._sizes.pop(table, None)
                if table in change.written:
                    self._sizes[table] = change.written[table]
            elif table in self._sizes:
                self._sizes[table] += change.came.get(table, 0) - change.went.get(table, 0)

    def forget(self, name: str) -> None:
        self._known.pop(name.lower(), None)
        self._sizes.clear()


def outer_inputs(model: ModelDefinition) -> list[str]:
    """The stored tables a model reads that are not its own stages."""
    return [t for t in model.inputs if not t.startswith(f"state/{model.name.lower()}.")]


def recorded(engine: Engine, model: ModelDefinition, stages: int) -> Known:
    """What the record knows of a model."""
    known = Known(0, bool(model.plain), stages, query=model.function is None)
    for changed, removing, seconds in reversed(engine.rows(query("refreshes_of_model"), [model.name] * 2)):
        known.ran(changed, removing, seconds)
    for plain, rows, seconds in reversed(engine.rows(query("last_fills"), [model.name])):
        known.made(rows, seconds, plain=plain)
    known.fills = engine.execute(query("fills_in_a_row"), [model.name] * 2)
    return known


def note(engine: Engine, fills: Sequence[Fill]) -> None:
    """Write down what fills took."""
    for text, values in noted(fills):
        engine.execute(text, values)


def noted(fills: Sequence[Fill]) -> list[tuple[str, list[object]]]:
    """The statement that writes down what fills took, with its values; none where there are none."""
    values: list[object] = [v for f in fills for v in (f.model, f.created, f.rows, f.seconds, f.plain)]
    return [(insertion("put_fill", len(fills)), values)] if fills else []


def choose(
    first: Known,
    above: Sequence[Known],
    rows: int,
    removing: bool,
    *,
    may_be_plain: bool = True,
    below: Sequence[Known] = (),
) -> Choice:
    """The cheapest way to bring a model up to date, and those above it with it.

    `rows` changed rows are of the first model's inputs; those above are taken to change as much of
    theirs. `below` are plain models whose state would have to be built too.
    """
    if rows == 0:
        return Choice("plain" if first.plain else "refresh")
    if first.rows < SMALL:
        few = f"it reads just {first.rows:,} rows by now: its state was built again"
        return Choice("fill", few) if first.plain else Choice("refresh")
    later = [(k, k.refreshing(max(1, round(rows / first.rows * k.rows)), removing)) for k in above]
    refreshing = first.refreshing(rows, removing)
    refreshing += sum(min(r, k.plainly()) if k.plain else r for k, r in later)
    chain = [first, *above]
    plainly = sum(k.plainly() for k in chain)
    if first.plain:
        built = [first, *(k for k, r in later if r < k.plainly()), *below]
        return stay_plain(first, rows, plainly, refreshing, sum(k.filling() for k in built))
    filling = sum(k.filling() for k in chain)
    fill = filling * MARGIN < refreshing
    again = all(k.fills or k.plain or not k.query for k in chain)
    if may_be_plain and plainly * MARGIN < refreshing and (again or not fill):
        return Choice("plain", kept_plain(first, rows, plainly, refreshing))
    if fill:
        told = f"{rows:,} of {first.rows:,} rows changed: filling anew is cheaper"
        return Choice("fill", f"{told} ({expected(filling, refreshing)})")
    return Choice("refresh")


def stay_plain(first: Known, rows: int, plainly: float, refreshing: float, building: float) -> Choice:
    """Whether what refreshes would save pays for building the state within some of them."""
    if (plainly - refreshing) * PAYS_WITHIN > building:
        told = f"refreshing {rows:,} changed rows is cheaper by now ({expected(refreshing, plainly)})"
        return Choice("fill", f"{told}: its state was built again")
    return Choice("plain", kept_plain(first, rows, plainly, refreshing))


def kept_plain(first: Known, rows: int, plainly: float, refreshing: float) -> str:
    told = f"kept plain for now: the query over {first.rows:,} rows costs less than refreshing {rows:,}"
    return f"{told} changed ones ({expected(plainly, refreshing)})"


def expected(less: float, more: float) -> str:
    return f"{less * 1000:.0f} ms against {more * 1000:.0f} ms expected"
