"""The two halves of a window stage's state, and how they are written.

*History* holds rows that no later in-order row can change; the *head* holds the last rows of each
partition, with every function's value so far.
"""

from __future__ import annotations

from strandline.compiler.delicate import identical
from strandline.compiler.finish import drop_rows, write
from strandline.compiler.plan import Stage
from strandline.compiler.text import Step, from_rows, listed, minus, plus, stored


def columns(stage: Stage) -> list[str]:
    """Stored columns of history, without the batch."""
    return [c for c in head_columns(stage) if c not in stage.unread]


def head_columns(stage: Stage) -> list[str]:
    """Stored columns of the head, without the batch and the distance from the end."""
    return [*stage.raw, *(o.name for o in stage.stored_post), "_k"]


def history(stage: Stage) -> str:
    """Rows that stay as they are; all rows where there is no head."""
    return stored(f"{stage.table}.history") if stage.back else stored(stage.table)


def head(stage: Stage) -> str:
    """The last rows of each partition."""
    return stored(f"{stage.table}.head")


def rewrite(stage: Stage, before: str, after: str, when: str, moved: str = "") -> list[Step]:
    """Only rows whose values really changed are deleted and written, and handed on; heads are written again.

    `before` has the places of the stored rows; of `after` the `moved` rows can differ from them. The old
    heads are gone already.
    """
    cols, table, place = listed(columns(stage)), stage.table, history(stage)
    closed = f" WHERE _back > {stage.open_to}" if stage.open_to else ""
    now = f"(SELECT {cols} FROM {moved or after}{closed})"
    equal = f"ON {identical(stage, columns(stage), 'r', 's')}"
    old, new = (
        f"SELECT r.* FROM {rows} AS r ANTI JOIN {others} AS s {equal}"
        for rows, others in ((before, now), (now, before))
    )
    opened = f" UNION ALL SELECT {cols} FROM {after} WHERE _back <= {stage.open_to}" if stage.open_to else ""
    last = [write(head(stage), listed([*head_columns(stage), "_back"]), after, f"_back <= {stage.held_to}")]
    heads = last if stage.back else []
    gone = f"INSERT INTO {minus(table)} ({cols}) SELECT {cols} FROM o"
    come = f"INSERT INTO {plus(table)} ({cols}) SELECT {cols} FROM n{opened}"
    return [
        Step(from_rows("o", old, gone, drop_rows(place, "o")), "minus", (when, "shared")),
        Step(from_rows("n", new, come, write(place, cols, "n"), *heads), "plus", (when, "shared")),
        Step(drop_rows(place, f"({old}) AS o"), when=(when, "alone")),
        Step(from_rows("n", new, write(place, cols, "n"), *heads), f"{when} new", (when, "alone")),
    ]
