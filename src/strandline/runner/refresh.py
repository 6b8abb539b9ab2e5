"""One run: the pending files of all sources, applied in one batch and committed with the record of it."""

from __future__ import annotations

import datetime as dt
import itertools
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from strandline.errors import EngineError, InputError, SchemaError, StrandlineError
from strandline.runner.ports import (
    COUNTING,
    Batches,
    BatchWriter,
    Notice,
    Progress,
    Tables,
    ledger,
    quiet,
    unseen,
)
from strandline.schema import (
    BatchKind,
    Column,
    FileRecord,
    FileStatus,
    Position,
    Reject,
    Run,
    Schema,
    utc_now,
)
from strandline.sources.base import Chunk, PendingFile, Source

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True, slots=True)
class Work:
    """One file to take in and by which source. `refused` is why not as a whole; "" where it is taken."""

    source: Source
    file: PendingFile
    refused: str = ""

    @property
    def earlier(self) -> int | None:
        """The version of the file whose rows this one takes the place of."""
        before = self.file.replaces
        return before.file_id if before is not None and before.status in COUNTING else None


class FileFaultError(Exception):
    """A file turned out bad inside a batch, which must be rolled back and begun again without it.

    `refuse` says that the file is to be quarantined; otherwise it is left for the next run.
    """

    def __init__(self, file: PendingFile, reason: str, *, refuse: bool) -> None:
        super().__init__(reason)
        self.file = file
        self.reason = reason
        self.refuse = refuse


class CopiesError(Exception):
    """A refused file makes copies of others, or not copies any more: begin again with this work."""

    def __init__(self, work: list[Work]) -> None:
        super().__init__("copies")
        self.work = work


def refresh(
    wh: Batches,
    sources: Iterable[Source],
    *,
    kind: BatchKind | None = None,
    most_files: int | None = None,
    notice: Notice = quiet,
    lenient: bool = False,
    progress: Progress = unseen,
) -> Run:
    """Take in the complete files that are new or changed; one commit, or none when there is nothing.

    `kind` is by itself `base` for a warehouse's first batch and `incremental` afterwards; naming one
    makes a batch even of no files. `most_files` leaves the rest for the next call. A file that
    cannot be read now is left out, said to `notice`, and tried again next time; with `lenient` so is
    a whole source, whose InputError is raised otherwise.
    """
    started, clock = utc_now(), time.monotonic()
    current = with_tables(wh, sources)
    known = ledger(wh)
    found = pending(current, known, notice if lenient else None)
    work = add_new_columns(wh, found[:most_files], notice)
    chosen: BatchKind = kind or ("incremental" if wh.last_base_seq() else "base")
    while work or kind is not None:
        try:
            with wh.batch(kind=chosen) as batch:
                for number, item in enumerate(work):
                    progress(number, len(work), item.file.path)
                    if take_in(batch, item) == "quarantined":
                        judge_copies(item, work)
                progress(len(work), len(work), "")
                renamed = moved(known, work)
                return_rows(batch, work, renamed, current, notice)
                for position in positions(renamed, current, work):
                    batch.position(position)
            return committed(batch)
        except FileFaultError as fault:
            work = without(work, fault, notice)
        except CopiesError as found_copies:
            work = found_copies.work
    return Run(None, chosen, started, time.monotonic() - clock)


def committed(batch: BatchWriter) -> Run:
    """The run of a batch whose `with` block has ended."""
    assert batch.run is not None
    return batch.run


def with_tables(wh: Tables, sources: Iterable[Source]) -> list[Source]:
    """The sources knowing the columns that their tables have by now."""
    schemas = {name.lower(): schema for name, schema in wh.tables().items()}
    return [s.with_schema(schemas[s.table.lower()]) if s.table.lower() in schemas else s for s in sources]


def pending(
    sources: Iterable[Source], known: Sequence[FileRecord], notice: Notice | None = None
) -> list[Work]:
    """What there is to take in: source by source as configured, each one's files in its order.

    Raises InputError for a source that cannot be looked at, or says so to `notice` and passes it over.
    """
    now = time.time_ns()
    found = []
    for source in sources:
        own = [r for r in known if r.source == source.name]
        try:
            found += [Work(source, f) for f in source.discover(own, now)]
        except InputError as error:
            if notice is None:
                raise
            notice(str(error))
    return found


def add_new_columns(wh: Batches, work: Sequence[Work], notice: Notice) -> list[Work]:
    """Add the columns that the files bring, each file judged by what those before it brought."""
    schemas: dict[str, Schema] = {}
    kept = []
    for item in work:
        source, table = item.source, item.file.table
        if table in schemas:
            source = source.with_schema(schemas[table])
        try:
            columns = source.new_columns(item.file)
        except (InputError, OSError) as problem:
            notice(_left_out(item.file, str(problem)))
            continue
        if columns and not _widened(wh, item.file, columns, notice):
            continue
        if columns:
            schemas[table] = {n.lower(): t for n, t in wh.tables().items()}[table.lower()]
        kept.append(item)
    return [
        replace(i, source=i.source.with_schema(schemas[i.file.table])) if i.file.table in schemas else i
        for i in kept
    ]


def _widened(wh: Batches, file: PendingFile, columns: Sequence[Column], notice: Notice) -> bool:
    """Add a file's new columns; False, and said, where a model does not stand them: the others go on."""
    try:
        wh.add_columns(file.table, columns, found=True)
    except EngineError:
        raise
    except StrandlineError as problem:
        notice(_left_out(file, f"its new columns {_listed(columns)} cannot be added: {problem}"))
        return False
    notice(f"table {file.table}: {file.path} brought the new columns {_listed(columns)}")
    return True


def take_in(batch: BatchWriter, item: Work) -> FileStatus:
    """Apply one file inside a batch: retract its earlier versions, apply its rows, keep its rejects.

    A file that is refused as a whole changes no table: what its last good version said stays.
    Raises FileFaultError where the batch has to begin again without the file.
    """
    file = item.file
    file_id = batch.record_file(record_of(file), moved_from=file.moved_from)
    if file.moved_from:
        return "applied"
    chunks = _chunks(item)
    first = next(chunks, None)
    if first is not None and first.file_rejected:
        batch.quarantine(first.rejects)
        batch.finish_file(file_id, 0, len(first.rejects), "quarantined")
        return "quarantined"
    if first is not None and first.retract is not None:
        for earlier in first.retract:
            batch.retract_file(file.table, earlier, by=file_id)
    elif item.earlier is not None:
        batch.retract_file(file.table, item.earlier)
    if first is not None and first.content:
        for former, content in (*first.relieved, (file_id, first.content)):
            batch.put_content(former, content)
    rows = rejected = 0
    for chunk in itertools.chain([first] if first else [], chunks):
        apply_chunk(batch, file, file_id, chunk)
        rows, rejected = rows + chunk.rows.num_rows, rejected + len(chunk.rejects)
    status: FileStatus = "duplicate" if file.duplicate_of else "applied" if rows or rejected else "empty"
    batch.finish_file(file_id, rows, rejected, status)
    return status


def judge_copies(refused: Work, work: Sequence[Work]) -> None:
    """What became of copies when a file is refused. Raises CopiesError where that is not what was thought.

    What the file's last good version said stays, so files that say the same are its copies now. Files
    with the refused bytes themselves are copies of nothing: each is refused like it.
    """
    path, digest = refused.file.path, refused.file.sha256
    if digest:
        judged = [_judged(i, path, digest) if i.source.name == refused.source.name else i for i in work]
        if judged != list(work):
            raise CopiesError(judged)


def _judged(item: Work, path: str, digest: str) -> Work:
    file = item.file
    if file.copy_if_refused == path and not file.duplicate_of:
        return replace(item, file=replace(file, duplicate_of=path))
    if file.duplicate_of == path and file.sha256 == digest:
        return replace(item, file=replace(file, duplicate_of=""))
    return item


def moved(known: Sequence[FileRecord], work: Sequence[Work]) -> list[FileRecord]:
    """The ledger with the new names of files that were moved."""
    names = {(i.file.source, i.file.moved_from): i.file.path for i in work if i.file.moved_from}
    return [replace(r, path=names.get((r.source, r.path), r.path)) for r in known]


def apply_chunk(batch: BatchWriter, file: PendingFile, file_id: int, chunk: Chunk) -> None:
    """Apply a chunk's rows and keep its rejects. Raises FileFaultError where the table refuses the rows."""
    try:
        if chunk.rows.num_rows:
            batch.apply(file.table, inserts=chunk.rows, file_id=file_id, lines=chunk.lines)
    except (InputError, SchemaError) as error:
        raise FileFaultError(file, error.message, refuse=True) from error
    if chunk.rejects:
        batch.quarantine(chunk.rejects)


def return_rows(
    batch: BatchWriter,
    work: Sequence[Work],
    known: Sequence[FileRecord],
    sources: Sequence[Source],
    notice: Notice,
) -> None:
    """Read older files again for the keys that replaced ones no longer have: their rows stand again.

    Raises FileFaultError for a replaced file where an older one cannot be read now.
    """
    counting = {r.file_id: r for r in known if r.status in COUNTING}
    replaced = {i.file.table: i for i in work if i.earlier is not None and not i.file.follows}
    for table, item in replaced.items():
        tried: set[int] = set()
        while left := [f for f in batch.sought(table) if f in counting and f not in tried]:
            tried.add(left[0])
            record = counting[left[0]]
            file = _as_recorded(record, known, sources, notice)
            if file is not None:
                _bring_back(batch, item, file, record.file_id)


def _as_recorded(
    record: FileRecord, known: Sequence[FileRecord], sources: Sequence[Source], notice: Notice
) -> Work | None:
    """A file as the ledger has it; None where it is gone, or has changed and will come by itself."""
    others = [r for r in known if (r.source, r.path) != (record.source, record.path)]
    own = [s for s in sources if s.name == record.source]
    found = [w for w in pending(own, others, notice) if w.file.path == record.path]
    same = found and found[0].file.sha256 == record.sha256
    refused = any(_same_refused(r, record, found) for r in known)
    if not found or refused:
        state = "gone" if not found else "not as it was taken in"
        notice(f"{record.path} is {state}: rows of table {record.table} that it had too cannot come back")
    return replace(found[0], file=replace(found[0].file, duplicate_of="", moved_from="")) if same else None


def _same_refused(entry: FileRecord, record: FileRecord, found: Sequence[Work]) -> bool:
    """Whether the ledger says that what is in a file's place now was refused."""
    here = (entry.source, entry.path) == (record.source, record.path)
    return here and entry.status == "quarantined" and any(w.file.sha256 == entry.sha256 for w in found)


def _bring_back(batch: BatchWriter, replaced: Work, older: Work, file_id: int) -> None:
    try:
        for chunk in older.source.read(older.file):
            batch.bring_back(older.file.table, chunk.rows, file_id=file_id, lines=chunk.lines)
    except (InputError, SchemaError, OSError) as error:
        reason = f"rows come back from {older.file.path}, which cannot be read: {error}"
        raise FileFaultError(replaced.file, reason, refuse=False) from error


def without(work: Sequence[Work], fault: FileFaultError, notice: Notice) -> list[Work]:
    """The same work with the faulty file refused, or left for the next run."""
    if not fault.refuse:
        notice(_left_out(fault.file, fault.reason))
        return [item for item in work if item.file != fault.file]
    return [replace(i, refused=fault.reason) if i.file == fault.file else i for i in work]


def positions(known: Sequence[FileRecord], sources: Iterable[Source], work: Sequence[Work]) -> list[Position]:
    """How far every source has been read once the batch is committed: its files and the newest one's time."""
    found = []
    for source in sources:
        times = {r.path: r.modified_ns for r in known if r.source == source.name}
        times |= {i.file.path: i.file.modified_ns for i in work if i.source.name == source.name}
        if times:
            newest = max(times, key=lambda path: (times[path], path))
            value = {"files": len(times), "newest": newest, "modified_ns": times[newest]}
            at = _EPOCH + dt.timedelta(microseconds=times[newest] // 1000)
            found.append(Position(source.name, value, at))
    return found


def record_of(file: PendingFile) -> FileRecord:
    """The ledger's entry for a file that is about to be taken in."""
    return FileRecord(
        file.source, file.table, file.path, file.size, file.sha256, modified_ns=file.modified_ns
    )


def _chunks(item: Work) -> Iterator[Chunk]:
    """The source's chunks, with everything that can go wrong while reading said as a FileFaultError."""
    if item.refused:
        yield refusal(item.file, item.refused)
        return
    try:
        yield from item.source.read(item.file)
    except (InputError, OSError) as error:
        raise FileFaultError(item.file, str(error), refuse=False) from error
    except Exception as error:  # one file must not keep the others out
        raise FileFaultError(item.file, f"{type(error).__name__}: {error}", refuse=True) from error


def refusal(file: PendingFile, reason: str) -> Chunk:
    """The only chunk of a file that is refused as a whole."""
    import pyarrow as pa

    reject = Reject(file.table, file.path, 0, reason)
    return Chunk(pa.table({}), pa.array([], pa.int64()), [reject], file_rejected=True)


def _left_out(file: PendingFile, reason: str) -> str:
    return f"{file.path} was left out and will be tried again: {reason}"


def _listed(columns: Iterable[object]) -> str:
    return ", ".join(f"{getattr(c, 'name', c)} {getattr(c, 'type', '')}".strip() for c in columns)
