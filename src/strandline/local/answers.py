"""What can be asked of a warehouse that is open for reading, by name and arguments.

The server answers with these over the socket; the client uses the same ones when it can open
the file itself, so that both give the same values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from strandline.errors import UsageError, nearest
from strandline.local.holder import holder_of
from strandline.local.status import read_status, rows
from strandline.schema import FileRecord, Parity, Schema


class Reading(Protocol):
    """A warehouse as its readers see it."""

    def sql(self, query: str, *, arrow: bool = False) -> Any: ...

    def read(
        self, name: str, *, lazy: bool = False, arrow: bool = False, limit: int | None = None
    ) -> Any: ...

    def explain(self, model: str) -> Any: ...

    def verify(self, model: str, sample: float | None = None) -> Parity: ...

    def verify_all(self) -> list[Parity]: ...

    def tables(self) -> dict[str, Schema]: ...

    def models(self) -> dict[str, str]: ...

    def files(self, table: str | None = None) -> list[FileRecord]: ...

    def close(self) -> None: ...


Handler = Callable[[Reading, Mapping[str, Any]], Any]


def quarantine(
    wh: Reading, *, table: str | None = None, status: str | None = "held", limit: int | None = None
) -> list[dict[str, Any]]:
    """Quarantined rows as dictionaries of the record's columns, the newest first; status None means all."""
    chosen = [f"table_name = {_text(table)}"] if table is not None else []
    chosen += [f"status = {_text(status)}"] if status is not None else []
    return rows(
        wh,
        "SELECT quarantine_id::VARCHAR AS quarantine_id, batch_id::VARCHAR AS batch_id, table_name, file,"
        " line, reason, raw, status, quarantined_at FROM strandline.quarantine"
        f" WHERE {' AND '.join(chosen) or 'true'}"
        f" ORDER BY quarantined_at DESC, file, line {_limit(limit)}",
    )


def runs(wh: Reading, *, limit: int | None = 20) -> list[dict[str, Any]]:
    """The batches as dictionaries of the record's columns, the newest first."""
    return rows(
        wh,
        "SELECT * REPLACE (batch_id::VARCHAR AS batch_id) FROM strandline.batches"
        f" ORDER BY batch_seq DESC {_limit(limit)}",
    )


def answer(wh: Reading, warehouse: str, op: str, args: Mapping[str, Any]) -> Any:
    """One answer: a pyarrow Table, or values that `wire.encode` takes.

    Raises UsageError for an operation or argument there is none of.
    """
    if op == "status":
        holder = holder_of(warehouse)
        return read_status(wh, warehouse, holder if holder is not None and holder.alive else None)
    if op not in HANDLERS:
        raise UsageError(f"there is nothing called {op!r} to ask for; {nearest(op, HANDLERS)}")
    try:
        return HANDLERS[op](wh, args)
    except KeyError as missing:
        raise UsageError(f"{op!r} needs the argument {missing}") from missing


HANDLERS: Mapping[str, Handler] = {
    "sql": lambda wh, a: wh.sql(a["query"], arrow=True),
    "read": lambda wh, a: wh.read(a["name"], arrow=True, limit=a.get("limit")),
    "explain": lambda wh, a: wh.explain(a["model"]),
    "verify": lambda wh, a: wh.verify(a["model"], a.get("sample")),
    "verify_all": lambda wh, _: wh.verify_all(),
    "tables": lambda wh, _: wh.tables(),
    "models": lambda wh, _: wh.models(),
    "files": lambda wh, a: wh.files(a.get("table")),
    "quarantine": lambda wh, a: quarantine(
        wh, table=a.get("table"), status=a.get("status", "held"), limit=a.get("limit")
    ),
    "runs": lambda wh, a: runs(wh, limit=a.get("limit", 20)),
}


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _limit(limit: int | None) -> str:
    return f"LIMIT {int(limit)}" if limit is not None else ""
