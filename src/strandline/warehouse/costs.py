"""The cost choice: refresh a model from the change, or fill it anew.

Both are estimated from what they took before. Filling costs what the last fill
took, in proportion to the rows there are now. A refresh costs what one of
about this size took; refreshes with removed rows are counted apart, since they
recompute where others carry on. A model that others read decides for them too:
once it is filled anew they have no change to start from.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from strandline.compiler.text import stored
from strandline.record import query

if TYPE_CHECKING:
    from strandline.engines.base import Engine
    from strandline.warehouse.definitions import ModelDefinition

SMALL = 5_000
"""A model over fewer rows than this is always refreshed: either way takes no time."""
SHARE_UNSEEN = 0.25
"""The share of changed rows from which on filling is taken to be cheaper, before any refresh was seen."""
MARGIN = 1.1
"""Filling has to be that much cheaper: it leaves nothing for later batches to learn from."""
REMEMBERED = 8


@dataclass
class Known:
    """Of one model: rows of its inputs now and when it was filled, seconds of that, past refreshes."""

    rows: int
    filled_rows: int
    filled_seconds: float
    runs: dict[bool, deque[tuple[int, float]]] = field(default_factory=dict)

    def ran(self, rows: int, removing: bool, seconds: float) -> None:
        """Learn from a refresh."""
        self.runs.setdefault(removing, deque(maxlen=REMEMBERED)).append((max(1, rows), seconds))

    def filling(self) -> float:
        """Seconds that filling would take."""
        return self.filled_seconds * max(1, self.rows) / max(1, self.filled_rows)

    def refreshing(self, rows: int, removing: bool) -> float:
        """Seconds that a refresh from so many changed rows would take.

        The past run nearest in size tells, a fixed part that every run has set apart.
        """
        runs = self.runs.get(removing)
        unseen = self.filling() * rows / max(1, self.rows) / SHARE_UNSEEN
        if not runs:
            return unseen
        fixed = min(seconds for _, seconds in runs)
        near, took = min(runs, key=lambda run: (abs(math.log(run[0] / max(1, rows))), run[1]))
        if rows > 4 * near:  # beyond what was seen
            return max(unseen, fixed + (took - fixed) * rows / near)
        return fixed + (took - fixed) * rows / near

    def refilled(self, seconds: float) -> None:
        """Learn from a fill. Refreshes not tried for long lose their record, and are tried again."""
        self.filled_rows, self.filled_seconds = self.rows, seconds
        for runs in self.runs.values():
            if runs:
                runs.popleft()


class Costs:
    """What is known of each model, by name; read from the record when first asked for."""

    def __init__(self) -> None:
        self._known: dict[str, Known] = {}

    def of(self, engine: Engine, model: ModelDefinition) -> Known:
        """A model's costs so far."""
        key = model.name.lower()
        if key not in self._known:
            self._known[key] = recorded(engine, model)
        return self._known[key]

    def moved(self, engine: Engine, model: ModelDefinition, rows: int) -> Known:
        """A model's costs, its inputs having grown by so many rows."""
        known = self._known.get(model.name.lower())
        if known is None:  # counted now, with those rows
            return self.of(engine, model)
        known.rows += rows
        return known

    def forget(self, name: str) -> None:
        self._known.pop(name.lower(), None)


def recorded(engine: Engine, model: ModelDefinition) -> Known:
    """What the record knows of a model."""
    now = input_rows(engine, model.inputs)
    fills = engine.rows(query("last_fill"), [model.name])
    rows, seconds = fills[0] if fills else (now, math.inf)
    known = Known(now, rows, seconds)
    for changed, removing, took in reversed(engine.rows(query("refreshes_of_model"), [model.name] * 2)):
        known.ran(changed, removing, took)
    return known


def input_rows(engine: Engine, inputs: Iterable[str]) -> int:
    return sum(engine.execute(f"SELECT count(*) FROM {stored(table)}") for table in inputs)


def note_fill(engine: Engine, model: ModelDefinition, seconds: float, *, created: bool) -> None:
    """Write down what a fill took."""
    rows = input_rows(engine, model.inputs)
    engine.execute(query("put_fill"), [model.name, created, rows, seconds])


def cheaper_anew(chain: Sequence[Known], rows: int, removing: bool) -> str:
    """Why filling a model, and those above it, beats refreshing them; "" where it does not.

    `rows` changed rows are of the first model's inputs; those above are taken to change as much of theirs.
    """
    first = chain[0]
    if first.rows < SMALL or rows == 0:
        return ""
    share = rows / first.rows
    filling = sum(k.filling() for k in chain)
    refreshing = sum(k.refreshing(max(1, round(share * k.rows)), removing) for k in chain)
    if not filling * MARGIN < refreshing:
        return ""
    milliseconds = f"{filling * 1000:.0f} ms against {refreshing * 1000:.0f} ms"
    return f"{rows:,} of {first.rows:,} rows changed: filling anew is cheaper ({milliseconds} expected)"
