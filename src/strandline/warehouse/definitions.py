"""What a warehouse holds, as frozen values stored as JSON in the record."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from dataclasses import replace as evolve

from strandline.compiler import Catalog, Plan, Readable, SourceColumn
from strandline.compiler.names import HIDDEN, RID, source_table
from strandline.compiler.parsing import statements
from strandline.compiler.subscripts import as_written
from strandline.compiler.text import DIALECT
from strandline.errors import SchemaError, UnknownNameError, nearest
from strandline.schema import Column, Schema

LAYOUT = 9
"""Version of what stages store; models of another version are made anew by the first batch after opening."""
VIEW_SUFFIXES = ("_base", "_incremental", "_realtime")
"""Views beside a model's own, where its settings ask for them: by the kind of batch that wrote a row."""


@dataclass(frozen=True)
class TableDefinition:
    """A source table: columns in the user's words, key, and whether rows are only ever added."""

    name: str
    columns: tuple[tuple[str, str], ...]
    key: tuple[str, ...] = ()
    append_only: bool = False
    found: tuple[str, ...] | None = ()
    """Columns that nobody declared: files brought them. None where that was not recorded yet."""

    @property
    def stored(self) -> str:
        return source_table(self.name)

    @property
    def schema(self) -> Schema:
        return Schema(tuple(Column(n, t) for n, t in self.columns), self.key, self.append_only)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(n for n, _ in self.columns)

    @property
    def place(self) -> str:
        """What stored rows are found again by: a column of the same name hides the engine's rowid."""
        return RID if "rowid" in (n.lower() for n in self.names) else "rowid"

    def readable(self) -> Readable:
        cols = tuple(SourceColumn(n, n, t) for n, t in self.columns)
        return Readable(self.name, cols, self.stored, (RID,), self.key)


@dataclass(frozen=True)
class ModelDefinition:
    """A model: its settings, and how its rows are read from its last stage."""

    name: str
    columns: tuple[tuple[str, str, str], ...]
    """(name, stored name, type)"""
    table: str
    ids: tuple[str, ...]
    unique: tuple[str, ...]
    where: str
    reads: tuple[str, ...]
    inputs: tuple[str, ...]
    """Stored tables whose change may change the model."""
    settings: Mapping[str, object] = field(default_factory=dict)
    fallback: str = ""
    """Why the engine would not run the compiled stages, where the model is recomputed as written instead."""
    layout: int = LAYOUT
    function: Mapping[str, object] | None = None
    """What was declared of a Python model's function; None for a query."""
    resolved: str = ""
    """What the query meant before columns were added that would give its names another meaning."""
    plain: str = ""
    """Why there is no state for now, just a table of the result; the rest says what there is otherwise."""

    @property
    def views(self) -> tuple[str, ...]:
        """The views that users read: the model's own, and those of `VIEW_SUFFIXES` where it has them."""
        more = VIEW_SUFFIXES if self.settings.get("views") else ()
        return (self.name, *(self.name + suffix for suffix in more))

    @property
    def as_stored(self) -> ModelDefinition:
        """How the rows lie in the table by now: a plain one has the model's own columns and rows."""
        return (
            evolve(self, columns=tuple((n, n, t) for n, _, t in self.columns), where="")
            if self.plain
            else self
        )

    def readable(self) -> Readable:
        """For the compiler: a plain model has its state built before anything is made that reads it."""
        cols = tuple(SourceColumn(n, s, t) for n, s, t in self.columns)
        where = as_written(statements(self.where)[0], DIALECT) if self.where else None
        return Readable(self.name, cols, self.table, self.ids, self.unique, where)


def model_definition(
    name: str, plan: Plan, shape: Sequence[Column], settings: Mapping[str, object], catalog: Catalog
) -> ModelDefinition:
    """From a plan and the engine's description of the query's result."""
    stored = [s for _, s in plan.output.columns]
    if plan.full_reason:
        stored = beside_hidden([c.name for c in shape])
    columns = tuple((c.name, s, c.type) for c, s in zip(shape, stored, strict=True))
    renamed = dict(zip((n for n, _ in plan.output.columns), (c.name for c in shape), strict=False))
    inputs = {t for stage in plan.stages for t in stage.reads} | {catalog[r].table for r in plan.reads}
    where = plan.output.where.sql(dialect="duckdb") if plan.output.where is not None else ""
    return ModelDefinition(
        name,
        columns,
        plan.output.table,
        plan.output.ids,
        tuple(renamed[u] for u in plan.output.unique),
        where,
        tuple(sorted(plan.reads)),
        tuple(sorted(inputs)),
        dict(settings),
        plan.full_reason if plan.query == plan.sql.strip().rstrip(";") else "",
    )


def beside_hidden(names: Sequence[str]) -> list[str]:
    """Names to store the columns of a result by: one like a hidden column's, or rowid, is lengthened."""
    taken = {n.lower() for n in names}
    found = []
    for name in names:
        own = f"c{name}" if name.startswith("_") or name.lower() == "rowid" else name
        while own != name and own.lower() in taken:
            own += "_"
        taken.add(own.lower())
        found.append(own)
    return found


def to_json(definition: TableDefinition | ModelDefinition) -> str:
    return json.dumps(asdict(definition))


def table_from_json(text: str) -> TableDefinition:
    raw = json.loads(text)
    columns = tuple((n, t) for n, t in raw["columns"])
    found = tuple(raw["found"]) if raw.get("found") is not None else None
    return TableDefinition(raw["name"], columns, tuple(raw["key"]), raw["append_only"], found)


def model_from_json(text: str) -> ModelDefinition:
    raw = json.loads(text)
    raw["columns"] = tuple(tuple(c) for c in raw["columns"])
    for name in ("ids", "unique", "reads", "inputs"):
        raw[name] = tuple(raw[name])
    return ModelDefinition(**raw)


def parse_columns(name: str, columns: str | Sequence[Column]) -> tuple[tuple[str, str], ...]:
    """`"id INTEGER, amount DECIMAL(12,2)"` → names as written with their types. Raises SchemaError."""
    if not isinstance(columns, str):
        return checked_columns(name, tuple((c.name, c.type) for c in columns))
    parts = top_level_parts(columns)
    pairs = []
    for part in parts:
        match = re.fullmatch(r'(?:"((?:[^"]|"")+)"|(\w+))\s+(.+)', part, re.DOTALL)
        if match is None:
            raise SchemaError(
                f"column definition {part!r} is not `name TYPE`",
                where=f"table {name}",
                hint="write: id INTEGER, …",
            )
        quoted, plain, kind = match.groups()
        pairs.append((quoted.replace('""', '"') if quoted else plain, kind.strip()))
    return checked_columns(name, tuple(pairs))


def top_level_parts(text: str) -> list[str]:
    """The parts between commas that are in no quotes, parentheses, brackets or comments."""
    parts, part, depth, quoted = [], "", 0, ""
    for char in re.sub(r"--[^\n]*", "", text):
        if quoted:
            quoted = "" if char == quoted else quoted
        elif char in "'\"":
            quoted = char
        elif char in "([<":
            depth += 1
        elif char in ")]>":
            depth -= 1
        if char == "," and not depth and not quoted:
            parts.append(part.strip())
            part = ""
        else:
            part += char
    return [p for p in [*parts, part.strip()] if p]


def checked_columns(name: str, pairs: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """Refuse empty, duplicate and reserved column names."""
    lowered = [n.lower() for n, _ in pairs]
    if not pairs:
        raise SchemaError("a table needs at least one column", where=f"table {name}", hint="add columns.")
    twice = next((n for n in lowered if lowered.count(n) > 1), None)
    if twice:
        raise SchemaError(
            f"column {twice!r} is there twice", where=f"table {name}", hint="rename one of them."
        )
    collated = next((n for n, t in pairs if "COLLATE" in t.upper().split()), None)
    if collated:
        raise SchemaError(
            f"column {collated!r} has a collation, by which equal values are not the same value",
            where=f"table {name}",
            hint="leave COLLATE out and compare lower(column) where case should not count.",
        )
    taken = next((n for n in lowered if n in HIDDEN), None)
    if taken:
        raise SchemaError(f"column name {taken!r} is reserved", where=f"table {name}", hint="rename it.")
    return pairs


def parse_key(
    name: str, key: str | Sequence[str] | None, columns: tuple[tuple[str, str], ...]
) -> tuple[str, ...]:
    """Key columns as the table spells them. Raises UnknownNameError."""
    if not key:
        return ()
    wanted = [k.strip() for k in key.split(",")] if isinstance(key, str) else list(key)
    spelled = {n.lower(): n for n, _ in columns}
    for k in wanted:
        if k.lower() not in spelled:
            raise UnknownNameError(
                f"key column {k!r} is not a column", where=f"table {name}", hint=nearest(k, spelled.values())
            )
    return tuple(spelled[k.lower()] for k in wanted)


def distinctly_named(shape: Sequence[Column]) -> tuple[Column, ...]:
    """Columns of one name numbered from the second on, as the engine does for a table."""
    seen: dict[str, int] = {}
    named = []
    for column in shape:
        n = seen.get(column.name.lower(), 0)
        seen[column.name.lower()] = n + 1
        named.append(Column(f"{column.name}_{n}", column.type) if n else column)
    return tuple(named)
