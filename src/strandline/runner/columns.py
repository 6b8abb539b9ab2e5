"""The columns that a source's settings name, against those that its table has."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence, Set

from strandline.errors import ConfigurationError, EngineError, StrandlineError
from strandline.project import FILE_NAME, Project, SourceSettings
from strandline.runner.ports import Definitions, Notice, Queryable, literal, records
from strandline.schema import Column, Schema


def prepare_table(
    wh: Definitions, source: SourceSettings, queries: Mapping[str, str], notice: Notice
) -> None:
    """Create a source's table, or rename and add what its settings say since.

    `queries` are the new ones of models whose files changed: they take a column's new name with it.
    Raises ConfigurationError where settings and table contradict each other.
    """
    schema = _table(wh, source)
    if schema is None:
        create_table(wh, source)
        return
    for new, old in renames(source, schema):
        try:
            wh.rename_column(source.table, old, new, queries=queries)
        except StrandlineError as error:
            error.where = f"{FILE_NAME} [sources.{source.name}.renamed]"
            error.hint = "change those models' files as well, then run again."
            raise
        notice(f"table {source.table}: {old} is called {new} now")
    added = missing_columns(source, renamed_schema(source, schema), wh)
    if added:
        wh.add_columns(source.table, added)
        notice(f"table {source.table}: added {', '.join(c.name for c in added)}, NULL in the rows there are")


def create_table(wh: Definitions, source: SourceSettings) -> None:
    """The table as its settings say. Raises ConfigurationError for a type that the engine does not know."""
    wanted = source.schema
    try:
        wh.create_table(source.table, wanted.columns, wanted.key or None, append_only=wanted.append_only)
    except EngineError as error:
        where = f"{FILE_NAME} [sources.{source.name}.columns]"
        hint = "correct the column's type; nothing was made."
        raise ConfigurationError(error.message, where=where, hint=hint) from None


def renames(source: SourceSettings, schema: Schema) -> list[tuple[str, str]]:
    """(new, old) of the columns that still have their old name."""
    return [
        (new, old)
        for new, old in source.renamed
        if schema.type_of(old) is not None and schema.type_of(new) is None
    ]


def renamed_schema(source: SourceSettings, schema: Schema) -> Schema:
    """A table's schema after its renames."""
    names = {old.lower(): new for new, old in renames(source, schema)}
    columns = tuple(Column(names.get(c.name.lower(), c.name), c.type) for c in schema.columns)
    key = tuple(names.get(k.lower(), k) for k in schema.key)
    return Schema(columns, key, schema.append_only)


def with_new_names(tables: Mapping[str, Schema], project: Project) -> dict[str, Schema]:
    """The tables as they will be called column by column."""
    sources = {s.table: s for s in project.sources.values()}
    return {n: renamed_schema(sources[n], t) if n in sources else t for n, t in tables.items()}


def missing_columns(source: SourceSettings, schema: Schema, wh: Definitions | None = None) -> list[Column]:
    """The columns that the file names and the table lacks.

    Raises ConfigurationError where a column's type or the key differs: the rows that are there were
    taken in under the old one. With `wh` the error names the models concerned.
    """
    for column in source.schema.columns:
        there = schema.type_of(column.name)
        if there is not None and not _same_type(there, column.type):
            raise _other_type(source, column, there, wh)
    wanted, there_key = source.schema.key, schema.key
    if tuple(k.lower() for k in wanted) != tuple(k.lower() for k in there_key):
        raise ConfigurationError(
            f"the key is {_key(wanted)} here, but the table {source.table!r} has {_key(there_key)}",
            where=f"{FILE_NAME} [sources.{source.name}]",
            hint="a table's key is fixed when it is created: restore it here, or give the source another "
            "`table` and run again to load its files into that.",
        )
    return [c for c in source.schema.columns if schema.type_of(c.name) is None]


def refuse_vanished(
    wh: Definitions, source: SourceSettings, notice: Notice, *, unless_changed: Set[str] | None = None
) -> None:
    """Columns that the settings no longer name keep their values; refused where a model uses them.

    With `unless_changed`, the models that stay as they are, it is asked before the others change: then
    only what none of the others could mend is refused.
    """
    schema = _table(wh, source)
    found = _found(wh, source.table)
    if schema is None or found is None:
        return
    if unless_changed is not None:
        schema = renamed_schema(source, schema)
    named = {c.name.lower() for c in source.schema.columns} | {f.lower() for f in found}
    gone = [c.name for c in schema.columns if c.name.lower() not in named]
    if not gone:
        return
    used = wh.models_using(source.table, gone)
    if unless_changed is not None and not unless_changed >= set(used):
        return
    if used:
        raise ConfigurationError(
            f"{', '.join(gone)} of the table {source.table!r} stand{'s' * (len(gone) == 1)} no longer among "
            f"the columns, but models use {'them' if len(gone) > 1 else 'it'}: {', '.join(used)}",
            where=f"{FILE_NAME} [sources.{source.name}.columns]",
            hint=f"restore the line, say the new name in [sources.{source.name}.renamed] "
            f'(new_name = "{gone[0]}"), or change those models.',
        )
    notice(f"table {source.table}: {', '.join(gone)} is described no longer; its values stay as they are")


def _table(wh: Definitions, source: SourceSettings) -> Schema | None:
    return {name.lower(): schema for name, schema in wh.tables().items()}.get(source.table.lower())


def _found(wh: Queryable, table: str) -> Sequence[str] | None:
    """The columns that files brought; None where the record does not tell."""
    name = literal(table.lower())
    said = records(wh, f"SELECT definition FROM strandline.tables WHERE lower(name) = {name}")
    found: Sequence[str] | None = json.loads(said[0]["definition"]).get("found") if said else None
    return found


def _other_type(
    source: SourceSettings, column: Column, there: str, wh: Definitions | None
) -> ConfigurationError:
    used = wh.models_using(source.table, [column.name]) if wh is not None else []
    concerned = f"; models use it: {', '.join(used)}" if used else ""
    return ConfigurationError(
        f"column {column.name!r} is {column.type} here, but the table {source.table!r} is {there}{concerned}",
        where=f"{FILE_NAME} [sources.{source.name}]",
        hint="restore the type here, cast what is there with "
        f"Pipeline.load().warehouse.change_type({source.table!r}, {column.name!r}, {column.type!r}), "
        "or give the source another `table` and run again to load its files into that.",
    )


def _same_type(one: str, other: str) -> bool:
    if " ".join(one.upper().split()) == " ".join(other.upper().split()):
        return True
    from sqlglot import exp
    from sqlglot.errors import SqlglotError

    try:
        return bool(exp.DataType.build(one, dialect="duckdb") == exp.DataType.build(other, dialect="duckdb"))
    except SqlglotError:
        return False


def _key(key: tuple[str, ...]) -> str:
    return f"({', '.join(key)})" if key else "none"
