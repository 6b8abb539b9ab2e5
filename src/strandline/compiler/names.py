"""Unique column names for one compilation, and the reserved names of stored tables."""

from __future__ import annotations

import re

K = "_k"
"""Bucket: the hash of a stage's key columns; every change of a stage's table goes by buckets."""
BATCH = "_batch"
RID = "_rid"
HIDDEN = frozenset({K, BATCH, RID, "_h", "_file", "_line", "_op", "_seq", "_row", "_order"})


class Names:
    """Hands out column names that are unique in one query, close to what the user wrote."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def fresh(self, wish: str) -> str:
        base = re.sub(r"\W+", "_", wish.lower()).strip("_") or "col"
        base = "row_id" if base == "rowid" else base  # a column of that name hides the engine's own
        name, n = base, 1
        while name in self._taken:
            n += 1
            name = f"{base}_{n}"
        self._taken.add(name)
        return name


def source_table(name: str) -> str:
    """The stored table of a source table."""
    return f"data/{name.lower()}"


def stage_table(model: str, number: int) -> str:
    """The stored table of a model's n-th stage."""
    return f"state/{model.lower()}.{number}"
