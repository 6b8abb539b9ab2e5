"""Reference columns: a changed lookup row rewrites the stored rows that show it, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

from strandline.compiler import relations as r
from strandline.compiler.delicate import exactly
from strandline.compiler.delta import Changed, touches
from strandline.compiler.finish import finish
from strandline.compiler.plan import Lookup, Stage
from strandline.compiler.text import Step, batch, listed, make, minus, plus, same, scratch


def lookup_steps(
    stage: Stage, changed: Changed, columns: Sequence[str], history: str, head: str
) -> list[Step]:
    """Stored rows that meet a changed lookup row, before and after, in history and head alike."""
    table, cols = stage.table, listed(columns)
    before, after = scratch(table, "shown"), scratch(table, "shown after")
    moved = (look for look in stage.lookups if touches(changed, [look.scan.table]))
    hits = " OR ".join(hit(look, changed) for look in moved)
    parts = [f"SELECT {cols}, 0 AS _back FROM {history} AS s WHERE {hits}"]
    if head:
        parts.append(f"SELECT {cols}, _back FROM {head} AS s WHERE {hits}")
    own = [c for c in columns if c not in {o.name for o in stage.stored_post}]
    redone = finish(stage, f"SELECT {listed(own)}, _back FROM {before}")
    old, new = scratch(table, "shown-"), scratch(table, "shown+")
    all_columns = f"SELECT {exactly(stage, [*columns, '_back'])} FROM"
    kept = f"SELECT {cols}, _back FROM"
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
            steps += rewrite(stage, place, where, cols, place == head)
    published = f"_back <= {stage.open}"
    for target, rows, name in ((minus(table), old, "minus"), (plus(table), new, "plus")):
        insert = f"INSERT INTO {target} ({cols}) SELECT {cols} FROM {rows} WHERE {published}"
        steps.append(Step(insert, name, ("shown+", "shared")))
    return steps


def hit(look: Lookup, changed: Changed) -> str:
    """True for stored rows whose lookup row changed."""
    own = set(r.columns(look.scan))
    pairs = [(a, b) if a in own else (b, a) for a, b in r.equalities(look.on) if (a in own) != (b in own)]
    right, left = pairs[0]
    name = r.quote(dict(look.scan.columns)[right])
    table = look.scan.table
    both = ((f"{table}+", plus(table)), (f"{table}-", minus(table)))
    keys = " UNION ".join(f"SELECT {name} FROM {rows}" for side, rows in both if side in changed)
    return f"s.{r.quote(left)} IN ({keys})"


def rewrite(stage: Stage, place: str, where: str, cols: str, is_head: bool) -> list[Step]:
    """Changed rows of history or head out and in."""
    old, new = scratch(stage.table, "shown-"), scratch(stage.table, "shown+")
    matched = f"s._k = m._k AND {same(list(stage.ids), 's', 'm')}"
    names = f"{cols}, _back" if is_head else cols
    insert = f"INSERT INTO {place} ({names}, _batch) SELECT {names}, {batch()} FROM {new} WHERE {where}"
    return [
        Step(
            f"DELETE FROM {place} AS s USING (SELECT * FROM {old} WHERE {where}) AS m WHERE {matched}",
            when=("shown+",),
        ),
        Step(insert, when=("shown+",)),
    ]
