"""Files that hold everything so far: only what follows the bytes already read is parsed.

Of every folder of a cumulative source the newest file is the truth. Reading one, its decompressed bytes
run through a hash; where they begin with exactly the bytes that the file before it held, only the rest
is handed on. Where already the compressed bytes begin like that file's, only the end is decompressed.
Where the bytes do not, the whole file takes the place of all files before it in its folder.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from strandline.schema import FileRecord
from strandline.sources import resume
from strandline.sources.archives import Compression
from strandline.sources.base import Chunk, PendingFile
from strandline.sources.ledger import Ledger
from strandline.sources.plan import FileRefusedError
from strandline.sources.resume import Opened, Resume


@dataclass(frozen=True, slots=True)
class Content:
    """What a file held once decompressed: kept in the ledger.

    `clean` where it ends behind a line end outside of quotes, so that what follows is a new record.
    `digest` is that of `chain.Running`. `files` are the ledger's ids of all files whose rows are this
    content's, but its own. `resume` is where the archive that follows can be read on.
    """

    bytes: int
    lines: int
    digest: str
    clean: bool
    files: tuple[int, ...] = ()
    resume: Resume | None = None

    def to_json(self) -> str:
        at = {"resume": self.resume.to_json()} if self.resume is not None else {}
        fields = ("bytes", "lines", "digest", "clean", "files")
        return json.dumps({name: getattr(self, name) for name in fields} | at)


def content_of(record: FileRecord) -> Content | None:
    """What the ledger says a file held; None where it was not read as a cumulative one."""
    if not record.content:
        return None
    raw = json.loads(record.content)
    place = resume.from_json(raw.get("resume"))
    digest = raw.get("digest", "")  # files of older versions have another hash, which fits nothing
    return Content(raw["bytes"], raw["lines"], digest, raw["clean"], tuple(raw["files"]), place)


@dataclass(frozen=True, slots=True)
class Seen:
    """A file that was decompressed to its end. `tail` holds what follows the bytes already read.

    `tail` is None where the whole file counts; then the rows of the files `retract` go.
    `nothing` where an older state of the folder came again, which says nothing new. `relieved` are the
    contents of former files without the place to read on, which only the newest one needs.
    """

    content: Content
    tail: IO[bytes] | None
    line: int
    retract: tuple[int, ...]
    nothing: bool = False
    relieved: tuple[tuple[int, str], ...] = ()

    @property
    def tail_path(self) -> Path:
        assert self.tail is not None
        return Path(self.tail.name)

    def mark(self) -> Chunk:
        """The first chunk, without rows: it says what becomes of the rows of former files."""
        import pyarrow as pa

        gone = () if self.tail is not None or self.nothing else self.retract
        # pa.array() would do too, but imports pandas wherever it is installed.
        none = pa.Array.from_buffers(pa.int64(), 0, [None, pa.py_buffer(b"")])
        return Chunk(
            pa.table({}), none, [], content=self.content.to_json(), retract=gone, relieved=self.relieved
        )


Found = tuple[Content, IO[bytes] | None]
"""What a file holds, and its bytes behind the known ones; no such where it does not begin with those."""


def newest(found: Iterable[PendingFile], known: Ledger) -> list[PendingFile]:
    """Of each folder the newest file, with what the ledger knows of its predecessors in `follows`.

    Older files that were never read are passed over: the newest one holds what they hold. A file that
    cannot be opened is kept, and stands for nothing.
    """
    records: dict[str, list[FileRecord]] = {}
    for record in known.counting.values():
        records.setdefault(_folder(record.path), []).append(record)
    last: dict[str, PendingFile] = {}
    broken = []
    for file in found:
        if file.problem:
            broken.append(file)
        elif file.path in known.latest or _later(file, records.get(_folder(file.path), [])):
            held = last.get(_folder(file.path))
            last[_folder(file.path)] = file if held is None else max(held, file, key=_order)
    return broken + [
        replace(file, follows=tuple(sorted(records.get(folder, []), key=lambda r: r.file_id)))
        for folder, file in last.items()
    ]


def _later(file: PendingFile, records: Sequence[FileRecord]) -> bool:
    return all(_order(file) > _order(r) for r in records)


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


def _order(file: PendingFile | FileRecord) -> tuple[int, list[tuple[int, str]]]:
    """By time of change; names of the same moment by the numbers in them: day_9 before day_10."""
    parts = re.split(r"(\d+)", file.path)
    return file.modified_ns, [(int(p), "") if p.isdigit() else (-1, p) for p in parts]


def scan(file: PendingFile, compression: Compression, *, tails: bool) -> Seen:
    """Decompress a file to its end, keeping what follows the bytes already read (where `tails` are wanted).

    Raises FileRefusedError for a damaged archive.
    """
    before = content_of(file.follows[-1]) if file.follows else None
    kept = (*(before.files if before else ()), *(r.file_id for r in file.follows))
    files = tuple(dict.fromkeys(kept))
    known = before if before is not None and before.clean and tails else None
    content, tail = _read(file.absolute, compression, known)
    usable = content.resume if tails and content.clean else None
    content, relieved = replace(content, files=files, resume=usable), tuple(_relieved(file.follows))
    if tail is None and before is not None and _came_before(content, file.follows):
        return Seen(replace(before, files=files), None, 1, (), nothing=True, relieved=relieved)
    line = known.lines + 1 if known is not None else 1
    return Seen(content, tail, line, files, relieved=relieved)


def _relieved(records: Iterable[FileRecord]) -> Iterator[tuple[int, str]]:
    for record in records:
        content = content_of(record)
        if content is not None and content.resume is not None:
            yield record.file_id, replace(content, resume=None).to_json()


def _came_before(content: Content, records: Iterable[FileRecord]) -> bool:
    former = (content_of(r) for r in records)
    return any(c is not None and (c.bytes, c.digest) == (content.bytes, content.digest) for c in former)


def _read(path: Path, compression: Compression, known: Content | None) -> Found:
    """What the file holds, and what follows the known bytes, where it begins with those."""
    found = None
    if known is not None:
        found = _resumed(path, compression, known) or _pass(path, compression, known, None)
    found = found or _pass(path, compression, None, None)
    assert found is not None
    return found


def _resumed(path: Path, compression: Compression, known: Content) -> Found | None:
    """Read on from a place before the end of the known bytes.

    None for whatever does not fit: reading all of the file says what is wrong with it.
    """
    try:
        return _pass(path, compression, known, known.resume) if known.resume is not None else None
    except FileRefusedError:
        return None


def _pass(path: Path, compression: Compression, known: Content | None, start: Resume | None) -> Found | None:
    with ExitStack() as unless_whole:
        with resume.opened(path, compression, start) as opened:
            found = _through(opened, known, unless_whole)
        if found is None:
            return None
        content, tail = replace(found[0], resume=opened.resume()), found[1]
        unless_whole.pop_all()
    return content, tail


def _through(opened: Opened, known: Content | None, unless_whole: ExitStack) -> Found | None:
    """Read to the end; None where the known bytes are not where they should be.

    The tail is in a file that is closed with the stack.
    """
    count = _Counted(known.lines if known else 0)
    tail: IO[bytes] | None = None
    for block, at_end_of_known in opened.blocks(known.bytes if known else 0):
        if known is None or tail is not None:
            count.see(block)
        if tail is not None:
            tail.write(block)
        if at_end_of_known and known is not None:
            if opened.digest() != known.digest:
                return None
            tail = tempfile.NamedTemporaryFile(prefix="strandline-tail-")  # noqa: SIM115  lives as long as Seen
            unless_whole.enter_context(tail)
    if known is not None and tail is None:  # shorter than what was read
        return None
    if tail is not None:
        tail.flush()
    return Content(opened.size, count.lines, opened.digest(), count.clean), tail


class _Counted:
    """Line ends and quotes of what follows a clean end."""

    def __init__(self, lines: int) -> None:
        self.lines = lines
        self._quotes = 0
        self._last = b"\n"

    def see(self, block: bytes) -> None:
        self.lines += block.count(b"\n")
        self._quotes += block.count(b'"')
        self._last = block[-1:]

    @property
    def clean(self) -> bool:
        return self._last == b"\n" and self._quotes % 2 == 0
