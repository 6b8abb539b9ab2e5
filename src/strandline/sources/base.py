"""What a source of files promises, and the two values that travel from it to the runner."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from strandline.schema import Column, FileRecord, Reject, Schema

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class PendingFile:
    """One complete file that the ledger does not hold in this content.

    `path` is relative to the source's folder, with forward slashes: the name the ledger uses.
    `replaces` is the ledger's record of the same path with other content. `duplicate_of` names
    another path of this source that holds the same bytes and counts already, `moved_from` the path
    that this very file had before; such files read as nothing. `copy_if_refused` is a path whose last
    good version held the same bytes: it is to be replaced, and where it is refused instead, this file
    is its copy. `problem` says why the file can not be opened at all ("" where it can). `follows` are the
    ledger's records of its folder, oldest first, where each file holds what the former ones held.
    """

    source: str
    table: str
    path: str
    absolute: Path
    size: int
    modified_ns: int
    sha256: str
    replaces: FileRecord | None = None
    duplicate_of: str = ""
    problem: str = ""
    moved_from: str = ""
    copy_if_refused: str = ""
    follows: tuple[FileRecord, ...] = ()


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some rows of a file: typed rows, the line each one starts on, and what was refused.

    `rows` has the table's columns in their order, then `new_columns`; `lines` is as long as `rows`
    (CSV and JSON Lines: physical lines from 1; Parquet: row numbers from 1). With `file_rejected`
    the whole file was refused: this is its only chunk, with no rows and one reject at line 0.
    The first chunk of a cumulative file has no rows: `content` is for the ledger, `retract` the ids of
    the files whose rows go. None leaves it to the rule that a file replaces its former version.
    `relieved` is what the ledger keeps of former files from now on, by their ids.
    """

    rows: pa.Table
    lines: pa.Int64Array
    rejects: list[Reject]
    new_columns: tuple[Column, ...] = ()
    file_rejected: bool = False
    content: str = ""
    retract: tuple[int, ...] | None = None
    relieved: tuple[tuple[int, str], ...] = ()


class Source(Protocol):
    """A folder-like source: it lists complete, unread files and reads one of them in chunks."""

    @property
    def name(self) -> str: ...

    @property
    def table(self) -> str: ...

    def with_schema(self, schema: Schema) -> Source:
        """The same source for a table that has these columns by now."""
        ...

    def discover(self, ledger: Sequence[FileRecord], now_ns: int) -> list[PendingFile]:
        """Complete files that are new or changed since the ledger, by time of change, then path."""
        ...

    def next_look_ns(self, now_ns: int) -> int | None:
        """When the files left alone as still being written could be complete; None without any."""
        ...

    def new_columns(self, file: PendingFile) -> tuple[Column, ...]:
        """The file's columns that the table lacks, to be added before its rows are applied.

        Raises InputError where the file vanished or changed since it was listed.
        """
        ...

    def read(self, file: PendingFile) -> Iterator[Chunk]:
        """The file's rows in chunks of about 100,000, in the file's order.

        What is wrong with the content arrives as rejects, and a file that has to be refused as a
        whole is refused before any of its rows is handed over. Raises InputError where the file
        vanished, changed or could not be read to its end: then the batch must be rolled back.
        """
        ...
