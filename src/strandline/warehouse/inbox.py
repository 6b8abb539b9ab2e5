"""Changes that wait for the next refresh, table by table, in the order they came."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from strandline.engines.base import Engine
from strandline.errors import UsageError
from strandline.warehouse import intake
from strandline.warehouse.definitions import TableDefinition
from strandline.warehouse.frames import to_arrow

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
        for frame, op in ((deletes, -1), (inserts, 1)):
            if frame is None:
                continue
            rows = to_arrow(frame, f"table {table.name}")
            if op < 0 and table.append_only and rows.num_rows:
                raise UsageError(
                    "the table is append-only",
                    where=f"table {table.name}",
                    hint="create it without append_only.",
                )
            self.calls += 1
            intake.stage(self.engine, table, rows, op, self.calls, file_id=file_id, lines=lines)
            if rows.num_rows:
                self.tables[table.name.lower()] = table

    def retract_file(self, table: TableDefinition, file_id: int) -> None:
        """Let deletions wait for the rows a file brought that are still its own."""
        self.calls += 1
        intake.retract_file(self.engine, table, file_id, self.calls)
        self.tables[table.name.lower()] = table

    def look_again(self, known: Mapping[str, TableDefinition]) -> None:
        """After a rollback: what waits is what the engine still has of it."""
        names = {r[0] for r in self.engine.rows("SELECT table_name FROM duckdb_tables() WHERE temporary")}
        self.tables = {k: t for k, t in known.items() if f"{t.stored} waiting" in names}
