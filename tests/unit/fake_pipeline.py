"""Stand-ins for a warehouse and a source, with which a test can make any step of a run go wrong."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from strandline.errors import SchemaError
from strandline.schema import BatchKind, Column, FileRecord, Position, Reject, Run, Schema, utc_now
from strandline.sources.base import Chunk, PendingFile

RECORD = """
CREATE SCHEMA strandline;
CREATE TABLE strandline.batches (batch_seq BIGINT, batch_id VARCHAR, kind VARCHAR);
CREATE TABLE strandline.files (file_id BIGINT, source VARCHAR, table_name VARCHAR, path VARCHAR, size BIGINT,
  sha256 VARCHAR, rows BIGINT, rejected BIGINT, status VARCHAR, modified_ns BIGINT, batch_seq BIGINT,
  content VARCHAR);
CREATE TABLE strandline.quarantine (quarantine_id UUID DEFAULT uuid(), batch_id VARCHAR, table_name VARCHAR,
  file VARCHAR, line BIGINT, reason VARCHAR, raw VARCHAR, status VARCHAR DEFAULT 'held',
  quarantined_at TIMESTAMP DEFAULT now()::TIMESTAMP);
CREATE TABLE strandline.tables (name VARCHAR, definition JSON);
CREATE TABLE strandline.models (name VARCHAR, sql VARCHAR, definition JSON);
CREATE TABLE rows (table_name VARCHAR, x BIGINT, file_id BIGINT, line BIGINT);
"""


class FakeWarehouse:
    """Tables of one column `x`; the record and the rows live in DuckDB, so a batch is a transaction."""

    def __init__(self) -> None:
        self.con = duckdb.connect()
        self.con.execute(RECORD)
        self.schemas: dict[str, Schema] = {}
        self.sqls: dict[str, str] = {}
        self.calls: list[str] = []
        self.positions: list[Position] = []

    def tables(self) -> dict[str, Schema]:
        return dict(self.schemas)

    def models(self) -> dict[str, str]:
        return dict(self.sqls)

    def create_table(self, name: str, columns: Any, key: Any = None, *, append_only: bool = False) -> None:
        self.calls.append(f"create_table {name} {[c.name for c in columns]} key={key}")
        self.schemas[name] = Schema(tuple(columns), tuple(key or ()), append_only)

    def models_using(self, table: str, columns: Sequence[str]) -> list[str]:
        return []

    def add_columns(self, table: str, columns: Sequence[Column], *, found: bool = False) -> None:
        self.calls.append(f"add_columns {table} {[c.name for c in columns]}")
        old = self.schemas[table]
        self.schemas[table] = Schema((*old.columns, *columns), old.key, old.append_only)

    def create_model(self, name: str, sql: str, **options: Any) -> None:
        if self.sqls.get(name) != sql:
            self.calls.append(f"create_model {name}")
        self.sqls[name] = sql
        self.con.execute("DELETE FROM strandline.models WHERE name = ?", [name])
        self.con.execute(
            "INSERT INTO strandline.models VALUES (?, ?, ?)", [name, sql, json.dumps({"settings": options})]
        )

    def drop_model(self, name: str) -> None:
        self.calls.append(f"drop_model {name}")
        self.con.execute("DELETE FROM strandline.models WHERE name = ?", [name])
        del self.sqls[name]

    def explain(self, model: str) -> str:
        return f"explained {model}"

    def sql(self, query: str, *, arrow: bool = False) -> Any:
        return self.con.sql(query).to_arrow_table()

    def files(self, table: str | None = None) -> list[FileRecord]:
        names = (
            "source",
            "table_name",
            "path",
            "size",
            "sha256",
            "rows",
            "rejected",
            "status",
            "modified_ns",
        )
        newest = self.con.execute(
            f"SELECT {', '.join(names)}, file_id FROM strandline.files"
            " QUALIFY row_number() OVER (PARTITION BY source, path ORDER BY file_id DESC) = 1"
        ).fetchall()
        return [FileRecord(*row) for row in newest if table in (None, row[1])]

    def last_base_seq(self) -> int:
        found = self.con.execute(
            "SELECT max(batch_seq) FROM strandline.batches WHERE kind = 'base'"
        ).fetchone()
        return (found and found[0]) or 0

    def rows(self, table: str = "t") -> list[int]:
        found = self.con.execute("SELECT x FROM rows WHERE table_name = ? ORDER BY ALL", [table]).fetchall()
        return [x for (x,) in found]

    @contextmanager
    def batch(self, kind: BatchKind = "incremental") -> Iterator[FakeBatch]:
        self.con.execute("BEGIN")
        batch = FakeBatch(self, kind)
        try:
            yield batch
        except BaseException:
            self.con.execute("ROLLBACK")
            raise
        self.con.execute("COMMIT")
        self.positions = batch.positions
        self.calls.append(f"batch {kind}")


class FakeBatch:
    def __init__(self, wh: FakeWarehouse, kind: BatchKind) -> None:
        self.con = wh.con
        self.positions: list[Position] = []
        self.seq = self._number("SELECT count(*) + 1 FROM strandline.batches")
        self.con.execute("INSERT INTO strandline.batches VALUES (?, ?, ?)", [self.seq, f"b{self.seq}", kind])
        self.run: Run | None = Run(f"b{self.seq}", kind, utc_now(), 0.0)

    def apply(self, table: str, *, inserts: Any, file_id: int | None = None, lines: Any = None) -> None:
        rows = list(zip(inserts["x"].to_pylist(), lines.to_pylist(), strict=True))
        if any(x == 666 for x, _ in rows):
            raise SchemaError("the table refuses 666")
        for x, line in rows:
            self.con.execute("INSERT INTO rows VALUES (?, ?, ?, ?)", [table, x, file_id, line])

    def retract_file(self, table: str, file_id: int) -> None:
        self.con.execute("DELETE FROM rows WHERE table_name = ? AND file_id = ?", [table, file_id])

    def sought(self, table: str) -> list[int]:
        return []

    def record_file(self, r: FileRecord, *, moved_from: str = "") -> int:
        file_id = self._number("SELECT coalesce(max(file_id), 0) + 1 FROM strandline.files")
        values = [file_id, r.source, r.table, r.path, r.size, r.sha256, 0, 0, "", r.modified_ns, self.seq]
        self.con.execute(f"INSERT INTO strandline.files VALUES ({', '.join('?' * 11)}, NULL)", values)
        return file_id

    def finish_file(self, file_id: int, rows: int, rejected: int, status: str) -> None:
        self.con.execute(
            "UPDATE strandline.files SET rows = ?, rejected = ?, status = ? WHERE file_id = ?",
            [rows, rejected, status, file_id],
        )

    def quarantine(self, rejects: list[Reject]) -> None:
        for r in rejects:
            self.con.execute(
                "INSERT INTO strandline.quarantine (batch_id, table_name, file, line, reason, raw)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                [f"b{self.seq}", r.table, r.file, r.line, r.reason, r.raw],
            )

    def release(self, quarantine_ids: Sequence[str]) -> None:
        for one in quarantine_ids:
            self.con.execute(
                "UPDATE strandline.quarantine SET status = 'released' WHERE quarantine_id = ?", [one]
            )

    def position(self, position: Position) -> None:
        self.positions.append(position)

    def _number(self, query: str) -> int:
        found = self.con.execute(query).fetchone()
        assert found is not None
        return int(found[0])


Line = int | str | Exception


class FakeSource:
    """Files as lists of lines: a number is a row, a text is refused, an exception is raised there.

    A first line that begins with `whole:` refuses the file; chunks hold two lines. `brings` names
    new columns by path; `accepts` are texts that count as the row 0 by now.
    """

    def __init__(self, name: str = "s", table: str = "t", schema: Schema | None = None) -> None:
        self.name = name
        self.table = table
        self.schema = schema or Schema((Column("x", "BIGINT"),))
        self.contents: dict[str, list[Line]] = {}
        self.brings: dict[str, tuple[Column, ...]] = {}
        self.accepts: set[str] = set()
        self.with_schemas: list[Schema] = []

    def with_schema(self, schema: Schema) -> FakeSource:
        self.with_schemas.append(schema)
        same = FakeSource(self.name, self.table, schema)
        same.__dict__.update({k: v for k, v in self.__dict__.items() if k != "schema"})
        return same

    def discover(self, ledger: Sequence[FileRecord], now_ns: int) -> list[PendingFile]:
        known = {r.path: r for r in ledger}
        counting = {r.path: r for r in ledger if r.status in ("applied", "empty")}
        found = []
        for number, (path, lines) in enumerate(self.contents.items(), start=1):
            digest = hashlib.sha256(repr(lines).encode()).hexdigest()
            before = known.get(path)
            if before is None or before.sha256 != digest:
                where, time = Path("/in", path), number * 10**9
                size = len(lines)
                found.append(
                    PendingFile(
                        self.name,
                        self.table,
                        path,
                        where,
                        size,
                        time,
                        digest,
                        replaces=counting.get(path, before),
                    )
                )
        return found

    def next_look_ns(self, now_ns: int) -> int | None:
        return None

    def new_columns(self, file: PendingFile) -> tuple[Column, ...]:
        brought = self.brings.get(file.path, ())
        return tuple(c for c in brought if self.schema.type_of(c.name) is None)

    def read(self, file: PendingFile) -> Iterator[Chunk]:
        lines = self.contents[file.path]
        if lines and str(lines[0]).startswith("whole:"):
            yield self._chunk(file, [], [(0, str(lines[0]))], rejected=True)
            return
        numbered = list(enumerate(lines, start=1))
        for i in range(0, len(numbered), 2):
            rows, rejects = [], []
            for number, line in numbered[i : i + 2]:
                if isinstance(line, Exception):
                    raise line
                if isinstance(line, str) and line not in self.accepts:
                    rejects.append((number, line))
                else:
                    rows.append((number, 0 if isinstance(line, str) else line))
            yield self._chunk(file, rows, rejects)

    def _chunk(
        self,
        file: PendingFile,
        rows: list[tuple[int, int]],
        rejects: list[tuple[int, str]],
        *,
        rejected: bool = False,
    ) -> Chunk:
        return Chunk(
            pa.table({"x": pa.array([x for _, x in rows], pa.int64())}),
            pa.array([n for n, _ in rows], pa.int64()),
            [Reject(file.table, file.path, n, "refused", raw) for n, raw in rejects],
            file_rejected=rejected,
        )
