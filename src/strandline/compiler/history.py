"""The two halves of a window stage's state, and how they are written.

*History* holds rows that no later in-order row can change; the *head* holds the last rows of each
partition, with every function's value so far.
"""

from __future__ import annotations

from strandline.compiler.delicate import exactly
from strandline.compiler.finish import drop_rows, write
from strandline.compiler.plan import Stage
from strandline.compiler.text import Step, listed, make, minus, plus, same, scratch, stored


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


def rewrite_history(stage: Stage, before: str, after: str, when: tuple[str, ...]) -> list[Step]:
    """Only rows whose values really changed are deleted and written; counts are named after `when`."""
    cols, table = listed(columns(stage)), stage.table
    old, new, stay = scratch(table, "old"), scratch(table, "new"), scratch(table, "stay")
    closed = f" WHERE _back > {stage.open_to}" if stage.open_to else ""
    now = f"SELECT {cols} FROM {after}{closed}"
    exact = exactly(stage, columns(stage))
    both = f"SELECT {exact} FROM {before} INTERSECT SELECT {exact} FROM {after}{closed}"
    equal = f"SELECT {listed([*stage.ids, '_k'])} FROM ({both}) AS b"
    unless = f"ANTI JOIN {stay} AS s ON r._k = s._k AND {same(list(stage.ids), 'r', 's')}"
    hand_on = "INSERT INTO {} ({}) SELECT {} FROM {}"
    return [
        Step(make(stay, equal), when=when),
        Step(make(new, f"SELECT r.* FROM ({now}) AS r {unless}"), f"{when[0]} new", when),
        Step(make(old, f"SELECT r.* FROM {before} AS r {unless}"), f"{when[0]} old", when),
        Step(drop_rows(history(stage), old), when=(f"{when[0]} old",)),
        Step(write(history(stage), cols, new, "TRUE"), when=(f"{when[0]} new",)),
        Step(hand_on.format(minus(table), cols, cols, old), "minus", (f"{when[0]} old", "shared")),
        Step(hand_on.format(plus(table), cols, cols, new), "plus", (f"{when[0]} new", "shared")),
    ]


def heads_again(stage: Stage, after: str, when: tuple[str, ...]) -> list[Step]:
    """The recomputed partitions' last rows become their heads (the old ones are gone already)."""
    cols, table = listed(columns(stage)), stage.table
    opened = f"SELECT {cols} FROM {after} WHERE _back <= {stage.open_to}"
    kept = listed([*head_columns(stage), "_back"])
    return [
        Step(write(head(stage), kept, after, f"_back <= {stage.held_to}"), when=when),
        Step(f"INSERT INTO {plus(table)} ({cols}) {opened}", "plus", (*when, "shared")),
    ]
