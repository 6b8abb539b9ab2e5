"""One batch: changes from anywhere, applied, maintained and recorded in one commit."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from dataclasses import replace as evolve
from datetime import datetime
from typing import TYPE_CHECKING, Any

from strandline.compiler.text import beside
from strandline.engines.base import Engine
from strandline.errors import StrandlineError, UsageError
from strandline.record import insertion, query
from strandline.schema import (
    Batch,
    BatchKind,
    FileRecord,
    FileStatus,
    ModelRun,
    Parity,
    Position,
    Reject,
    Run,
    StageRun,
    TableRun,
    utc_now,
    uuid7,
)
from strandline.warehouse import costs, intake, keeping, maintain, superseded
from strandline.warehouse.turns import in_turn
from strandline.warehouse.waiting import FEW, Incoming

if TYPE_CHECKING:
    import pyarrow as pa

    from strandline.warehouse import Warehouse

SMALL_TABLE = 122_880
"""Rows of a table that one thread reads anyway: a row group of DuckDB."""


@in_turn()
@dataclass
class OpenBatch:
    """What the runner fills inside `with warehouse.batch() as b`; `run` is there after the commit."""

    warehouse: Warehouse
    batch: Batch
    files: dict[int, FileRecord] = field(default_factory=dict)
    retracted: list[tuple[str, int, int | None]] = field(default_factory=list)
    positions: list[Position] = field(default_factory=list)
    quarantined: int = 0
    run: Run | None = None
    over: bool = False
    """Whether it was committed or taken back: nothing can be given to it any more."""
    _may_hold: bool | None = None
    """Whether anything was held back before this batch; None before the first look."""

    def apply(
        self,
        table: str,
        inserts: Any = None,
        deletes: Any = None,
        *,
        file_id: int | None = None,
        lines: pa.Array | None = None,
    ) -> None:
        """Let rows wait for this batch's commit; may be called for many chunks."""
        wh = self.warehouse
        wh.inbox.take(wh.held.table(table), inserts, deletes, file_id=file_id, lines=lines)

    def retract_file(self, table: str, file_id: int, *, by: int | None = None) -> None:
        """Take back the rows a file brought that are still its own.

        `by` is the file that takes its place, where that is not the newest of the same path.
        """
        definition = self.warehouse.held.table(table)
        self.warehouse.inbox.retract_file(definition, file_id)
        if by is not None:
            self._replace_rejects(table, *self.warehouse.engine.rows(query("path_of_file"), [file_id])[0])
        self.retracted.append((definition.name, file_id, by))

    def sought(self, table: str) -> list[int]:
        """The files, the newest first, that may have rows for the keys that replaced files no longer have.

        Look when all files of the batch are in; then give their rows to `bring_back`.
        """
        definition = self.warehouse.held.table(table)
        if not definition.key or table.lower() not in self.warehouse.inbox.tables:
            return []
        return superseded.seek(self.warehouse.engine, definition, Incoming(definition).waiting)

    def bring_back(self, table: str, rows: pa.Table, *, file_id: int, lines: pa.Array | None) -> None:
        """Let those of an older file's rows stand again whose keys were `sought` last."""
        wh = self.warehouse
        wh.inbox.bring_back(wh.held.table(table), rows, file_id=file_id, lines=lines)

    def record_file(self, record: FileRecord, *, moved_from: str = "") -> int:
        """Write a file into the ledger; its id marks the rows it brings.

        What was held back of its former versions is held no longer. A file that was `moved_from`
        another path is in the ledger: all its versions, and what is held back of them, get the new name.
        """
        if moved_from:
            return self._move(record, moved_from)
        file_id = self.warehouse.engine.execute(query("next_file_id"))
        values = [file_id, record.source, record.table, record.path, record.size, record.sha256, record.rows]
        values += [record.rejected, record.status, record.modified_ns, self.batch.seq, naive(utc_now())]
        self.warehouse.engine.execute(query("put_file"), values)
        self._replace_rejects(record.table, record.source, record.path)
        self.files[file_id] = record
        return file_id

    def _move(self, record: FileRecord, former: str) -> int:
        engine, source, to = self.warehouse.engine, record.source, record.path
        engine.execute(query("move_rejects"), [to, record.table, former, source, former])
        engine.execute(query("move_file"), [to, source, former])
        newest: int = engine.execute(query("newest_file"), [source, to])
        return newest

    def finish_file(self, file_id: int, rows: int, rejected: int, status: FileStatus) -> None:
        """What became of a file's rows."""
        self.warehouse.engine.execute(query("finish_file"), [rows, rejected, status, file_id])
        known = self.files.get(file_id)
        if known is None:  # a file of an earlier batch, some of whose rows were released
            return
        self.files[file_id] = evolve(known, rows=rows, rejected=rejected, status=status, file_id=file_id)

    def put_content(self, file_id: int, content: str) -> None:
        """What a cumulative file held, for the file that follows it."""
        self.warehouse.engine.execute(query("put_content"), [content, file_id])

    def quarantine(self, rejects: Sequence[Reject]) -> None:
        """Keep refused rows with reason, file and line."""
        if not rejects:
            return
        import pyarrow as pa

        now = naive(utc_now())
        columns = {
            "quarantine_id": [uuid7() for _ in rejects],
            "batch_id": [self.batch.batch_id] * len(rejects),
            "table_name": [r.table for r in rejects],
            "file": [r.file for r in rejects],
            "line": [r.line for r in rejects],
            "reason": [r.reason for r in rejects],
            "raw": [r.raw for r in rejects],
            "quarantined_at": [now] * len(rejects),
        }
        self.warehouse.engine.load(pa.table(columns), query("put_rejects"))
        self.quarantined += len(rejects)

    def release(self, quarantine_ids: Sequence[str]) -> None:
        """Mark quarantined rows as let in; their rows are applied like any others."""
        for quarantine_id in quarantine_ids:
            self.warehouse.engine.execute(query("release_reject"), [quarantine_id])

    def _replace_rejects(self, table: str, source: str, path: str) -> None:
        if self._may_hold is None:
            self._may_hold = bool(self.warehouse.engine.execute(query("count_held")))
        if self._may_hold:
            self.warehouse.engine.execute(query("replace_rejects"), [table, path, source, path])

    def position(self, position: Position) -> None:
        """How far a source has been read, once this batch is committed."""
        self.positions.append(position)

    def _taken(self, what: str) -> AbstractContextManager[None]:
        if self.over:
            raise UsageError("the batch is over", where=what, hint="begin another one.")
        return self.warehouse.turn.taken(what)

    @property
    def empty(self) -> bool:
        """True while nothing would change by committing."""
        nothing = not self.files and not self.quarantined and not self.positions and not self.retracted
        return nothing and not self.warehouse.inbox.tables


def naive(moment: datetime) -> datetime:
    """UTC without the zone: how the record stores time."""
    return moment.replace(tzinfo=None)


@contextlib.contextmanager
def first() -> Iterator[None]:
    """Changes that wait are applied before definitions change; where that fails, it is said."""
    try:
        yield
    except StrandlineError as error:
        error.hint = "changes that wait come first: correct or delete these rows, or drop the model."
        raise


def end(b: OpenBatch) -> Run:
    """Apply, maintain, record and commit, where there is anything; ends the warehouse's transaction."""
    if b.empty:
        b.warehouse.engine.execute("ROLLBACK")
        seconds = (utc_now() - b.batch.started_at).total_seconds()
        return Run(None, b.batch.kind, b.batch.started_at, seconds)
    few = small(b)
    with b.warehouse.engine.alone() if few else contextlib.nullcontext():
        run = apply_and_maintain(b, few)
    b.warehouse.engine.execute("COMMIT")
    return run


def small(b: OpenBatch) -> bool:
    """Whether few rows meet small tables, so that handing work to other threads costs more than it is."""
    wh = b.warehouse
    if wh.inbox.rows > FEW:
        return False
    read = {t for m in wh.held.models.values() for t in costs.outer_inputs(m)}
    read |= {t.stored for t in wh.inbox.tables.values()}
    return all(wh.held.costs.size(wh.engine, t) <= SMALL_TABLE for t in read)


def apply_and_maintain(b: OpenBatch, few: bool) -> Run:
    wh, started = b.warehouse, time.perf_counter()
    waiting = list(wh.inbox.tables.values())
    follow_replaced_files(b)
    taken = [wh.inbox.resolve(t, wh.held.removed_columns(t), maintain.BULK_ROWS, small=few) for t in waiting]
    tables = tuple(t.run for t in taken)
    wh.inbox.tables.clear()
    wh.inbox.rows = 0
    change = maintain.Change(shared=wh.held.shared())
    for table, took in zip(waiting, taken, strict=True):
        change.add(table.stored, took.run.inserted, took.run.deleted)
        if took.bulk:
            change.rebuilt.add(table.stored)
        wh.held.costs.follow(change, [table.stored])
    touched = change.tables or change.rebuilt
    models = [keeping.refresh(wh.engine, wh.held, m, change) for m in wh.held.ordered()] if touched else []
    done = tuple(m for m in models if m is not None)
    seconds = time.perf_counter() - started
    write_record(b, tables, done, change.fills, seconds)
    return Run(
        b.batch.batch_id,
        b.batch.kind,
        b.batch.started_at,
        seconds,
        done,
        tables,
        tuple(b.files.values()),
        b.quarantined,
    )


def follow_replaced_files(b: OpenBatch) -> None:
    """What a replaced file brought belongs to its new version before both are compared."""
    engine = b.warehouse.engine
    for table, old, by in b.retracted:
        source, path = engine.rows(query("path_of_file"), [old])[0]
        new = by or engine.execute(query("newest_file"), [source, path])
        if new != old:
            intake.rename_file(engine, b.warehouse.held.table(table), old, new)
            superseded.forget_file(engine, old)


def write_record(
    b: OpenBatch,
    tables: tuple[TableRun, ...],
    models: tuple[ModelRun, ...],
    fills: Sequence[costs.Fill],
    seconds: float,
) -> None:
    """The batch, its stages, what fills took and the checkpoint, in the same commit as the data."""
    now = naive(utc_now())
    rows_in = sum(t.inserted + t.deleted for t in tables)
    rows_out = sum(m.rows_out for m in models)
    values = [b.batch.seq, b.batch.batch_id, b.batch.kind, naive(b.batch.started_at), now]
    runs = [run for m in models for run in m.stages]
    latest = [p.last_timestamp for p in b.positions if p.last_timestamp is not None]
    positions = json.dumps({p.source: dict(p.value) for p in b.positions}, default=str)
    last = naive(max(latest)) if latest else now
    checkpoint = [uuid7(), b.batch.batch_id, last, now, b.batch.kind, positions]
    written = [
        *costs.noted(fills),
        (insertion("put_batch", 1), [*values, rows_in, rows_out, seconds]),
        *stage_runs(b.batch.batch_id, runs),
        (insertion("put_checkpoint", 1), checkpoint),
    ]
    *before, end = (text for text, _ in written)
    b.warehouse.engine.execute(beside(end, *before), [v for _, values in written for v in values])


def stage_runs(batch_id: str, runs: Sequence[StageRun]) -> list[tuple[str, list[object]]]:
    """The statement that writes all stages of a batch, with its values; none where there are none."""
    values: list[object] = []
    for run in runs:
        values += [batch_id, run.model, run.stage, run.operator, run.strategy, run.reason]
        values += [run.rows_in, run.rows_out, run.seconds, run.removing]
    return [(insertion("put_stage_run", len(runs)), values)] if runs else []


def write_checks(engine: Engine, seq: int, found: Sequence[Parity], sample: float | None) -> None:
    """What a comparison of models with their recompute gave, as of a batch."""
    now = naive(utc_now())
    for p in found:
        values = [uuid7(), seq, now, p.model, p.ok, sample]
        values += [p.rows, p.expected_rows, p.missing, p.extra, p.seconds]
        engine.execute(query("put_check"), values)


def write_bare(engine: Engine, batch: Batch) -> None:
    """A batch that is over, of no rows that came from outside."""
    values = [batch.seq, batch.batch_id, batch.kind, naive(batch.started_at), naive(utc_now()), 0, 0, 0.0]
    engine.execute(query("put_batch"), values)


def new_batch(seq: int, kind: BatchKind) -> Batch:
    return Batch(uuid7(), seq, kind, utc_now())


def bind_batch(engine: Engine, seq: int) -> None:
    """Make the batch's number visible to the prepared programs."""
    engine.execute(f"SET VARIABLE strandline_batch = {seq}")
