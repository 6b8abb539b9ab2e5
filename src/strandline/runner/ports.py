"""What a run needs of a warehouse: narrow protocols, so that a test can stand in for one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

from strandline.functions import ModelFunction
from strandline.schema import BatchKind, Column, FileRecord, FileStatus, Position, Reject, Run, Schema

if TYPE_CHECKING:
    import pyarrow as pa

Notice = Callable[[str], None]
"""Takes one sentence about something a user should know but that stops nothing."""


class BatchWriter(Protocol):
    """One batch while it is being filled; committed when its `with` block ends."""

    run: Run | None

    def apply(
        self,
        table: str,
        *,
        inserts: pa.Table | None = None,
        file_id: int | None = None,
        lines: pa.Int64Array | None = None,
    ) -> None: ...

    def retract_file(self, table: str, file_id: int, *, by: int | None = None) -> None: ...

    def sought(self, table: str) -> list[int]: ...

    def bring_back(
        self, table: str, rows: pa.Table, *, file_id: int, lines: pa.Int64Array | None
    ) -> None: ...

    def record_file(self, record: FileRecord, *, moved_from: str = "") -> int: ...

    def finish_file(self, file_id: int, rows: int, rejected: int, status: FileStatus) -> None: ...

    def put_content(self, file_id: int, content: str) -> None: ...

    def quarantine(self, rejects: Sequence[Reject]) -> None: ...

    def release(self, quarantine_ids: Sequence[str]) -> None: ...

    def position(self, position: Position) -> None: ...


class Ledger(Protocol):
    """The record of what was done."""

    def files(self, table: str | None = None) -> list[FileRecord]: ...

    def sql(self, text: str, /, *, arrow: bool = False) -> Any: ...


class Tables(Protocol):
    """The source tables."""

    def tables(self) -> dict[str, Schema]: ...


class Records(Protocol):
    """What planning reads."""

    def tables(self) -> dict[str, Schema]: ...

    def models(self) -> dict[str, str]: ...

    def sql(self, text: str, /, *, arrow: bool = False) -> Any: ...

    def files(self, table: str | None = None) -> list[FileRecord]: ...

    def explain(self, model: str) -> Any: ...


class Definitions(Protocol):
    """Creating and dropping what a project says should be there."""

    def tables(self) -> dict[str, Schema]: ...

    def models(self) -> dict[str, str]: ...

    def create_table(
        self,
        name: str,
        columns: Sequence[Column],
        key: Sequence[str] | None = None,
        *,
        append_only: bool = False,
    ) -> None: ...

    def add_columns(self, table: str, columns: Sequence[Column], /) -> None: ...

    def rename_column(
        self, table: str, column: str, to: str, /, *, queries: Mapping[str, str] = ...
    ) -> None: ...

    def models_using(self, table: str, columns: Sequence[str], /) -> list[str]: ...

    def create_model(
        self,
        name: str,
        sql: str | ModelFunction,
        *,
        strict: bool = False,
        metadata: bool = False,
        views: bool = False,
        queries: Mapping[str, str] = ...,
    ) -> bool: ...

    def drop_model(self, name: str) -> None: ...

    def sql(self, text: str, /, *, arrow: bool = False) -> Any: ...


class Batches(Protocol):
    """Taking files in."""

    def tables(self) -> dict[str, Schema]: ...

    def files(self, table: str | None = None) -> list[FileRecord]: ...

    def last_base_seq(self) -> int: ...

    def sql(self, text: str, /, *, arrow: bool = False) -> Any: ...

    def add_columns(self, table: str, columns: Sequence[Column], /, *, found: bool = ...) -> None: ...

    def batch(self, kind: BatchKind = "incremental") -> AbstractContextManager[BatchWriter]: ...


Progress = Callable[[int, int, str], None]
"""Takes how many files of a batch are in, how many there are, and the one that is read now ("" for none)."""


def quiet(_: str) -> None:
    """The notice that nobody listens to."""


def unseen(_: int, __: int, ___: str) -> None:
    """The progress that nobody looks at."""


class Queryable(Protocol):
    """Read-only SQL."""

    def sql(self, text: str, /, *, arrow: bool = False) -> Any: ...


def records(wh: Queryable, query: str) -> list[Mapping[str, Any]]:
    """A query's rows as dictionaries."""
    found: list[Mapping[str, Any]] = wh.sql(query, arrow=True).to_pylist()
    return found


def ledger(wh: Ledger) -> list[FileRecord]:
    """Of every path the newest version, and the newest that was not refused where that is an older one."""
    newest = wh.files()
    if all(r.status in COUNTING for r in newest):
        return newest
    return [FileRecord(**row) for row in records(wh, _LEDGER)]


COUNTING = ("applied", "empty")
_LEDGER = """
SELECT source, table_name AS table, path, size, sha256, rows, rejected, status, modified_ns, file_id,
    coalesce(content, '') AS content
FROM strandline.files
QUALIFY row_number() OVER (PARTITION BY source, path ORDER BY file_id DESC) = 1
     OR status <> 'quarantined'
        AND row_number() OVER (
            PARTITION BY source, path, status = 'quarantined' ORDER BY file_id DESC) = 1
ORDER BY file_id
"""


def literal(value: str) -> str:
    """A text as SQL."""
    return "'" + value.replace("'", "''") + "'"
