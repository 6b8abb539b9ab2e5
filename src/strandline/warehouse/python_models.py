"""Python models: a function's result kept as a table, key by key.

On a refresh the keys that occur in the changed rows of the inputs are the touched ones. The function is
given all rows of these keys as they are now, and its result takes the place of the rows stored for them.
Only rows that really differ are written and handed on, so that models above see a small change too.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from strandline.compiler import Catalog, Readable
from strandline.compiler.names import stage_table
from strandline.compiler.relations import quote
from strandline.compiler.text import DIALECT, batch, listed, make, minus, plus, same, scratch, stored
from strandline.engines.base import Engine
from strandline.errors import ConfigurationError, ModelError, StrictError, UnknownNameError, nearest
from strandline.functions import ModelFunction
from strandline.schema import Column, ModelRun, StageRun, StrategyName
from strandline.warehouse.calling import called, evaluate, given
from strandline.warehouse.definitions import ModelDefinition
from strandline.warehouse.explain import Explanation, explained
from strandline.warehouse.maintain import Change
from strandline.warehouse.numbers import fresh_identity
from strandline.warehouse.replacing import replace_rows, same_keys, written


@dataclass(frozen=True)
class Feed:
    """One argument of the function: a stored table's columns (name, stored name).

    `keys` are the stored names of the key columns; () where the table lacks them or is a look-up.
    """

    name: str
    table: str
    columns: tuple[tuple[str, str], ...]
    keys: tuple[str, ...]
    where: str

    def rows(self, place: str, among: str = "", *, plain: bool = False) -> str:
        """A SELECT of the feed's visible rows in a table of its shape, of the keys in `among` if given.

        `plain` where no key is NULL: an ordinary comparison lets the engine pass over blocks of rows.
        """
        cols = ", ".join(f"t.{quote(s)} AS {quote(n)}" for n, s in self.columns)
        match = same_keys(self.keys, "t", "k")
        match = match.replace("IS NOT DISTINCT FROM", "=") if plain else match
        joined = f" SEMI JOIN {among} AS k ON {match}" if among else ""
        return f"SELECT {cols} FROM {place} AS t{joined}" + (f" WHERE {self.where}" if self.where else "")


@dataclass(frozen=True)
class FunctionPlan:
    """How a function is kept: what feeds it, and by which strategy and why."""

    model: str
    function: ModelFunction
    feeds: tuple[Feed, ...]
    strategy: StrategyName
    reason: str
    cheaper: str = ""

    @property
    def table(self) -> str:
        return stage_table(self.model, 0)

    @property
    def reads(self) -> frozenset[str]:
        """Tables and models named as inputs, in lower case."""
        return frozenset(n.lower() for n in self.function.reads)

    @property
    def sources(self) -> tuple[Feed, ...]:
        """The inputs, without the look-ups."""
        return self.feeds[: len(self.function.inputs)]


def not_loaded(*_: object) -> object:
    """Stands for a function that this process does not have."""
    raise ModelError(
        "the function is not loaded in this process, or its code is not the code the model was made with",
        hint="bring the project up to date first (`strandline run`), or call create_model(name, function).",
    )


def declared_function(definition: ModelDefinition, text: str) -> ModelFunction:
    """What the record says of a function, without the function itself."""
    raw: Mapping[str, Any] = definition.function or {}
    lists = {n: tuple(raw[n]) for n in ("keys", "inputs", "lookup")}
    return ModelFunction(not_loaded, str(raw["name"]), rowwise=bool(raw["rowwise"]), text=text, **lists)


def plan(
    name: str, function: ModelFunction, catalog: Catalog, settings: Mapping[str, object]
) -> FunctionPlan:
    """Find the inputs. Raises UnknownNameError, ConfigurationError or StrictError; nothing is created."""
    where = f"model {name}"
    for read in function.reads:
        if read.lower() not in catalog:
            known = [r.name for r in catalog.values()]
            raise UnknownNameError(
                f"there is no table or model {read!r}", where=where, hint=nearest(read, known)
            )
    feeds = [feed(catalog[n.lower()], function.keys) for n in function.inputs]
    feeds += [feed(catalog[n.lower()], ()) for n in function.lookup]
    if function.keys and not function.rowwise and not any(f.keys for f in feeds):
        raise ConfigurationError(
            f"none of its inputs has the columns {', '.join(function.keys)}",
            where=where,
            hint="take keys that are columns of an input.",
        )
    strategy, reason, cheaper = chosen(function, feeds, settings.get("strategy"), where)
    if settings.get("strict") and strategy == "full":
        raise StrictError(
            f"it could only be kept by full recompute: {reason}", where=where, hint="declare keys."
        )
    return FunctionPlan(name, function, tuple(feeds), strategy, reason, cheaper)


def feed(readable: Readable, keys: Iterable[str]) -> Feed:
    columns = tuple((c.name, c.stored) for c in readable.columns)
    places = {n.lower(): s for n, s in columns}
    found = tuple(places[k.lower()] for k in keys if k.lower() in places)
    where = readable.where.sql(dialect=DIALECT) if readable.where is not None else ""
    return Feed(readable.name, readable.table, columns, found if len(found) == len(list(keys)) else (), where)


def chosen(
    function: ModelFunction, feeds: Iterable[Feed], forced: object, where: str
) -> tuple[StrategyName, str, str]:
    """Strategy, reason, and what would be cheaper."""
    if forced == "full":
        return "full", "the model's settings ask for it", ""
    if forced not in (None, "auto", "keyed"):
        raise ConfigurationError(
            f"strategy {forced!r} cannot be chosen for a function",
            where=where,
            hint="it can be 'keyed' or 'full'.",
        )
    whole = [f.name for f in feeds if not f.keys]
    if function.rowwise:
        cheaper = (
            f"nothing, but a change of {' or '.join(whole[1:])} computes all rows again" if whole[1:] else ""
        )
        return (
            "stateless",
            f"{function.name}() is declared row-wise: it is given just the changed rows",
            cheaper,
        )
    if not function.keys:
        return (
            "full",
            f"{function.name}() declares no keys",
            "declare keys=[…] whose rows do not depend on others",
        )
    keys = ", ".join(function.keys)
    reason = f"{function.name}() is given all rows of the touched keys ({keys}); its result takes their place"
    cheaper = (
        f"a change of {', '.join(whole)} touches every key: they are looked up, or lack the key"
        if whole
        else ""
    )
    return "keyed", reason, cheaper


def define(engine: Engine, made: FunctionPlan, settings: Mapping[str, object]) -> ModelDefinition:
    """The model's columns, found by calling the function with no rows, else with all."""
    shape = dry_shape(engine, made) or full_shape(engine, made)
    lowered = [c.name.lower() for c in shape]
    absent = [k for k in made.function.keys if k.lower() not in lowered]
    if absent or len(set(lowered)) < len(lowered):
        what = f"lacks the key column {absent[0]!r}" if absent else "has two columns of one name"
        raise ModelError(
            f"its result {what}", where=called(made.model, made.function), hint="correct what it returns."
        )
    same_key_types(engine, made, shape)
    return ModelDefinition(
        made.model,
        tuple((c.name, c.name, c.type) for c in shape),
        made.table,
        ("_rid",),
        (),
        "",
        tuple(sorted(made.reads)),
        tuple(sorted({f.table for f in made.feeds})),
        dict(settings),
        function=made.function.declared(),
    )


def dry_shape(engine: Engine, made: FunctionPlan) -> tuple[Column, ...]:
    """Names and types of the result for no rows; () where the function cannot say it without rows."""
    into = scratch(made.table, "dry")
    try:
        empty = [f"{f.rows(stored(f.table))} LIMIT 0" for f in made.feeds]
        typed = evaluate(engine, made.model, made.function, empty, into)
    except ModelError:
        return ()
    shape = engine.describe(f"SELECT * FROM {into}")
    return shape if typed and all(c.type != '"NULL"' for c in shape) else ()


def full_shape(engine: Engine, made: FunctionPlan) -> tuple[Column, ...]:
    into = scratch(made.table, "dry")
    evaluate(engine, made.model, made.function, everything(made), into)
    found = engine.describe(f"SELECT * FROM {into}")
    return tuple(Column(c.name, "VARCHAR" if c.type == '"NULL"' else c.type) for c in found)


def everything(made: FunctionPlan) -> list[str]:
    return [f.rows(stored(f.table)) for f in made.feeds]


def same_key_types(engine: Engine, made: FunctionPlan, shape: Iterable[Column]) -> None:
    """A key must come out as it went in, or the rows stored for it could not be found."""
    if made.function.rowwise:
        return
    out = {c.name.lower(): c.type for c in shape}
    for one in (f for f in made.sources if f.keys):
        types = {c.name.lower(): c.type for c in engine.describe(one.rows(stored(one.table)))}
        for key in made.function.keys:
            if types[key.lower()] != out[key.lower()]:
                raise ModelError(
                    f"key {key!r} is {types[key.lower()]} in {one.name} but {out[key.lower()]} in the result",
                    where=called(made.model, made.function),
                    hint="return the key columns with the type they came with.",
                )


def create(engine: Engine, made: FunctionPlan, definition: ModelDefinition) -> None:
    """Fill the model's table from all rows."""
    new = computed(engine, made, definition, everything(made), all_keys(engine, made))
    cols = listed(n for n, _, _ in definition.columns)
    engine.execute(
        f"CREATE TABLE {stored(made.table)} AS "
        f"SELECT {cols}, {fresh_identity()} AS _rid, _k, {batch()} "
        f"FROM {new}"
    )


def drop(engine: Engine, made: FunctionPlan) -> None:
    engine.execute(f"DROP TABLE IF EXISTS {stored(made.table)}")


def recompute(engine: Engine, made: FunctionPlan, definition: ModelDefinition) -> str:
    """A SELECT of what the function makes of all rows, for comparison."""
    new = computed(engine, made, definition, everything(made), all_keys(engine, made))
    return f"SELECT {listed(n for n, _, _ in definition.columns)} FROM {new}"


def computed(
    engine: Engine,
    made: FunctionPlan,
    definition: ModelDefinition,
    feeds: list[str],
    keys: str,
    what: str = "new",
) -> str:
    """Call the function and check its result; a temporary table of the model's columns and their bucket."""
    raw, new = scratch(made.table, "raw"), scratch(made.table, what)
    sample = functools.partial(given, engine, keys, made.function.keys)
    evaluate(engine, made.model, made.function, feeds, raw, sample)
    names = [n for n, _, _ in definition.columns]
    found = {c.name.lower(): c for c in engine.describe(f"SELECT * FROM {raw}")}
    if set(found) != {n.lower() for n in names}:
        now = ", ".join(c.name for c in found.values())
        text = f"its result has the columns {now}, before {', '.join(names)}"
        raise ModelError(
            text, where=called(made.model, made.function), hint="return the same columns for any rows."
        )
    for name, _, kind in definition.columns:
        lossless(engine, made, raw, found[name.lower()], kind)
    cast = ", ".join(
        f"CAST({quote(found[n.lower()].name)} AS {t}) AS {quote(n)}" for n, _, t in definition.columns
    )
    engine.execute(make(new, f"SELECT {cast}, hash({listed(bucket(made, names))}) AS _k FROM {raw}"))
    own_keys(engine, made, new, keys)
    return new


def bucket(made: FunctionPlan, names: list[str]) -> list[str]:
    """The columns by whose hash stored rows are found."""
    return list(made.function.keys) if made.function.keys and not made.function.rowwise else names


def lossless(engine: Engine, made: FunctionPlan, raw: str, column: Column, kind: str) -> None:
    """Values of another type than before are taken where nothing of them is lost."""
    if column.type in (kind, '"NULL"'):
        return
    q = quote(column.name)
    back = f"TRY_CAST(TRY_CAST({q} AS {kind}) AS {column.type})"
    if engine.execute(f"SELECT count(*) FROM {raw} WHERE {back} IS DISTINCT FROM {q}"):
        raise ModelError(
            f"column {column.name!r} of its result is {column.type}, before it was {kind}",
            where=called(made.model, made.function),
            hint="cast the column in the function, so that its type does not depend on the rows.",
        )


def own_keys(engine: Engine, made: FunctionPlan, new: str, keys: str) -> None:
    """Refuse rows of keys that the function was not given."""
    if not keys:
        return
    stray = f"SELECT {listed(made.function.keys)} FROM {new} AS s ANTI JOIN {keys} AS k ON "
    found = engine.rows(f"{stray}{same_keys(made.function.keys, 's', 'k')} LIMIT 3")
    if found:
        raise ModelError(
            f"its result has rows of keys that its inputs do not have, such as {found[0]}",
            where=called(made.model, made.function),
            hint="return rows of the given keys only, or declare other keys.",
        )


def all_keys(engine: Engine, made: FunctionPlan) -> str:
    """A temporary table of every key of the inputs; "" without keys."""
    return keys_in(engine, made, lambda f: [stored(f.table)], "all keys")


def touched_keys(engine: Engine, made: FunctionPlan, change: Change) -> str:
    """A temporary table of the keys that occur in the changed rows."""
    return keys_in(engine, made, lambda f: changed_rows(f, change), "touched")


def changed_rows(feed: Feed, change: Change) -> list[str]:
    """The tables of a feed's change set that are not empty."""
    found = change.sides([feed.table])
    return [rows(feed.table) for side, rows in (("+", plus), ("-", minus)) if f"{feed.table}{side}" in found]


def keys_in(engine: Engine, made: FunctionPlan, places: Callable[[Feed], list[str]], what: str) -> str:
    if made.function.rowwise or not made.function.keys:
        return ""
    parts = [
        f"SELECT {', '.join(f'{quote(k)} AS _key{i}' for i, k in enumerate(f.keys))} FROM {place}"
        for f in made.sources
        if f.keys
        for place in places(f)
    ]
    name = scratch(made.table, what)
    engine.execute(make(name, f"SELECT DISTINCT * FROM ({' UNION ALL '.join(parts)}) AS p"))
    return name


def refresh(
    engine: Engine, made: FunctionPlan, definition: ModelDefinition, change: Change
) -> ModelRun | None:
    """Bring one model up to date; None where nothing it reads has changed."""
    read = set(definition.inputs) & (change.tables | change.rebuilt)
    if not read:
        return None
    started = time.perf_counter()
    if not engine.execute(f"SELECT count(*) FROM {stored(made.table)}"):
        strategy, reason, written = first_fill(engine, made, definition, change)
    else:
        strategy, reason, written = exchange(engine, made, definition, change)
    change.add(made.table, *written)
    out = sum(written)
    rows_in = change.rows(read)
    seconds = time.perf_counter() - started
    stage = StageRun(definition.name, made.table, "function", strategy, reason, rows_in, out, seconds)
    return ModelRun(definition.name, strategy, reason, rows_in, out, seconds, (stage,))


Outcome = tuple[StrategyName, str, tuple[int, int]]
"""Strategy, reason, and how many rows came and went."""


def first_fill(engine: Engine, made: FunctionPlan, definition: ModelDefinition, change: Change) -> Outcome:
    """Write everything once; models above are filled anew."""
    drop(engine, made)
    create(engine, made, definition)
    change.rebuilt.add(made.table)
    rows = engine.execute(f"SELECT count(*) FROM {stored(made.table)}")
    return "full", "nothing was stored yet: filled from all rows", (rows, 0)


def exchange(engine: Engine, made: FunctionPlan, definition: ModelDefinition, change: Change) -> Outcome:
    """Compute what is touched and put it in place of what is stored of it."""
    names = [n for n, _, _ in definition.columns]
    why = whole_reason(made, change)
    if why:
        new = computed(engine, made, definition, everything(made), all_keys(engine, made))
        return "full", why, replace_rows(engine, made.table, names, new)
    if made.function.rowwise:
        out = rowwise(engine, made, definition, change)
        if out is not None:
            return made.strategy, made.reason, out
        new = computed(engine, made, definition, everything(made), "")
        why = "rows to take back were not found: the function is not row-wise, or not deterministic"
        return "full", why, replace_rows(engine, made.table, names, new)
    keys = touched_keys(engine, made, change)
    empty = " OR ".join(f"_key{i} IS NULL" for i in range(len(made.function.keys)))
    count, nulls = engine.rows(f"SELECT count(*), count(*) FILTER (WHERE {empty}) FROM {keys}")[0]
    feeds = [f.rows(stored(f.table), keys if f.keys else "", plain=not nulls) for f in made.feeds]
    new = computed(engine, made, definition, feeds, keys)
    word = "key was" if count == 1 else "keys were"
    by, label = ", ".join(made.function.keys), made.function.name
    reason = f"{count:,} {word} touched ({by}): the result of {label}() took the place of their rows"
    among = f" SEMI JOIN {keys} AS k ON {same_keys(made.function.keys, 's', 'k')}"
    return made.strategy, reason, replace_rows(engine, made.table, names, new, among)


def whole_reason(made: FunctionPlan, change: Change) -> str:
    """Why every row has to be computed again; "" where it has not."""
    anew = [f.name for f in made.feeds if f.table in change.rebuilt]
    if anew:
        return f"{', '.join(anew)} was filled for the first time or anew"
    if made.strategy == "full":
        return made.reason
    free = made.feeds[1:] if made.function.rowwise else tuple(f for f in made.feeds if not f.keys)
    moved = [f.name for f in free if f.table in change.tables]
    return (
        f"{', '.join(moved)} changed, which has no key columns or is looked up: every key is touched"
        if moved
        else ""
    )


def rowwise(
    engine: Engine, made: FunctionPlan, definition: ModelDefinition, change: Change
) -> tuple[int, int] | None:
    """Add the results of the added rows, take back those of the removed; None where they are not there."""
    table, one, names = made.table, made.feeds[0], [n for n, _, _ in definition.columns]
    rest = [f.rows(stored(f.table)) for f in made.feeds[1:]]
    there = change.sides([one.table])
    none = f"{one.rows(stored(one.table))} LIMIT 0"
    added = one.rows(plus(one.table)) if f"{one.table}+" in there else none
    removed = one.rows(minus(one.table)) if f"{one.table}-" in there else none
    come = computed(engine, made, definition, [added, *rest], "", "come")
    gone = computed(engine, made, definition, [removed, *rest], "", "gone")
    cols, wanted = listed([*names, "_k"]), scratch(table, "wanted")
    taken = f"(SELECT {cols} FROM {gone} EXCEPT ALL SELECT {cols} FROM {come})"
    count = engine.execute(make(wanted, f"SELECT *, count(*) AS _n FROM {taken} AS g GROUP BY ALL"))
    expected = engine.execute(f"SELECT coalesce(sum(_n), 0)::BIGINT FROM {wanted}") if count else 0
    copies = f"row_number() OVER (PARTITION BY {listed(names, 's.')} ORDER BY s._rid) <= w._n"
    match = f"s._k = w._k AND {same(names, 's', 'w')}"
    whole = listed([*names, "_rid", "_k"], "s.")
    rows = f"SELECT {whole} FROM {stored(table)} AS s JOIN {wanted} AS w ON {match}"
    if engine.execute(make(minus(table), f"{rows} QUALIFY {copies}")) != expected:
        return None
    kept = f"(SELECT {cols} FROM {come} EXCEPT ALL SELECT {cols} FROM {gone})"
    engine.execute(make(plus(table), f"SELECT *, {fresh_identity()} AS _rid FROM {kept} AS c"))
    return written(engine, table, listed(names))


def removed_columns(definition: ModelDefinition, names: Iterable[str]) -> set[str]:
    """What the model wants to know of a removed row of an input with these columns."""
    raw: Mapping[str, Any] = definition.function or {}
    return set(names) if raw.get("rowwise") else {str(k) for k in raw.get("keys", ())}


def explain(engine: Engine, made: FunctionPlan, definition: ModelDefinition, text: str) -> Explanation:
    stage = explained(engine, made.table, "function", made.strategy, made.reason, made.cheaper)
    return Explanation(definition.name, text, (stage,))
