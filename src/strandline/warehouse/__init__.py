"""The warehouse: tables, models, apply, refresh, verify; every refresh is one commit."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from strandline.compiler import Plan, force, recompute_plan, unresolved_plan
from strandline.compiler.relations import quote
from strandline.compiler.text import stored
from strandline.engines.base import Engine
from strandline.errors import (
    CompileError,
    EngineError,
    StrictError,
    UnknownNameError,
    UsageError,
)
from strandline.functions import ModelFunction, model_function
from strandline.record import query, statements
from strandline.schema import BatchKind, Column, FileRecord, Parity, Run, Schema, utc_now
from strandline.warehouse import batches, definitions, intake, keeping, parity, python_models
from strandline.warehouse.batches import OpenBatch
from strandline.warehouse.definitions import ModelDefinition, TableDefinition
from strandline.warehouse.explain import Explanation
from strandline.warehouse.holdings import Holdings
from strandline.warehouse.inbox import Inbox
from strandline.warehouse.outgoing import to_polars
from strandline.warehouse.python_models import FunctionPlan

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Explanation", "OpenBatch", "Warehouse"]


class Warehouse:
    """One database with source tables, models, their state and the record.

    Not for use from several threads at once; `reader()` gives another thread
    its own read-only view of committed state.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        read_only: bool = False,
        on_close: Callable[[], None] | None = None,
        functions: dict[str, ModelFunction] | None = None,
    ) -> None:
        self.engine = engine
        self.read_only = read_only
        self._on_close = on_close
        # shared with the readers made of this warehouse, also those that were there before it was filled
        self._functions: dict[str, ModelFunction] = functions if functions is not None else {}
        self.inbox = Inbox(engine)
        self._batch_seq = 0
        if not read_only:
            for statement in statements("create"):
                engine.execute(statement)
        self._load()

    # ── life ────────────────────────────────────────────────────────────────

    def close(self) -> None:
        """Close the connection; changes applied and not refreshed are dropped."""
        if self._on_close is not None:  # those who read through this process are answered first
            self._on_close()
        self.engine.close()

    def __enter__(self) -> Warehouse:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def reader(self) -> Warehouse:
        """A read-only warehouse on a connection of its own, for another thread."""
        return Warehouse(self.engine.reader(), read_only=True, functions=self._functions)

    def checkpoint(self) -> None:
        """Move the engine's log into its file; call it when idle."""
        self.engine.checkpoint()

    def _load(self) -> None:
        self.held = Holdings(self.engine, self._functions)
        self._batch_seq = self.engine.execute(query("last_batch"))

    # ── tables ──────────────────────────────────────────────────────────────

    def tables(self) -> dict[str, Schema]:
        """Source tables by name."""
        return {t.name: t.schema for t in self.held.tables.values()}

    def create_table(
        self,
        name: str,
        columns: str | Sequence[Column],
        key: str | Sequence[str] | None = None,
        *,
        append_only: bool = False,
        if_not_exists: bool = False,
    ) -> None:
        """Create a source table: `"id INTEGER, amount DECIMAL(12,2)"`. Without a key it is a bag."""
        self._writable()
        if name.lower() in self.held.tables and if_not_exists:
            return
        self.held.refuse_taken(name)
        pairs = definitions.parse_columns(name, columns)
        table = TableDefinition(name, pairs, definitions.parse_key(name, key, pairs), append_only)
        with self._changing(f"creating table {name}"):
            for statement in intake.create_statements(table):
                self.engine.execute(statement)
            shape = self.engine.describe(f"SELECT * FROM main.{quote(name)}")
            table = TableDefinition(name, tuple((c.name, c.type) for c in shape), table.key, append_only)
            self.engine.execute(query("put_table"), [name, definitions.to_json(table)])
        self.held.tables[name.lower()] = table

    def add_columns(self, name: str, columns: Sequence[Column]) -> None:
        """Add columns at the end, NULL for the rows that are there.

        Models whose query takes all columns (`*`) are made anew with them, and what reads those, in
        the same commit. Raises SchemaError for a type with constraints or defaults.
        """
        self._writable()
        self._flush()
        old = self.held.table(name)
        added = definitions.checked_columns(
            old.name, tuple((c.name, intake.type_of(self.engine, c)) for c in columns)
        )
        pairs = definitions.checked_columns(old.name, (*old.columns, *added))
        table = TableDefinition(old.name, pairs, old.key, old.append_only)
        above = self.held.above(old.name)
        before = [keeping.text_of(self.held, m) for m in above]
        with self._changing(f"adding columns to {old.name}"), self._own_batch():
            for column, kind in added:
                self.engine.execute(f"ALTER TABLE {stored(old.stored)} ADD COLUMN {quote(column)} {kind}")
            self.engine.execute(intake.rehash_statement(table))
            self.engine.execute(intake.view_statement(table))
            self.engine.execute(query("drop_table"), [old.name])
            self.engine.execute(query("put_table"), [old.name, definitions.to_json(table)])
            kept = dict(self.held.tables)
            self.held.tables[old.name.lower()] = table
            if before != [keeping.text_of(self.held, m, again=True) for m in above]:
                self.held.tables = kept
                self._drop_all(above)
                self.held.tables[old.name.lower()] = table
                self._make_again(above)

    def drop_table(self, name: str) -> None:
        """Drop a source table that no model reads."""
        self._writable()
        table = self.held.table(name)
        self.held.refuse_if_read(table.name, "drop those models first")
        with self._changing(f"dropping table {table.name}"):
            self.engine.execute(f"DROP VIEW main.{quote(table.name)}")
            self.engine.execute(f"DROP TABLE {stored(table.stored)}")
            self.engine.execute(query("drop_table"), [table.name])
        self.inbox.forget(table)
        del self.held.tables[table.name.lower()]

    # ── models ──────────────────────────────────────────────────────────────

    def models(self) -> dict[str, str]:
        """Models by name, with their SQL, or the code of their function."""
        return {m.name: self.held.sql[m.name.lower()] for m in self.held.models.values()}

    def create_model(
        self,
        name: str,
        sql: str | Callable[..., Any] | ModelFunction,
        *,
        strict: bool = False,
        strategy: str | None = None,
        metadata: bool = False,
        views: bool = False,
    ) -> bool:
        """Compile, fill and keep a query from now on; False where it is there already, unchanged.

        In place of SQL it may be a function declared with `@sl.model`. A changed query, function or
        setting rebuilds the model and what depends on it, in one commit. Raises CompileError before
        anything is created, ModelError where the function fails.
        """
        self._writable()
        if views:
            for suffix in ("_base", "_incremental", "_realtime"):
                self.held.refuse_taken(name + suffix, besides=name)
        settings: dict[str, object] = {
            "strict": strict,
            "metadata": metadata,
            "views": views,
            "strategy": strategy,
        }
        if not isinstance(sql, str):
            return self._create_function(name, model_function(sql), settings)
        known = self.held.models.get(name.lower())
        if (
            known is not None
            and self.held.sql[name.lower()].strip() == sql.strip()
            and known.settings == settings
        ):
            return False
        if known is None:
            self.held.refuse_taken(name)
        self._flush()
        self._create_query(known, name, sql, settings)
        return True

    def _create_query(
        self, known: ModelDefinition | None, name: str, sql: str, settings: Mapping[str, object]
    ) -> None:
        strict, strategy = bool(settings["strict"]), settings["strategy"]
        plan = force(self._compiled(name, sql, strict), str(strategy) if strategy else None)
        shape = self._shape(name, plan.query if self.held.with_metadata(plan.reads) else sql)
        plan = self._runnable(plan, shape)
        try:
            self._install(known, name, sql, plan, shape, settings)
        except EngineError as error:
            if plan.full_reason:
                raise
            # the query itself is fine (it was described): the engine refuses what was made of it
            plan = recompute_plan(plan, f"the engine refuses its stages: {error.message}", as_written=True)
            if strict:
                raise StrictError(
                    plan.full_reason, where=f"model {name}", hint="rewrite the query."
                ) from error
            self._install(known, name, sql, plan, shape, settings)

    def _compiled(self, name: str, sql: str, strict: bool) -> Plan:
        """The plan; a recompute of the text where its names are beyond the compiler but not the engine."""
        try:
            return self.held.compiled(name, sql, strict)
        except UnknownNameError as error:
            plan = unresolved_plan(sql, self.held.catalog(without=name), name, error.message)
            if strict or plan is None or self.held.with_metadata(plan.reads):
                raise
            try:
                self.engine.describe(sql.strip().rstrip(";"))
            except EngineError:
                raise error from None
            return plan

    def provide(self, functions: Mapping[str, Callable[..., Any] | ModelFunction]) -> None:
        """Let Python models that are here already be computed in this process, by their names."""
        self._functions.update({n.lower(): model_function(f) for n, f in functions.items()})

    def _create_function(self, name: str, function: ModelFunction, settings: Mapping[str, object]) -> bool:
        known = self.held.models.get(name.lower())
        same = known is not None and known.function == function.declared() and known.settings == settings
        if same and self.held.sql[name.lower()] == function.text:
            self.provide({name: function})
            return False
        if known is None:
            self.held.refuse_taken(name)
        self._flush()
        name = known.name if known else name
        plan = python_models.plan(name, function, self.held.catalog(without=name), settings)
        with self._changing(f"creating model {name}"), self._own_batch():
            definition = python_models.define(self.engine, plan, settings)
            (self._replace if known else self._add)(definition, function.text, plan)
        self.provide({name: function})
        return True

    def _install(
        self,
        known: ModelDefinition | None,
        name: str,
        sql: str,
        plan: Plan,
        shape: tuple[Column, ...],
        settings: Mapping[str, object],
    ) -> None:
        """Create or replace a model, in one transaction."""
        definition = definitions.model_definition(
            known.name if known else name, plan, shape, settings, self.held.catalog()
        )
        with self._changing(f"creating model {name}"), self._own_batch():
            self._replace(definition, sql, plan) if known else self._add(definition, sql, plan)

    def _runnable(self, plan: Plan, shape: tuple[Column, ...]) -> Plan:
        """The plan, if its recompute says the same as the user's text; else a recompute of that text."""
        try:
            same = [c.type for c in self.engine.describe(plan.query)] == [c.type for c in shape]
            same = same and (bool(plan.full_reason) or len(plan.output.columns) == len(shape))
        except EngineError:
            same = False
        if same:
            return plan
        return recompute_plan(plan, "the query's text cannot be taken apart faithfully", as_written=True)

    def drop_model(self, name: str) -> None:
        """Drop a model that no other model reads, with all its state."""
        self._writable()
        model = self.held.model(name)
        self.held.refuse_if_read(model.name, "drop those first")
        with self._changing(f"dropping model {model.name}"):
            keeping.drop(self.engine, self.held, model)
            self.engine.execute(query("drop_model"), [model.name])
        self.held.forget(model.name)

    def compile(self, name: str, sql: str, *, strict: bool = False) -> Plan:
        """The plan a query would get, without creating anything."""
        return self.held.compiled(name, sql, strict)

    def _shape(self, name: str, sql: str) -> tuple[Column, ...]:
        """Names and types of the result; the engine's own complaint where it refuses the query."""
        try:
            shape = self.engine.describe(sql.strip().rstrip(";"))
        except EngineError as error:
            raise CompileError(error.message, where=f"model {name}", hint="correct the query.") from error
        return definitions.distinctly_named(shape)

    def _add(self, definition: ModelDefinition, sql: str, plan: Plan | FunctionPlan) -> None:
        keeping.create(self.engine, definition, plan)
        self.engine.execute(query("put_model"), [definition.name, sql, definitions.to_json(definition)])
        self.held.remember(definition, sql, plan)

    def _replace(self, definition: ModelDefinition, sql: str, plan: Plan | FunctionPlan) -> None:
        """A changed model and everything that reads it, rebuilt."""
        above = self.held.above(definition.name)
        if definition.name.lower() in plan.reads or {a.lower() for a in above} & plan.reads:
            raise CompileError(
                f"the new query reads {', '.join(above)}, which read this model",
                where=f"model {definition.name}",
                hint="break the cycle.",
            )
        self._drop_all([definition.name, *above])
        keeping.create(self.engine, definition, plan)
        self._store_change(definition, sql, plan)
        self._make_again(above)

    def _drop_all(self, names: Sequence[str]) -> None:
        """What models store, the last first."""
        for name in reversed(names):
            keeping.drop(self.engine, self.held, self.held.models[name.lower()])

    def _make_again(self, names: Sequence[str]) -> None:
        """Models as they are defined, over inputs that were made anew."""
        for name in names:
            old, text = self.held.models[name.lower()], self.held.sql[name.lower()]
            renewed, again = self._renewed(old, text)
            keeping.create(self.engine, renewed, again)
            text = again.function.text if isinstance(again, FunctionPlan) else text
            self._store_change(renewed, text, again)

    def _renewed(self, old: ModelDefinition, text: str) -> tuple[ModelDefinition, Plan | FunctionPlan]:
        """A model as it is defined over inputs that were made anew."""
        if old.function is not None:
            made = self.held.function_plan(old, newest=True)
            return python_models.define(self.engine, made, old.settings), made
        again = self.held.recompiled(old)
        shape = self._shape(old.name, text)
        again = again if old.fallback else self._runnable(again, shape)
        return definitions.model_definition(old.name, again, shape, old.settings, self.held.catalog()), again

    def _store_change(self, definition: ModelDefinition, sql: str, plan: Plan | FunctionPlan) -> None:
        values = [sql, definitions.to_json(definition), definition.name]
        self.engine.execute(query("change_model"), values)
        self.held.remember(definition, sql, plan)

    # ── changes ─────────────────────────────────────────────────────────────

    def apply(self, table: str, inserts: Any = None, deletes: Any = None) -> None:
        """Let changes wait for the next refresh; nothing is visible or durable before it.

        Frames may be polars, pyarrow, pandas or lists of dicts. With a key an
        inserted row replaces that key's row and a delete needs the key only;
        without one a delete removes one equal row each. Raises InputError or
        SchemaError for the whole call, with nothing taken.
        """
        self._writable()
        self.inbox.take(self.held.table(table), inserts, deletes)

    def refresh(self) -> Run:
        """Apply what waits and bring every model up to date, in one commit."""
        with self.batch() as b:
            pass
        assert b.run is not None
        return b.run

    @contextlib.contextmanager
    def batch(self, kind: BatchKind = "incremental") -> Iterator[OpenBatch]:
        """Changes, files, rejects and positions of one batch: committed together, or not at all."""
        self._writable()
        b = OpenBatch(self, batches.new_batch(self._batch_seq + 1, kind))
        self.engine.execute("BEGIN")
        try:
            yield b
            if b.empty:
                self.engine.execute("ROLLBACK")
                b.run = Run(None, kind, b.batch.started_at, (utc_now() - b.batch.started_at).total_seconds())
                return
            batches.bind_batch(self.engine, b.batch.seq)
            b.run = batches.commit(b)
            self.engine.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(EngineError):
                self.engine.execute("ROLLBACK")
            self._load()
            self.inbox.look_again(self.held.tables)
            raise
        self._batch_seq = b.batch.seq

    def _flush(self) -> None:
        if self.inbox.tables:
            self.refresh()

    # ── reading ─────────────────────────────────────────────────────────────

    def read(self, name: str, *, lazy: bool = False, arrow: bool = False, limit: int | None = None) -> Any:
        """A table's or model's rows as polars DataFrame (LazyFrame, or pyarrow Table)."""
        known = self.held.spelled(name)
        if known is None and not self._has_view(name):
            raise self.held.unknown(name)
        tail = f" LIMIT {int(limit)}" if limit is not None else ""
        return self.sql(f"SELECT * FROM main.{quote(known or name)}{tail}", lazy=lazy, arrow=arrow)

    def sql(self, text: str, *, lazy: bool = False, arrow: bool = False) -> Any:
        """The result of one read-only query."""
        import sqlglot
        from sqlglot import exp

        try:
            parsed = [t for t in sqlglot.parse(text, dialect="duckdb") if t is not None]
            readable = len(parsed) == 1 and isinstance(
                parsed[0], (exp.Query, exp.Describe, exp.Show, exp.Summarize)
            )
        except sqlglot.errors.SqlglotError:
            readable = text.lstrip().lower().startswith(("select", "with", "from", "describe", "explain"))
        if not readable:
            raise UsageError(
                "only one SELECT can be run here",
                hint="change data with apply() and models with create_model().",
            )
        table: pa.Table = self.engine.arrow(text)
        if arrow:
            return table
        frame = to_polars(table)
        return frame.lazy() if lazy else frame

    def explain(self, model: str) -> Explanation:
        """Stage by stage: strategy, reason, state, cost."""
        return keeping.explanation(self.engine, self.held, self.held.model(model))

    def verify(self, model: str, sample: float | None = None) -> Parity:
        """Compare a model with its full recompute (or the share `sample` of its rows)."""
        definition = self.held.model(model)
        ought = keeping.recompute(self.engine, self.held, definition)
        return parity.compare(self.engine, definition, ought, sample)

    def verify_all(self, sample: float | None = None) -> list[Parity]:
        return [self.verify(m.name, sample) for m in self.held.ordered()]

    def files(self, table: str | None = None) -> list[FileRecord]:
        """The ledger: the newest version of every input file."""
        found = [FileRecord(*row) for row in self.engine.rows(query("files"))]
        return [f for f in found if table is None or f.table.lower() == table.lower()]

    def last_base_seq(self) -> int:
        """The number of the last base batch, 0 before the first."""
        return self.engine.execute(query("last_base"))

    def _has_view(self, name: str) -> bool:
        found = "SELECT 1 FROM duckdb_views() WHERE schema_name = 'main' AND lower(view_name) = lower(?)"
        return bool(self.engine.rows(found, [name]))

    def _writable(self) -> None:
        if self.read_only:
            raise UsageError("the warehouse is open for reading only", hint="open it without read_only.")

    @contextlib.contextmanager
    def _changing(self, what: str) -> Iterator[None]:
        """One transaction for a change of definitions; on failure everything known is read again."""
        try:
            with self.engine.transaction():
                yield
        except BaseException as error:
            self._load()
            if isinstance(error, EngineError):
                error.where = error.where or what
            raise

    @contextlib.contextmanager
    def _own_batch(self) -> Iterator[None]:
        """Rows filled outside a refresh belong to a `rebuild` batch of their own."""
        batch = batches.new_batch(self._batch_seq + 1, "rebuild")
        batches.bind_batch(self.engine, batch.seq)
        yield
        now = batches.naive(utc_now())
        values = [batch.seq, batch.batch_id, batch.kind, batches.naive(batch.started_at), now, 0, 0, 0.0]
        self.engine.execute(query("put_batch"), values)
        self._batch_seq = batch.seq
