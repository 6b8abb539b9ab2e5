"""A project as its files say it: `strandline.toml`, `models/*.sql` and `models/*.py`, as frozen values.

    project = load_project(Path("."))
    project.sources["events"].schema
    [m.name for m in project.models]     # in the order in which they can be created

Reading a project opens no warehouse and touches nothing; the files of Python models are run.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from strandline.errors import ConfigurationError, nearest
from strandline.functions import ModelFunction
from strandline.project import settings
from strandline.project.functions import load_functions
from strandline.project.settings import (
    Reader,
    Section,
    any_text,
    flag,
    names,
    number,
    one_of,
    share,
    text,
    texts,
    whole,
)
from strandline.schema import Column, Schema

FILE_NAME = "strandline.toml"
MODELS_FOLDER = "models"
STRATEGIES = ("auto", "incremental", "partition", "keyed", "full")

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_WORD = re.compile(r"\w+")
_COMMON_SOURCE: tuple[str, ...] = ("kind", "table", "key", "columns", "renamed", "append_only")

SOURCE_KINDS: Mapping[str, Mapping[str, Reader]] = {
    "files": {
        "path": text,
        "pattern": names,
        "format": one_of("csv", "parquet", "jsonl"),
        "delimiter": any_text,
        "encoding": text,
        "header": flag,
        "null_values": texts,
        "empty_text_is_null": flag,
        "new_columns": one_of("add", "quarantine", "ignore"),
        "skip_same_content": flag,
        "settle_seconds": number,
        "follow_symlinks": flag,
        "trust_mtime": flag,
        "cumulative": flag,
    },
}
"""The settings each kind of source has besides the common ones, and how each is read."""


@dataclass(frozen=True, slots=True)
class WarehouseSettings:
    """`path` is absolute, or `:memory:`, or a URL."""

    path: str
    threads: int | None = None
    memory_limit: str | None = None


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """One `[sources.NAME]`; `options` holds what only its kind knows, already checked.

    `renamed` says how columns were called before: (name, earlier name).
    """

    name: str
    kind: str
    table: str
    schema: Schema
    options: Mapping[str, Any] = field(default_factory=dict)
    renamed: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """One `models/NAME.sql`, or a function of a `models/*.py`, with its optional `[models.NAME]`.

    `uses` are the other models it reads, by name. `sql` is a function's code where `function` is set.
    """

    name: str
    sql: str
    file: str
    uses: tuple[str, ...] = ()
    strict: bool = False
    strategy: str | None = None
    metadata: bool = False
    views: bool = False
    description: str = ""
    function: ModelFunction | None = None

    @property
    def definition(self) -> str | ModelFunction:
        """What a warehouse makes the model of."""
        return self.function or self.sql


@dataclass(frozen=True, slots=True)
class VerifySettings:
    """`[verify]`: how often `run` and `watch` compare models with their full recompute; never where neither
    is set. `sample` is the share of rows that is compared, `models` which models (none: all).

    `on_alert` is a command with its arguments, `notify` are addresses as Apprise writes them.
    """

    every_batches: int | None = None
    every_minutes: float | None = None
    sample: float | None = None
    models: tuple[str, ...] = ()
    on_alert: tuple[str, ...] = ()
    notify: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Project:
    """Everything a project's files say. `models` are ordered so that each comes after those it uses."""

    name: str
    directory: Path
    warehouse: WarehouseSettings
    sources: Mapping[str, SourceSettings]
    models: tuple[ModelSettings, ...]
    max_files_per_batch: int | None = None
    verify: VerifySettings = VerifySettings()


def load_project(directory: str | Path = ".", *, environment: Mapping[str, str] | None = None) -> Project:
    """Read a project's folder (or its `strandline.toml`).

    `${NAME}` in a value is replaced from `environment` (the process's own by default).
    Raises ConfigurationError naming the file and, where it can be told, the line.
    """
    folder = Path(directory)
    folder = folder.parent if folder.name == FILE_NAME else folder
    folder = folder.resolve()
    top = settings.load(folder / FILE_NAME, environment)
    top.only(("project", "warehouse", "run", "verify", "sources", "models"))
    about, run = top.child("project"), top.child("run")
    about.only(("name",))
    run.only(("max_files_per_batch",))
    sources = {s.path[-1]: _source(s) for s in top.child("sources").children()}
    return Project(
        name=about.get("name", text, folder.name),
        directory=folder,
        warehouse=_warehouse(top.child("warehouse"), folder),
        sources=sources,
        models=_models(top.child("models"), folder, sources),
        max_files_per_batch=run.get("max_files_per_batch", whole),
        verify=_verify(top.child("verify")),
    )


def _verify(section: Section) -> VerifySettings:
    section.only(("every_batches", "every_minutes", "sample", "models", "on_alert", "notify"))
    command = section.get("on_alert", texts, ())
    return VerifySettings(
        section.get("every_batches", whole),
        section.get("every_minutes", number),
        section.get("sample", share),
        section.get("models", names, ()),
        tuple(shlex.split(command[0])) if len(command) == 1 else command,
        section.get("notify", texts, ()),
    )


def _warehouse(section: Section, folder: Path) -> WarehouseSettings:
    section.only(("path", "threads", "memory_limit"))
    path = section.get("path", text, "warehouse.duckdb")
    if path != ":memory:" and "://" not in path:
        path = str(folder / Path(path).expanduser())
    return WarehouseSettings(path, section.get("threads", whole), section.get("memory_limit", text))


def _source(section: Section) -> SourceSettings:
    name = section.path[-1]
    kind = section.get("kind", text, "files")
    if kind not in SOURCE_KINDS:
        raise section.error(
            f"there is no kind of source {kind!r}; {nearest(kind, SOURCE_KINDS)}",
            setting="kind",
            hint="correct `kind`.",
        )
    own = SOURCE_KINDS[kind]
    section.only((*_COMMON_SOURCE, *own))
    table = section.get("table", text, name)
    _check_name(section, table, "table")
    options = {n: section.get(n, read) for n, read in own.items() if n in section.values}
    if kind == "files" and "path" not in options:
        section.need("path", text, '"landing/…"  (the folder its files arrive in)')
    schema = _schema(section)
    return SourceSettings(name, kind, table, schema, options, _renamed(section.child("renamed"), schema))


def _renamed(section: Section, schema: Schema) -> tuple[tuple[str, str], ...]:
    """`new = "old"` for columns that had another name; the new one is among the columns, the old one not."""
    pairs = tuple((name, section.get(name, text)) for name in section.values)
    for new, old in pairs:
        for name, wanted in ((new, True), (old, False)):
            if (schema.type_of(name) is not None) != wanted:
                raise section.error(
                    f"{new} = {old!r}: {name!r} is {'not' if wanted else 'still'} among the columns",
                    setting=new,
                    hint='write  new_name = "old_name"  and only the new one among the columns.',
                )
    return pairs


def _schema(section: Section) -> Schema:
    columns = section.child("columns")
    if not columns.values:
        raise section.error(
            f"{section.title} names no columns",
            hint=f'add [{".".join(columns.path)}] with a line  name = "TYPE"  for each column, in order.',
        )
    found = tuple(Column(name, columns.get(name, text)) for name in columns.values)
    key: tuple[str, ...] = section.get("key", names, ())
    known = {c.name.lower(): c.name for c in found}
    for name in key:
        if name.lower() not in known:
            raise section.error(
                f"the key column {name!r} is not among the columns; {nearest(name, known.values())}",
                setting="key",
                hint="correct `key` or add the column.",
            )
    return Schema(found, tuple(known[n.lower()] for n in key), section.get("append_only", flag, False))


def _models(
    section: Section, folder: Path, sources: Mapping[str, SourceSettings]
) -> tuple[ModelSettings, ...]:
    files = _model_files(folder / MODELS_FOLDER, folder)
    for name in section.values:
        if name.lower() not in files:
            raise section.error(
                f"[models.{name}] has settings but there is no {MODELS_FOLDER}/{name}.sql, nor a function "
                f"of that name; {nearest(name, [f.name for f in files.values()])}",
                setting=name,
                hint="correct the name, add the file or remove the settings.",
            )
    chosen = {child.path[-1].lower(): child for child in section.children()}
    tables = {s.table.lower(): s.name for s in sources.values()}
    models = []
    for key, file in files.items():
        if key in tables:
            raise ConfigurationError(
                f"the model has the same name as the table of [sources.{tables[key]}]",
                where=file.place,
                hint="rename the model, or give the source another `table`.",
            )
        models.append(_model(chosen.get(key) or section.child(file.name), file))
    return in_order(models)


@dataclass(frozen=True, slots=True)
class _Found:
    """A model before its settings are known: its file, and its function where it is one."""

    name: str
    file: Path
    place: str
    function: ModelFunction | None = None


def _model_files(folder: Path, project: Path) -> dict[str, _Found]:
    """Lower-case model name → where it is; what starts with `.` or `_` is passed over."""
    files: dict[str, _Found] = {}
    for file in sorted(folder.rglob("*")):
        place = file.relative_to(project)
        if file.suffix not in (".sql", ".py") or any(p[0] in "._" for p in place.parts) or not file.is_file():
            continue
        functions = load_functions(file, str(place)) if file.suffix == ".py" else []
        made = [_Found(f.name, file, str(place), f) for f in functions]
        for one in made or [_Found(file.stem, file, str(place))]:
            _check_model(one, files.get(one.name.lower()))
            files[one.name.lower()] = one
    return files


def _check_model(one: _Found, other: _Found | None) -> None:
    if not _NAME.match(one.name):
        raise ConfigurationError(
            f"{one.name!r} cannot be a model's name",
            where=one.place,
            hint="use letters, digits and `_`, not starting with a digit.",
        )
    if other is not None:
        raise ConfigurationError(
            f"two files make the model {one.name!r}; the other is {other.place}",
            where=one.place,
            hint="rename one of them.",
        )


def _model(section: Section, found: _Found) -> ModelSettings:
    section.only(("strict", "strategy", "metadata", "views", "description"))
    file, place, function = found.file, found.place, found.function
    try:
        sql = function.text if function else file.read_text(encoding="utf-8").strip().rstrip(";").rstrip()
    except (OSError, UnicodeDecodeError) as problem:
        raise ConfigurationError(f"it cannot be read: {problem}", where=place) from problem
    if not sql:
        raise ConfigurationError("the file is empty", where=place, hint="write a SELECT, or remove the file.")
    return ModelSettings(
        name=found.name,
        sql=sql,
        file=place,
        strict=section.get("strict", flag, False),
        strategy=section.get("strategy", one_of(*STRATEGIES)),
        metadata=section.get("metadata", flag, False),
        views=section.get("views", flag, False),
        description=section.get("description", text, ""),
        function=function,
    )


def _check_name(section: Section, name: str, setting: str) -> None:
    if not _NAME.match(name):
        raise section.error(
            f"{name!r} cannot be a table's name",
            setting=setting,
            hint='use letters, digits and `_`; `table = "…"` may differ from the section\'s name.',
        )


def tables_read(sql: str) -> set[str]:
    """The names of the tables a query reads, lower case, without its own CTEs.

    SQL that does not parse reads nothing here: creating the model says why, better than this could.
    """
    import sqlglot
    from sqlglot import exp
    from sqlglot.errors import SqlglotError
    from sqlglot.optimizer.scope import traverse_scope

    try:
        tree = sqlglot.parse_one(sql, dialect="duckdb")
        scopes = traverse_scope(tree)
    except SqlglotError:
        return set()
    sources = (source for scope in scopes for source in scope.sources.values())
    return {s.name.lower() for s in sources if isinstance(s, exp.Table)}


def _models_read(sql: str, names: Iterable[str]) -> set[str]:
    # Most models name no other one, and then there is no need for the parser to be loaded.
    words = set(_WORD.findall(sql.lower()))
    mentioned = words.intersection(names)
    return tables_read(sql) & mentioned if mentioned else set()


def _uses(model: ModelSettings, names: Collection[str]) -> set[str]:
    if model.function is not None:
        return {n.lower() for n in model.function.reads} & set(names)
    return _models_read(model.sql, names)


def in_order(models: Iterable[ModelSettings]) -> tuple[ModelSettings, ...]:
    """The models with `uses` filled in, each after those it uses, otherwise by name.

    Raises ConfigurationError naming the models of a cycle.
    """
    from dataclasses import replace

    by_name = {m.name.lower(): m for m in models}
    uses = {n: sorted(_uses(m, by_name.keys())) for n, m in by_name.items()}
    order = topological(uses)
    return tuple(replace(by_name[n], uses=tuple(by_name[u].name for u in uses[n])) for n in order)


def topological(uses: Mapping[str, Iterable[str]]) -> list[str]:
    """Names with those they use before them, by name where there is a choice. A cycle is an error."""
    order: list[str] = []
    trail: list[str] = []

    def visit(name: str) -> None:
        if name in trail:
            cycle = [*trail[trail.index(name) :], name]
            raise ConfigurationError(
                f"models use each other in a circle: {' → '.join(cycle)}",
                where=f"{MODELS_FOLDER}/{cycle[0]}.sql",
                hint="let one of them read the source tables instead.",
            )
        if name in order:
            return
        trail.append(name)
        for used in sorted(uses[name]):
            visit(used)
        trail.pop()
        order.append(name)

    for name in sorted(uses):
        visit(name)
    return order
