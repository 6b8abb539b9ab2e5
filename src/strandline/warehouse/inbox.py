"""Changes that wait for the next refresh, table by table, in the order they came."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from strandline.engines.base import Engine
from strandline.errors import StrandlineError, UsageError
from strandline.warehouse import intake, straight, superseded
from strandline.warehouse.definitions import TableDefinition
from strandline.warehouse.frames import to_arrow
from strandline.warehouse.waiting import FEW, Facts, Incoming, facts_of_frame

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass
class Inbox:
    """The rows themselves are in temporary tables of the engine."""

    engine: Engine
    tables: dict[str, TableDefinition] = field(default_factory=dict)
    """Tables with rows that wait, by lower-case name."""
    calls: int = 0
    """How often rows were given: the last row of a key wins."""
    rows: int = 0
    """How many rows were given since the last batch, or somewhat more."""
    facts: dict[str, Facts | None] = field(default_factory=dict)
    """What is known of what waits, by lower-case name of the table; None where it has to be looked at."""
    written: dict[str, int] = field(default_factory=dict)
    """How many rows are in their table already, by its lower-case name: see `straight`."""

    def take(
        self,
        table: TableDefinition,
        inserts: Any,
        deletes: Any,
        *,
        file_id: int | None = None,
        lines: pa.Array | None = None,
    ) -> None:
        """Let rows wait, deletes before inserts. Raises UsageError, InputError or SchemaError."""
        frames = given(table, inserts, deletes)
        if deletes is None and self._straight(table, file_id):
            for rows, _ in frames:
                self._write(table, rows, file_id, lines)
            return
        self._let_wait(table)
        first = self.calls + 1
        try:
            for rows, op in frames:
                self._stage(table, rows, op, file_id, lines)
        except StrandlineError:
            # all of a call or nothing: what its first frame left waiting goes again
            intake.forget_since(self.engine, table, first)
            if table.name.lower() not in self.tables:
                self.facts.pop(table.name.lower(), None)
            raise
        if any(rows.num_rows for rows, _ in frames):
            self.tables[table.name.lower()] = table

    def _stage(
        self, table: TableDefinition, rows: pa.Table, op: int, file_id: int | None, lines: pa.Array | None
    ) -> None:
        self.calls += 1
        with self.engine.alone() if rows.num_rows <= FEW else contextlib.nullcontext():
            count = intake.stage(self.engine, table, rows, op, self.calls, file_id=file_id, lines=lines)
        self.rows += count
        if count:
            self._know(table, rows, op, file_id)

    def _know(self, table: TableDefinition, rows: pa.Table, op: int, file_id: int | None) -> None:
        """Of the first frame that waits for a table all can be known; then no longer."""
        name = table.name.lower()
        first = name not in self.tables and name not in self.facts
        self.facts[name] = facts_of_frame(table, rows, op, file_id) if first else None

    def _straight(self, table: TableDefinition, file_id: int | None) -> bool:
        """Whether added rows can go into the table: a bag's, of a file, for files come inside of a batch."""
        name = table.name.lower()
        return not table.key and (name in self.written or (file_id is not None and name not in self.tables))

    def _write(
        self, table: TableDefinition, rows: pa.Table, file_id: int | None, lines: pa.Array | None
    ) -> None:
        name = table.name.lower()
        before = self.written.get(name, 0)
        count = straight.write(self.engine, table, rows, before, file_id=file_id, lines=lines)
        if count:
            self.written[name], self.tables[name] = before + count, table
            self.rows += count

    def _let_wait(self, table: TableDefinition) -> None:
        """What was written straight waits from now on, before what comes next."""
        if self.written.pop(table.name.lower(), 0):
            self.calls += 1
            straight.take_back(self.engine, table, self.calls)

    def resolve(
        self, table: TableDefinition, wanted: Collection[str], bulk_rows: int, *, small: bool
    ) -> intake.Intake:
        """Apply what waits for a table; see `intake.resolve`."""
        name = table.name.lower()
        rows, facts = self.written.pop(name, 0), self.facts.pop(name, None)
        if rows:
            return straight.settled(self.engine, table, rows, bulk_rows)
        return intake.resolve(self.engine, table, wanted, bulk_rows, facts, small=small)

    def forget(self, table: TableDefinition) -> None:
        """A dropped table waits for nothing."""
        self.tables.pop(table.name.lower(), None)
        self.facts.pop(table.name.lower(), None)
        intake.drop_waiting(self.engine, table)

    def retract_file(self, table: TableDefinition, file_id: int) -> None:
        """Let deletions wait for the rows a file brought that are still its own."""
        self._let_wait(table)
        self.rows += intake.retract_file(self.engine, table, file_id)
        self.tables[table.name.lower()] = table
        self.facts[table.name.lower()] = None

    def bring_back(
        self, table: TableDefinition, rows: pa.Table, *, file_id: int, lines: pa.Array | None
    ) -> None:
        """Let those of a file's rows wait whose keys are sought."""
        self.take(table, rows, None, file_id=file_id, lines=lines)
        self.facts[table.name.lower()] = None
        superseded.keep_sought(self.engine, table, Incoming(table).waiting, self.calls)

    def look_again(self, known: Mapping[str, TableDefinition]) -> None:
        """After a rollback: what waits is what the engine still has of it."""
        self.written.clear()
        self.facts.clear()
        names = {r[0] for r in self.engine.rows("SELECT table_name FROM duckdb_tables() WHERE temporary")}
        self.tables = {k: t for k, t in known.items() if f"{t.stored} waiting" in names}


def given(table: TableDefinition, inserts: Any, deletes: Any) -> list[tuple[pa.Table, int]]:
    """What a call gave as frames with 1 or -1, deletes first. Raises UsageError or InputError."""
    types = {n.lower(): t for n, t in table.columns}
    frames = [
        (to_arrow(frame, f"table {table.name}", types), op)
        for frame, op in ((deletes, -1), (inserts, 1))
        if frame is not None
    ]
    if table.append_only and any(op < 0 and rows.num_rows for rows, op in frames):
        hint = "create it without append_only."
        raise UsageError("the table is append-only", where=f"table {table.name}", hint=hint)
    return frames
