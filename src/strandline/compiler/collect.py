"""The last stage of a plan that ends in a projection, filter, join or union: its rows are just kept."""

from __future__ import annotations

from strandline.compiler import relations as r
from strandline.compiler.delta import Changed, render
from strandline.compiler.finish import consolidate
from strandline.compiler.plan import Stage
from strandline.compiler.text import Step, batch, bucket, listed, make, minus, plus, same, stored


def columns(stage: Stage) -> list[str]:
    return [*r.columns(stage.input), "_k"]


def rows(stage: Stage, part: str, changed: Changed) -> str | None:
    """One reading of the input with the bucket of each row's identity."""
    text = render(stage.input, part, changed)
    return text and f"SELECT *, {bucket(stage.ids)} AS _k FROM ({text}) AS i"


def fill(stage: Stage) -> str:
    """The stage's rows from its whole input."""
    return rows(stage, "new", frozenset()) or ""


def program(stage: Stage, changed: Changed) -> list[Step]:
    """Refresh from the input's change; what did not really change is not written."""
    cols, table = listed(columns(stage)), stage.table
    removed, added = rows(stage, "minus", changed), rows(stage, "plus", changed)
    steps = []
    if removed:
        steps.append(Step(make(minus(table), removed), "minus"))
    if added:
        steps.append(Step(make(plus(table), added), "plus"))
    matched = f"s._k = m._k AND {same(list(stage.ids), 's', 'm')}"
    gone = f"DELETE FROM {stored(table)} AS s USING {minus(table)} AS m WHERE {matched}"
    return [
        *steps,
        *(consolidate(stage, columns(stage), ("plus", "minus")) if removed and added else []),
        Step(gone, when=("minus",)),
        Step(
            f"INSERT INTO {stored(table)} ({cols}, _batch) SELECT {cols}, {batch()} FROM {plus(table)}",
            when=("plus",),
        ),
    ]
