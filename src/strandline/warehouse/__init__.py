"""The warehouse: tables, models, apply, refresh, verify; every refresh is one commit."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from strandline.arguments import checked_methods
from strandline.compiler import Plan, force, recompute_plan, unresolved_plan
from strandline.compiler.relations import quote
from strandline.compiler.text import stored
from strandline.compiler.unknown import UNTOLD
from strandline.engines.base import Engine
from strandline.errors import CompileError, EngineError, UnknownNameError
from strandline.functions import ModelFunction, model_function
from strandline.record import query, statements
from strandline.schema import BatchKind, Column, FileRecord, Parity, Run, Schema, utc_now
from strandline.warehouse import (
    batches,
    definitions,
    intake,
    keeping,
    python_models,
    remaking,
    reshaping,
)
from strandline.warehouse.batches import OpenBatch
from strandline.warehouse.definitions import ModelDefinition, TableDefinition
from strandline.warehouse.explain import Explanation
from strandline.warehouse.holdings import Holdings
from strandline.warehouse.inbox import Inbox
from strandline.warehouse.outgoing import has_view, refuse_writing, to_polars
from strandline.warehouse.python_models import FunctionPlan
from strandline.warehouse.remaking import Queries
from strandline.warehouse.turns import Turn, in_turn

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Explanation", "OpenBatch", "Warehouse"]
NONE: Queries = {}


@in_turn("reader", "close")
@checked_methods
class Warehouse:
    """One database with source tables, models, their state and the record.

    Not for use from several threads at once, which is refused; `reader()` gives
    another thread its own read-only view of committed state.
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
        self.turn = Turn(read_only, around=engine.transaction if read_only else contextlib.nullcontext)
        self._taken = self.turn.taken
        self._batch_seq = 0
        if not read_only:
            for statement in statements("create"):
                engine.execute(statement)
        self._load()

    # ── life ────────────────────────────────────────────────────────────────

    def close(self) -> None:
        """Close the connection; changes applied and not refreshed are dropped."""
        with self.turn.last("close()"):
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
        self._held = Holdings(self.engine, self._functions)
        self._batch_seq = self.engine.execute(query("last_batch"))

    @property
    def held(self) -> Holdings:
        """Definitions and plans; a reader's follow those of the writer."""
        if self.read_only and self._held.outdated(self.engine):
            self._load()
        return self._held

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
        self.turn.may_change("create a table")
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

    def add_columns(self, name: str, columns: Sequence[Column], *, found: bool = False) -> None:
        """Add columns at the end, NULL for the rows that are there; `found` in a file, declared by nobody.

        Models whose query takes all columns (`*`) are made anew with them, and what reads those, in
        the same commit. Raises SchemaError for a type with constraints or defaults.
        """
        self._reshape(name, lambda old: reshaping.adding(self.engine, old, columns, found=found))

    def drop_columns(self, name: str, columns: Sequence[str], *, queries: Queries = NONE) -> None:
        """Drop columns with their values.

        Raises SchemaError naming the models that use them, with nothing changed; `queries` gives new
        queries to such models, in the same commit.
        """
        self._reshape(name, lambda old: reshaping.dropping(old, columns), queries)

    def rename_column(self, name: str, column: str, to: str, *, queries: Queries = NONE) -> None:
        """Rename a column. Raises SchemaError naming the models that use it and have no new query."""
        self._reshape(name, lambda old: reshaping.renaming(old, column, to), queries)

    def change_type(self, name: str, column: str, type: str, *, queries: Queries = NONE) -> None:  # noqa: A002
        """Cast a column to another type; the models that use it are made anew, in the same commit.

        Raises SchemaError where a value does not fit, keys would become equal, or a model's query no
        longer works, with nothing changed.
        """
        self._reshape(name, lambda old: reshaping.retyping(self.engine, old, column, type), queries)

    def models_using(self, name: str, columns: Sequence[str]) -> list[str]:
        """The models that could not do without these columns of a table, with those that read them."""
        held = self.held
        return reshaping.users(held, held.table(name), columns)

    def _reshape(
        self, name: str, plan: Callable[[TableDefinition], reshaping.Reshape], queries: Queries = NONE
    ) -> None:
        self.turn.may_change("change a table")
        self._flush()
        change = plan(self.held.table(name))
        for model in queries:
            self.held.model(model)
        with self._changing(change.doing), self._own_batch():
            reshaping.carry_out(self.engine, self.held, change, queries)

    def drop_table(self, name: str) -> None:
        """Drop a source table that no model reads."""
        self.turn.may_change("drop a table")
        table = self.held.table(name)
        self.held.refuse_if_read(table.name, "drop those models first")
        with self._changing(f"dropping table {table.name}"):
            self.engine.execute(f"DROP VIEW main.{quote(table.name)}")
            self.engine.execute(f"DROP TABLE {stored(table.stored)}")
            self.engine.execute(query("drop_table"), [table.name])
            self.engine.execute(query("forget_superseded_of_table"), [table.name])
        self.inbox.forget(table)
        del self.held.tables[table.name.lower()]

    # ── models ──────────────────────────────────────────────────────────────

    def models(self) -> dict[str, str]:
        """Models by name, with their SQL, or the code of their function."""
        held = self.held
        return {m.name: held.sql[m.name.lower()] for m in held.models.values()}

    def create_model(
        self,
        name: str,
        sql: str | Callable[..., Any] | ModelFunction,
        *,
        strict: bool = False,
        strategy: str | None = None,
        metadata: bool = False,
        views: bool = False,
        queries: Queries = NONE,
    ) -> bool:
        """Compile, fill and keep a query from now on; False where it is there already, unchanged.

        In place of SQL it may be a function declared with `@sl.model`. A changed query, function or
        setting rebuilds the model and what depends on it, in one commit; `queries` gives new queries to
        models that depend on it and change with it. Raises CompileError before anything is created,
        also where a dependent would no longer work, and ModelError where the function fails.
        """
        self.turn.may_change("create a model")
        if views:
            for suffix in definitions.VIEW_SUFFIXES:
                self.held.refuse_taken(name + suffix, besides=name)
        settings: dict[str, object] = {
            "strict": strict,
            "metadata": metadata,
            "views": views,
            "strategy": strategy,
        }
        if not isinstance(sql, str):
            return self._create_function(name, model_function(sql), settings, queries)
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
        self._create_query(known, name, sql, settings, queries)
        return True

    def _create_query(
        self,
        known: ModelDefinition | None,
        name: str,
        sql: str,
        settings: Mapping[str, object],
        queries: Queries,
    ) -> None:
        strict, strategy = bool(settings["strict"]), settings["strategy"]
        plan = force(self._compiled(name, sql, strict), str(strategy) if strategy else None)
        shape = remaking.shape_of(self.engine, name, remaking.asked(self.held, plan, sql))
        plan = remaking.runnable(self.engine, plan, shape)
        try:
            self._install(known, name, sql, plan, shape, settings, queries=queries)
        except EngineError as error:
            if plan.full_reason:
                raise
            # the query itself is fine (it was described): the engine refuses what was made of it
            plan = recompute_plan(plan, f"the engine refuses its stages: {error.message}", as_written=True)
            if strict:
                raise remaking.only_in_full(plan.full_reason, name) from error
            self._install(known, name, sql, plan, shape, settings, queries=queries)

    def _compiled(self, name: str, sql: str, strict: bool) -> Plan:
        """The plan; a recompute of the text where its names are beyond the compiler but not the engine."""
        try:
            return self.held.compiled(name, sql, strict)
        except UnknownNameError as error:
            plan = unresolved_plan(sql, self.held.catalog(without=name), name, error.message)
            if plan is None or self.held.with_metadata(plan.reads):
                raise
            try:
                remaking.shape_of(self.engine, name, sql)
            except CompileError as said:
                raise (said if error.hint == UNTOLD else error) from None
            if strict:
                raise remaking.only_in_full(error.message, name) from None
            return plan

    def provide(self, functions: Mapping[str, Callable[..., Any] | ModelFunction]) -> None:
        """Let Python models that are here already be computed in this process, by their names."""
        self._functions.update({n.lower(): model_function(f) for n, f in functions.items()})

    def _create_function(
        self, name: str, function: ModelFunction, settings: Mapping[str, object], queries: Queries
    ) -> bool:
        known = self.held.models.get(name.lower())
        same = known is not None and known.function == function.declared() and known.settings == settings
        if same and self.held.sql[name.lower()] == function.text:
            self.provide({name: function})
            return False
        if known is None:
            self.held.refuse_taken(name)
        self._flush()
        name = known.name if known else name
        plan = python_models.plan(name, function, self.held.as_stored(without=name), settings)
        with self._changing(f"creating model {name}"), self._own_batch():
            definition = python_models.define(self.engine, plan, settings)
            if known:
                self._replace(definition, function.text, plan, queries)
            else:
                self._add(definition, function.text, plan)
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
        *,
        queries: Queries,
    ) -> None:
        """Create or replace a model, in one transaction."""
        definition = definitions.model_definition(
            known.name if known else name, plan, shape, settings, self.held.catalog()
        )
        with self._changing(f"creating model {name}"), self._own_batch():
            if known:
                self._replace(definition, sql, plan, queries)
            else:
                self._add(definition, sql, plan)

    def drop_model(self, name: str) -> None:
        """Drop a model that no other model reads, with all its state."""
        self.turn.may_change("drop a model")
        model = self.held.model(name)
        self.held.refuse_if_read(model.name, "drop those first")
        with self._changing(f"dropping model {model.name}"):
            keeping.drop(self.engine, self.held, model)
            self.engine.execute(query("drop_model"), [model.name])
        self.held.forget(model.name)

    def compile(self, name: str, sql: str, *, strict: bool = False) -> Plan:
        """The plan a query would get, without creating anything."""
        return self.held.compiled(name, sql, strict)

    def _add(self, definition: ModelDefinition, sql: str, plan: Plan | FunctionPlan) -> None:
        keeping.create(self.engine, self.held, definition, plan)
        self.engine.execute(query("put_model"), [definition.name, sql, definitions.to_json(definition)])
        self.held.remember(definition, sql, plan)

    def _replace(
        self, definition: ModelDefinition, sql: str, plan: Plan | FunctionPlan, queries: Queries
    ) -> None:
        """A changed model and everything that reads it, rebuilt."""
        above = self.held.above(definition.name)
        if definition.name.lower() in plan.reads or {a.lower() for a in above} & plan.reads:
            raise CompileError(
                f"the new query reads {', '.join(above)}, which read this model",
                where=f"model {definition.name}",
                hint="break the cycle.",
            )
        remaking.drop_all(self.engine, self.held, [definition.name, *above])
        keeping.create(self.engine, self.held, definition, plan)
        remaking.store_change(self.engine, self.held, definition, sql, plan)
        remaking.make_again(self.engine, self.held, above, queries)

    # ── changes ─────────────────────────────────────────────────────────────

    def apply(self, table: str, inserts: Any = None, deletes: Any = None) -> None:
        """Let changes wait for the next refresh; nothing is visible or durable before it.

        Frames may be polars, pyarrow, pandas or lists of dicts. With a key an
        inserted row replaces that key's row and a delete needs the key only;
        without one a delete removes one equal row each. Raises InputError or
        SchemaError for the whole call, with nothing taken.
        """
        self.turn.may_write()
        self.inbox.take(self.held.table(table), inserts, deletes)

    def refresh(self) -> Run:
        """Apply what waits and bring every model up to date, in one commit."""
        with self.batch() as b:
            pass
        assert b.run is not None
        return b.run

    @contextlib.contextmanager
    def batch(self, kind: BatchKind = "incremental") -> Iterator[OpenBatch]:
        """One commit of what the batch's own `apply` and its like take in, and of what waits already."""
        self.turn.may_change("begin a batch")
        with self.turn.batch("batch()"):
            self._renew()
            b = OpenBatch(self, batches.new_batch(self._batch_seq + 1, kind))
            self.engine.execute("BEGIN")
            try:
                batches.bind_batch(self.engine, b.batch.seq)
                yield b
                b.run = batches.end(b)
            except BaseException:
                with contextlib.suppress(EngineError):
                    self.engine.execute("ROLLBACK")
                self._load()
                self.inbox.look_again(self.held.tables)
                raise
            finally:
                b.over = True
        if b.run.changed:
            self._batch_seq = b.batch.seq

    def _renew(self) -> None:
        """Make anew the models whose state another version of the program stored."""
        names = remaking.outdated(self.held)
        if names:
            with self._changing("bringing stored state to this version"), self._own_batch():
                remaking.drop_stored(self.engine, self.held, names)
                remaking.make_again(self.engine, self.held, names)

    def _flush(self) -> None:
        if self.inbox.tables:
            with batches.first():
                self.refresh()

    # ── reading ─────────────────────────────────────────────────────────────

    def read(self, name: str, *, lazy: bool = False, arrow: bool = False, limit: int | None = None) -> Any:
        """A table's or model's rows as polars DataFrame (LazyFrame, or pyarrow Table)."""
        held = self.held
        known = held.spelled(name)
        if known is None and not has_view(self.engine, name):
            raise held.unknown(name)
        tail = f" LIMIT {int(limit)}" if limit is not None else ""
        return self.sql(f"SELECT * FROM main.{quote(known or name)}{tail}", lazy=lazy, arrow=arrow)

    def sql(self, text: str, *, lazy: bool = False, arrow: bool = False) -> Any:
        """The result of one read-only query."""
        refuse_writing(text)
        table: pa.Table = self.engine.arrow(text)
        if arrow:
            return table
        frame = to_polars(table)
        return frame.lazy() if lazy else frame

    def explain(self, model: str) -> Explanation:
        """Stage by stage: strategy, reason, state, cost."""
        held = self.held
        return keeping.explanation(self.engine, held, held.model(model))

    def verify(self, model: str, sample: float | None = None) -> Parity:
        """Compare a model with its full recompute (or the share `sample` of its rows)."""
        held = self.held
        return keeping.compared(self.engine, held, held.model(model), sample)

    def verify_all(self, sample: float | None = None) -> list[Parity]:
        held = self.held
        return [keeping.compared(self.engine, held, model, sample) for model in held.ordered()]

    def since_check(self) -> tuple[int, float | None]:
        """(batches, seconds) since models were last checked and recorded; None where they never were."""
        found = self.engine.rows(query("since_check"), [batches.naive(utc_now())])
        return found[0] if found else (0, None)

    def record_checks(self, found: Sequence[Parity], sample: float | None = None) -> None:
        """Keep what `verify` found in `strandline.checks`."""
        self.turn.may_change("record checks")
        with self.engine.transaction():
            batches.write_checks(self.engine, self._batch_seq, found, sample)

    def files(self, table: str | None = None) -> list[FileRecord]:
        """The ledger: the newest version of every input file."""
        found = [FileRecord(*row) for row in self.engine.rows(query("files"))]
        return [f for f in found if table is None or f.table.lower() == table.lower()]

    def last_base_seq(self) -> int:
        """The number of the last base batch, 0 before the first."""
        return self.engine.execute(query("last_base"))

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
        batches.write_bare(self.engine, batch)
        self._batch_seq = batch.seq
