"""Makes a warehouse have the tables and models that a project's files describe."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from strandline.errors import StrandlineError
from strandline.project import ModelSettings, Project, topological
from strandline.runner.columns import prepare_table, refuse_vanished
from strandline.runner.ports import Definitions, Notice, Queryable, quiet, records

ITS_SQL = "its SQL"


def prepare(wh: Definitions, project: Project, notice: Notice = quiet) -> None:
    """Create what is missing, rebuild the models whose SQL changed, drop those whose file is gone.

    Tables are never dropped, and columns only added or renamed: they hold data. `notice` is told what
    was done. Raises ConfigurationError where a source contradicts its table or lacks a column that a
    model uses, and the compiler's errors with the model's file in front.
    """
    existing, begun = stored_models(wh), bool(records(wh, "SELECT 1 AS one FROM strandline.batches LIMIT 1"))
    changed = {m.name: what_changed(existing, m) for m in project.models}
    queries = {m.name: m.sql for m in project.models if changed[m.name] == ITS_SQL}
    # Before anything is touched: a column added under its new name could not be renamed any more.
    kept = {m.name for m in project.models if not changed[m.name]}
    for source in project.sources.values():
        refuse_vanished(wh, source, quiet, unless_changed=kept)
    for source in project.sources.values():
        prepare_table(wh, source, queries, notice)
    for name in in_the_way(existing, project.models, changed):
        wh.drop_model(name)
    for model in project.models:
        above = {name: sql for name, sql in queries.items() if name != model.name}
        _prepare_model(wh, model, changed[model.name], above, notice)
        if begun and model.name.lower() not in existing:
            notice(f"model {model.name} was created from all rows")
    for name in dropped(stored_models(wh), project.models):
        wh.drop_model(name)
        notice(f"model {name} was dropped: its file is gone")
    for source in project.sources.values():
        refuse_vanished(wh, source, notice)


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A model as the warehouse has it."""

    name: str
    sql: str
    settings: Mapping[str, Any]
    reads: tuple[str, ...] = ()


def stored_models(wh: Queryable) -> dict[str, StoredModel]:
    """The warehouse's models by their names in lower case."""
    found = records(wh, "SELECT name, sql, definition FROM strandline.models")
    made = {r["name"]: (r["sql"], json.loads(r["definition"])) for r in found}
    return {
        name.lower(): StoredModel(name, sql, said["settings"], tuple(said.get("reads", ())))
        for name, (sql, said) in made.items()
    }


def dropped(existing: Mapping[str, StoredModel], wanted: Iterable[ModelSettings]) -> list[str]:
    """The models without a file, each before those it uses."""
    kept = {m.name.lower() for m in wanted}
    gone = {low: model for low, model in existing.items() if low not in kept}
    uses = {low: set(model.reads) & gone.keys() - {low} for low, model in gone.items()}
    return [gone[low].name for low in reversed(topological(uses))]


def in_the_way(
    existing: Mapping[str, StoredModel], wanted: Sequence[ModelSettings], changed: Mapping[str, str]
) -> list[str]:
    """Models to drop before any is changed, each before those it uses; they are made again in their turn.

    A changed model is rebuilt together with a changed one that it reads, but cannot be where it now
    reads a model that is yet to be made.
    """
    moved = {name.lower() for name, what in changed.items() if what}
    new = {m.name.lower() for m in wanted} - existing.keys()
    below = {low: set(model.reads) & existing.keys() for low, model in existing.items()}
    order = topological(below)
    over = _above(moved, below, order)
    late = {
        m.name.lower() for m in wanted if m.name.lower() in over & moved and new & {u.lower() for u in m.uses}
    }
    gone = late | _above(late, below, order)
    return [existing[low].name for low in reversed(order) if low in gone]


def _above(names: Set[str], below: Mapping[str, Set[str]], order: Iterable[str]) -> set[str]:
    """What reads any of these, directly or through others."""
    found: set[str] = set()
    for low in order:
        if below[low] & (names | found):
            found.add(low)
    return found


def what_changed(existing: Mapping[str, StoredModel], model: ModelSettings) -> str:
    """ "its SQL", "its code" or the settings that differ from the model's that is there; "" for none."""
    there = existing.get(model.name.lower())
    if there is None:
        return ""
    if there.sql.strip() != model.sql.strip():
        return "its code" if model.function is not None else ITS_SQL
    differ = [n for n, value in there.settings.items() if getattr(model, n, value) != value]
    return f"its setting {', '.join(differ)}" if differ else ""


@contextlib.contextmanager
def in_file(model: ModelSettings) -> Iterator[None]:
    """What goes wrong with a model is said with its file in front."""
    try:
        yield
    except StrandlineError as error:
        if model.file not in error.where:
            error.where = f"{model.file}: {error.where}" if error.where else model.file
        raise


def _prepare_model(
    wh: Definitions, model: ModelSettings, changed: str, queries: Mapping[str, str], notice: Notice
) -> None:
    """`queries` are those of other models that changed too: one that reads this model changes with it."""
    # A strategy is said only where one is set: not every engine lets it be forced.
    forced: dict[str, Any] = {"strategy": model.strategy} if model.strategy else {}
    if changed and queries:
        forced["queries"] = queries
    with in_file(model):
        wh.create_model(
            model.name,
            model.definition,
            strict=model.strict,
            metadata=model.metadata,
            views=model.views,
            **forced,
        )
    if changed:
        notice(f"model {model.name} was rebuilt from all rows: {changed} changed")
