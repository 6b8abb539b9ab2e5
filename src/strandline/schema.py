"""Frozen value types that every part of Strandline shares; no behaviour beyond small helpers."""

from __future__ import annotations

import datetime as dt
import os
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

BatchKind = Literal["incremental", "base", "replay", "rebuild"]
FileStatus = Literal["applied", "quarantined", "empty", "duplicate"]
StrategyName = Literal["stateless", "merge", "carry", "partition", "keyed", "full"]


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name as the user wrote it and its type in the engine's words."""

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class Schema:
    """The columns of a table and, if it has one, its key (row identity)."""

    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    append_only: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(c.name for c in self.columns)

    def type_of(self, name: str) -> str | None:
        """The type of a column, matched case-insensitively; None where there is none."""
        lowered = name.lower()
        return next((c.type for c in self.columns if c.name.lower() == lowered), None)


@dataclass(frozen=True, slots=True)
class Position:
    """How far one source has been read; `value` is JSON-able and belongs to the source."""

    source: str
    value: Mapping[str, Any]
    last_timestamp: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The committed positions of all sources, with the batch that made them."""

    checkpoint_id: str
    batch_id: str
    positions: tuple[Position, ...]
    process_type: BatchKind
    status: str
    last_processed_timestamp: dt.datetime | None
    last_update_time: dt.datetime


@dataclass(frozen=True, slots=True)
class Reject:
    """One row (or a whole file, line 0) that a check refused."""

    table: str
    file: str
    line: int
    reason: str
    raw: str = ""


@dataclass(frozen=True, slots=True)
class FileRecord:
    """One version of one input file in the ledger."""

    source: str
    table: str
    path: str
    size: int
    sha256: str
    rows: int = 0
    rejected: int = 0
    status: FileStatus = "applied"
    modified_ns: int = 0
    file_id: int = 0
    content: str = ""


@dataclass(frozen=True, slots=True)
class Batch:
    """The unit of change: one id, one kind, one commit."""

    batch_id: str
    seq: int
    kind: BatchKind
    started_at: dt.datetime


@dataclass(frozen=True, slots=True)
class StageRun:
    """What one stage did in one refresh."""

    model: str
    stage: str
    operator: str
    strategy: str
    reason: str
    rows_in: int
    rows_out: int
    seconds: float
    removing: bool | None = None
    """Rows were removed or changed, not only added; None where that makes no difference to the cost."""


@dataclass(frozen=True, slots=True)
class ModelRun:
    """What one model did in one refresh: rows in (changed input rows), rows out (changed output rows)."""

    model: str
    strategy: str
    reason: str
    rows_in: int
    rows_out: int
    seconds: float
    stages: tuple[StageRun, ...] = ()


@dataclass(frozen=True, slots=True)
class TableRun:
    """What one source table took in one refresh; an update counts as one inserted and one deleted row."""

    table: str
    inserted: int
    deleted: int
    unchanged: int = 0


@dataclass(frozen=True, slots=True)
class Run:
    """The record of one refresh (one commit). `batch_id` is None when there was nothing to do."""

    batch_id: str | None
    kind: BatchKind
    started_at: dt.datetime
    seconds: float
    models: tuple[ModelRun, ...] = ()
    tables: tuple[TableRun, ...] = ()
    files: tuple[FileRecord, ...] = ()
    quarantined: int = 0

    @property
    def rows(self) -> int:
        return sum(t.inserted + t.deleted for t in self.tables)

    @property
    def changed(self) -> bool:
        return self.batch_id is not None

    def model(self, name: str) -> ModelRun | None:
        """The run of one model, by name (case-insensitive); None where it had nothing to do."""
        return next((m for m in self.models if m.model.lower() == name.lower()), None)


@dataclass(frozen=True, slots=True)
class Parity:
    """A maintained table against its full recompute, compared as bags.

    `missing` rows are in the recompute only, `extra` rows in the table only;
    floating-point columns are equal within 1e-9 relative.
    """

    model: str
    ok: bool
    rows: int
    expected_rows: int
    missing: int
    extra: int
    largest_float_difference: float
    seconds: float
    sample: tuple[Mapping[str, Any], ...] = field(default=())

    def __bool__(self) -> bool:
        return self.ok


def uuid7() -> str:
    """A UUIDv7 (RFC 9562): sorts by the millisecond it was made."""
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return str(uuid.UUID(int=value))


def utc_now() -> dt.datetime:
    """The current time, aware, in UTC: the only clock Strandline stores."""
    return dt.datetime.now(dt.UTC)
