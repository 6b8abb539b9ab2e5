"""Creates, fills, refreshes and drops the stages of models."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from strandline.compiler import Plan, Stage, programs
from strandline.compiler.relations import quote
from strandline.compiler.text import Step, listed, make, minus, plus, same, scratch, stored
from strandline.engines.base import Engine
from strandline.schema import ModelRun, StageRun
from strandline.warehouse.definitions import ModelDefinition

REBUILD_ROWS = 50_000
"""Below this many changed rows a rebuild is never cheaper than it is noisy."""
REBUILD_SHARE = 0.25
"""Above this share of changed rows the full recompute is the cheaper way (bench/crossover measures it)."""


WRITTEN = ("carried", "new", "shown+")
"""Counts of the rows a windowed stage wrote; its change is counted apart only where somebody reads it."""


@dataclass
class Change:
    """What this refresh changed so far: stored tables with a change set, and those made anew."""

    tables: set[str] = field(default_factory=set)
    rebuilt: set[str] = field(default_factory=set)
    rows: dict[str, int] = field(default_factory=dict)
    shared: frozenset[str] = frozenset()


@dataclass
class Programs:
    """Programs made once per stage and set of changed tables; dropped when a model changes."""

    made: dict[tuple[str, frozenset[str]], list[Step]] = field(default_factory=dict)

    def of(self, stage: Stage, changed: frozenset[str]) -> list[Step]:
        key = (stage.table, changed)
        if key not in self.made:
            self.made[key] = programs.refresh(stage, changed)
        return self.made[key]

    def forget(self, model: str) -> None:
        prefix = f"state/{model.lower()}."
        self.made = {k: v for k, v in self.made.items() if not k[0].startswith(prefix)}


def create(engine: Engine, plan: Plan, definition: ModelDefinition) -> None:
    """Create and fill everything a model stores."""
    if plan.full_reason:
        cols = listed(n for n, _, _ in definition.columns)
        engine.execute(
            f"CREATE TABLE {stored(plan.output.table)} AS SELECT {cols}, row_number() OVER () + "
            f"getvariable('strandline_batch')::BIGINT * 4294967296 AS _rid, hash({cols}) AS _k, "
            f"getvariable('strandline_batch')::BIGINT AS _batch FROM ({plan.query}\n) AS q({cols})"
        )
    for stage in plan.stages:
        for statement in programs.create(stage):
            engine.execute(statement)


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
    views = {"": where}
    if definition.settings.get("views"):
        is_base = f"(t._batch <= {base} OR b.kind IN ('base', 'rebuild'))"
        views |= {
            "_base": f"{where} AND {is_base}",
            "_incremental": f"{where} AND NOT {is_base}",
            "_realtime": where,
        }
    rows = f"SELECT {cols} FROM {source}"
    return [
        f"CREATE VIEW main.{quote(definition.name + suffix)} AS {rows} WHERE {condition}"
        for suffix, condition in views.items()
    ]


def refresh(
    engine: Engine, plan: Plan, definition: ModelDefinition, change: Change, made: Programs
) -> ModelRun | None:
    """Bring one model up to date; None where nothing it reads has changed."""
    touched = set(definition.inputs) & (change.tables | change.rebuilt)
    if not touched:
        return None
    started = time.perf_counter()
    why = rebuild_reason(engine, plan, definition, change)
    if why:
        return rebuild(engine, plan, definition, change, why, started)
    if plan.full_reason:
        runs = [recompute(engine, plan, definition, change)]
    else:
        runs = [
            r for s in plan.stages if (r := run_stage(engine, definition.name, s, change, made)) is not None
        ]
    rows_in = sum(change.rows.get(t, 0) for t in touched)
    last = runs[-1] if runs else None
    out = last.rows_out if last is not None and last.stage == definition.table else 0
    reason = next((r.reason for r in reversed(runs)), "no stage was touched")
    strategy = plan.strategy if not runs else max((r.strategy for r in runs), key=COSTLIEST.index)
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


def rebuild_reason(engine: Engine, plan: Plan, definition: ModelDefinition, change: Change) -> str:
    """Why filling anew is the way: an input was made anew, or so much changed that it is cheaper."""
    if set(definition.inputs) & change.rebuilt:
        return "an input was filled for the first time or anew"
    changed = max((change.rows.get(t, 0) for t in definition.inputs), default=0)
    if changed < REBUILD_ROWS or plan.full_reason:
        return ""
    for table in definition.inputs:
        rows = change.rows.get(table, 0)
        if rows >= REBUILD_ROWS:
            total = max(1, engine.execute(f"SELECT count(*) FROM {stored(table)}"))
            if rows / total > REBUILD_SHARE:
                return f"{rows} changed rows of {total}: filling anew is cheaper"
    return ""


def rebuild(
    engine: Engine, plan: Plan, definition: ModelDefinition, change: Change, why: str, started: float
) -> ModelRun:
    """Drop and fill; models above follow."""
    drop(engine, plan)
    create(engine, plan, definition)
    change.rebuilt |= {definition.table, *(s.table for s in plan.stages)}
    rows = engine.execute(f"SELECT count(*) FROM {stored(definition.table)}")
    rows_in = sum(change.rows.get(t, 0) for t in definition.inputs)
    seconds = time.perf_counter() - started
    stage = StageRun(definition.name, definition.table, "query", "full", why, rows_in, rows, seconds)
    return ModelRun(definition.name, "full", why, rows_in, rows, seconds, (stage,))


def run_stage(engine: Engine, model: str, stage: Stage, change: Change, made: Programs) -> StageRun | None:
    """Run one stage's program if anything it reads has changed."""
    changed = stage.reads & change.tables
    if not changed:
        return None
    started = time.perf_counter()
    counts = {"shared": int(stage.table in change.shared)}
    for step in made.of(stage, frozenset(changed)):
        if all(bool(counts.get(w.removeprefix("!"), 0)) != w.startswith("!") for w in step.when):
            count = engine.execute(step.sql)
            if step.into is not None:
                counts[step.into] = counts.get(step.into, 0) + count
    return stage_run(engine, model, stage, change, counts, time.perf_counter() - started)


def stage_run(
    engine: Engine, model: str, stage: Stage, change: Change, counts: dict[str, int], seconds: float
) -> StageRun:
    """The record of a stage's run; its change is announced to what reads it."""
    rows_in = sum(change.rows.get(t, 0) for t in stage.reads & change.tables)
    if counts.get("in") == 0:
        out = 0
    elif counts["shared"]:
        out = sum(
            engine.execute(f"SELECT count(*) FROM {t}") for t in (plus(stage.table), minus(stage.table))
        )
    else:
        out = max(counts.get("plus", 0) + counts.get("minus", 0), sum(counts.get(c, 0) for c in WRITTEN))
    if out:
        change.tables.add(stage.table)
        change.rows[stage.table] = out
    strategy, reason = stage.strategy, stage.reason
    if strategy == "carry" and counts.get("late"):
        late = f"{counts['late']} partitions had late, changed or removed rows and were recomputed"
        reason = f"{late}; the rest carried on"
        strategy = "partition" if not counts.get("carried") else "carry"
    return StageRun(model, stage.table, stage.name, strategy, reason, rows_in, out, seconds)


def recompute(engine: Engine, plan: Plan, definition: ModelDefinition, change: Change) -> StageRun:
    """The `full` strategy: recompute, then keep only what really differs (copies of equal rows numbered)."""
    started = time.perf_counter()
    table = plan.output.table
    names = [n for n, _, _ in definition.columns]
    cols = listed(names)
    old, new = scratch(table, "old"), scratch(table, "new")
    copy = f"row_number() OVER (PARTITION BY {cols}"
    engine.execute(make(old, f"SELECT {cols}, _rid, _k, {copy} ORDER BY _rid) AS _copy FROM {stored(table)}"))
    fresh = f"SELECT {cols}, hash({cols}) AS _k FROM ({plan.query}\n) AS q({cols})"
    engine.execute(make(new, f"SELECT *, {copy}) AS _copy FROM ({fresh}) AS f"))
    equal = f"a._k = b._k AND a._copy = b._copy AND {same(names, 'a', 'b')}"
    rid = "row_number() OVER () + getvariable('strandline_batch')::BIGINT * 4294967296"
    gone = f"SELECT a.* EXCLUDE (_copy) FROM {old} AS a ANTI JOIN {new} AS b ON {equal}"
    come = f"SELECT a.* EXCLUDE (_copy), {rid} AS _rid FROM {new} AS a ANTI JOIN {old} AS b ON {equal}"
    differing = engine.execute(make(minus(table), gone)) + engine.execute(make(plus(table), come))
    engine.execute(f"DELETE FROM {stored(table)} WHERE _rid IN (SELECT _rid FROM {minus(table)})")
    engine.execute(
        f"INSERT INTO {stored(table)} ({cols}, _rid, _k, _batch) SELECT {cols}, _rid, _k, "
        f"getvariable('strandline_batch')::BIGINT FROM {plus(table)}"
    )
    if differing:
        change.tables.add(table)
        change.rows[table] = differing
    rows_in = sum(change.rows.get(t, 0) for t in definition.inputs)
    seconds = time.perf_counter() - started
    return StageRun(definition.name, table, "query", "full", plan.full_reason, rows_in, differing, seconds)


def dependents(models: Iterable[ModelDefinition], name: str) -> list[str]:
    """Models that read this table or model, directly or through others, in order of creation."""
    found = {name.lower()}
    ordered = []
    for model in models:
        if found & set(model.reads):
            found.add(model.name.lower())
            ordered.append(model.name)
    return ordered
