"""Reference columns: a changed lookup row rewrites the stored rows that show it, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace as evolve

from strandline.compiler import relations as r
from strandline.compiler.delicate import exactly
from strandline.compiler.delta import Changed, touches
from strandline.compiler.finish import finish
from strandline.compiler.plan import Lookup, Stage
from strandline.compiler.text import Step, batch, listed, make, minus, plus, same, scratch


def lookup_steps(
    stage: Stage, changed: Changed, columns: Sequence[str], history: str, head: str
) -> list[Step]:
    """Stored rows that meet a changed lookup row, before and after, in history and head alike.

    `columns` are those of history; the head's others stay as they are.
    """
    table, cols = stage.table, listed(columns)
    every = [*columns, *sorted(stage.unread), "_back"]
    before, after = scratch(table, "shown"), scratch(table, "shown after")
    moved = (look for look in stage.lookups if touches(changed, [look.scan.table]))
    hits = " OR ".join(hit(stage, look, changed) for look in moved)
    nothing = "".join(f"NULL AS {r.quote(c)}, " for c in sorted(stage.unread))
    parts = [f"SELECT {cols}, {nothing}0 AS _back FROM {history} AS s WHERE {hits}"]
    if head:
        parts.append(f"SELECT {listed(every)} FROM {head} AS s WHERE {hits}")
    showing = evolve(stage, post=shown_outputs(stage))
    own = [c for c in every if c not in {o.name for o in showing.stored_post}]
    redone = finish(showing, f"SELECT {listed(own)} FROM {before}")
    old, new = scratch(table, "shown-"), scratch(table, "shown+")
    all_columns = f"SELECT {exactly(stage, every)} FROM"
    kept = f"SELECT {listed(every)} FROM"
    steps = [
        Step(make(before, " UNION ALL ".join(parts)), "shown"),
        Step(make(after, redone), when=("shown",)),
        Step(
            make(new, f"{kept} ({all_columns} {after} EXCEPT {all_columns} {before})"), "shown+", ("shown",)
        ),
        Step(make(old, f"{kept} ({all_columns} {before} EXCEPT {all_columns} {after})"), when=("shown",)),
    ]
    for place, where in ((history, "_back = 0"), (head, "_back > 0")):
        if place:
            steps += rewrite(stage, place, where, every if place == head else columns)
    published = f"_back <= {stage.open_to}"
    for target, rows, name in ((minus(table), old, "minus"), (plus(table), new, "plus")):
        insert = f"INSERT INTO {target} ({cols}) SELECT {cols} FROM {rows} WHERE {published}"
        steps.append(Step(insert, name, ("shown+", "shared")))
    return steps


def shown_outputs(stage: Stage) -> tuple[r.Out, ...]:
    """The stored outputs that a lookup feeds."""
    fed = {c for look in stage.lookups for c in r.columns(look.scan)}
    return tuple(o for o in stage.stored_post if r.references(o.expr) & fed)


def hit(stage: Stage, look: Lookup, changed: Changed) -> str:
    """True for stored rows whose lookup row changed."""
    right, left = own_pairs(stage, look)[0]
    name = r.quote(dict(look.scan.columns)[right])
    table = look.scan.table
    both = ((f"{table}+", plus(table)), (f"{table}-", minus(table)))
    keys = " UNION ".join(f"SELECT {name} FROM {rows}" for side, rows in both if side in changed)
    return f"s.{r.quote(left)} IN ({keys})"


def own_pairs(stage: Stage, look: Lookup) -> list[tuple[str, str]]:
    """What a lookup equates with columns of the stage itself, its own column first.

    There is none where it is found by a column of another lookup, which no stored row has.
    """
    own, stored = set(r.columns(look.scan)), set(stage.raw)
    pairs = [(a, b) if a in own else (b, a) for a, b in r.equalities(look.on)]
    return [(right, left) for right, left in pairs if right in own and left in stored]


def rewrite(stage: Stage, place: str, where: str, columns: Sequence[str]) -> list[Step]:
    """Changed rows of history or head out and in."""
    old, new = scratch(stage.table, "shown-"), scratch(stage.table, "shown+")
    matched = f"s._k = m._k AND {same(list(stage.ids), 's', 'm')}"
    names = listed(columns)
    insert = f"INSERT INTO {place} ({names}, _batch) SELECT {names}, {batch()} FROM {new} WHERE {where}"
    return [
        Step(
            f"DELETE FROM {place} AS s USING (SELECT * FROM {old} WHERE {where}) AS m WHERE {matched}",
            when=("shown+",),
        ),
        Step(insert, when=("shown+",)),
    ]
