"""What a warehouse holds and how fresh it is, read from its record."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from strandline.local.holder import Holder
from strandline.schema import utc_now


class Queryable(Protocol):
    """What reading the status needs of a warehouse."""

    def tables(self) -> Mapping[str, Any]: ...

    def models(self) -> Mapping[str, Any]: ...

    def sql(self, query: str, *, arrow: bool = False) -> Any: ...


@dataclass(frozen=True, slots=True)
class TableStatus:
    """A source table and its rows."""

    name: str
    rows: int


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """A model, its rows, and how each of its stages was brought up to date last, without repetition."""

    name: str
    rows: int
    strategies: tuple[str, ...] = ()

    @property
    def strategy(self) -> str | None:
        """The last strategies in one word, such as `carry+merge`; None before the first refresh."""
        return "+".join(self.strategies) or None


@dataclass(frozen=True, slots=True)
class LastCheckpoint:
    """The newest checkpoint. Times are aware, in UTC."""

    checkpoint_id: str
    batch_id: str
    kind: str
    status: str
    last_processed_timestamp: dt.datetime | None
    last_update_time: dt.datetime


@dataclass(frozen=True, slots=True)
class Status:
    """`lag_seconds` is the time since the last update; None before the first one.

    `files` counts the ledger's newest versions by status; `quarantined` counts rows still held back.
    """

    warehouse: str
    tables: tuple[TableStatus, ...]
    models: tuple[ModelStatus, ...]
    checkpoint: LastCheckpoint | None
    lag_seconds: float | None
    files: Mapping[str, int]
    quarantined: int
    holder: Holder | None
    at: dt.datetime

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON: times as ISO 8601 texts."""
        found = asdict(self)
        for model, shown in zip(self.models, found["models"], strict=True):
            shown["strategy"] = model.strategy
        plain = _plain(found)
        assert isinstance(plain, dict)
        return plain


def read_status(wh: Queryable, warehouse: str, holder: Holder | None = None) -> Status:
    """The status of an open warehouse; a handful of small queries."""
    now = utc_now()
    checkpoint = _checkpoint(wh)
    strategies = _strategies(wh)
    return Status(
        warehouse=warehouse,
        tables=tuple(TableStatus(n, _count(wh, n)) for n in wh.tables()),
        models=tuple(ModelStatus(n, _count(wh, n), strategies.get(n, ())) for n in wh.models()),
        checkpoint=checkpoint,
        lag_seconds=(now - checkpoint.last_update_time).total_seconds() if checkpoint else None,
        files={r["status"]: r["n"] for r in rows(wh, _FILES)},
        quarantined=rows(wh, "SELECT count(*) AS n FROM strandline.quarantine WHERE status = 'held'")[0]["n"],
        holder=holder,
        at=now,
    )


def rows(wh: Queryable, query: str) -> list[dict[str, Any]]:
    """A query's rows as dictionaries."""
    found: list[dict[str, Any]] = wh.sql(query, arrow=True).to_pylist()
    return found


_FILES = """
SELECT status, count(*) AS n
FROM (SELECT status, row_number() OVER (PARTITION BY source, path ORDER BY file_id DESC) AS newest
      FROM strandline.files)
WHERE newest = 1
GROUP BY status ORDER BY status
"""

_LAST_STAGES = """
SELECT s.model, s.stage, s.strategy
FROM strandline.stage_runs s JOIN strandline.batches b USING (batch_id)
QUALIFY rank() OVER (PARTITION BY s.model ORDER BY b.batch_seq DESC) = 1
ORDER BY s.model, s.stage
"""

_CHECKPOINT = """
SELECT c.checkpoint_id::VARCHAR AS checkpoint_id, c.batch_id::VARCHAR AS batch_id, c.process_type AS kind,
       c.status, c.last_processed_timestamp, c.last_update_time
FROM strandline.checkpoints c JOIN strandline.batches b USING (batch_id)
ORDER BY b.batch_seq DESC LIMIT 1
"""


def _checkpoint(wh: Queryable) -> LastCheckpoint | None:
    found = rows(wh, _CHECKPOINT)
    if not found:
        return None
    row = found[0]
    times = {n: _utc(row[n]) for n in ("last_processed_timestamp", "last_update_time")}
    return LastCheckpoint(**{**row, **times})


def _strategies(wh: Queryable) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for row in rows(wh, _LAST_STAGES):
        seen = found.setdefault(row["model"], [])
        if row["strategy"] not in seen:
            seen.append(row["strategy"])
    return {name: tuple(seen) for name, seen in found.items()}


def _count(wh: Queryable, name: str) -> int:
    quoted = name.replace('"', '""')
    return int(rows(wh, f'SELECT count(*) AS n FROM "{quoted}"')[0]["n"])


def _utc(value: dt.datetime | None) -> dt.datetime | None:
    """The record's times carry no zone and are UTC."""
    return value.replace(tzinfo=dt.UTC) if value is not None and value.tzinfo is None else value


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value.isoformat() if isinstance(value, dt.datetime) else value
