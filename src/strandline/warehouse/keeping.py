"""How a model is kept, be it a query or a function: created, refreshed, dropped, explained, recomputed."""

from __future__ import annotations

from strandline.compiler import Plan
from strandline.compiler.relations import quote
from strandline.compiler.text import stored
from strandline.engines.base import Engine
from strandline.schema import ModelRun
from strandline.warehouse import explain, maintain, python_models
from strandline.warehouse.definitions import ModelDefinition
from strandline.warehouse.explain import Explanation
from strandline.warehouse.holdings import Holdings
from strandline.warehouse.python_models import FunctionPlan


def create(engine: Engine, definition: ModelDefinition, plan: Plan | FunctionPlan) -> None:
    """Everything a model stores, filled, and the views that show it."""
    if isinstance(plan, FunctionPlan):
        python_models.create(engine, plan, definition)
    else:
        maintain.create(engine, plan, definition)
    for statement in maintain.view_statements(definition):
        engine.execute(statement)


def drop(engine: Engine, held: Holdings, model: ModelDefinition) -> None:
    """Remove what `create` made."""
    for suffix in ("", "_base", "_incremental", "_realtime") if model.settings.get("views") else ("",):
        engine.execute(f"DROP VIEW IF EXISTS main.{quote(model.name + suffix)}")
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
    return maintain.refresh(engine, held.plan(model.name), model, change, held.programs)


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
