"""The files source: a folder of CSV, JSON Lines and Parquet files, each read once.

Names ending in .part, .tmp, .crdownload, .filepart or .inprogress and names beginning with a dot, an
underscore or ~ are left alone, and so are files changed less than `settle_seconds` ago. What is wrong
with a file or a row never stops the others: it arrives as a reject. Parsers are imported when needed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from strandline.errors import InputError
from strandline.schema import Column, FileRecord, Schema
from strandline.sources import landing
from strandline.sources.base import Chunk, PendingFile
from strandline.sources.ledger import Copies, Ledger, Looked, moves, pending
from strandline.sources.options import FilesOptions, options_from

if TYPE_CHECKING:
    from strandline.sources.formats import Prepared

__all__ = ["FilesOptions", "FilesSource", "options_from"]
_RECENT = 2 * landing.SECOND  # the coarsest clock of a file system: FAT


@dataclass(frozen=True)
class FilesSource:
    """A folder whose files are rows of one table; see `Source` for what the methods promise.

    With a schema without columns every file's columns are new ones, inferred from its values.
    """

    name: str
    table: str
    folder: Path
    schema: Schema
    options: FilesOptions = field(default_factory=FilesOptions)
    _last: dict[PendingFile, Prepared] = field(default_factory=dict, init=False, compare=False, repr=False)
    _hashes: dict[tuple[str, int, int], str] = field(
        default_factory=dict, init=False, compare=False, repr=False
    )

    def with_schema(self, schema: Schema) -> FilesSource:
        """The same source for a table that has these columns by now."""
        return dataclasses.replace(self, schema=schema)

    def discover(self, ledger: Sequence[FileRecord], now_ns: int) -> list[PendingFile]:
        """Complete files that are new or changed since the ledger, by time of change, then path.

        Give it the whole ledger, or the newest record of each path; leave a record out to have its
        file read again. A refused file stays refused until it changes. Raises InputError where the
        folder is missing or can not be listed.
        """
        known = Ledger.of(self.name, ledger)
        settle = round(self.options.settle_seconds * landing.SECOND)
        entries = self._entries()
        looked = [
            Looked(e, *self._hash(e, known.latest.get(e.path), now_ns))
            for e in entries
            if landing.settled_at(e, settle, now_ns) <= now_ns
        ]
        looked = [one for one in looked if one.digest or one.problem]
        names, copies = (self.name, self.table), self._copies()
        if self.options.cumulative:
            from strandline.sources import cumulative

            return cumulative.newest(pending(looked, known, names, copies), known)
        moved = (
            moves(looked, known, names, {e.path for e in entries}) if self.options.skip_same_content else []
        )
        return moved + pending(looked, known.after(moved), names, copies)

    def _copies(self) -> Copies:
        """Which files are passed over as copies.

        Rows of a keyed table replace each other, so a copy stands in its own place: it is read like any
        other file. Of a cumulative folder only the newest content can be repeated for nothing. Where
        no row replaces another, a content counts once.
        """
        if not self.options.skip_same_content:
            return "none"
        if not self.schema.key or self.schema.append_only:
            return "all"
        return "newest" if self.options.cumulative else "none"

    def next_look_ns(self, now_ns: int) -> int | None:
        """When the files left alone as just written could be complete; None where there are none."""
        settle = round(self.options.settle_seconds * landing.SECOND)
        times = [landing.settled_at(e, settle, now_ns) for e in self._entries()]
        return min((time for time in times if time > now_ns), default=None)

    def new_columns(self, file: PendingFile) -> tuple[Column, ...]:
        """The file's columns that the table lacks (none for a file that will be refused).

        Raises InputError where the file vanished or changed since it was listed.
        """
        if file.problem or file.duplicate_of or file.moved_from:
            return ()
        prepared = self._prepare(file)
        return prepared.plan.new if prepared.plan is not None else ()

    def read(self, file: PendingFile) -> Iterator[Chunk]:
        """The file's rows in chunks; none for a copy, a moved file or a header alone. See `Source.read`."""
        from strandline.sources import assemble

        if file.duplicate_of or file.moved_from:
            return
        prepared = None if file.problem else self._prepare(file)
        if prepared is None or prepared.problem:
            yield assemble.refused(file.table, file.path, prepared.problem if prepared else file.problem)
            return
        with _as_input_error(file):
            yield from prepared.chunks()
        _expect_unchanged(file)
        self._last.clear()

    def _entries(self) -> list[landing.Entry]:
        patterns = self.options.pattern
        patterns = (patterns,) if isinstance(patterns, str) else patterns
        try:
            return landing.entries(self.folder, tuple(p for p in patterns if p), self.options.follow_symlinks)
        except OSError as error:
            raise InputError(
                f"the folder {self.folder} can not be listed: {error.strerror}",
                where=f"source {self.name!r}",
                hint="Create the folder, or correct `path` in the source's settings.",
            ) from error

    def _hash(self, entry: landing.Entry, known: FileRecord | None, now_ns: int) -> tuple[str, str]:
        """The hash of a file's bytes, or why there is none; ("", "") where it is gone by now.

        A file whose size and time are the ledger's is not read again, unless its time is so recent
        that a clock of whole seconds could hide a change.
        """
        stamp = (entry.path, entry.size, entry.modified_ns)
        if entry.problem:
            return "", entry.problem
        if self.options.trust_mtime and now_ns - entry.modified_ns >= _RECENT:
            if known is not None and (known.path, known.size, known.modified_ns) == stamp and known.sha256:
                return known.sha256, ""
            if stamp in self._hashes:
                return self._hashes[stamp], ""
        try:
            digest = landing.sha256(entry.absolute)
        except FileNotFoundError:
            return "", ""
        except OSError as error:
            return "", f"it can not be read: {error.strerror or error}"
        self._hashes[stamp] = digest
        return digest, ""

    def _prepare(self, file: PendingFile) -> Prepared:
        from strandline.sources.formats import prepare

        _expect_unchanged(file)
        if file not in self._last:
            with _as_input_error(file):
                prepared = prepare(file, self.schema, self.options)
            _expect_unchanged(file)
            self._last.clear()
            self._last[file] = prepared
        return self._last[file]


def _expect_unchanged(file: PendingFile) -> None:
    with _as_input_error(file):
        status = file.absolute.stat()
    if (status.st_size, status.st_mtime_ns) != (file.size, file.modified_ns):
        raise InputError("it changed since it was listed", where=file.path, hint=_LATER)


@contextmanager
def _as_input_error(file: PendingFile) -> Iterator[None]:
    from strandline.sources.plan import FileRefusedError

    try:
        yield
    except FileNotFoundError as error:
        raise InputError("it vanished since it was listed", where=file.path, hint=_LATER) from error
    except OSError as error:
        raise InputError(f"it can not be read: {error}", where=file.path, hint=_LATER) from error
    except FileRefusedError as error:  # checked before, so the bytes are not what they were
        raise InputError(f"it could not be read to its end: {error}", where=file.path, hint=_LATER) from error


_LATER = "Nothing of it was kept; the next run looks at it again."
