"""How a model is kept: stage by stage, with reason, state size, and last and estimated cost."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from dataclasses import replace as evolve
from typing import Any

from strandline.compiler import Plan, Stage
from strandline.compiler.text import stored
from strandline.engines.base import Engine
from strandline.record import query
from strandline.warehouse import costs
from strandline.warehouse.definitions import ModelDefinition


@dataclass(frozen=True)
class StageExplanation:
    """One stage; `estimated_seconds` is for the median change seen so far (None before the first)."""

    name: str
    operator: str
    strategy: str
    reason: str
    cheaper: str
    state_rows: int
    state_bytes: int
    last_seconds: float | None
    estimated_seconds: float | None


@dataclass(frozen=True)
class Explanation:
    """A model's stages in order of evaluation.

    `plain` says why it is kept without them for now, as one table made by its query; "" where it is not.
    """

    model: str
    sql: str
    stages: tuple[StageExplanation, ...]
    plain: str = ""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        stages = f"{len(self.stages)} stage{'s' * (len(self.stages) != 1)}"
        lines = [f"{self.model}: kept in {stages}"]
        if self.plain:
            lines = [f"{self.model}: {self.plain}", f"  {AGAIN}: {stages}"]
        for number, s in enumerate(self.stages, 1):
            lines.append(f"  {number}. {s.operator}: {s.strategy}")
            lines.append(f"     why      {s.reason}")
            if s.cheaper:
                lines.append(f"     cheaper  {s.cheaper}")
            lines.append(f"     state    {s.state_rows:,} rows, about {size(s.state_bytes)}")
            if s.last_seconds is not None:
                last, expected = s.last_seconds * 1000, (s.estimated_seconds or 0) * 1000
                lines.append(f"     cost     last {last:.1f} ms, expected {expected:.1f} ms")
        return "\n".join(lines)


AGAIN = (
    f"its state is built again once {costs.PAYS_WITHIN} refreshes from the change "
    "are expected to save what building it takes"
)


def size(count: float) -> str:
    """Bytes in the largest fitting unit."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def explain(engine: Engine, plan: Plan, definition: ModelDefinition, sql: str) -> Explanation:
    """Every stage with what is known about it."""
    if plan.full_reason:
        fallback = explained(
            engine,
            plan.output.table,
            "query",
            "full",
            plan.full_reason,
            "rewrite the query so that every part has a rule",
        )
        return Explanation(definition.name, sql, (fallback,))
    return Explanation(definition.name, sql, tuple(stage_explanation(engine, s) for s in plan.stages))


def explain_plain(engine: Engine, plan: Plan, definition: ModelDefinition, sql: str, why: str) -> Explanation:
    """Of a model that is kept plain for now: the stages it is to have again; only the result is stored."""
    if plan.full_reason:
        return evolve(explain(engine, plan, definition, sql), plain=why)
    stages = tuple(
        stage_explanation(engine, s) if s.table == definition.table else without_state(s) for s in plan.stages
    )
    return Explanation(definition.name, sql, stages, plain=why)


def without_state(stage: Stage) -> StageExplanation:
    """A stage that stores nothing for now."""
    name = stage.table.removeprefix("state/")
    return StageExplanation(name, stage.name, stage.strategy, stage.reason, stage.cheaper, 0, 0, None, None)


def stage_explanation(engine: Engine, stage: Stage) -> StageExplanation:
    return explained(engine, stage.table, stage.name, stage.strategy, stage.reason, stage.cheaper)


def explained(
    engine: Engine, table: str, operator: str, strategy: str, reason: str, cheaper: str
) -> StageExplanation:
    """State size from the stored table, cost from past runs (newest first)."""
    rows = engine.execute(f"SELECT count(*) FROM {stored(table)}")
    width = len(engine.describe(f"SELECT * FROM {stored(table)}")) * 8
    past = [r[2] for r in engine.rows(query("runs_of_stage"), [table])]
    estimate = sorted(past)[len(past) // 2] if past else None
    return StageExplanation(
        table.removeprefix("state/"),
        operator,
        strategy,
        reason,
        cheaper,
        rows,
        rows * width,
        past[0] if past else None,
        estimate,
    )
