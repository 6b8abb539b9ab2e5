"""Makes a warehouse have the tables and models that a project's files describe."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from strandline.errors import ConfigurationError, StrandlineError
from strandline.project import FILE_NAME, ModelSettings, Project, SourceSettings, topological
from strandline.runner.ports import Definitions, Notice, Queryable, quiet, records
from strandline.schema import Column, Schema


def prepare(wh: Definitions, project: Project, notice: Notice = quiet) -> None:
    """Create what is missing, rebuild the models whose SQL changed, drop those whose file is gone.

    Tables are never dropped, and columns only added: they hold data. `notice` is told what was done.
    Raises ConfigurationError where a source contradicts its table, and the compiler's errors with
    the model's file in front.
    """
    for source in project.sources.values():
        _prepare_table(wh, source, notice)
    existing = stored_models(wh)
    for model in project.models:
        _prepare_model(wh, model, what_changed(existing, model), notice)
    for name in dropped(stored_models(wh), project.models):
        wh.drop_model(name)
        notice(f"model {name} was dropped: its file is gone")


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A model as the warehouse has it."""

    name: str
    sql: str
    settings: Mapping[str, Any]
    reads: tuple[str, ...] = ()


def stored_models(wh: Queryable) -> dict[str, StoredModel]:
    """The warehouse's models by their names in lower case."""
    found = records(wh, "SELECT name, sql, definition FROM strandline.models")
    made = {r["name"]: (r["sql"], json.loads(r["definition"])) for r in found}
    return {
        name.lower(): StoredModel(name, sql, said["settings"], tuple(said.get("reads", ())))
        for name, (sql, said) in made.items()
    }


def dropped(existing: Mapping[str, StoredModel], wanted: Iterable[ModelSettings]) -> list[str]:
    """The models without a file, each before those it uses."""
    kept = {m.name.lower() for m in wanted}
    gone = {low: model for low, model in existing.items() if low not in kept}
    uses = {low: set(model.reads) & gone.keys() - {low} for low, model in gone.items()}
    return [gone[low].name for low in reversed(topological(uses))]


def what_changed(existing: Mapping[str, StoredModel], model: ModelSettings) -> str:
    """ "its SQL", "its code" or the settings that differ from the model's that is there; "" for none."""
    there = existing.get(model.name.lower())
    if there is None:
        return ""
    if there.sql.strip() != model.sql.strip():
        return "its code" if model.function is not None else "its SQL"
    differ = [n for n, value in there.settings.items() if getattr(model, n, value) != value]
    return f"its setting {', '.join(differ)}" if differ else ""


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
        wanted = source.schema
        wh.create_table(source.table, wanted.columns, wanted.key or None, append_only=wanted.append_only)
        return
    added = missing_columns(source, schema)
    if added:
        wh.add_columns(source.table, added)
        notice(f"table {source.table}: added {', '.join(c.name for c in added)}, NULL in the rows there are")


def _prepare_model(wh: Definitions, model: ModelSettings, changed: str, notice: Notice) -> None:
    # A strategy is said only where one is set: not every engine lets it be forced.
    forced = {"strategy": model.strategy} if model.strategy else {}
    try:
        wh.create_model(
            model.name,
            model.definition,
            strict=model.strict,
            metadata=model.metadata,
            views=model.views,
            **forced,
        )
    except StrandlineError as error:
        if model.file not in error.where:
            error.where = f"{model.file}: {error.where}" if error.where else model.file
        raise
    if changed:
        notice(f"model {model.name} was rebuilt from all rows: {changed} changed")


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
