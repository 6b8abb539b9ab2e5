"""A source table's columns added, renamed, dropped or given another type, and the models that follow.

Models whose query still says the same are left as they are. The others, and what reads them, are
made anew in the same commit. One that is no longer a query refuses the change as a whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace as evolve

from strandline.compiler import Plan
from strandline.compiler.relations import quote
from strandline.compiler.text import listed, stored
from strandline.engines.base import Engine
from strandline.errors import EngineError, SchemaError, StrandlineError, UnknownNameError, nearest
from strandline.record import query
from strandline.schema import Column
from strandline.warehouse import definitions, intake, keeping, remaking
from strandline.warehouse.definitions import ModelDefinition, TableDefinition
from strandline.warehouse.holdings import Holdings
from strandline.warehouse.remaking import Queries


@dataclass(frozen=True)
class Reshape:
    """What is to happen to a table; `retyped` is the column whose type changes, "" for none."""

    old: TableDefinition
    new: TableDefinition
    statements: tuple[str, ...]
    doing: str
    retyped: str = ""

    @property
    def adds(self) -> bool:
        """Whether all that was there stays as it is."""
        return self.new.columns[: len(self.old.columns)] == self.old.columns


# ── the four changes ──────────────────────────────────────────────────────────────────────────


def adding(engine: Engine, old: TableDefinition, columns: Sequence[Column], *, found: bool) -> Reshape:
    """Columns at the end, NULL in the rows there are; `found` in a file, declared by nobody."""
    kinds = tuple((c.name, intake.type_of(engine, c)) for c in columns)
    added = definitions.checked_columns(old.name, kinds)
    pairs = definitions.checked_columns(old.name, (*old.columns, *added))
    alter = tuple(f"{altered(old)} ADD COLUMN {quote(n)} {t}" for n, t in added)
    known = (*(old.found or ()), *(n for n, _ in added)) if found else old.found
    return Reshape(old, evolve(old, columns=pairs, found=known), alter, f"adding columns to {old.name}")


def dropping(old: TableDefinition, names: Sequence[str]) -> Reshape:
    """Columns with their values; a key column stays."""
    gone = [spelled(old, n) for n in names]
    for name in gone:
        refuse_key(old, name, "dropped")
    pairs = tuple(c for c in old.columns if c[0] not in gone)
    definitions.checked_columns(old.name, pairs)
    alter = tuple(f"{altered(old)} DROP COLUMN {quote(n)}" for n in gone)
    return Reshape(old, evolve(old, columns=pairs), alter, f"dropping {', '.join(gone)} of {old.name}")


def renaming(old: TableDefinition, name: str, to: str) -> Reshape:
    """One column under another name; a key column too."""
    known = spelled(old, name)
    pairs = tuple((to if n == known else n, t) for n, t in old.columns)
    definitions.checked_columns(old.name, pairs)
    key = tuple(to if k == known else k for k in old.key)
    alter = (f"{altered(old)} RENAME COLUMN {quote(known)} TO {quote(to)}",)
    return Reshape(old, evolve(old, columns=pairs, key=key), alter, f"renaming {known} of {old.name}")


def retyping(engine: Engine, old: TableDefinition, name: str, kind: str) -> Reshape:
    """One column's values cast to another type. Raises SchemaError where one does not fit."""
    known = spelled(old, name)
    to = intake.type_of(engine, Column(known, kind))
    pairs = tuple((n, to if n == known else t) for n, t in old.columns)
    new = definitions.checked_columns(old.name, pairs)
    cast = f"TRY_CAST({quote(known)} AS {to})"
    rows = f"SELECT {quote(known)}::VARCHAR FROM {stored(old.stored)}"
    misfit = engine.rows(f"{rows} WHERE {quote(known)} IS NOT NULL AND {cast} IS NULL LIMIT 1")
    if misfit:
        raise SchemaError(
            f"column {known!r}: {misfit[0][0]!r} is not a {to}",
            where=f"table {old.name}",
            hint="correct or delete those rows first; nothing was changed.",
        )
    if known in old.key:
        refuse_merged_keys(engine, old, {known: cast})
    # TRY_CAST: the engine converts rows too that are deleted and not yet cleared away
    alter = (f"{altered(old)} ALTER COLUMN {quote(known)} SET DATA TYPE {to} USING {cast}",)
    return Reshape(old, evolve(old, columns=new), alter, f"changing the type of {known} of {old.name}", known)


def altered(table: TableDefinition) -> str:
    return f"ALTER TABLE {stored(table.stored)}"


def spelled(table: TableDefinition, name: str) -> str:
    """A column as the table spells it. Raises UnknownNameError."""
    known = next((n for n in table.names if n.lower() == name.lower()), None)
    if known is None:
        where = f"table {table.name}"
        raise UnknownNameError(f"there is no column {name!r}", where=where, hint=nearest(name, table.names))
    return known


def refuse_key(table: TableDefinition, name: str, what: str) -> None:
    if name in table.key:
        raise SchemaError(
            f"key column {name!r} cannot be {what}",
            where=f"table {table.name}",
            hint="make a table with another key and apply the rows to that.",
        )


def refuse_merged_keys(engine: Engine, table: TableDefinition, casts: dict[str, str]) -> None:
    """Raises SchemaError where two rows would have the same key."""
    key = ", ".join(casts.get(k) or quote(k) for k in table.key)
    twice = f"SELECT count(*) FROM (SELECT 1 FROM {stored(table.stored)} GROUP BY {key} HAVING count(*) > 1)"
    if engine.execute(twice):
        raise SchemaError(
            f"rows that differ in {listed(table.key)} would have the same key",
            where=f"table {table.name}",
            hint="keep the column's type; nothing was changed.",
        )


# ── the models that follow ────────────────────────────────────────────────────────────────────


def carry_out(engine: Engine, held: Holdings, change: Reshape, queries: Queries) -> None:
    """Change the table and the models over it; runs inside a transaction. Raises SchemaError."""
    above = held.above(change.old.name)
    before = {name: keeping.text_of(held, name) for name in above}
    held.tables[change.old.name.lower()] = change.new
    broken, differing = compiled_anew(held, above, before, queries)
    if change.adds:
        given = {q.lower() for q in queries}
        keep_meanings(
            engine, held, broken, differing, {n: q for n, q in before.items() if n.lower() not in given}
        )
    if broken:
        raise used_by(change, held, list(broken), next(iter(broken.values())))
    differing |= {n for n in above if concerns(held, held.model(n), change)}
    differing |= {n for n in above if n.lower() in {q.lower() for q in queries}}
    again = [n for n in above if differing & {n, *read_by(held, n)}]
    remaking.drop_all(engine, held, again)
    rewrite(engine, change)
    try:
        remaking.make_again(engine, held, again, queries)
    except StrandlineError as error:
        error.where = f"{change.doing}: {error.where}" if error.where else change.doing
        raise


def rewrite(engine: Engine, change: Reshape) -> None:
    """The stored table, its hashes, its view and its record."""
    new = change.new
    try:
        for statement in change.statements:
            engine.execute(statement)
    except EngineError as error:
        raise SchemaError(error.message, where=change.doing, hint="nothing was changed.") from error
    engine.execute(intake.rehash_statement(new))
    engine.execute(intake.view_statement(new))
    engine.execute(query("drop_table"), [new.name])
    engine.execute(query("put_table"), [new.name, definitions.to_json(new)])


def users(held: Holdings, table: TableDefinition, columns: Sequence[str]) -> list[str]:
    """The models that would not work without these columns, and those that read them."""
    without = dropping(evolve(table, key=()), columns).new
    above = held.above(table.name)
    before = {name: keeping.text_of(held, name) for name in above}
    try:
        held.tables[table.name.lower()] = without
        broken, _ = compiled_anew(held, above, before, {})
    finally:
        held.tables[table.name.lower()] = table
    return [n for n in above if {n, *read_by(held, n)} & set(broken)]


def compiled_anew(
    held: Holdings, above: Sequence[str], before: dict[str, str], queries: Queries
) -> tuple[dict[str, StrandlineError], set[str]]:
    """(models that the table as it is now breaks, with the error; models whose query says something else)."""
    texts = {n.lower(): q for n, q in queries.items()}
    broken: dict[str, StrandlineError] = {}
    differing: set[str] = set()
    for name in above:
        model = held.model(name)
        if model.function is not None:
            continue
        try:
            text = held.recompiled(model, texts.get(name.lower())).query
        except StrandlineError as error:
            if not differing & set(read_by(held, name)):  # else it is compiled again over what is new there
                broken[name] = error
            continue
        if text != before[name]:
            differing.add(name)
    return broken, differing


def keep_meanings(
    engine: Engine,
    held: Holdings,
    broken: dict[str, StrandlineError],
    differing: set[str],
    before: dict[str, str],
) -> None:
    """Models that new columns would break or give another meaning keep theirs, and are neither any more.

    Those that take all columns get the new ones, unless a name would become ambiguous.
    """
    for name in [n for n in before if n in broken or n in differing]:
        model = held.model(name)
        if model.function is not None or (name in differing and takes_all(held.meaning(model))):
            continue
        kept = evolve(model, resolved=before[name])
        try:
            plan = held.recompiled(kept)
        except StrandlineError:
            continue
        broken.pop(name, None)
        if plan.stages and plan.stages == held.plan(name).stages:
            differing.discard(name)
            remaking.store_change(engine, held, kept, held.sql[name.lower()], plan)
        else:
            differing.add(name)
            held.models[name.lower()] = kept


def takes_all(text: str) -> bool:
    """Whether a query takes whatever columns there are: `*`, also of one table, COLUMNS(…), PIVOT."""
    from sqlglot import exp, parse_one

    tree = parse_one(text, dialect="duckdb")
    stars = (s for s in tree.find_all(exp.Star) if not isinstance(s.parent, exp.Count))
    return next(stars, None) is not None or tree.find(exp.Columns, exp.Pivot) is not None


def used_by(change: Reshape, held: Holdings, names: Sequence[str], error: StrandlineError) -> SchemaError:
    """The refusal, with every model concerned."""
    more = [n for n in held.above(change.old.name) if set(names) & set(read_by(held, n)) and n not in names]
    also = f", which {', '.join(more)} read{'s' * (len(more) == 1)}" if more else ""
    return SchemaError(
        f"models use it: {', '.join(names)}{also} ({error.message})",
        where=change.doing,
        hint="give those models' new queries in `queries`, or change or drop them first.",
    )


def read_by(held: Holdings, name: str) -> list[str]:
    """The models that a model reads, directly or through others."""
    return [m.name for m in held.ordered() if m.name != name and name in held.above(m.name)]


def concerns(held: Holdings, model: ModelDefinition, change: Reshape) -> bool:
    """Whether a model that may say the same has to be made anew: it reads a column of another type, or

    is a function, of which nobody can tell what it does with the columns it is given.
    """
    if change.old.name.lower() not in model.reads:
        return False
    if model.function is not None:
        return True
    plan = held.plan(model.name)
    return bool(change.retyped) and (
        not plan.stages or change.retyped in columns_read(plan, change.old.stored)
    )


def columns_read(plan: Plan, table: str) -> set[str]:
    from strandline.compiler import relations as r

    scans = [n for s in plan.stages for n in r.walk(s.input) if isinstance(n, r.Scan)]
    scans += [look.scan for s in plan.stages for look in s.lookups]
    return {name for scan in scans if scan.table == table for _, name in scan.columns}
