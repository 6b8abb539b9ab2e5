"""Models made anew: what they store is dropped, compiled over what is there now, and filled."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace as evolve

from strandline.compiler import Plan, recompute_plan
from strandline.compiler.relations import quote
from strandline.engines.base import Engine
from strandline.errors import CompileError, EngineError, StrandlineError, StrictError
from strandline.record import query
from strandline.schema import Column
from strandline.warehouse import definitions, keeping, python_models
from strandline.warehouse.definitions import ModelDefinition
from strandline.warehouse.holdings import Holdings
from strandline.warehouse.python_models import FunctionPlan

Queries = Mapping[str, str]
"""New queries of models that change together with something below them, by name."""


def drop_all(engine: Engine, held: Holdings, names: Sequence[str]) -> None:
    """What models store, the last first."""
    for name in reversed(names):
        keeping.drop(engine, held, held.models[name.lower()])


def outdated(held: Holdings) -> list[str]:
    """The models whose state is of another version of the program, and those that read them."""
    old = {m.name for m in held.ordered() if m.layout != definitions.LAYOUT and m.function is None}
    return [m.name for m in held.ordered() if m.name in old or any(m.name in held.above(o) for o in old)]


def drop_stored(engine: Engine, held: Holdings, names: Sequence[str]) -> None:
    """What models store, whatever it is: this version's plan does not tell what another one's made."""
    drop_all(engine, held, [n for n in names if held.model(n).function is not None])
    for name in reversed([n for n in names if held.model(n).function is None]):
        pattern = f"{re.escape(name.lower())}\\.[0-9]+(\\.history|\\.head)?"
        for view in held.model(name).views:
            engine.execute(f"DROP VIEW IF EXISTS main.{quote(view)}")
        for kind, listed in (("VIEW", "view"), ("TABLE", "table")):
            found = f"SELECT {listed}_name FROM duckdb_{listed}s() WHERE schema_name = 'strandline_state' "
            for (stored,) in engine.rows(f"{found} AND regexp_full_match({listed}_name, ?)", [pattern]):
                engine.execute(f"DROP {kind} strandline_state.{quote(stored)}")


def make_again(engine: Engine, held: Holdings, names: Sequence[str], queries: Queries | None = None) -> None:
    """Models as they are defined, or by a new query, over inputs that were made anew.

    Raises CompileError naming every model that is no longer a query over them, and those that read it.
    """
    texts = {n.lower(): q for n, q in (queries or {}).items()}
    failed: dict[str, StrandlineError] = {}
    for name in names:
        old = held.models[name.lower()]
        broken = next((r for r in old.reads if r in failed), None)
        if broken is not None:
            failed[name.lower()] = failed[broken]
            continue
        try:
            make_one_again(engine, held, old, texts.get(name.lower()))
        except EngineError as error:  # of the data, not of what the model says
            error.where = error.where or f"model {name}"
            raise
        except StrandlineError as error:
            failed[name.lower()] = error
    if failed:
        raise no_longer(list(failed), list(failed.values()), held)


def make_one_again(engine: Engine, held: Holdings, old: ModelDefinition, query: str | None) -> None:
    """Compiled from a new query, else from what it means by now."""
    definition, plan = renewed(engine, held, old, held.meaning(old) if query is None else query)
    keeping.create(engine, held, definition, plan)
    if query is None:
        definition = evolve(definition, resolved=old.resolved)
        query = plan.function.text if isinstance(plan, FunctionPlan) else held.sql[old.name.lower()]
    store_change(engine, held, definition, query, plan)


def no_longer(names: Sequence[str], errors: Sequence[StrandlineError], held: Holdings) -> CompileError:
    """What a change would break, by name, with the first reason."""
    listed = ", ".join(held.models[n].name for n in names)
    return CompileError(
        f"{listed} would no longer work: {errors[0].message}",
        where=errors[0].where,
        hint="change these models in the same step, or drop them first.",
    )


def renewed(
    engine: Engine, held: Holdings, old: ModelDefinition, text: str
) -> tuple[ModelDefinition, Plan | FunctionPlan]:
    """A model as it is defined over inputs that were made anew. Raises CompileError."""
    if old.function is not None:
        made = held.function_plan(old, newest=True)
        return python_models.define(engine, made, old.settings), made
    again = held.recompiled(old, text)
    shape = shape_of(engine, old.name, asked(held, again, text))
    again = again if old.fallback else runnable(engine, again, shape)
    return definitions.model_definition(old.name, again, shape, old.settings, held.catalog()), again


def store_change(
    engine: Engine, held: Holdings, definition: ModelDefinition, sql: str, plan: Plan | FunctionPlan
) -> None:
    """The record of a model that is there already."""
    engine.execute(query("change_model"), [sql, definitions.to_json(definition), definition.name])
    held.remember(definition, sql, plan)


def asked(held: Holdings, plan: Plan, text: str) -> str:
    """The query whose columns a model has: what models below it show as metadata is not among them."""
    return plan.query if held.with_metadata(plan.reads) else text


def shape_of(engine: Engine, name: str, sql: str) -> tuple[Column, ...]:
    """Names and types of the result; the engine's own complaint where it refuses the query."""
    try:
        shape = engine.describe(sql.strip().rstrip(";"))
    except EngineError as error:
        raise CompileError(error.message, where=f"model {name}", hint="correct the query.") from error
    return definitions.distinctly_named(shape)


def only_in_full(reason: str, name: str) -> StrictError:
    """What `strict` says of a query that the engine takes and the compiler cannot take apart."""
    return StrictError(reason, where=f"model {name}", hint="rewrite the query.")


def runnable(engine: Engine, plan: Plan, shape: tuple[Column, ...]) -> Plan:
    """The plan, if its recompute says the same as the user's text; else a recompute of that text."""
    try:
        same = [c.type for c in engine.describe(plan.query)] == [c.type for c in shape]
        same = same and (bool(plan.full_reason) or len(plan.output.columns) == len(shape))
    except EngineError:
        same = False
    if same:
        return plan
    return recompute_plan(plan, "the query's text cannot be taken apart faithfully", as_written=True)
