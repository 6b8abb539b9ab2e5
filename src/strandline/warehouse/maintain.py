"""Creates, fills, refreshes and drops the stages of models."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from strandline.compiler import Plan, Stage, programs
from strandline.compiler.delicate import kind_of, shown
from strandline.compiler.delta import Changed
from strandline.compiler.relations import quote
from strandline.compiler.text import Step, batch, listed, stored
from strandline.engines.base import Engine
from strandline.schema import ModelRun, StageRun
from strandline.units import counted
from strandline.warehouse import costs
from strandline.warehouse.definitions import ModelDefinition
from strandline.warehouse.numbers import fresh_identity
from strandline.warehouse.replacing import replace_rows

BULK_ROWS = 50_000
"""This many rows into an empty table are written straight; models that read it are filled anew."""
WRITTEN = ("carried", "late new", "long new", "shown+")
"""Counts of the rows a windowed stage wrote; its change is counted apart only where somebody reads it."""


@dataclass
class Change:
    """What this refresh changed so far: rows that came and went, by stored table, and tables made anew."""

    came: dict[str, int] = field(default_factory=dict)
    went: dict[str, int] = field(default_factory=dict)
    rebuilt: set[str] = field(default_factory=set)
    written: dict[str, int] = field(default_factory=dict)
    """Rows of tables made anew, where they were told."""
    fills: list[costs.Fill] = field(default_factory=list)
    shared: frozenset[str] = frozenset()
    whole: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Rows of change sets that are narrowed to what concerns the model at hand."""
    concerned: set[object] = field(default_factory=set)
    """The ways of reading a table that all of its change concerns."""

    def add(self, table: str, came: int, went: int) -> None:
        """Announce a table's change set to what reads it."""
        self.came[table], self.went[table] = came, went

    @property
    def tables(self) -> set[str]:
        """Those with a change set."""
        return {t for t in self.came if self.size(t)} - self.rebuilt

    def size(self, table: str) -> int:
        """Rows that came and went."""
        return self.came.get(table, 0) + self.went.get(table, 0)

    def rows(self, tables: Iterable[str]) -> int:
        """Rows that came to and went from these tables."""
        return sum(self.size(t) for t in tables)

    def removes(self, tables: Iterable[str]) -> bool:
        """True where rows went from any of these tables."""
        return any(self.went.get(t) for t in tables)

    def sides(self, tables: Iterable[str]) -> Changed:
        """The sides of these tables that are not empty: what a program has to read."""
        known = [t for t in tables if t not in self.rebuilt]
        came = {f"{t}+" for t in known if self.came.get(t)}
        return frozenset(came | {f"{t}-" for t in known if self.went.get(t)})


@dataclass
class Programs:
    """Programs made once per stage and sides of tables that changed; dropped when a model changes."""

    made: dict[tuple[str, Changed], list[Step]] = field(default_factory=dict)

    def of(self, stage: Stage, changed: Changed) -> list[Step]:
        key = (stage.table, changed)
        if key not in self.made:
            self.made[key] = programs.refresh(stage, changed)
        return self.made[key]

    def forget(self, model: str) -> None:
        prefix = f"state/{model.lower()}."
        self.made = {k: v for k, v in self.made.items() if not k[0].startswith(prefix)}


def create(engine: Engine, plan: Plan, definition: ModelDefinition) -> int:
    """Create and fill everything a model stores; the rows of its table."""
    if plan.full_reason:
        cols = listed(s for _, s, _ in definition.columns)
        return engine.execute(
            f"CREATE TABLE {stored(plan.output.table)} AS SELECT {cols}, {fresh_identity()} AS _rid, "
            f"hash({cols}) AS _k, {batch()} FROM ({plan.query}\n) AS q({cols})"
        )
    rows = 0
    for stage in plan.stages:
        rows = max([engine.execute(statement) for statement in programs.create(stage)])
        if stage.back:  # in two tables, some rows in both
            rows = engine.execute(f"SELECT count(*) FROM {stored(stage.table)}")
    return rows


def drop(engine: Engine, plan: Plan) -> None:
    """Remove everything a model stores."""
    if plan.full_reason:
        engine.execute(f"DROP TABLE IF EXISTS {stored(plan.output.table)}")
    for stage in reversed(plan.stages):
        for statement in programs.drop(stage):
            engine.execute(statement)


def view_statements(definition: ModelDefinition) -> list[str]:
    """The views the user reads: the model, and its base, incremental and real-time rows where wanted."""
    cols = ", ".join(f"t.{quote(s)} AS {quote(n)}" for n, s, _ in definition.columns)
    source = f"{stored(definition.table)} AS t"
    if definition.settings.get("metadata") or definition.settings.get("views"):
        source += " LEFT JOIN strandline.batches AS b ON b.batch_seq = t._batch"
    if definition.settings.get("metadata"):
        kind = "CASE WHEN b.kind IN ('base', 'rebuild') THEN 'base' ELSE 'incremental' END"
        cols += f", b.started_at AS processed_timestamp, {kind} AS process_type"
        cols += ", b.batch_id AS incremental_batch_id, b.finished_at AS incremental_processed_at"
    where = f"({definition.where})" if definition.where else "TRUE"
    base = "(SELECT coalesce(max(batch_seq), 0) FROM strandline.batches WHERE kind = 'base')"
    conditions = [where]
    if definition.settings.get("views"):
        is_base = f"(t._batch <= {base} OR b.kind IN ('base', 'rebuild'))"
        conditions += [f"{where} AND {is_base}", f"{where} AND NOT {is_base}", where]
    rows = f"SELECT {cols} FROM {source}"
    return [
        f"CREATE VIEW main.{quote(view)} AS {rows} WHERE {condition}"
        for view, condition in zip(definition.views, conditions, strict=True)
    ]


def refresh(
    engine: Engine, plan: Plan, definition: ModelDefinition, change: Change, made: Programs
) -> ModelRun:
    """Bring one model up to date from the change of what it reads."""
    touched = set(definition.inputs) & change.tables
    started = time.perf_counter()
    if plan.full_reason:
        runs = [recompute(engine, plan, definition, change)]
    else:
        runs = [
            r for s in plan.stages if (r := run_stage(engine, definition.name, s, change, made)) is not None
        ]
    rows_in = change.rows(touched)
    last = runs[-1] if runs else None
    out = last.rows_out if last is not None and last.stage == definition.table else 0
    costliest = max(runs, key=lambda r: COSTLIEST.index(r.strategy), default=None)
    strategy = costliest.strategy if costliest is not None else plan.strategy
    reason = costliest.reason if costliest is not None else "no stage was touched"
    return ModelRun(
        definition.name,
        strategy,
        reason,
        rows_in,
        out,
        time.perf_counter() - started,
        tuple(runs),
    )


COSTLIEST = ["stateless", "carry", "merge", "partition", "keyed", "full"]


def rebuild(engine: Engine, plan: Plan, definition: ModelDefinition, change: Change, why: str) -> ModelRun:
    """Drop and fill; models above follow."""
    started = time.perf_counter()
    drop(engine, plan)
    return made_anew(plan, definition, change, why, create(engine, plan, definition), started)


def made_anew(
    plan: Plan, definition: ModelDefinition, change: Change, why: str, rows: int, started: float
) -> ModelRun:
    """The run of a model whose table was made of all rows; what reads it has no change to start from."""
    change.rebuilt |= {definition.table, *(s.table for s in plan.stages)}
    change.written[definition.table] = rows
    rows_in, seconds = change.rows(definition.inputs), time.perf_counter() - started
    stage = StageRun(definition.name, definition.table, "query", "full", why, rows_in, rows, seconds)
    return ModelRun(definition.name, "full", why, rows_in, rows, seconds, (stage,))


def run_stage(engine: Engine, model: str, stage: Stage, change: Change, made: Programs) -> StageRun | None:
    """Run one stage's program if anything it reads has changed."""
    changed = change.sides(stage.reads)
    if not changed:
        return None
    steps = made.of(stage, changed)
    started = time.perf_counter()
    shared = stage.table in change.shared
    counts = {"shared": int(shared), "alone": int(not shared)}
    for step in steps:
        if wanted(step, counts):
            count = engine.execute(step.sql) if step.sql else 1
            if step.into is not None:
                name, sign = step.into.removeprefix("-"), -1 if step.into.startswith("-") else 1
                counts[name] = counts.get(name, 0) + sign * count
    return stage_run(model, stage, change, counts, time.perf_counter() - started)


def wanted(step: Step, counts: Mapping[str, int]) -> bool:
    """True where the counts that the step waits for are above zero, or zero where that is what it says."""
    return all(any(told(name, counts) for name in names.split("|")) for names in step.when)


def told(name: str, counts: Mapping[str, int]) -> bool:
    """What a step says of one count."""
    if name.startswith("!"):
        return not counts.get(name[1:])
    name, _, least = name.partition(">")
    return counts.get(name, 0) > int(least or 0)


def stage_run(model: str, stage: Stage, change: Change, counts: dict[str, int], seconds: float) -> StageRun:
    """The record of a stage's run; its change is announced to what reads it."""
    rows_in = change.rows(stage.reads)
    came, went = (0, 0) if counts.get("in") == 0 else (counts.get("plus", 0), counts.get("minus", 0))
    change.add(stage.table, came, went)
    # a windowed stage that nobody reads hands nothing on, but has written
    out = came + went if counts["shared"] else max(came + went, sum(counts.get(c, 0) for c in WRITTEN))
    strategy, reason = stage.strategy, stage.reason
    redone, long = counts.get("late", 0) + counts.get("long", 0), counts.get("long", 0)
    if strategy == "carry" and redone:
        late = f"{counted(redone, 'partition')} had late, changed or removed rows and "
        late += "was recomputed" if redone == 1 else "were recomputed"
        late += f" ({counted(long, 'long one')} from the first of them on)" if long else ""
        reason = f"{late}; the rest carried on"
        strategy = "partition" if not counts.get("carried") else "carry"
    removing = change.removes(stage.reads)
    return StageRun(model, stage.table, stage.name, strategy, reason, rows_in, out, seconds, removing)


def recompute(engine: Engine, plan: Plan, definition: ModelDefinition, change: Change) -> StageRun:
    """The `full` strategy: recompute, then keep only what really differs (copies of equal rows numbered)."""
    started = time.perf_counter()
    table = plan.output.table
    names = [s for _, s, _ in definition.columns]
    cols = listed(names)
    fresh = f"(SELECT {cols}, hash({cols}) AS _k FROM ({plan.query}\n) AS q({cols})) AS f"
    exactly = "".join(
        f" AND {shown(name, kind, 'a.')} IS NOT DISTINCT FROM {shown(name, kind, 'b.')}"
        for name, kind in ((s, kind_of(t)) for _, s, t in definition.columns)
        if kind
    )
    came, went = replace_rows(engine, table, names, fresh, exactly=exactly)
    change.add(table, came, went)
    rows_in = change.rows(definition.inputs)
    seconds = time.perf_counter() - started
    return StageRun(definition.name, table, "query", "full", plan.full_reason, rows_in, came + went, seconds)


def dependents(models: Iterable[ModelDefinition], name: str) -> list[str]:
    """Models that read this table or model, directly or through others, in order of creation."""
    found = {name.lower()}
    ordered = []
    for model in models:
        if found & set(model.reads):
            found.add(model.name.lower())
            ordered.append(model.name)
    return ordered
