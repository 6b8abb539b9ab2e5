"""What a run would do, found without writing anything."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from strandline.project import ModelSettings, Project
from strandline.runner.columns import missing_columns, with_new_names
from strandline.runner.ports import Records, ledger, records
from strandline.runner.prepare import dropped, stored_models, what_changed
from strandline.runner.refresh import Work, pending, with_tables
from strandline.schema import BatchKind, Schema
from strandline.sources.base import Source
from strandline.units import counted

ExplainNew = Callable[[Mapping[str, Schema], Sequence[ModelSettings]], Mapping[str, Any]]
"""Explains models that are not there yet, given the tables they would read."""


_ANY_BASE = "SELECT 1 AS x FROM strandline.batches WHERE kind = 'base' LIMIT 1"


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """A file that would be taken in; `size` in bytes, `reason` for a file that adds no rows."""

    source: str
    table: str
    path: str
    size: int
    action: Literal["new", "replaces", "duplicate", "moved", "refused"]
    reason: str = ""


@dataclass(frozen=True, slots=True)
class PlannedModel:
    """What would become of a model, and how it is kept (`explanation` is None for a dropped one)."""

    name: str
    action: Literal["create", "rebuild", "keep", "drop"]
    reason: str = ""
    explanation: Any = None


@dataclass(frozen=True, slots=True)
class RunPlan:
    """What the next run would do. `kind` is that of its batch; `columns` are those added to tables."""

    kind: BatchKind
    files: tuple[PlannedFile, ...]
    tables: tuple[str, ...]
    columns: Mapping[str, tuple[str, ...]]
    models: tuple[PlannedModel, ...]

    @property
    def empty(self) -> bool:
        """Whether the run would change nothing."""
        return not (self.files or self.edited)

    @property
    def edited(self) -> bool:
        """Whether tables or models would be created, changed or dropped."""
        return bool(self.tables or self.columns) or any(m.action != "keep" for m in self.models)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "kind": self.kind,
            "files": [asdict(f) for f in self.files],
            "create_tables": list(self.tables),
            "add_columns": {table: list(names) for table, names in self.columns.items()},
            "models": [
                {
                    "name": m.name,
                    "action": m.action,
                    "reason": m.reason,
                    "explanation": m.explanation.as_dict() if m.explanation is not None else None,
                }
                for m in self.models
            ],
        }

    def __str__(self) -> str:
        lines = [f"create table {name}" for name in self.tables]
        lines += [f"add to table {table}: {', '.join(names)}" for table, names in self.columns.items()]
        lines += [_model_line(m) for m in self.models]
        lines += [_file_line(f) for f in self.files]
        what = (
            f"{counted(len(self.files), 'file')} in one {self.kind} batch"
            if self.files
            else "no files are waiting"
        )
        return "\n".join([*lines, what])


def plan(
    wh: Records,
    project: Project,
    sources: Iterable[Source],
    explain_new: ExplainNew,
    kind: BatchKind | None = None,
) -> RunPlan:
    """What a run would do to this warehouse. Raises what the run would raise before its batch."""
    tables = with_new_names(wh.tables(), project)
    work = pending(with_tables(wh, sources), ledger(wh))[: project.max_files_per_batch]
    columns = _columns_to_add(project, tables)
    return RunPlan(
        kind=kind or ("incremental" if records(wh, _ANY_BASE) else "base"),
        files=tuple(_planned(item) for item in work),
        tables=tuple(s.table for s in project.sources.values() if s.table not in tables),
        columns={table: tuple(c.name for c in schema.columns) for table, schema in columns.items()},
        models=tuple(_models(wh, project, _tables_after(project, tables, columns), explain_new)),
    )


def _planned(item: Work) -> PlannedFile:
    file = item.file
    action: Literal["new", "replaces", "duplicate", "moved", "refused"] = (
        "new" if item.file.replaces is None else "replaces"
    )
    reason = ""
    if file.problem:
        action, reason = "refused", file.problem
    elif file.moved_from:
        action, reason = "moved", f"it was {file.moved_from}"
    elif file.duplicate_of:
        action, reason = "duplicate", f"the same bytes as {file.duplicate_of}"
    return PlannedFile(file.source, file.table, file.path, file.size, action, reason)


def _columns_to_add(project: Project, tables: Mapping[str, Schema]) -> dict[str, Schema]:
    found = {}
    for source in project.sources.values():
        if source.table in tables and (new := missing_columns(source, tables[source.table])):
            found[source.table] = Schema(tuple(new))
    return found


def _tables_after(
    project: Project, tables: Mapping[str, Schema], added: Mapping[str, Schema]
) -> dict[str, Schema]:
    after = {s.table: s.schema for s in project.sources.values() if s.table not in tables}
    for name, schema in tables.items():
        more = added[name].columns if name in added else ()
        after[name] = Schema((*schema.columns, *more), schema.key, schema.append_only)
    return after


def _models(
    wh: Records, project: Project, tables: Mapping[str, Schema], explain_new: ExplainNew
) -> list[PlannedModel]:
    existing = stored_models(wh)
    decided: dict[str, tuple[Literal["create", "rebuild", "keep"], str]] = {}
    for model in project.models:
        rebuilt = [u for u in model.uses if decided[u.lower()][0] != "keep"]
        if model.name.lower() not in existing:
            decided[model.name.lower()] = "create", "its file is new"
        elif difference := what_changed(existing, model):
            decided[model.name.lower()] = "rebuild", f"{difference} changed"
        elif rebuilt:
            decided[model.name.lower()] = "rebuild", f"it reads {', '.join(rebuilt)}"
        else:
            decided[model.name.lower()] = "keep", ""
    # Explaining a model that is not there needs those it reads to be there too, as they will be.
    fresh = explain_new(tables, project.models) if any(d[0] != "keep" for d in decided.values()) else {}
    found = [
        PlannedModel(
            model.name,
            *decided[model.name.lower()],
            wh.explain(model.name) if decided[model.name.lower()][0] == "keep" else fresh[model.name],
        )
        for model in project.models
    ]
    return found + [PlannedModel(n, "drop", "its file is gone") for n in dropped(existing, project.models)]


def _model_line(model: PlannedModel) -> str:
    stages = getattr(model.explanation, "stages", ())
    how = ", ".join(f"{s.operator}: {s.strategy}" for s in stages)
    why = f" ({model.reason})" if model.reason else ""
    return f"{model.action} model {model.name}{why}{f'  {how}' if how else ''}"


def _file_line(file: PlannedFile) -> str:
    why = f" ({file.reason})" if file.reason else ""
    return f"{file.action} {file.path} → {file.table}, {file.size:,} bytes{why}"
