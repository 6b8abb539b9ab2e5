"""Models kept plain for now: a table of the result and no state, made by one statement a refresh.

Where a refresh costs more than the query itself, state is of no use; it is built again once a
refresh from the change would be the cheaper way. Which of the two a model is lies in its
definition in the record, and changes in the commit that makes or drops the state.
"""

from __future__ import annotations

from dataclasses import replace as evolve

from strandline.compiler import Plan
from strandline.compiler.relations import quote
from strandline.compiler.text import listed, stored
from strandline.engines.base import Engine
from strandline.record import query
from strandline.warehouse import definitions, maintain
from strandline.warehouse.definitions import ModelDefinition


def allowed(model: ModelDefinition) -> bool:
    """Whether a model may do without state: no setting asks for it, or for what only stored rows tell."""
    return model.settings.get("strategy") != "incremental" and not any(
        model.settings.get(name) for name in ("strict", "metadata", "views")
    )


def fill(engine: Engine, plan: Plan, model: ModelDefinition) -> int:
    """Make a plain model's table; its rows."""
    cols = listed(n for n, _, _ in model.columns)
    rows = f"SELECT {cols} FROM ({plan.query}\n) AS q({cols})"
    return engine.execute(f"CREATE OR REPLACE TABLE {stored(model.table)} AS {rows}")


def record(engine: Engine, model: ModelDefinition, sql: str, why: str) -> ModelDefinition:
    """Write down that a model is plain from now on (`why`) or no longer (""), and show it as it is stored."""
    kept = evolve(model, plain=why)
    engine.execute(query("change_model"), [sql, definitions.to_json(kept), model.name])
    for statement in (f"DROP VIEW main.{quote(model.name)}", *maintain.view_statements(kept.as_stored)):
        engine.execute(statement)
    return kept


def why(engine: Engine, model: ModelDefinition) -> str:
    """Why a model is plain by now, as the record has it: a reader's definitions may be older. "" if not."""
    found = engine.rows(query("definition"), [model.name])
    return definitions.model_from_json(found[0][0]).plain if found else model.plain
