"""In place of the cost choice: any way to keep a model up to date, drawn anew at every refresh."""

from __future__ import annotations

import random
from collections.abc import Iterable

from strandline.engines.base import Engine
from strandline.warehouse import plain
from strandline.warehouse.costs import Choice, Way
from strandline.warehouse.definitions import ModelDefinition
from strandline.warehouse.holdings import Holdings
from strandline.warehouse.keeping import Cheapest
from strandline.warehouse.maintain import Change


def any_way(seed: int) -> Cheapest:
    """A stand-in for `keeping.cheapest` by which models go plain and back, whatever their size."""
    draw = random.Random(seed)

    def way(
        engine: Engine,
        held: Holdings,
        model: ModelDefinition,
        queries: Iterable[ModelDefinition],
        change: Change,
    ) -> Choice:
        ways: list[Way] = ["fill", "plain"] if model.plain else ["refresh", "refresh", "fill", "plain"]
        if not all(plain.allowed(m) for m in queries):
            ways.remove("plain")
        return Choice(draw.choice(ways), "drawn")

    return way
