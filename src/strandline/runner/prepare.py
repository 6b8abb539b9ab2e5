"""Makes a warehouse have the tables and models that a project's files describe."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from strandline.errors import ConfigurationError, StrandlineError
from strandline.project import FILE_NAME, ModelSettings, Project, SourceSettings, tables_read, topological
from strandline.runner.ports import Definitions, Notice, quiet
from strandline.schema import Column, Schema


def prepare(wh: Definitions, project: Project, notice: Notice = quiet) -> None:
    """Create what is missing, rebuild the models whose SQL changed, drop those whose file is gone.

    Tables are never dropped, and columns only added: they hold data. `notice` is told what was done.
    Raises ConfigurationError where a source contradicts its table, and the compiler's errors with
    the model's file in front.
    """
    for source in project.sources.values():
        _prepare_table(wh, source, notice)
    for model in project.models:
        _prepare_model(wh, model, notice)
    for name in dropped(wh.models(), project.models):
        wh.drop_model(name)
        notice(f"model {name} was dropped: its file is gone")


def dropped(existing: Mapping[str, str], wanted: Iterable[ModelSettings]) -> list[str]:
    """The models without a file, each before those it uses."""
    kept = {m.name.lower() for m in wanted}
    gone = {name.lower(): name for name in existing if name.lower() not in kept}
    uses = {low: tables_read(existing[name]) & gone.keys() - {low} for low, name in gone.items()}
    return [gone[low] for low in reversed(topological(uses))]


def changed(existing: Mapping[str, str], model: ModelSettings) -> bool:
    """Whether a model is there with other SQL (spacing at the ends aside)."""
    known = {name.lower(): sql for name, sql in existing.items()}.get(model.name.lower())
    return known is not None and known.strip().rstrip(";").rstrip() != model.sql


def missing_columns(source: SourceSettings, schema: Schema) -> list[Column]:
    """The columns that the file names and the table lacks.

    Raises ConfigurationError where a column's type or the key differs: the rows that are there were
    taken in under the old one.
    """
    for column in source.schema.columns:
        there = schema.type_of(column.name)
        if there is not None and not _same_type(there, column.type):
            raise _contradiction(source, f"column {column.name!r} is {column.type}", f"is {there}", "type")
    wanted, there_key = source.schema.key, schema.key
    if tuple(k.lower() for k in wanted) != tuple(k.lower() for k in there_key):
        raise _contradiction(source, f"the key is {_key(wanted)}", f"has {_key(there_key)}", "key")
    return [c for c in source.schema.columns if schema.type_of(c.name) is None]


def _prepare_table(wh: Definitions, source: SourceSettings, notice: Notice) -> None:
    there = {name.lower(): schema for name, schema in wh.tables().items()}
    schema = there.get(source.table.lower())
    if schema is None:
        columns = ", ".join(f"{_quoted(c.name)} {c.type}" for c in source.schema.columns)
        key = source.schema.key or None
        wh.create_table(source.table, columns, key=key, append_only=source.schema.append_only)
        return
    added = missing_columns(source, schema)
    if added:
        wh.add_columns(source.table, added)
        notice(f"table {source.table}: added {', '.join(c.name for c in added)}, NULL in the rows there are")


def _prepare_model(wh: Definitions, model: ModelSettings, notice: Notice) -> None:
    rebuilt = changed(wh.models(), model)
    try:
        wh.create_model(
            model.name,
            model.sql,
            strict=model.strict,
            strategy=model.strategy,
            metadata=model.metadata,
            views=model.views,
        )
    except StrandlineError as error:
        if model.file not in error.where:
            error.where = f"{model.file}: {error.where}" if error.where else model.file
        raise
    if rebuilt:
        notice(f"model {model.name} was rebuilt from all rows: its SQL changed")


def _contradiction(source: SourceSettings, here: str, there: str, what: str) -> ConfigurationError:
    return ConfigurationError(
        f"{here} here, but the table {source.table!r} {there}",
        where=f"{FILE_NAME} [sources.{source.name}]",
        hint=f"a table's {what} is fixed when it is created: restore it here, or give the source another "
        "`table` and run again to load its files into that.",
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


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
