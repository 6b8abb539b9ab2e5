"""How a model is kept, be it a query or a function: created, refreshed, dropped, explained, recomputed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext

from strandline.compiler import Plan
from strandline.compiler.relations import quote
from strandline.compiler.text import stored
from strandline.engines.base import Engine
from strandline.errors import EngineError
from strandline.schema import ModelRun, Parity
from strandline.warehouse import concern, costs, explain, maintain, parity, plain, python_models
from strandline.warehouse.costs import Choice, Fill, Known
from strandline.warehouse.definitions import ModelDefinition
from strandline.warehouse.explain import Explanation
from strandline.warehouse.holdings import Holdings
from strandline.warehouse.python_models import FunctionPlan

Cheapest = Callable[[Engine, Holdings, ModelDefinition, Iterable[ModelDefinition], maintain.Change], Choice]
"""How a choice is made where there is one; tests put another in its place."""
INCREMENTAL = "incremental"
"""The setting of a model that is never filled anew because that is cheaper."""


def create(engine: Engine, held: Holdings, definition: ModelDefinition, plan: Plan | FunctionPlan) -> None:
    """Everything a model stores, filled, and the views that show it."""
    if isinstance(plan, Plan):
        build(engine, held, held.plain_below(plan.reads))
    started = time.perf_counter()
    if isinstance(plan, FunctionPlan):
        python_models.create(engine, plan, definition)
    else:
        maintain.create(engine, plan, definition)
    seconds = time.perf_counter() - started
    rows = held.costs.rows(engine, definition)
    costs.note(engine, [Fill(definition.name, rows, seconds, created=True)])
    for statement in maintain.view_statements(definition):
        engine.execute(statement)


def drop(engine: Engine, held: Holdings, model: ModelDefinition) -> None:
    """Remove what `create` made."""
    for view in model.views:
        engine.execute(f"DROP VIEW IF EXISTS main.{quote(view)}")
    if model.function is not None or model.plain:
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
    """Bring a model up to date; None where nothing that concerns it has changed."""
    with concern.concerning(engine, held, model, change) if spares(engine, held, model) else nullcontext():
        return refresh_concerned(engine, held, model, change)


def spares(engine: Engine, held: Holdings, model: ModelDefinition) -> bool:
    """Whether a look that may find a refresh needless takes less time than the refresh."""
    made = [model, *(held.models[n.lower()] for n in held.above(model.name))] if model.plain else []
    return not made or sum(known_of(engine, held, m).plainly() for m in made) > concern.LOOK


def refresh_concerned(
    engine: Engine, held: Holdings, model: ModelDefinition, change: maintain.Change
) -> ModelRun | None:
    """The same, once the change sets are narrowed to what concerns it."""
    if not set(model.inputs) & (change.tables | change.rebuilt):
        return None
    if model.function is not None:
        run = python_models.refresh(engine, held.function_plan(model), model, change)
    else:
        try:
            run = refresh_query(engine, held, model, change)
        except EngineError as error:
            error.where = error.where or f"model {model.name}"
            raise
    held.costs.follow(change, [model.table])
    return run


def refresh_query(
    engine: Engine, held: Holdings, model: ModelDefinition, change: maintain.Change
) -> ModelRun:
    """By its change, or filled anew, or as a plain table: whatever the choice is."""
    rows, removing = change.rows(model.inputs), change.removes(model.inputs)
    choice = chosen(engine, held, model, change)
    known = known_of(engine, held, model)
    if choice.way == "refresh":
        run = maintain.refresh(engine, held.plan(model.name), model, change, held.programs)
        if run.strategy != "full":
            known.ran(rows, removing, sum(stage.seconds for stage in run.stages))
        return run
    if choice.way == "plain":
        run = refresh_plain(engine, held, model, change, choice.why or model.plain)
    elif model.plain:
        run = settled(engine, held, model, change, choice.why)
    else:
        run = maintain.rebuild(engine, held.plan(model.name), model, change, choice.why)
    fill = Fill(model.name, known.rows, run.seconds, plain=choice.way == "plain")
    known.made(fill.rows, fill.seconds, plain=fill.plain)
    change.fills.append(fill)
    return run


def refresh_plain(
    engine: Engine, held: Holdings, model: ModelDefinition, change: maintain.Change, why: str
) -> ModelRun:
    """The query, as a table; the state goes where there was any."""
    plan, started = held.plan(model.name), time.perf_counter()
    if not model.plain:
        maintain.drop(engine, plan)
    rows = plain.fill(engine, plan, model)
    if not model.plain:
        held.keep(plain.record(engine, model, held.sql[model.name.lower()], why))
    return maintain.made_anew(plan, model, change, why, rows, started)


def settled(
    engine: Engine, held: Holdings, model: ModelDefinition, change: maintain.Change, why: str
) -> ModelRun:
    """A plain model with its state built again."""
    build(engine, held, held.plain_below(model.reads))
    started = time.perf_counter()
    rows = build_one(engine, held, model)
    return maintain.made_anew(held.plan(model.name), model, change, why, rows, started)


def build(engine: Engine, held: Holdings, models: Sequence[ModelDefinition]) -> None:
    """The state of plain models, over rows as they are now: what reads them has nothing to follow."""
    for model in models:
        started = time.perf_counter()
        build_one(engine, held, model)
        rows, seconds = held.costs.rows(engine, model), time.perf_counter() - started
        costs.note(engine, [Fill(model.name, rows, seconds)])
        known_of(engine, held, model).made(rows, seconds, plain=False)


def build_one(engine: Engine, held: Holdings, model: ModelDefinition) -> int:
    """State in place of the plain table; the rows of the result."""
    engine.execute(f"DROP TABLE {stored(model.table)}")
    rows = maintain.create(engine, held.plan(model.name), model)
    held.keep(plain.record(engine, model, held.sql[model.name.lower()], ""))
    return rows


def chosen(engine: Engine, held: Holdings, model: ModelDefinition, change: maintain.Change) -> Choice:
    """How to bring a model up to date.

    What reads a plain query is plain itself, since nothing tells it what changed. Models that show
    when each row was made are not filled: all their rows would be of this batch.
    """
    below = held.plain_below(model.reads)
    if any(m.table in change.rebuilt for m in below):
        return Choice("plain", model.plain or f"kept plain for now: it reads {below[-1].name}, which is")
    if set(model.inputs) & change.rebuilt:
        why = "an input was filled for the first time or anew"
        return Choice("plain", model.plain) if model.plain else Choice("fill", why)
    if model.settings.get("strategy") == INCREMENTAL or (
        held.plan(model.name).full_reason and not model.plain
    ):
        return Choice("refresh")
    queries = [model, *held.queries_above(model.name)]
    if any(m.settings.get("metadata") or m.settings.get("views") for m in queries):
        return Choice("refresh")
    return cheapest(engine, held, model, queries, change)


def cheapest(
    engine: Engine,
    held: Holdings,
    model: ModelDefinition,
    queries: Iterable[ModelDefinition],
    change: maintain.Change,
) -> Choice:
    """By what each way took before; `queries` are the model and those above that are kept as it is."""
    above = [held.models[n.lower()] for n in held.above(model.name)]
    return costs.choose(
        known_of(engine, held, model),
        [known_of(engine, held, m) for m in above],
        change.rows(model.inputs),
        change.removes(model.inputs),
        may_be_plain=all(plain.allowed(m) for m in queries),
        below=[known_of(engine, held, m) for m in held.plain_below(model.reads)],
    )


def known_of(engine: Engine, held: Holdings, model: ModelDefinition) -> Known:
    """What is known of a model's costs, with the rows there are now."""
    stages = len(held.plan(model.name).stages) if model.function is None else 1
    return held.costs.of(engine, model, stages)


def explanation(engine: Engine, held: Holdings, model: ModelDefinition) -> Explanation:
    """Stage by stage: strategy, reason, state, cost."""
    text = held.sql[model.name.lower()]
    if model.function is not None:
        return python_models.explain(engine, held.function_plan(model), model, text)
    plan, why = held.plan(model.name), plain.why(engine, model)
    return (
        explain.explain_plain(engine, plan, model, text, why)
        if why
        else explain.explain(engine, plan, model, text)
    )


def compared(engine: Engine, held: Holdings, model: ModelDefinition, sample: float | None) -> Parity:
    """A model beside its recompute, or the share `sample` of both."""
    return parity.compare(engine, model, recompute(engine, held, model), sample)


def recompute(engine: Engine, held: Holdings, model: ModelDefinition) -> str:
    """A query for what the model's rows ought to be."""
    if model.function is not None:
        return python_models.recompute(engine, held.function_plan(model), model)
    return held.plan(model.name).query
