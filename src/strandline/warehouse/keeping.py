"""How a model is kept, be it a query or a function: created, refreshed, dropped, explained, recomputed."""

from __future__ import annotations

import time

from strandline.compiler import Plan
from strandline.compiler.relations import quote
from strandline.compiler.text import stored
from strandline.engines.base import Engine
from strandline.errors import EngineError
from strandline.schema import ModelRun
from strandline.warehouse import costs, explain, maintain, python_models
from strandline.warehouse.definitions import ModelDefinition
from strandline.warehouse.explain import Explanation
from strandline.warehouse.holdings import Holdings
from strandline.warehouse.python_models import FunctionPlan

INCREMENTAL = "incremental"
"""The setting of a model that is never filled anew because that is cheaper."""


def create(engine: Engine, definition: ModelDefinition, plan: Plan | FunctionPlan) -> None:
    """Everything a model stores, filled, and the views that show it."""
    started = time.perf_counter()
    if isinstance(plan, FunctionPlan):
        python_models.create(engine, plan, definition)
    else:
        maintain.create(engine, plan, definition)
    costs.note_fill(engine, definition, time.perf_counter() - started, created=True)
    for statement in maintain.view_statements(definition):
        engine.execute(statement)


def drop(engine: Engine, held: Holdings, model: ModelDefinition) -> None:
    """Remove what `create` made."""
    for view in model.views:
        engine.execute(f"DROP VIEW IF EXISTS main.{quote(view)}")
    if model.function is not None:
        engine.execute(f"DROP TABLE IF EXISTS {stored(model.table)}")
    else:
        maintain.drop(engine, held.plan(model.name))


def text_of(held: Holdings, name: str) -> str:
    """A model's query as it is kept, with every `*` spelled out."""
    model = held.models[name.lower()]
    return held.sql[name.lower()] if model.function is not None else held.plan(model.name).query


def refresh(
    engine: Engine, held: Holdings, model: ModelDefinition, change: maintain.Change
) -> ModelRun | None:
    """Bring a model up to date; None where nothing it reads has changed."""
    if not set(model.inputs) & (change.tables | change.rebuilt):
        return None
    if model.function is not None:
        return python_models.refresh(engine, held.function_plan(model), model, change)
    rows, removing = change.rows(model.inputs), change.removes(model.inputs)
    grown = sum(change.came.get(t, 0) - change.went.get(t, 0) for t in model.inputs)
    known = held.costs.moved(engine, model, grown)
    anew = cheaper_anew(engine, held, model, rows, removing)
    try:
        run = maintain.refresh(engine, held.plan(model.name), model, change, held.programs, anew)
    except EngineError as error:
        error.where = error.where or f"model {model.name}"
        raise
    if run is not None and run.strategy != "full":
        known.ran(rows, removing, run.seconds)
    elif run is not None:
        known.refilled(run.seconds)
    return run


def cheaper_anew(engine: Engine, held: Holdings, model: ModelDefinition, rows: int, removing: bool) -> str:
    """Why to fill the model and those above it anew; "" where refreshing them is cheaper, or is asked for.

    Models that show when each row was made are not filled: all their rows would be of this batch.
    """
    if model.settings.get("strategy") == INCREMENTAL or held.plan(model.name).full_reason:
        return ""
    chain = [model, *(held.models[n.lower()] for n in held.above(model.name))]
    if any(m.settings.get("metadata") or m.settings.get("views") for m in chain):
        return ""
    return costs.cheaper_anew([held.costs.of(engine, m) for m in chain], rows, removing)


def explanation(engine: Engine, held: Holdings, model: ModelDefinition) -> Explanation:
    """Stage by stage: strategy, reason, state, cost."""
    text = held.sql[model.name.lower()]
    if model.function is not None:
        return python_models.explain(engine, held.function_plan(model), model, text)
    return explain.explain(engine, held.plan(model.name), model, text)


def recompute(engine: Engine, held: Holdings, model: ModelDefinition) -> str:
    """A query for what the model's rows ought to be."""
    if model.function is not None:
        return python_models.recompute(engine, held.function_plan(model), model)
    return held.plan(model.name).query
