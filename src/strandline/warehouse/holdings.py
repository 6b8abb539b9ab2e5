"""What a warehouse holds, by name: definitions, compiled plans, and who reads whom."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from strandline.compiler import Plan, compile, force, programs, recompute_plan, unresolved_plan
from strandline.compiler.names import RID
from strandline.engines.base import Engine
from strandline.errors import SchemaError, StrandlineError, UnknownNameError, UsageError, nearest
from strandline.functions import ModelFunction
from strandline.record import query
from strandline.warehouse import costs, definitions, maintain, python_models
from strandline.warehouse.concern import Reading
from strandline.warehouse.definitions import ModelDefinition, TableDefinition


class Holdings:
    """Definitions as the record has them, and what was compiled from them in this process."""

    def __init__(self, engine: Engine, functions: Mapping[str, ModelFunction]) -> None:
        self._functions = functions
        # before the rest: what another connection commits in between is then read at the next look
        self._stamp = engine.rows(query("stamp"))
        tables, models = engine.rows(query("tables")), engine.rows(query("models"))
        self.tables = {n.lower(): definitions.table_from_json(d) for n, d in tables}
        self.models: dict[str, ModelDefinition] = {}
        self.sql: dict[str, str] = {}
        self.programs = maintain.Programs()
        self.costs = costs.Costs()
        self._plans: dict[str, Plan] = {}
        for name, sql, definition in models:
            self.models[name.lower()] = definitions.model_from_json(definition)
            self.sql[name.lower()] = sql

    def outdated(self, engine: Engine) -> bool:
        """Whether the record has other definitions than those that were read from it."""
        return engine.rows(query("stamp")) != self._stamp

    # ── by name ─────────────────────────────────────────────────────────────

    def table(self, name: str) -> TableDefinition:
        """A source table. Raises UnknownNameError, or UsageError for a model."""
        table = self.tables.get(name.lower())
        if table is not None:
            return table
        if name.lower() in self.models:
            hint = "apply changes to the tables it reads; create_model() and drop_model() are for models."
            raise UsageError(f"{name!r} is a model; only tables take changes", hint=hint)
        known = [t.name for t in self.tables.values()]
        raise UnknownNameError(f"there is no table {name!r}", hint=nearest(name, known))

    def model(self, name: str) -> ModelDefinition:
        """A model. Raises UnknownNameError."""
        model = self.models.get(name.lower())
        if model is None:
            hint = nearest(name, [m.name for m in self.models.values()])
            hint = "it is a table." if name.lower() in self.tables else hint
            raise UnknownNameError(f"there is no model {name!r}", hint=hint)
        return model

    def spelled(self, name: str) -> str | None:
        """A table's or model's name as it was created."""
        known = self.tables.get(name.lower()) or self.models.get(name.lower())
        return known.name if known else None

    def unknown(self, name: str) -> UnknownNameError:
        known = [*(t.name for t in self.tables.values()), *(m.name for m in self.models.values())]
        return UnknownNameError(f"there is no table or model {name!r}", hint=nearest(name, known))

    def with_metadata(self, names: Collection[str]) -> bool:
        """True where one of these is a model that shows metadata, which changes without its rows changing."""
        return any(n in self.models and self.models[n].settings.get("metadata") for n in names)

    def refuse_taken(self, name: str, besides: str = "") -> None:
        """Raises SchemaError where a name cannot be given; views beside a model (not `besides`) count too."""
        for model in self.models.values():
            _, *views = (view.lower() for view in model.views)
            if name.lower() in views and model.name.lower() != besides.lower():
                raise SchemaError(f"{name!r} is a view of model {model.name}", hint="take another name.")
        if not name or "/" in name:
            raise SchemaError(f"{name!r} cannot be a name", hint="use letters, digits and underscores.")
        if self.spelled(name) is not None:
            raise SchemaError(f"{name!r} is already there", hint="drop it first, or take another name.")

    def refuse_if_read(self, name: str, hint: str) -> None:
        """Raises UsageError where models read this table or model."""
        above = self.above(name)
        if above:
            raise UsageError(f"{name} is read by {', '.join(above)}", hint=f"{hint}.")

    # ── plans ───────────────────────────────────────────────────────────────

    def compiled(self, name: str, sql: str, strict: bool) -> Plan:
        """The plan a query gets here. Raises CompileError naming the model."""
        try:
            return compile(sql, self.catalog(without=name), name, strict=strict)
        except StrandlineError as error:
            error.where = error.where or f"model {name}"
            raise

    def recompiled(self, model: ModelDefinition, text: str | None = None) -> Plan:
        """A model's plan from what it means (or a new text) and settings, as it was chosen when created."""
        text = self.meaning(model) if text is None else text
        try:
            plan = self.compiled(model.name, text, False)
        except UnknownNameError as error:
            found = unresolved_plan(text, self.catalog(without=model.name), model.name, error.message)
            if found is None or not model.fallback:
                raise
            plan = found
        plan = force(plan, str(model.settings["strategy"]) if model.settings.get("strategy") else None)
        return recompute_plan(plan, model.fallback, as_written=True) if model.fallback else plan

    def meaning(self, model: ModelDefinition) -> str:
        """A model's text, or what it meant before columns came that would change its names' meaning."""
        return model.resolved or self.sql[model.name.lower()]

    def plan(self, name: str) -> Plan:
        """The model's plan, compiled once per process."""
        key = name.lower()
        if key not in self._plans:
            self._plans[key] = self.recompiled(self.models[key])
        return self._plans[key]

    def function_plan(self, model: ModelDefinition, *, newest: bool = False) -> python_models.FunctionPlan:
        """How a Python model is kept; its function refuses to be called where this process lacks it.

        `newest` where the model is made anew anyway: then by the code at hand, changed or not.
        """
        text = self.sql[model.name.lower()]
        function = self._functions.get(model.name.lower())
        same = function is not None and function.text == text and function.declared() == model.function
        if function is None or not (same or newest):
            function = python_models.declared_function(model, text)
        return python_models.plan(model.name, function, self.as_stored(), model.settings)

    def remember(
        self, definition: ModelDefinition, sql: str, plan: Plan | python_models.FunctionPlan
    ) -> None:
        key = definition.name.lower()
        self.models[key], self.sql[key] = definition, sql
        if isinstance(plan, Plan):
            self._plans[key] = plan
        else:
            self._plans.pop(key, None)
        self.programs.forget(key)
        self.costs.forget(key)

    def keep(self, model: ModelDefinition) -> None:
        """A model that is there, kept plain from now on, or no longer."""
        self.models[model.name.lower()] = model

    def forget(self, name: str) -> None:
        for known in (self.models, self.sql, self._plans):
            known.pop(name.lower(), None)
        self.programs.forget(name)
        self.costs.forget(name)

    # ── who reads whom ──────────────────────────────────────────────────────

    def catalog(self, without: str = "") -> dict[str, Any]:
        """What a query may read."""
        every: Mapping[str, Any] = {**self.tables, **self.models}
        return {key: d.readable() for key, d in every.items() if key != without.lower()}

    def as_stored(self, without: str = "") -> dict[str, Any]:
        """What a Python model is given, as it lies there by now."""
        plain = {key: m.as_stored.readable() for key, m in self.models.items() if m.plain}
        return {**self.catalog(without), **{k: r for k, r in plain.items() if k != without.lower()}}

    def ordered(self) -> list[ModelDefinition]:
        """Models so that each comes after what it reads."""
        done: dict[str, ModelDefinition] = {}

        def visit(key: str) -> None:
            if key in self.models and key not in done:
                for read in self.models[key].reads:
                    visit(read)
                done[key] = self.models[key]

        for key in self.models:
            visit(key)
        return list(done.values())

    def above(self, name: str) -> list[str]:
        """Models that read this table or model, directly or through others."""
        return maintain.dependents(self.ordered(), name)

    def queries_above(self, name: str) -> list[ModelDefinition]:
        """Of those, the queries that read it through nothing but queries."""
        queries = [m for m in self.ordered() if m.function is None]
        return [self.models[n.lower()] for n in maintain.dependents(queries, name)]

    def plain_below(self, reads: Collection[str]) -> list[ModelDefinition]:
        """The plain models among these, and that they read: without their state nothing can follow them."""
        found: set[str] = set()
        for model in reversed(self.ordered()):
            if model.function is None and model.name.lower() in {*reads, *found}:
                found |= {model.name.lower(), *model.reads}
        return [m for m in self.ordered() if m.name.lower() in found and m.plain]

    def shared(self) -> frozenset[str]:
        """Stored tables that some stage reads: their changes are handed on."""
        return frozenset(t for m in self.models.values() for t in m.inputs)

    def partly_read(self, model: ModelDefinition, table: str) -> Reading | None:
        """What a query reads of a stored table whose rows have identities; None where it may be all of it."""
        kinds, ids = self._identified(table)
        if not kinds or model.function is not None or self.plan(model.name).full_reason:
            return None
        used = {c for s in self.plan(model.name).stages for c in programs.read_columns(s, table)}
        if not kinds.keys() - used or used - kinds.keys() - {*ids}:
            return None
        return Reading(table, ids, tuple((name, kinds[name]) for name in sorted(used & kinds.keys())))

    def _identified(self, table: str) -> tuple[dict[str, str], tuple[str, ...]]:
        """A stored table's columns with their types, and what identifies its rows; nothing without that."""
        for source in self.tables.values():
            if source.stored == table and source.key:
                return dict(source.columns), (RID,)
        for model in self.models.values():
            if model.table == table and not model.plain and model.function is None:
                recomputed = self.plan(model.name).full_reason
                return ({}, ()) if recomputed else ({s: t for _, s, t in model.columns}, model.ids)
        return {}, ()

    def removed_columns(self, table: TableDefinition) -> frozenset[str]:
        """What all models want to know of a removed row of a source table."""
        readers = [m for m in self.models.values() if table.stored in m.inputs]
        followed = [m for m in readers if not m.plain]
        stages = [s for m in followed if m.function is None for s in self.plan(m.name).stages]
        wanted = {c for s in stages for c in programs.removed_columns(s, table.stored)}
        wanted |= {n for m in readers if (r := self.partly_read(m, table.stored)) for n, _ in r.columns}
        calls = [python_models.removed_columns(m, table.names) for m in followed if m.function is not None]
        return frozenset(wanted.union(*calls))
